//! Why a request is not done, as OpenAI's clients expect to be told.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use ssl_eval::engine::Refused;

/// The result of a request.
pub(super) type Result<T> = std::result::Result<T, Fault>;

/// Seconds after which a full server is worth another try.
const AGAIN: u32 = 1;

/// Why a request is not done.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    status: StatusCode,
    message: String,
    /// The field that is at fault.
    param: Option<String>,
    code: Option<&'static str>,
    /// Seconds after which it is worth another try.
    again: Option<u32>,
}

impl Fault {
    /// With a status and nothing more to say than a message.
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code: None, again: None }
    }

    /// A field that cannot be what it is.
    pub(super) fn param(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(name.into()), ..Self::new(StatusCode::BAD_REQUEST, message) }
    }

    /// A request that the model cannot do.
    pub(super) fn unfit(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message).coded("model_cannot")
    }

    /// Too much at once.
    pub(super) fn busy() -> Self {
        let fault = Self::new(StatusCode::TOO_MANY_REQUESTS, "the queue is full; try again in a moment");
        Self { again: Some(AGAIN), ..fault.coded("queue_full") }
    }

    /// Nothing came of it in time.
    pub(super) fn late() -> Self {
        let fault = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the time that a request may take ran out; try again later, or ask for less",
        );
        Self { again: Some(AGAIN), ..fault.coded("timeout") }
    }

    /// Our own fault.
    pub(super) fn ours(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// A fault that says that something is not here.
    pub(super) fn missing(self) -> Self {
        Self { status: StatusCode::NOT_FOUND, ..self }
    }

    /// With a word for programs.
    pub(super) fn coded(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// The document.
    pub(super) fn json(&self) -> Value {
        let kind = match self.status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::FORBIDDEN => "permission_error",
            StatusCode::NOT_FOUND => "not_found_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        json!({ "error": { "message": self.message, "type": kind, "param": self.param, "code": self.code } })
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.json())).into_response();
        if let Some(again) = self.again {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(again));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full { .. } => Self::busy(),
            Refused::Stopped => Self::new(StatusCode::SERVICE_UNAVAILABLE, "the model has stopped").coded("stopped"),
            Refused::NoDecoder => Self::unfit(refused.to_string()),
            Refused::Prompt { .. } => Self::param("prompt", refused.to_string()).coded("context_length_exceeded"),
            Refused::Token { .. } | Refused::Empty => Self::param("prompt", refused.to_string()),
        }
    }
}

impl From<ssl_eval::Error> for Fault {
    fn from(fault: ssl_eval::Error) -> Self {
        match fault {
            ssl_eval::Error::NoDecoder
            | ssl_eval::Error::NotPredicting
            | ssl_eval::Error::NotFilling
            | ssl_eval::Error::NoAttention => Self::unfit(fault.to_string()),
            ssl_eval::Error::Gaps { .. } | ssl_eval::Error::TooLong { .. } | ssl_eval::Error::NoTokens { .. } => {
                Self::param("text", fault.to_string())
            }
            ssl_eval::Error::Layer { .. } => Self::param("layer", fault.to_string()),
            ssl_eval::Error::Token { .. } => Self::param("input", fault.to_string()),
            ssl_eval::Error::Data(fault) => fault.into(),
            fault => Self::ours(fault.to_string()),
        }
    }
}

impl From<ssl_data::Error> for Fault {
    fn from(fault: ssl_data::Error) -> Self {
        // What is encoded here came from the client.
        Self::new(StatusCode::BAD_REQUEST, fault.to_string())
    }
}
