//! How a verb ends: its JSON document or its words, and its exit code; faults with what to do next.

use std::io::{self, ErrorKind as Io, Write};
use std::process::ExitCode;

use serde_json::{Value, json};
use ssl_data::ErrorKind;
use ssl_train::report;

use crate::diagnose::{Diagnosis, Paint};

/// Stopped by a signal with everything saved: the same command goes on.
pub(crate) const REQUEUE: u8 = 75;

/// What a verb came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The document that `--json` prints; null where another process prints it.
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
    let document = if outcome.json.is_null() { String::new() } else { outcome.json.to_string() };
    let text = if as_json { document } else { outcome.human.clone() };
    if !text.is_empty() {
        // A closed pipe is the reader's choice.
        let _ = writeln!(io::stdout(), "{}", text.trim_end());
    }
    ExitCode::from(outcome.code)
}

/// Prints clap's own answer: help, the version, or a usage fault, which `--json` may ask for as a document.
pub(crate) fn refuse(answer: &clap::Error) -> ExitCode {
    // Nobody may be there to read it.
    let _ = answer.print();
    let code = answer.exit_code();
    if code != 0 && std::env::args_os().any(|arg| arg == "--json") {
        let text = answer.to_string();
        let (message, hint) = text.trim().split_once("\n\n").unwrap_or((text.trim(), ""));
        let message = message.trim_start_matches("error: ");
        let document = json!({ "error": { "message": message, "hint": hint, "code": code, "faults": null } });
        let _ = writeln!(io::stdout(), "{document}");
    }
    ExitCode::from(code as u8)
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
    let _ = write!(io::stderr(), "{text}");
    if as_json {
        let faults = fault.downcast_ref::<Diagnosis>().map(Diagnosis::to_json);
        let document = json!({ "error": { "message": chain(fault), "hint": hint, "code": code, "faults": faults } });
        let _ = writeln!(io::stdout(), "{document}");
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
    for cause in fault.chain() {
        if cause.is::<Diagnosis>() {
            return (2, None);
        } else if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return (refusal.code, Some(refusal.hint.clone()));
        } else if let Some(fault) = cause.downcast_ref::<ssl_train::Error>() {
            // What a hook failed with stands behind it in the chain.
            if !matches!(fault, ssl_train::Error::Hook { .. }) {
                return training(fault);
            }
        } else if let Some(fault) = cause.downcast_ref::<report::Error>() {
            return match fault {
                report::Error::Io { action, source, .. } => file(action, source, None),
                report::Error::Record { .. } => (3, Some("remove that line, or move the file out of the run's folder".into())),
            };
        } else if let Some(fault) = cause.downcast_ref::<ssl_data::Error>() {
            return data(fault);
        } else if let Some(fault) = cause.downcast_ref::<ssl_model::Error>() {
            return model(fault);
        } else if let Some(fault) = cause.downcast_ref::<ssl_eval::Error>() {
            return match fault {
                ssl_eval::Error::Data(fault) => data(fault),
                ssl_eval::Error::Tensor(fault) => tensor(fault),
                ssl_eval::Error::Token { .. } => (3, Some("the tokenizer does not belong to this model".into())),
                ssl_eval::Error::NoDecoder => {
                    (2, Some("name a model that was trained to go on with a text, such as a GPT".into()))
                }
                ssl_eval::Error::NonFinite { .. } => (5, None),
                ssl_eval::Error::Stopped => (REQUEUE, None),
                ssl_eval::Error::Bootstrap { .. }
                | ssl_eval::Error::Class { .. }
                | ssl_eval::Error::TooLong { .. }
                | ssl_eval::Error::Layer { .. } => (2, None),
                ssl_eval::Error::NotPredicting => {
                    (2, Some("choices, gaps and pairs are judged by models that predict tokens; others have probes".into()))
                }
                ssl_eval::Error::Gap { .. } => (2, Some("leave nothing after the gap, or name a BERT or a T5".into())),
                ssl_eval::Error::NotFilling => (2, Some("name a BERT, a ModernBERT, a T5 or a masked diffusion".into())),
                ssl_eval::Error::NoAttention => (2, Some("name a Transformer, such as a GPT or a BERT".into())),
                ssl_eval::Error::Gaps { .. } => (2, Some("write [MASK] where a word is missing".into())),
                ssl_eval::Error::File { source, .. } => file("write", source, None),
                ssl_eval::Error::Ledger { .. } => (3, Some("remove that line, or the file, and judge again".into())),
                ssl_eval::Error::NoTokens { .. }
                | ssl_eval::Error::Choice { .. }
                | ssl_eval::Error::Features { .. }
                | ssl_eval::Error::Record { .. }
                | ssl_eval::Error::Empty
                | ssl_eval::Error::Unequal { .. }
                | ssl_eval::Error::NotFinite { .. }
                | ssl_eval::Error::Confidence { .. }
                | ssl_eval::Error::Label { .. }
                | ssl_eval::Error::Tag { .. }
                | ssl_eval::Error::NoReference { .. }
                | ssl_eval::Error::EmptyReferences => (3, None),
            };
        } else if let Some(fault) = cause.downcast_ref::<ssl_torch::Error>() {
            return tensor(fault);
        } else if let Some(fault) = cause.downcast_ref::<io::Error>() {
            return file("write", fault, None);
        }
    }
    (1, None)
}

