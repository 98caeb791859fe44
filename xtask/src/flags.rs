//! The command line, parsed by `xflags`; the doc comments are the help text.

use std::path::PathBuf;

xflags::xflags! {
    /// Builds, downloads and checks for the ssl workspace. Commands that need libtorch call `setup` by themselves.
    cmd xtask {
        /// Finds or fetches the pinned libtorch and links it as target/libtorch.
        cmd setup {
            /// Explains what a machine with a GPU needs.
            optional --cuda
        }
        /// Shows what a build needs: found or missing, and the command that mends it.
        cmd doctor {}
        /// Pretrains a model and shows what it learned: set-up, release build, prepare, train, evaluate, sample, report.
        cmd pretrain {
            /// Text to train on: file, folder or glob; may be repeated. Without it: the sources of the locked dependencies.
            repeated --data path: PathBuf
            /// A name in fixtures/runs, or a run file. Default: llama-nano.
            optional --run name: PathBuf
            /// Stop after this many minutes of training.
            optional --minutes n: f64
            /// Stop after this many steps.
            optional --steps n: u64
            /// The run folder. Default: runs/pretrain.
            optional --out dir: PathBuf
            /// auto, cpu, cuda or cuda:N.
            optional --device d: String
            /// Change one key of the run, such as train.seed=1; may be repeated.
            repeated --set change: String
            /// Print exactly one JSON document on stdout.
            optional --json
        }
        /// Everything that must hold: build, every kind of test, tidy. Ends with `N passed, N failed, N skipped`.
        cmd test {
            /// Also runs the slow tests.
            optional --slow
        }
        /// Times kernels and training steps; keeps the result in fixtures/bench and compares it with the last one.
        cmd bench {
            /// Only benchmarks whose name contains one of these; `data` is the data engine beside its peers, of SSL_PYTHON.
            repeated name: String
            /// The texts that documents of `data` are drawn from. Default: the documents of the dependencies.
            optional --data path: PathBuf
            /// Print exactly one JSON document on stdout.
            optional --json
        }
        /// Our training step and PyTorch's, in turn, on this machine.
        cmd parity {
            /// Of A, B, C; separated by commas. Default: A,B.
            optional --shape shapes: String
            /// fp32 or bf16; in bf16 the fastest of PyTorch in bf16 and fp32 counts. Default: fp32.
            optional --dtype d: String
            /// PyTorch through torch.compile too, which takes minutes; the faster one counts.
            optional --compiled
            /// Print exactly one JSON document on stdout.
            optional --json
        }
        /// Downloads public data sets by sha256; without a name, lists them.
        cmd fetch {
            /// Names of fixtures/datasets.toml.
            repeated set: String
            /// The folder to download into. Default: the user's cache.
            optional --out dir: PathBuf
        }
        /// Computes fixtures/golden anew with PyTorch and shows the difference.
        cmd golden {
            /// Replaces the fixtures by the new values.
            optional --write
        }
        /// The repository's own rules, checked on the sources.
        cmd tidy {}
        /// What a change must pass: formatting, lints, tests.
        cmd ci {}
        /// Makes a folder that runs on another Linux host with PyTorch.
        cmd bundle {
            /// The folder to make.
            required dir: PathBuf
        }
    }
}
