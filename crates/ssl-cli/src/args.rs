//! The command line of `ssl`: verbs and flags, as `ssl --help` shows them.
//!
//! Clap words a usage error, whose exit code is 2.

mod export;
mod generate;
mod look;
mod serve;
mod work;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

pub(crate) use export::{ExportArgs, ExportFormat, Stored};
pub(crate) use generate::GenerateArgs;
pub(crate) use look::{EmbedArgs, FillArgs, Pooled};
pub(crate) use serve::{LimitArgs, ServeArgs};
pub(crate) use work::{AnswerArgs, RewriteArgs};

/// Self-supervised learning: from raw text to a trained, measured language model.
#[derive(Debug, Clone, PartialEq, Parser)]
#[command(name = "ssl", version, propagate_version = true, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "Example: ssl train fixtures/runs/llama-nano.toml --set 'data.paths=[\"my-text\"]' --out runs/mine\n\n\
    Exit codes: 0 done, 1 other failure, 2 usage or configuration, 3 invalid input,\n\
    4 disk, memory or device, 5 diverged, 75 stopped by a signal: the same command goes on.")]
pub(crate) struct Cli {
    /// What every verb takes.
    #[command(flatten)]
    pub(crate) common: Common,
    /// The verb.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb takes.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Common {
    /// Print exactly one JSON document on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing on stderr but errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto", value_parser = device)]
    pub(crate) device: Device,
    /// Threads to compute with [default: one a core]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
}

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Device {
    /// A GPU where there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// One GPU, by number.
    Cuda(usize),
}

fn device(text: &str) -> Result<Device, String> {
    match text {
        "auto" => Ok(Device::Auto),
        "cpu" => Ok(Device::Cpu),
        "cuda" => Ok(Device::Cuda(0)),
        _ => text
            .strip_prefix("cuda:")
            .and_then(|number| number.parse().ok())
            .map(Device::Cuda)
            .ok_or_else(|| "expected auto, cpu, cuda or cuda:N".into()),
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub(crate) enum Verb {
    /// Turn raw inputs into a corpus: clean, deduplicate, train the tokenizer, write shards
    #[command(after_help = "Finished stages are recognised and skipped.\n\nExample: ssl prepare run.toml --out runs/first")]
    Prepare(RunArgs),
    /// Pretrain a model, preparing the corpus first if needed
    #[command(after_help = "Example: ssl train run.toml --set train.steps=2000 --out runs/first")]
    Train(TrainArgs),
    /// Adapt a checkpoint to a task: classes, tags, answers, texts, chat, preferences
    #[command(after_help = "Example: ssl finetune sst2.toml --set 'train.from=\"runs/first\"' --out runs/sst2")]
    Finetune(FinetuneArgs),
    /// Pretrain several paradigms at equal cost on the same data, adapt each to the same tasks, and say which serves what
    #[command(after_help = "Example: ssl compare fixtures/compare/miniature.toml --out runs/comparison")]
    Compare(CompareArgs),
    /// Score a checkpoint, with error bars
    #[command(after_help = "Example: ssl eval runs/first bits-per-byte --data held-out.txt")]
    Eval(EvalArgs),
    /// Write text with a checkpoint, token by token
    #[command(after_help = "Example: ssl generate runs/first --prompt \"Once upon a time\" --temperature 0.8 --top-p 0.95")]
    Generate(GenerateArgs),
    /// Answer programs and people over HTTP, as OpenAI's interface does, with a page to try the model
    #[command(after_help = "Stops on Ctrl-C or SIGTERM: running requests may end, then the exit code is 0.\n\n\
        Example: ssl serve runs/first --addr 127.0.0.1:8080")]
    Serve(ServeArgs),
    /// Fill the gaps of a text, each with the likeliest candidates
    #[command(after_help = "Example: ssl fill runs/bert --text \"The capital of France is [MASK].\"")]
    Fill(FillArgs),
    /// Turn texts into vectors, one a line
    #[command(after_help = "Example: ssl embed runs/bert --input sentences.txt --out vectors.safetensors --normalize")]
    Embed(EmbedArgs),
    /// Answer questions from one's own documents, with citations, and say nothing where unsure
    #[command(
        after_help = "Example: ssl answer runs/squad --documents handbook --index handbook.index --question 'Who has the key?'"
    )]
    Answer(AnswerArgs),
    /// Write a text in short, long texts part by part
    #[command(after_help = "Example: ssl summarize runs/scitldr --input paper.txt")]
    Summarize(RewriteArgs),
    /// Translate a text, sentence by sentence
    #[command(after_help = "Example: ssl translate runs/translation --input letter.txt")]
    Translate(RewriteArgs),
    /// Write the logits of one input as safetensors, in fp32, to compare with another program
    #[command(after_help = "Example: ssl forward runs/first --ids 1,2,3 --out logits.safetensors")]
    Forward(ForwardArgs),
    /// Write a checkpoint as a Hugging Face model folder, or as one file for llama.cpp
    #[command(
        after_help = "Example: ssl export runs/first --out first-hf\n\n    ssl export runs/first --out first.gguf --dtype q8_0"
    )]
    Export(ExportArgs),
    /// Read a Hugging Face model folder into a checkpoint
    #[command(after_help = "Example: ssl import gpt2 --out checkpoints/gpt2")]
    Import(ConvertArgs),
    /// Say what a file or folder is: shard, corpus, tokenizer, checkpoint or run
    #[command(after_help = "Example: ssl inspect runs/first/checkpoints/2000")]
    Inspect {
        /// Any artefact of this program
        path: PathBuf,
    },
    /// Train or measure a classifier of good text, which `data.filter.quality` asks
    #[command(subcommand)]
    #[command(after_help = "Example: ssl quality train --good books --other 'web/*.jsonl.gz' --out quality.ssl")]
    Quality(QualityVerb),
    /// Time training steps on made-up tokens
    #[command(after_help = "Example: ssl bench run.toml --steps 20 --json")]
    Bench(BenchArgs),
    /// Check a run file and print it in full, defaults included
    #[command(after_help = "Example: ssl check run.toml --set model.gpt.layers=12")]
    Check(RunFile),
}

