//! `ssl`: the program for self-supervised learning, from raw text to a model at work.

mod adapt;
mod adapted;
mod age;
mod args;
mod assemble;
mod budget;
mod command;
mod compare;
mod compress;
mod diagnose;
mod documents;
mod energy;
mod input;
mod launch;
mod made_up;
mod matrix;
mod outcome;
mod overrides;
mod page;
mod peft;
mod progress;
mod rewrite;
mod run;
mod serve;
mod signal;
mod suite;
mod warnings;
mod words;
mod write;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Parser;

use crate::args::{Cli, Verb};
use crate::assemble::Session;
use crate::outcome::{Outcome, fail, refuse, tell};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(fault) => return refuse(&fault),
    };
    let session = Session::new(&cli.common);
    warnings::listen(Arc::clone(&session.progress));
    // Whatever still panics below becomes an error with its place and an exit code of ours.
    let done = ssl_torch::guard(|| obey(&cli, &session)).map_err(Into::into).flatten();
    session.progress.finish();
    match done {
        Ok(outcome) => tell(&outcome, cli.common.json),
        Err(fault) => fail(&fault, cli.common.json),
    }
}

fn obey(cli: &Cli, session: &Session) -> Result<Outcome> {
    match &cli.verb {
        Verb::Prepare(args) => command::prepare::run(session, args),
        Verb::Train(args) => command::train::run(session, args),
        Verb::Finetune(args) => command::finetune::run(session, args),
        Verb::Compare(args) => command::compare::run(session, args),
        Verb::Eval(args) => command::eval::run(session, args),
        Verb::Generate(args) => command::generate::run(session, args, cli.common.json),
        Verb::Serve(args) => serve::run(session, args),
        Verb::Fill(args) => command::fill::run(session, args),
        Verb::Embed(args) => command::embed::run(session, args, cli.common.json),
        Verb::Answer(args) => command::answer::run(session, args),
        Verb::Summarize(args) => command::rewrite::summarize(session, args, cli.common.json),
        Verb::Translate(args) => command::rewrite::translate(session, args, cli.common.json),
        Verb::Forward(args) => command::forward::run(session, args),
        Verb::Export(args) => command::convert::export(session, args),
        Verb::Import(args) => command::convert::import(session, args),
        Verb::Inspect { path } => command::inspect::run(path),
        Verb::Quality(verb) => command::quality::run(verb),
        Verb::Bench(args) => command::bench::run(session, args),
        Verb::Check(args) => command::check::run(session, args),
    }
}
