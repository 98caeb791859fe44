//! `ssl answer`: questions to one's own documents.

mod calibrate;
mod evaluate;

use std::path::Path;

use anyhow::Result;
use serde_json::json;
use ssl_data::retrieve::{Index, PassageConfig, Update, Vectors};

use crate::args::{AnswerArgs, Weights};
use crate::assemble::{Opened, Session, open_for_use};
use crate::documents::{Answered, Answering, Asked, Calibration, Embedder, learned_for, passages};
use crate::input;
use crate::outcome::{Outcome, Refusal};
use crate::signal;

/// Questions on stdin may be so long together.
const STDIN: u64 = 64 << 20;

/// Indexes, calibrates, answers or measures.
pub(crate) fn run(session: &Session, args: &AnswerArgs) -> Result<Outcome> {
    signal::listen("at once")?;
    let model = args.checkpoint.as_deref().map(|path| open_for_use(session, path, None, Weights::Fp32)).transpose()?;
    let answering = model.as_ref().map(Answering::of).transpose()?;
    let answers = model.as_ref().zip(answering.as_ref());
    let embeds = args.embeddings.as_deref().map(|path| open_for_use(session, path, None, Weights::Fp32)).transpose()?;
    let embedder = embeds.as_ref().map(Embedder::of).transpose()?;
    let embeds = embeds.as_ref().zip(embedder.as_ref());
    if let Some(file) = &args.evaluate {
        return evaluate::run(session, args, file, answers, embeds);
    }
    let Some(dir) = args.index.as_deref() else {
        return Err(Refusal::usage("there is no index to ask", "name its folder with --index"));
    };
    let (index, update) = if args.documents.is_empty() {
        (Index::open(dir)?, None)
    } else {
        session.progress.say(&format!("reading documents into {}", dir.display()));
        let (index, update) = Index::update(dir, &args.documents, PassageConfig::default(), &signal::requested)?;
        session.progress.say(&told(&update));
        (index, Some(update))
    };
    let vectors = embeds.map(|(opened, embedder)| {
        let stop = stop(session, "reading passages");
        let vectors = embedder.index(opened.model.as_ref(), Some(dir), &index, &stop);
        session.progress.finish();
        vectors
    });
    let finder = Finder { index: &index, vectors: vectors.transpose()?, embeds, passages: usize::from(args.passages) };
    let of = model.as_ref().map(|model| learned_for(model, embedder.as_ref(), args.passages)).transpose()?;
    if let (Some(file), Some((opened, answering)), Some(of)) = (&args.calibrate, answers, &of) {
        return calibrate::run(session, file, args.precision, &finder, (opened, answering), dir, of);
    }
    let learned = of.as_deref().map(|of| Calibration::load(dir, of)).transpose()?.flatten();
    if learned.is_none() && of.is_some() && Calibration::exists(dir) {
        session.progress.say("the index was calibrated for another model or number of passages: what it learned is not used");
    }
    let mut calibration = learned.unwrap_or_default();
    calibration.threshold = args.threshold.unwrap_or(calibration.threshold);
    let questions = questions(args)?;
    let mut answered = Vec::with_capacity(questions.len());
    for question in questions {
        if signal::requested() {
            return Err(ssl_eval::Error::Stopped.into());
        }
        let asked = finder.find(question)?;
        answered.push(match answers {
            Some((opened, answering)) => {
                answering.answer(opened.model.as_ref(), &index, &asked, &calibration, &|_| signal::requested())?
            }
            None => passages(&index, &asked),
        });
    }
    let human = answered.iter().map(|one| words(one, answers.is_some())).collect::<Vec<_>>().join("\n\n");
    let state = json!({
        "folder": dir, "documents": index.documents(), "passages": index.len(), "update": update,
        "calibrated": calibration.learned, "threshold": calibration.threshold,
    });
    let human = if human.is_empty() { counts(&index, dir) } else { human };
    Ok(Outcome { json: json!({ "index": state, "answers": answered }), human, code: 0 })
}

/// Tells how far work is, and hears whether it shall end.
fn stop<'a>(session: &'a Session, what: &'a str) -> impl Fn(f64) -> bool + 'a {
    move |share| {
        session.progress.share(what, share);
        signal::requested()
    }
}

/// Finds passages.
struct Finder<'a> {
    index: &'a Index,
    vectors: Option<Vectors>,
    embeds: Option<(&'a Opened, &'a Embedder)>,
    passages: usize,
}

impl Finder<'_> {
    fn find(&self, question: String) -> Result<Asked> {
        let found = match (&self.vectors, self.embeds) {
            (Some(vectors), Some((opened, embedder))) => {
                let vector = embedder.vectors(opened.model.as_ref(), &[&question], &|_| signal::requested())?.swap_remove(0);
                self.index.search_both(&question, vectors, &vector, self.passages)
            }
            _ => self.index.search(&question, self.passages),
        };
        Ok(Asked { question, found })
    }
}

fn questions(args: &AnswerArgs) -> Result<Vec<String>> {
    let text = match args.question.as_deref() {
        None => return Ok(Vec::new()),
        Some("-") => String::from_utf8_lossy(&input::read(Path::new("-"), STDIN)?).into_owned(),
        Some(text) => text.replace('\n', " "),
    };
    let questions: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if questions.is_empty() {
        return Err(Refusal::usage("nothing is asked", "give --question a text, or - and a question a line on stdin"));
    }
    Ok(questions)
}

fn told(update: &Update) -> String {
    let Update { files, documents, cut, removed, dropped, first_dropped, passages } = update;
    let first = first_dropped.as_ref().map_or_else(String::new, |first| format!("; {dropped} could not be read, first {first}"));
    format!("{files} files, {documents} documents ({cut} new or changed, {removed} gone), {passages} passages{first}")
}

fn counts(index: &Index, dir: &Path) -> String {
    format!("{}: {} documents, {} passages", dir.display(), index.documents(), index.len())
}

/// An answer as a person reads it.
fn words(answered: &Answered, model: bool) -> String {
    let head = match (model, answered.abstained) {
        (false, _) if answered.citations.is_empty() => "no passage speaks of it".to_owned(),
        (false, _) => format!("{} passages", answered.citations.len()),
        (true, true) if answered.citations.is_empty() => "no answer: no passage speaks of it".to_owned(),
        (true, true) => format!("no answer that is sure enough (probability {:.2}); what was read:", answered.probability),
        (true, false) => format!("{}  (probability {:.2})", answered.answer, answered.probability),
    };
    let mut lines = vec![answered.question.clone(), head];
    for citation in &answered.citations {
        let shown: String = citation.passage.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown = if shown.chars().count() > 160 { shown.chars().take(157).chain("...".chars()).collect() } else { shown };
        lines.push(format!("  [{}, bytes {}-{}] {shown}", citation.document, citation.start, citation.end));
    }
    lines.join("\n")
}
