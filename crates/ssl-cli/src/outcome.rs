//! How a verb ends: its JSON document or its words, and its exit code; faults with what to do next.

use std::io::Write;
use std::process::ExitCode;

use serde_json::{Value, json};
use ssl_data::ErrorKind;

use crate::diagnose::{Diagnosis, Paint};

/// Stopped by a signal with everything saved: the same command goes on.
pub(crate) const REQUEUE: u8 = 75;

/// What a verb came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The document that `--json` prints.
    pub(crate) json: Value,
    /// What a person reads on stdout; empty where it was written already.
    pub(crate) human: String,
    /// The exit code.
    pub(crate) code: u8,
}

/// A fault of the command line's own making.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: String,
    /// The exit code.
    pub(crate) code: u8,
}

impl Refusal {
    /// A usage or configuration fault.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        Self { message: message.into(), hint: hint.into(), code: 2 }.into()
    }

    /// An input that cannot be used.
    pub(crate) fn input(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        Self { message: message.into(), hint: hint.into(), code: 3 }.into()
    }
}

/// Prints an outcome.
pub(crate) fn tell(outcome: &Outcome, as_json: bool) -> ExitCode {
    let text = if as_json { outcome.json.to_string() } else { outcome.human.clone() };
    if !text.is_empty() {
        // A closed pipe is the reader's choice.
        let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    }
    ExitCode::from(outcome.code)
}

/// Prints a fault.
pub(crate) fn fail(fault: &anyhow::Error, as_json: bool) -> ExitCode {
    let (code, hint) = judge(fault);
    let text = if let Some(diagnosis) = fault.downcast_ref::<Diagnosis>() {
        diagnosis.render(Paint::for_stderr())
    } else {
        let hint = hint.as_ref().map_or_else(String::new, |hint| format!("hint: {hint}\n"));
        format!("error: {}\n{hint}", chain(fault))
    };
    let _ = write!(std::io::stderr(), "{text}");
    if as_json {
        let faults = fault.downcast_ref::<Diagnosis>().map(Diagnosis::to_json);
        let document = json!({ "error": { "message": chain(fault), "hint": hint, "code": code, "faults": faults } });
        let _ = writeln!(std::io::stdout(), "{document}");
    }
    ExitCode::from(code)
}

/// The messages of a chain, each once: a cause that its effect already names is left out.
fn chain(fault: &anyhow::Error) -> String {
    let mut text = String::new();
    for message in fault.chain().map(ToString::to_string) {
        if !text.contains(&message) {
            let joint = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{joint}{message}");
        }
    }
    text
}

/// The exit code and the hint of the first fault in the chain that has them.
fn judge(fault: &anyhow::Error) -> (u8, Option<String>) {
    if fault.downcast_ref::<Diagnosis>().is_some() {
        return (2, None);
    }
    for cause in fault.chain() {
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return (refusal.code, Some(refusal.hint.clone()));
        }
        if let Some(fault) = cause.downcast_ref::<ssl_train::Error>() {
            return (training(fault), fault.hint());
        }
        if let Some(fault) = cause.downcast_ref::<ssl_data::Error>() {
            return (data(fault), fault.hint());
        }
        if let Some(fault) = cause.downcast_ref::<ssl_model::Error>() {
            return (model(fault), fault.hint());
        }
        if let Some(fault) = cause.downcast_ref::<ssl_eval::Error>() {
            return match fault {
                ssl_eval::Error::Data(fault) => (data(fault), fault.hint()),
                ssl_eval::Error::Tensor(fault) => (tensor(fault), None),
                ssl_eval::Error::Token { .. } => (3, Some("the tokenizer does not belong to this model".into())),
                ssl_eval::Error::NonFinite { .. } => (5, None),
                ssl_eval::Error::Stopped => (REQUEUE, None),
            };
        }
        if let Some(fault) = cause.downcast_ref::<ssl_torch::Error>() {
            return (tensor(fault), None);
        }
        if cause.downcast_ref::<std::io::Error>().is_some() {
            return (4, None);
        }
    }
    (1, None)
}

fn data(fault: &ssl_data::Error) -> u8 {
    match fault.kind() {
        ErrorKind::Config => 2,
        ErrorKind::Input => 3,
        ErrorKind::Resource => 4,
        ErrorKind::Interrupted => REQUEUE,
    }
}

fn model(fault: &ssl_model::Error) -> u8 {
    match fault {
        ssl_model::Error::Io { source, .. } if source.kind() != std::io::ErrorKind::NotFound => 4,
        ssl_model::Error::Tensor(fault) => tensor(fault),
        _ => 3,
    }
}

fn tensor(fault: &ssl_torch::Error) -> u8 {
    match fault {
        ssl_torch::Error::OutOfMemory { .. } | ssl_torch::Error::Device { .. } => 4,
        ssl_torch::Error::Operation { .. } => 1,
    }
}

fn training(fault: &ssl_train::Error) -> u8 {
    use ssl_train::Error;
    match fault {
        Error::Io { .. } | Error::Locked { .. } => 4,
        Error::NonFinite { .. } => 5,
        Error::Checkpoint { .. } | Error::NoCheckpoint { .. } => 3,
        Error::NoGradient { .. } | Error::Hook { .. } => 1,
        Error::Data(fault) => data(fault),
        Error::Model(fault) => model(fault),
        Error::Step { source, .. } | Error::Tensor(source) => tensor(source),
    }
}
