//! `ssl summarize` and `ssl translate`: a text from a text, as it comes.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::args::{RewriteArgs, Weights};
use crate::assemble::{Session, open_for_use};
use crate::input;
use crate::outcome::{Outcome, Refusal};
use crate::rewrite::Rewriter;
use crate::signal;

/// The longest text.
const LONGEST: u64 = 64 << 20;

/// `ssl summarize`.
pub(crate) fn summarize(session: &Session, args: &RewriteArgs, as_json: bool) -> Result<Outcome> {
    run(session, args, as_json, false)
}

/// `ssl translate`.
pub(crate) fn translate(session: &Session, args: &RewriteArgs, as_json: bool) -> Result<Outcome> {
    run(session, args, as_json, true)
}

fn run(session: &Session, args: &RewriteArgs, as_json: bool, translates: bool) -> Result<Outcome> {
    let opened = open_for_use(session, &args.checkpoint, None, Weights::Fp32)?;
    let rewriter = Rewriter::of(&opened)?;
    let source = read(&args.input)?;
    if source.trim().is_empty() {
        return Err(Refusal::input("the text is empty", "name a file with --input, or give the text on stdin"));
    }
    signal::listen("after this window")?;
    let mut out = std::io::stdout();
    let (mut text, mut gone) = (String::new(), false);
    let mut show = |piece: &str| {
        text.push_str(piece);
        gone |= !as_json && out.write_all(piece.as_bytes()).and_then(|()| out.flush()).is_err();
        // A reader that went away needs no more.
        !gone
    };
    let model = opened.model.as_ref();
    let windows = if translates {
        rewriter.translate(model, &source, &mut show, &signal::requested)
    } else {
        rewriter.summarize(model, &source, &mut show, &signal::requested)
    };
    show("\n");
    let windows = windows?;
    let json = json!({ "model": opened.dir, "text": text.trim_end_matches('\n'), "windows": windows });
    Ok(Outcome { json, human: String::new(), code: 0 })
}

/// The text of a file, or of stdin.
fn read(input: &Path) -> Result<String> {
    Ok(String::from_utf8_lossy(&input::read(input, LONGEST)?).into_owned())
}
