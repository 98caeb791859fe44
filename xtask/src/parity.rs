//! `cargo xtask parity`: our training step and PyTorch's, in turn, on this machine.
//!
//! A peer in bf16 may be slower than the same in fp32, and a compiled one slower than an eager one, so ours in bf16 stands beside
//! whichever is fastest.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::output::{data, say};
use crate::{cargo, child, machine, python, workspace};

/// Shape, run file, and steps a round, as many as the peer does.
const SHAPES: &[(&str, &str, u32)] = &[("A", "bench-a", 200), ("B", "bench-b", 12), ("C", "bench-c", 4)];

/// Each program runs this often, in turn, and each time takes the best of three rounds: a busy moment hurts neither.
const TURNS: u32 = 2;

/// One way to run PyTorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Peer {
    dtype: &'static str,
    compiled: bool,
}

/// The peers of a run in `dtype`; a processor without bf16 arithmetic takes minutes a step in it, so there it is left out.
fn peers(dtype: &str, compiled: bool, bf16: bool) -> Vec<Peer> {
    let dtypes: &[&str] = if dtype == "bf16" && bf16 { &["bf16", "fp32"] } else { &["fp32"] };
    let ways: &[bool] = if compiled { &[false, true] } else { &[false] };
    dtypes.iter().flat_map(|&dtype| ways.iter().map(move |&compiled| Peer { dtype, compiled })).collect()
}

/// The command; `compiled` adds PyTorch through torch.compile, whose compilation takes minutes.
pub(crate) fn run(shapes: Option<&str>, dtype: Option<&str>, compiled: bool, as_json: bool) -> Result<u8> {
    let dtype = match dtype.unwrap_or("fp32") {
        "fp32" | "f32" => "fp32",
        "bf16" => "bf16",
        other => bail!("the dtype is fp32 or bf16, not {other}"),
    };
    let mut chosen = Vec::new();
    for name in shapes.unwrap_or("A,B").split(',').map(str::trim) {
        let shape = SHAPES.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
        chosen.push(*shape.with_context(|| format!("no shape {name}; there are A, B and C"))?);
    }
    // Asked first: building takes minutes.
    python::with(&["torch"])?;
    let ssl = cargo::ssl()?;
    let peers = peers(dtype, compiled, machine::computes_bf16());
    if dtype == "bf16" && !machine::computes_bf16() {
        say("this processor has no bf16 arithmetic: both programs compute in fp32");
    }
    let mut rows = Vec::new();
    let mut ratios = Vec::new();
    for (shape, run, steps) in chosen {
        let (mut ours, mut peer) = (Value::Null, Value::Null);
        for turn in 1..=TURNS {
            say(format_args!("shape {shape}, {dtype}, turn {turn} of {TURNS}"));
            let mut command = ssl.call("bench", None);
            command.arg(format!("fixtures/runs/{run}.toml")).args(["--json", "--quiet", "--steps", &steps.to_string()]);
            command.args(["--dtype", dtype, "--threads", &machine::cores().to_string()]);
            ours = better(ours, measure(&mut command)?);
            for Peer { dtype, compiled } in &peers {
                let mut command = python::with(&["torch"])?;
                command.arg(workspace::root().join("fixtures/bench/pytorch_gpt.py")).args(["--shape", shape, "--dtype", dtype]);
                command.args(["--rounds", "3", "--threads", &machine::cores().to_string()]);
                if *compiled {
                    command.arg("--compile");
                }
                peer = better(peer, measure(&mut command)?);
            }
        }
        for row in [&mut ours, &mut peer] {
            row["shape"] = json!(shape);
        }
        ratios.push(json!({"shape": shape, "dtype": dtype, "speed": speed(&ours) / speed(&peer), "memory": memory(&ours) / memory(&peer)}));
        rows.extend([ours, peer]);
    }
    if as_json {
        data(json!({"device": machine::name(), "commit": machine::commit(), "rows": rows, "ratios": ratios}));
    } else {
        data(table(&rows, &ratios));
    }
    Ok(0)
}

/// One run of one program, which prints one JSON document.
fn measure(command: &mut Command) -> Result<Value> {
    let name = command.get_program().display().to_string();
    let output = child::output(command)?;
    if !output.status.success() {
        bail!("{name} ended with {}", child::code(output.status));
    }
    let value: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("cannot read what {name} prints"))?;
    if speed(&value) > 0.0 { Ok(value) } else { bail!("{name} prints no tokens_per_second") }
}

fn speed(row: &Value) -> f64 {
    row["tokens_per_second"].as_f64().unwrap_or(0.0)
}

fn memory(row: &Value) -> f64 {
    row["peak_rss_mib"].as_f64().unwrap_or(f64::NAN)
}

fn better(a: Value, b: Value) -> Value {
    if speed(&b) > speed(&a) { b } else { a }
}

fn table(rows: &[Value], ratios: &[Value]) -> String {
    let mut lines =
        vec![format!("{:24} {:5} {:5} {:>12} {:>10} {:>10}", "program", "shape", "dtype", "tokens/s", "ms/step", "peak MiB")];
    for (pair, ratio) in rows.chunks(2).zip(ratios) {
        for row in pair {
            let text = |key: &str| row[key].as_str().unwrap_or("?").to_owned();
            let step = row["ms_per_step"].as_f64().unwrap_or(f64::NAN);
            lines.push(format!(
                "{:24} {:5} {:5} {:12.0} {step:10.2} {:10.0}",
                text("program"),
                text("shape"),
                text("dtype"),
                speed(row),
                memory(row)
            ));
        }
        let number = |key: &str| ratio[key].as_f64().unwrap_or(f64::NAN);
        lines.push(format!("ours / peer: speed {:.2}, memory {:.2}", number("speed"), number("memory")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_turn_counts_and_the_ratio_is_ours_over_theirs() {
        let row = |speed: f64| json!({"program": "x", "tokens_per_second": speed, "peak_rss_mib": 10.0, "ms_per_step": 1.0});
        assert_eq!(better(Value::Null, row(1.0)), row(1.0));
        assert_eq!(better(row(2.0), row(1.0)), row(2.0));
        let text = table(&[row(2.0), row(1.0)], &[json!({"speed": 2.0, "memory": 1.0})]);
        assert!(text.ends_with("ours / peer: speed 2.00, memory 1.00"), "{text}");
    }

    #[test]
    fn ours_in_bf16_stands_beside_every_way_that_the_machine_has() {
        let ways = |dtype, compiled, bf16| peers(dtype, compiled, bf16).into_iter().map(|peer| (peer.dtype, peer.compiled));
        assert!(ways("fp32", false, true).eq([("fp32", false)]));
        assert!(ways("fp32", true, false).eq([("fp32", false), ("fp32", true)]));
        assert!(ways("bf16", true, true).eq([("bf16", false), ("bf16", true), ("fp32", false), ("fp32", true)]));
        assert!(ways("bf16", false, false).eq([("fp32", false)]));
    }

    #[test]
    fn a_program_without_a_measurement_is_a_failure() {
        assert!(measure(Command::new("echo").arg("{}")).is_err());
        assert!(measure(Command::new("echo").arg(r#"{"tokens_per_second": 1.5}"#)).is_ok());
        assert!(measure(&mut Command::new("false")).is_err());
    }
}
