//! `ssl quality`: trains and measures the classifier that `data.filter.quality` asks.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use ssl_data::classify::{Classifier, Measured, Side, TrainConfig};
use ssl_data::config::DataConfig;

use crate::args::{QualityVerb, Sides};
use crate::outcome::{Outcome, Refusal};

/// Trains or measures.
pub(crate) fn run(verb: &QualityVerb) -> Result<Outcome> {
    match verb {
        QualityVerb::Train { sides, out, held_out, epochs, seed } => {
            let (good, other) = read(sides)?;
            let [mut learn, mut held] = good.divide(true, *held_out, *seed);
            let [more, others] = other.divide(false, *held_out, *seed);
            learn.extend(more);
            held.extend(others);
            let config = TrainConfig { epochs: *epochs, seed: *seed, ..TrainConfig::default() };
            let classifier = Classifier::train(&learn, &config)?;
            let measured = measure(&classifier, &held)?;
            classifier.save(out)?;
            let mut document = told(&good, &other, &measured)?;
            document["classifier"] = json!(out.to_string_lossy());
            document["learned_from"] = json!(learn.len());
            let human =
                format!("{} learned from {} examples\non documents held out: {}", out.display(), learn.len(), words(&measured));
            Ok(Outcome { json: document, human, code: 0 })
        }
        QualityVerb::Eval { classifier, sides } => {
            let classifier = Classifier::load(classifier)?;
            let (good, other) = read(sides)?;
            let examples = [good.divide(true, 0.0, 0), other.divide(false, 0.0, 0)].concat().concat();
            let measured = measure(&classifier, &examples)?;
            Ok(Outcome { json: told(&good, &other, &measured)?, human: words(&measured), code: 0 })
        }
    }
}

fn read(sides: &Sides) -> Result<(Side, Side)> {
    let side = |paths: &[std::path::PathBuf]| -> Result<Side> {
        // What a run file says of documents, with everything else at its default; the tokenizer is not asked for.
        let config = json!({ "paths": ["."], "document": sides.document, "tokenizer": { "char": {} } });
        let mut config: DataConfig = serde_json::from_value(config).context("a configuration of documents")?;
        // Not by way of JSON, which holds no name that is not UTF-8.
        config.paths = paths.to_vec();
        let side = Side::read(&config, sides.most_mib as usize * (1 << 20))?;
        if side.cut_short {
            tracing::warn!(mib = sides.most_mib, "reading ended at --most-mib, the rest was left unread");
        }
        Ok(side)
    };
    Ok((side(&sides.good)?, side(&sides.other)?))
}

fn measure(classifier: &Classifier, examples: &[(&str, bool)]) -> Result<Measured> {
    let measured = classifier.evaluate(examples);
    if measured.positive == 0 || measured.negative == 0 {
        let message = format!("{} good and {} other examples are too few to measure on", measured.positive, measured.negative);
        return Err(Refusal::input(
            message,
            "give more documents of each side, or --document line where files hold a text a line",
        ));
    }
    Ok(measured)
}

fn told(good: &Side, other: &Side, measured: &Measured) -> Result<Value> {
    let side = |side: &Side| json!({ "documents": side.documents.len(), "dropped": side.dropped, "cut_short": side.cut_short });
    Ok(json!({ "good": side(good), "other": side(other), "measured": serde_json::to_value(measured)? }))
}

fn words(measured: &Measured) -> String {
    let Measured { positive, negative, accuracy, auc, log_loss } = measured;
    format!("accuracy {accuracy:.4}, AUC {auc:.4}, log loss {log_loss:.4} nats, of {positive} good and {negative} other examples")
}
