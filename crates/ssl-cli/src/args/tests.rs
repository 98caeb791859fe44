//! What the command line takes and refuses.

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn train_takes_everything() {
    let cli = parse("ssl train r.toml --set a.b=c --set d=-1 --resume must --out o --json --device cuda:3 --threads 2")
        .expect("parses");
    assert_eq!(cli.common, Common { json: true, quiet: false, device: Device::Cuda(3), threads: Some(2) });
    let Verb::Train(train) = cli.verb else { panic!("another verb") };
    assert_eq!(train.run.overrides, ["a.b=c", "d=-1"]);
    assert_eq!((train.resume, train.out), (Resume::Must, Some("o".into())));
}

#[test]
fn global_flags_stand_anywhere() {
    for line in ["ssl --json --quiet check r.toml", "ssl check --json -q r.toml", "ssl check r.toml --quiet --json"] {
        let cli = parse(line).expect(line);
        assert!(cli.common.json && cli.common.quiet, "{line}");
    }
}

#[test]
fn prompts_may_look_like_flags() {
    let Ok(Cli { verb: Verb::Generate(generate), .. }) = parse("ssl generate c --prompt -") else { panic!("no parse") };
    assert_eq!(generate.prompt, "-");
    let Ok(Cli { verb: Verb::Generate(generate), .. }) = parse("ssl generate c --prompt --x") else { panic!("no parse") };
    assert_eq!(generate.prompt, "--x");
}

#[test]
fn forward_takes_exactly_one_input() {
    let Ok(Cli { verb: Verb::Forward(forward), .. }) = parse("ssl forward c --ids 1,2,3 --out o") else { panic!("no parse") };
    assert_eq!(forward.ids, [1, 2, 3]);
    for (line, kind) in [
        ("ssl forward c --out o", ErrorKind::MissingRequiredArgument),
        ("ssl forward c --ids 1 --text a --out o", ErrorKind::ArgumentConflict),
        ("ssl forward c --ids 1,x --out o", ErrorKind::ValueValidation),
    ] {
        assert_eq!(parse(line).expect_err(line).kind(), kind, "{line}");
    }
}

#[test]
fn the_name_of_the_output_tells_the_form() {
    for (line, format) in [
        ("ssl export c --out x", ExportFormat::Hf),
        ("ssl export c --out x.gguf", ExportFormat::Gguf),
        ("ssl export c --out x.gguf --format hf", ExportFormat::Hf),
        ("ssl export c --out x --format gguf --dtype q8_0", ExportFormat::Gguf),
    ] {
        let Ok(Cli { verb: Verb::Export(export), .. }) = parse(line) else { panic!("no parse of {line}") };
        assert_eq!(export.format(), format, "{line}");
    }
}

#[test]
fn usage_faults_exit_2() {
    for line in [
        "ssl nothing",
        "ssl train",
        "ssl train r.toml --resume maybe",
        "ssl check r.toml --device gpu",
        "ssl check r.toml --device cuda:x",
        "ssl check r.toml --threads 0",
        "ssl generate c --temperature -1",
        "ssl generate c --temperature nan",
        "ssl generate c --top-p 0",
        "ssl generate c --top-p 1.5",
        "ssl generate c --top-k 0",
        "ssl eval c",
        "ssl export c",
        "ssl export c --out x --format onnx",
        "ssl export c --out x --dtype int4",
    ] {
        assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
    }
}

#[test]
fn every_verb_shows_an_example() {
    for verb in Cli::command().get_subcommands().filter(|verb| verb.get_name() != "help") {
        let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains(&format!("Example: ssl {}", verb.get_name())), "{}", verb.get_name());
    }
}
