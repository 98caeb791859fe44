// The C face of this crate's C++: plain types, an error code each, no exception crosses it.
#pragma once
#include <ATen/ATen.h>
#include <cstdint>

// Tensors arrive as tch holds them: a pointer to an at::Tensor that stays the caller's.
using Handle = at::Tensor*;

enum Code { OK = 0, FAILED = 1, OUT_OF_MEMORY = 2 };

// Turns the exception being handled into a code and a thread-local text; for use inside catch (...).
int classify() noexcept;

// The text of the last fault on this thread: C++'s own, or what a Rust closure that was called from C++ has set.
extern "C" const char* ssl_last_error();

#define GUARD(...)                                                                                                     \
  try {                                                                                                                \
    __VA_ARGS__;                                                                                                       \
    return OK;                                                                                                         \
  } catch (...) {                                                                                                      \
    return classify();                                                                                                 \
  }

// Gradients made by hand have no graph of their own: asking for one is a fault, not a silent 0.
#define ONCE_DIFFERENTIABLE TORCH_CHECK(!at::GradMode::is_enabled(), "this operation is differentiable once")

// One loop, compiled for the vector units that matter and chosen when the program starts.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define VECTORISED __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default")))
#else
#define VECTORISED
#endif
