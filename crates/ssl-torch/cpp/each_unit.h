// Compiles the loops of the file LOOPS once for each kind of vector unit; BEST_UNIT(loop) is the one for this processor.
#pragma once
#include "bf16.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
#define WIDE
namespace avx512 {
constexpr int LANES = 16;
#include LOOPS
}
#undef WIDE
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
constexpr int LANES = 8;
#include LOOPS
}
#pragma GCC pop_options
#endif

namespace portable {
constexpr int LANES = 4;
#include LOOPS
}

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
inline bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw");
}
inline bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#define BEST_UNIT(...) (has_avx512() ? avx512::__VA_ARGS__ : has_avx2() ? avx2::__VA_ARGS__ : portable::__VA_ARGS__)
#else
#define BEST_UNIT(...) portable::__VA_ARGS__
#endif
