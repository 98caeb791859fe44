//! The `bleu` task of `ssl eval`: translations of one file's lines against another's.

use std::path::Path;

use anyhow::Result;
use ssl_data::objective::ObjectiveConfig;
use ssl_data::source;
use ssl_eval::Estimate;
use ssl_eval::beam::Beam;
use ssl_eval::bleu::bleu;

use crate::assemble::{Opened, Session};
use crate::outcome::Refusal;
use crate::signal;
use crate::write::sources;

/// Sentences translated at once.
const ROWS: usize = 32;

/// Translates every line of `data` and compares it with the same line of `targets`.
pub(crate) fn score(session: &Session, opened: &Opened, data: &Path, targets: &Path) -> Result<Estimate> {
    if !matches!(opened.objective(), ObjectiveConfig::Translation(_)) {
        let message = format!("{} was not trained to translate", opened.dir.display());
        return Err(Refusal::usage(message, "name a model of the translation objective"));
    }
    let (given, references) = (source::lines(data)?, source::lines(targets)?);
    if given.len() != references.len() {
        let message = format!("{} has {} lines, {} has {}", data.display(), given.len(), targets.display(), references.len());
        return Err(Refusal::input(message, "each line must have its translation at the same place"));
    }
    let vocab = opened.vocab()?;
    let context = opened.model.context();
    let ids = vocab.encode_batch(&given.iter().map(String::as_str).collect::<Vec<_>>())?;
    // Lines of about one length stand together, so that little is padding.
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_by_key(|&line| (ids[line].len(), line));
    let beam = Beam { max_tokens: context, ..Beam::default() };
    let mut written = vec![String::new(); ids.len()];
    for (done, lines) in order.chunks(ROWS).enumerate() {
        session.progress.share("translating", (done * ROWS) as f64 / ids.len() as f64);
        if signal::requested() {
            return Err(ssl_eval::Error::Stopped.into());
        }
        let texts: Vec<&[u32]> = lines.iter().map(|&line| ids[line].as_slice()).collect();
        let (source, start) = sources(&texts, vocab, context, opened.params.device())?;
        let found = beam.search(opened.model.as_ref(), &source, start, vocab.separator())?;
        for (&line, found) in lines.iter().zip(found) {
            written[line] = vocab.decode(&found);
        }
    }
    session.progress.finish();
    Ok(bleu(&written, &references))
}
