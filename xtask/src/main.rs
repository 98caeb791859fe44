//! `cargo xtask`: builds, downloads and checks for the workspace.
//!
//! One file a command. This program runs before libtorch exists, so it depends on no `ssl-*` crate.

mod bench;
mod bundle;
mod cargo;
mod child;
mod ci;
mod corpus;
mod doctor;
mod fetch;
mod flags;
mod golden;
mod lock;
mod machine;
mod output;
mod parity;
mod pretrain;
mod progress;
mod python;
mod safetensors;
mod setup;
mod space;
mod summary;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use flags::{Xtask, XtaskCmd};

fn main() -> ExitCode {
    let flags = match Xtask::from_env() {
        Ok(flags) => flags,
        Err(help) if help.is_help() => {
            output::data(help);
            return ExitCode::SUCCESS;
        }
        Err(fault) => {
            output::say(format_args!("error: {fault}\nhint: cargo xtask --help"));
            return ExitCode::from(2);
        }
    };
    let done = match flags.subcommand {
        XtaskCmd::Setup(flags) => setup::run(flags.cuda),
        XtaskCmd::Doctor(_) => Ok(doctor::run()),
        XtaskCmd::Pretrain(flags) => pretrain::run(&flags),
        XtaskCmd::Test(flags) => test::run(flags.slow),
        XtaskCmd::Bench(flags) => bench::run(&flags.name, flags.data.as_deref(), flags.json),
        XtaskCmd::Parity(flags) => parity::run(flags.shape.as_deref(), flags.dtype.as_deref(), flags.compiled, flags.json),
        XtaskCmd::Fetch(flags) => fetch::run(&flags.set, flags.out.as_deref()),
        XtaskCmd::Golden(flags) => golden::run(flags.write),
        XtaskCmd::Tidy(_) => tidy::run(),
        XtaskCmd::Ci(_) => ci::run(),
        XtaskCmd::Bundle(flags) => bundle::run(&flags.dir),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::say(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