/// A run file and what to change in it.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct RunFile {
    /// The run, a TOML file
    #[arg(value_name = "RUN.toml")]
    pub(crate) file: PathBuf,
    /// Change one key of the run, such as train.steps=2000; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

/// `ssl prepare`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct RunArgs {
    /// The run.
    #[command(flatten)]
    pub(crate) run: RunFile,
    /// The run folder to write [default: runs/ and the run file's name]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Do this part of the work, such as 3/16 (from 0), beside other processes that see the same folder; auto takes both numbers from
    /// a Slurm array or srun, and auto/16 the first from `SLURM_ARRAY_TASK_ID`, `SLURM_PROCID` or `JOB_COMPLETION_INDEX`
    #[arg(long, value_name = "I/N")]
    pub(crate) task: Option<String>,
}

/// `ssl train`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct TrainArgs {
    /// The run.
    #[command(flatten)]
    pub(crate) run: RunFile,
    /// Whether to go on from the newest checkpoint in the run folder
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Resume::Auto)]
    pub(crate) resume: Resume,
    /// The run folder to write [default: runs/ and the run file's name]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Resume even though the run file has changed since
    #[arg(long)]
    pub(crate) allow_config_change: bool,
}

/// `ssl finetune`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct FinetuneArgs {
    /// The fine-tuning.
    #[command(flatten)]
    pub(crate) run: RunFile,
    /// Whether to go on from the newest checkpoint in the run folder
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Resume::Auto)]
    pub(crate) resume: Resume,
    /// The run folder to write [default: runs/ and the file's name]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Resume even though the file has changed since
    #[arg(long)]
    pub(crate) allow_config_change: bool,
}

/// `ssl compare`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct CompareArgs {
    /// The comparison.
    #[command(flatten)]
    pub(crate) run: RunFile,
    /// The folder to write [default: runs/ and the file's name]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Say what would be run, and run nothing but the preparation
    #[arg(long)]
    pub(crate) plan: bool,
}

/// Whether to go on from a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Resume {
    /// If there is one
    Auto,
    /// Never: the run folder must be empty or new
    Never,
    /// Fail if there is none
    Must,
}

