//! `ssl fill`: what a model would put into the gaps of a text.

use anyhow::Result;
use serde_json::json;
use ssl_eval::likelihood::{Candidate, Scorer};

use crate::args::{FillArgs, Weights};
use crate::assemble::{Session, open_for_use};
use crate::outcome::Outcome;

/// Lists the likeliest candidates of each gap.
pub(crate) fn run(session: &Session, args: &FillArgs) -> Result<Outcome> {
    let opened = open_for_use(session, &args.checkpoint, None, Weights::Fp32)?;
    let (form, start, device) = (opened.objective().form(), opened.shape.config.start_token(), opened.params.device());
    let scorer = Scorer::new(opened.model.as_ref(), opened.vocab()?, form, start, device)?;
    let gaps = scorer.fill(&args.text, usize::from(args.top_k), &|_| false)?;
    // White space alone, and nothing, are seen between quotation marks.
    let shown = |text: &str| if text.trim().is_empty() { format!("{text:?}") } else { text.trim().to_owned() };
    let line = |one: &Candidate| format!("{:6.2} %  {}", 100.0 * one.probability, shown(&one.text));
    let told = |gap: &Vec<Candidate>| gap.iter().map(line).collect::<Vec<_>>().join("\n");
    let human = gaps.iter().map(told).collect::<Vec<_>>().join("\n\n");
    let one = |one: &Candidate| json!({ "token": one.text, "ids": one.ids, "probability": one.probability });
    let gaps: Vec<_> = gaps.iter().map(|gap| json!({ "candidates": gap.iter().map(one).collect::<Vec<_>>() })).collect();
    Ok(Outcome { json: json!({ "model": opened.dir, "text": args.text, "gaps": gaps }), human, code: 0 })
}
