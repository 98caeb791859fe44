//! Compiles the C++ next to libtorch, and makes libtorch findable at run time without any environment variable.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

const SOURCES: [&str; 20] = [
    "error.cpp",
    "runtime.cpp",
    "optimizer.cpp",
    "cross_entropy.cpp",
    "attention.cpp",
    "attention_gpu.cpp",
    "linear.cpp",
    "rotate.cpp",
    "norm.cpp",
    "activation.cpp",
    "word2vec.cpp",
    "hook.cpp",
    "checkpoint.cpp",
    "generator.cpp",
    "memory.cpp",
    "profile.cpp",
    "group.cpp",
    "gpu.cpp",
    "graph.cpp",
    "nccl.cpp",
];

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=cpp");
    println!("cargo:rerun-if-changed=cuda/arguments.h");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let Some(libtorch) = env::var_os("LIBTORCH").map(PathBuf::from) else {
        // Type checking alone needs no libtorch; linking will say what is missing.
        println!("cargo:warning=LIBTORCH is not set: run `cargo xtask setup`");
        return Ok(());
    };
    let include = libtorch.join("include");
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        .opt_level(3)
        .debug(false)
        .pic(true)
        .warnings(false)
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .define("USE_C10D_GLOO", None)
        .include("cpp/gloo_stub")
        .flag("-fno-math-errno")
        .flag("-fno-trapping-math")
        // Without it `at::parallel_for`, which is a template in libtorch's headers, quietly runs on one thread.
        .flag_if_supported("-fopenmp")
        .flag(format!("-isystem{}", include.display()))
        .flag(format!("-isystem{}", include.join("torch/csrc/api/include").display()))
        .files(SOURCES.map(|name| Path::new("cpp").join(name)));
    build.compile("ssl_torch");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        // The library of libtorch itself, by its name; two of them in one process would each have threads of their own.
        println!("cargo:rustc-link-lib=dylib:+verbatim=libgomp.so.1");
    }

    // Cargo adds search paths inside OUT_DIR to the loader's path for `run`, `test`, examples and doc tests.
    let lib = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("lib");
    let _ = fs::remove_file(&lib);
    let target = fs::canonicalize(libtorch.join("lib"))?;
    std::os::unix::fs::symlink(&target, &lib)?;
    println!("cargo:rustc-link-search=native={}", lib.display());
    println!("cargo:lib={}", target.display());
    Ok(())
}
