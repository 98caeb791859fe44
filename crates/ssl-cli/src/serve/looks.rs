//! What a model makes of a text without writing: vectors, what fills its gaps, how likely its tokens are, which look at which.

use std::fmt::Write;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Value, json};
use ssl_data::objective::Form;
use ssl_eval::likelihood::{Candidate, Scorer};
use ssl_eval::look::{Embedding, Look};
use ssl_model::Model;
use ssl_model::head::Pool;
use tch::Device;

use super::ask::{Ask, Input, wrong};
use super::fault::{Fault, Result};
use super::running::Usage;
use super::served::Served;
use super::tasks::text;
use super::{body, wire};

/// Texts that are made into vectors between two steps of those that are written.
const AT_ONCE: usize = 16;
/// The most candidates of a place.
const CANDIDATES: i64 = 100;
/// The most tokens of a text that is read once for each of them.
const READ_EACH: usize = 256;

/// Vectors of texts.
pub(super) async fn embeddings(State(served): State<Arc<Served>>, request: Request) -> Result<Json<Value>> {
    let ask = body::read(&served, request).await?;
    served.called(&ask)?;
    let base64 = match ask.text("encoding_format")? {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(Fault::param("encoding_format", "float or base64 was expected")),
    };
    if let Some(dimensions) = ask.get("dimensions") {
        return Err(wrong("dimensions", dimensions, "nothing: vectors are as wide as the model"));
    }
    let texts = served.aside(move |served| ids(&ask, served)).await?;
    let prompt = texts.iter().map(Vec::len).sum();
    let mut vectors = Vec::new();
    for some in texts.chunks(AT_ONCE) {
        let some = some.to_vec();
        let work = move |served: &Served, model: &dyn Model, device, stop: &dyn Fn(f64) -> bool| {
            served.look(model, device).embed(&some, Embedding { pool: Pool::Mean, normalize: true }, stop)
        };
        vectors.extend(served.on_model(work).await?);
    }
    let told = |vector: &Vec<f32>| if base64 { coded(vector).into() } else { json!(vector) };
    let data: Vec<Value> = vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| json!({ "object": "embedding", "index": index, "embedding": told(vector) }))
        .collect();
    let mut usage = wire::used(Usage { prompt, written: 0 });
    usage.as_object_mut().map(|usage| usage.remove("completion_tokens"));
    Ok(Json(json!({ "object": "list", "model": served.about.id, "data": data, "usage": usage })))
}

fn ids(ask: &Ask, served: &Served) -> Result<Vec<Vec<u32>>> {
    let inputs = ask.inputs("input", served.about.vocab_size, served.limits.texts)?;
    let ids = inputs.into_iter().map(|input| match input {
        Input::Text(text) => Ok(served.vocab.encode_foreign(&text)?),
        Input::Ids(ids) => Ok(ids),
    });
    let ids = ids.collect::<Result<Vec<_>>>()?;
    let most = served.longest();
    if let Some(long) = ids.iter().find(|ids| ids.len() > most) {
        let message = format!("input holds a text of {} tokens, and at most {most} are read", long.len());
        return Err(Fault::param("input", message));
    }
    if ids.iter().any(Vec::is_empty) {
        return Err(Fault::param("input", "input holds a text without a token"));
    }
    Ok(ids)
}

/// What fills each `[MASK]` of a text.
pub(super) async fn fill_mask(State(served): State<Arc<Served>>, request: Request) -> Result<Json<Value>> {
    let ask = body::read(&served, request).await?;
    let (text, top_k) = (text(&ask, "text")?, candidates(&ask)?);
    if !served.about.fills {
        return Err(Fault::unfit(format!("this model does not fill gaps; {}", served.can())));
    }
    let work = move |served: &Served, model: &dyn Model, device, stop: &dyn Fn(f64) -> bool| {
        served.scorer(model, device)?.fill(&text, top_k, stop)
    };
    let gaps = served.on_model(work).await?;
    let gaps: Vec<Value> = gaps.iter().map(|gap| json!({ "candidates": gap.iter().map(told).collect::<Vec<_>>() })).collect();
    Ok(Json(json!({ "gaps": gaps })))
}