/// `ssl eval`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct EvalArgs {
    /// A run folder, a checkpoint folder, or a Hugging Face model folder
    pub(crate) checkpoint: PathBuf,
    /// What to score: bits-per-byte, perplexity, bleu, word-similarity, word-analogy, or the task that a model was adapted to (task)
    #[arg(required_unless_present = "suite", value_name = "TASK")]
    pub(crate) tasks: Vec<String>,
    /// Text, pairs of words or questions to score on [default: the validation split that the model was trained beside]
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,
    /// For bleu: the translations of the lines of --data
    #[arg(long, value_name = "PATH")]
    pub(crate) targets: Option<PathBuf>,
    /// For task: the fine-tuning's file, of a model that another program adapted
    #[arg(long, value_name = "FILE")]
    pub(crate) task: Option<PathBuf>,
    /// Tasks from a file, judged by likelihood or by probes; what was judged before is not judged again
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tasks", "data", "targets"])]
    pub(crate) suite: Option<PathBuf>,
    /// Where --suite writes results.json and the samples [default: eval/ in the model's folder]
    #[arg(long, value_name = "DIR", requires = "suite")]
    pub(crate) out: Option<PathBuf>,
    /// Of each task of --suite only so many examples
    #[arg(long, value_name = "N", requires = "suite", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// How the weights are held
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Weights::Fp32)]
    pub(crate) weights: Weights,
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "not a number".to_owned())
}

/// `ssl forward`.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(group = ArgGroup::new("input").required(true).args(["ids", "text"]))]
pub(crate) struct ForwardArgs {
    /// A run folder, a checkpoint folder, or a Hugging Face model folder
    pub(crate) checkpoint: PathBuf,
    /// The input as token ids
    #[arg(long, value_name = "1,2,3", value_delimiter = ',')]
    pub(crate) ids: Vec<u32>,
    /// The input as text
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) text: Option<String>,
    /// What the decoder of a model with two stacks reads [default: the id that its texts begin with]
    #[arg(long, value_name = "1,2,3", value_delimiter = ',')]
    pub(crate) decoder_ids: Vec<u32>,
    /// The file to write: logits, hidden and loss
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) out: PathBuf,
}

/// `ssl import`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct ConvertArgs {
    /// What to read
    pub(crate) from: PathBuf,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// `ssl quality`.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub(crate) enum QualityVerb {
    /// Learn to tell good text from other text, and measure it on documents held out
    #[command(after_help = "Example: ssl quality train --good books --other 'web/*.jsonl.gz' --out quality.ssl\n\n\
        Then, in a run file:\n    [data.filter.quality]\n    model = \"quality.ssl\"")]
    Train {
        /// What to learn from.
        #[command(flatten)]
        sides: Sides,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The share of documents that are measured instead of learned from
        #[arg(long, value_name = "F", default_value_t = 0.1, value_parser = held_out)]
        held_out: f64,
        /// How often each example is seen
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
        epochs: u32,
        /// Draws the documents that are held out, and the order of the others
        #[arg(long, value_name = "N", default_value_t = 0)]
        seed: u64,
    },
    /// Measure a classifier on documents that it was not trained on
    #[command(after_help = "Example: ssl quality eval quality.ssl --good reviewed --other spam.jsonl")]
    Eval {
        /// A file that `ssl quality train` wrote
        classifier: PathBuf,
        /// What to measure on.
        #[command(flatten)]
        sides: Sides,
    },
}

/// Two sets of documents, in any format that a run reads.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct Sides {
    /// Files, folders or globs of good text; may be repeated
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    pub(crate) good: Vec<PathBuf>,
    /// Files, folders or globs of other text; may be repeated
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    pub(crate) other: Vec<PathBuf>,
    /// What is a document in plain text: a file, a line, or a block between empty lines
    #[arg(long, value_name = "UNIT", default_value = "file", value_parser = ["file", "line", "block"])]
    pub(crate) document: String,
    /// Read at most so many MiB of each side
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) most_mib: u32,
}

fn held_out(text: &str) -> Result<f64, String> {
    number(text).and_then(|p| if p > 0.0 && p < 1.0 { Ok(p) } else { Err("expected more than 0 and less than 1".into()) })
}

/// `ssl bench`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct BenchArgs {
    /// The run.
    #[command(flatten)]
    pub(crate) run: RunFile,
    /// Steps to time, after a few to warm up
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: u64,
    /// The number format of the matrix products [default: the run's]
    #[arg(long, value_enum, value_name = "DTYPE")]
    pub(crate) dtype: Option<Dtype>,
    /// Also record two further steps into FILE, as JSON for <chrome://tracing> or ui.perfetto.dev
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
}

/// A number format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dtype {
    /// 32-bit floating point
    Fp32,
    /// bfloat16, with 32-bit master weights
    Bf16,
}

/// How weights are held for use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Weights {
    /// 32-bit floating point, as they were trained
    #[default]
    Fp32,
    /// bfloat16: half the memory, and faster where the processor multiplies it
    Bf16,
    /// 8 bits with a scale an output: a quarter of the memory, a little less exact; on the CPU
    Int8,
}

#[cfg(test)]
mod tests;