fn data(fault: &ssl_data::Error) -> (u8, Option<String>) {
    if let ssl_data::Error::Io { action, source, .. } = fault {
        let missing = (source.kind() == Io::NotFound).then(|| "check the path, which begins in the working directory".to_owned());
        return file(action, source, fault.hint().or(missing));
    }
    let code = match fault.kind() {
        ErrorKind::Config => 2,
        ErrorKind::Input => 3,
        ErrorKind::Resource => 4,
        ErrorKind::Interrupted => REQUEUE,
    };
    (code, fault.hint())
}

fn model(fault: &ssl_model::Error) -> (u8, Option<String>) {
    match fault {
        ssl_model::Error::Io { action, source, .. } => file(action, source, fault.hint()),
        ssl_model::Error::Tensor(fault) => tensor(fault),
        _ => (3, fault.hint()),
    }
}

fn tensor(fault: &ssl_torch::Error) -> (u8, Option<String>) {
    match fault {
        ssl_torch::Error::OutOfMemory { .. } => {
            (4, Some("a smaller batch, context or model needs less memory; so does train.recompute = true".into()))
        }
        ssl_torch::Error::Device { .. } => (4, Some("give --device cpu, or see whether the driver sees the device".into())),
        ssl_torch::Error::Trace { .. } => (4, Some("name a file in a folder that can be written".into())),
        ssl_torch::Error::Operation { .. } => (1, None),
        ssl_torch::Error::Group { fault, .. } => (4, Some(fault.hint().into())),
    }
}

fn training(fault: &ssl_train::Error) -> (u8, Option<String>) {
    use ssl_train::Error;
    match fault {
        Error::Io { action, source, .. } => file(action, source, fault.hint()),
        Error::Locked { .. } => (4, fault.hint()),
        Error::NonFinite { .. } => (5, fault.hint()),
        Error::Checkpoint { .. } => {
            let hint = "name another checkpoint, or the run's folder for its best whole one";
            (3, fault.hint().or_else(|| Some(hint.into())))
        }
        Error::NoCheckpoint { .. } => (3, fault.hint()),
        Error::NoGradient { .. } | Error::Hook { .. } | Error::Ranks { .. } => (1, fault.hint()),
        Error::Data(fault) => data(fault),
        Error::Model(fault) => model(fault),
        Error::Step { source, .. } | Error::Tensor(source) => {
            let (code, hint) = tensor(source);
            (code, fault.hint().or(hint))
        }
    }
}

/// What a file system's refusal means: a wrong path is a fault of usage or of input, everything else a lack of something.
fn file(action: &str, fault: &io::Error, hint: Option<String>) -> (u8, Option<String>) {
    let reads = ["read", "open", "list"].contains(&action);
    let (code, ours) = match fault.kind() {
        Io::NotFound if reads => (3, "check the path; a model folder holds config.json and model.safetensors"),
        Io::NotFound => (2, "make the folder above it first, or name another place"),
        Io::AlreadyExists | Io::NotADirectory | Io::IsADirectory => {
            (2, "a file stands where a folder must be, or a folder where a file must be; name another place")
        }
        Io::PermissionDenied | Io::ReadOnlyFilesystem => (4, "check who may read and write there"),
        Io::StorageFull | Io::QuotaExceeded => (4, "free space on that disk and run again"),
        Io::FileTooLarge => (4, "raise the limit on the size of files (ulimit -f) and run again"),
        _ => return (4, hint),
    };
    (code, hint.or_else(|| Some(ours.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(fault: impl Into<anyhow::Error>) -> u8 {
        judge(&fault.into()).0
    }

    fn io(action: &'static str, kind: Io) -> ssl_train::Error {
        ssl_train::Error::Io { action, path: "x".into(), source: kind.into() }
    }

    #[test]
    fn every_code_has_its_faults() {
        let operation = || ssl_torch::Error::Operation { message: "shapes".into(), at: None };
        assert_eq!(code(operation()), 1);
        assert_eq!(code(anyhow::anyhow!("something else")), 1);
        assert_eq!(code(Refusal::usage("flags", "hint")), 2);
        assert_eq!(code(io("create", Io::NotADirectory)), 2);
        assert_eq!(code(ssl_train::Error::NoCheckpoint { dir: "x".into() }), 3);
        assert_eq!(code(ssl_model::Error::Io { action: "read", path: "x".into(), source: Io::NotFound.into() }), 3);
        assert_eq!(code(io("write", Io::StorageFull)), 4);
        assert_eq!(code(ssl_torch::Error::OutOfMemory { message: String::new(), at: None }), 4);
        assert_eq!(code(ssl_train::Error::NonFinite { step: 1, what: "loss", value: f64::NAN, sample: 0 }), 5);
        assert_eq!(code(ssl_data::Error::Interrupted { stage: "x" }), REQUEUE);
    }

    #[test]
    fn a_fault_behind_a_validation_keeps_its_code() {
        let shard = ssl_data::Error::ShardBlock { path: "x.tok".into(), block: 2, source: None };
        let fault = ssl_train::Error::Hook { step: 5, source: Box::new(ssl_eval::Error::Data(shard)) };
        let (code, hint) = judge(&anyhow::Error::from(fault).context("while training"));
        assert_eq!(code, 3);
        assert!(hint.is_some_and(|hint| hint.contains("prepare again")));
    }
}