/// How likely the model found each token of a text.
pub(super) async fn likelihoods(State(served): State<Arc<Served>>, request: Request) -> Result<Json<Value>> {
    let ask = body::read(&served, request).await?;
    let (text, top_k) = (text(&ask, "text")?, candidates(&ask)?);
    let work = move |served: &Served| Ok((served.vocab.encode_foreign(&text)?.len(), text));
    let (tokens, text) = served.aside(work).await?;
    let most = if served.objective.form() == Form::Both { READ_EACH.min(served.limits.prompt) } else { served.limits.prompt };
    if tokens > most {
        return Err(Fault::param("text", format!("text has {tokens} tokens, and at most {most} are looked at")));
    }
    let work = move |served: &Served, model: &dyn Model, device, stop: &dyn Fn(f64) -> bool| {
        served.scorer(model, device)?.tokens(&text, top_k, stop)
    };
    let tokens = served.on_model(work).await?;
    let tokens: Vec<Value> = tokens
        .iter()
        .map(|token| {
            let candidates: Vec<Value> = token.candidates.iter().map(told).collect();
            json!({
                "text": token.text, "id": token.id, "probability": token.probability, "rank": token.rank, "candidates": candidates,
            })
        })
        .collect();
    Ok(Json(json!({ "tokens": tokens })))
}

/// Which tokens of a text look at which, head by head.
pub(super) async fn attention(State(served): State<Arc<Served>>, request: Request) -> Result<Json<Value>> {
    let ask = body::read(&served, request).await?;
    let text = text(&ask, "text")?;
    let layer = ask.whole("layer", &(0..=1000))?.unwrap_or(0) as usize;
    let work = move |served: &Served, model: &dyn Model, device, _: &dyn Fn(f64) -> bool| {
        served.look(model, device).attention(&served.vocab.encode_foreign(&text)?, layer)
    };
    let view = served.on_model(work).await?;
    let special: Vec<u32> = served.vocab.specials().collect();
    let name = |&id: &u32| {
        let own = special.contains(&id).then(|| served.vocab.token(id)).flatten();
        own.unwrap_or_else(|| wire::name(&served.vocab, id))
    };
    let tokens: Vec<String> = view.ids.iter().map(name).collect();
    let heads = view.weights.len();
    Ok(Json(json!({ "tokens": tokens, "layers": view.layers, "heads": heads, "layer": view.layer, "weights": view.weights })))
}

impl Served {
    fn scorer<'a>(&'a self, model: &'a dyn Model, device: Device) -> ssl_eval::Result<Scorer<'a>> {
        Scorer::new(model, &self.vocab, self.objective.form(), self.about.start, device)
    }

    fn look<'a>(&self, model: &'a dyn Model, device: Device) -> Look<'a> {
        Look::new(model, &self.vocab, self.objective.form(), self.about.start, device)
    }
}

fn candidates(ask: &Ask) -> Result<usize> {
    Ok(ask.whole("top_k", &(1..=CANDIDATES))?.unwrap_or(5) as usize)
}

fn told(candidate: &Candidate) -> Value {
    json!({
        "token": candidate.text, "id": candidate.ids.first(), "ids": candidate.ids, "probability": candidate.probability,
    })
}

/// Numbers as OpenAI's client reads them most quickly: little-endian fp32 in base64. Source: RFC 4648, section 4.
fn coded(vector: &[f32]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| (bits << 8) | u32::from(three.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let letter = LETTERS[((bits >> (18 - 6 * at)) & 63) as usize];
            // Writing to a string cannot fail.
            let _ = text.write_char(if at > three.len() { '=' } else { letter.into() });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::coded;

    #[test]
    fn numbers_are_coded_as_elsewhere() {
        // Of Python's base64.b64encode(struct.pack("<nf", ...)).
        assert_eq!(coded(&[]), "");
        assert_eq!(coded(&[1.0]), "AACAPw==");
        assert_eq!(coded(&[1.0, -2.5]), "AACAPwAAIMA=");
        assert_eq!(coded(&[0.5, 1e-3, 3e7]), "AAAAP28SgzrA4eRL");
    }
}
