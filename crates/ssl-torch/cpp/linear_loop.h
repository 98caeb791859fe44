// The inner loops of a linear map of few rows, compiled once for each kind of vector unit by linear.cpp; hence no include guard.
//
// Weights pass by once, whatever the number of rows: a few rows of inputs lie in the cache as fp32, and all sums of a tile stay in
// registers. Weights are fp32, bf16 as bits, or int8 with a scale of four bytes behind each row.

#include "vector.h"

INLINE Vec get(const int8_t* p) {
#ifdef WIDE
  return (Vec)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#else
  Vec x;
  for (int i = 0; i < LANES; ++i) x[i] = p[i];
  return x;
#endif
}

INLINE float read(const float* p) { return *p; }
INLINE float read(const uint16_t* p) { return widen(*p); }
INLINE float read(const int8_t* p) { return *p; }

// What the sum over a row is multiplied by.
INLINE float scale_of(const int8_t* row, int64_t in) {
  float scale;
  __builtin_memcpy(&scale, row + in, sizeof scale);
  return scale;
}
template <typename W>
INLINE float scale_of(const W*, int64_t) { return 1.0f; }

INLINE float biased(const Map& m, int64_t output, float sum) { return m.bias ? sum + m.bias[output] : sum; }

// N rows against R weights `[out][in]`, one beside the other.
template <typename W, int N, int R>
static __attribute__((noinline)) void meet(const Map& m, int64_t row, int64_t output) {
  const W* w = static_cast<const W*>(m.weight) + output * m.row;
  const float* x = m.x + row * m.wide;
  Vec sums[N][R] = {};
  const int64_t whole = m.in / LANES * LANES;
  for (int64_t i = 0; i < whole; i += LANES) {
    Vec weights[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) weights[r] = get(w + r * m.row + i);
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      const Vec input = get(x + n * m.wide + i);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) sums[n][r] += input * weights[r];
    }
  }
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n)
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      float sum = sum_of(sums[n][r]);
      for (int64_t i = whole; i < m.in; ++i) sum += x[n * m.wide + i] * read(w + r * m.row + i);
      m.y[(row + n) * m.out + output + r] = biased(m, output + r, sum * scale_of(w + r * m.row, m.in));
    }
}

template <typename W, int R>
static void meet_all(const Map& m, int64_t output) {
  int64_t row = 0;
  for (; row + 4 <= m.rows; row += 4) meet<W, 4, R>(m, row, output);
  for (; row + 2 <= m.rows; row += 2) meet<W, 2, R>(m, row, output);
  if (row < m.rows) meet<W, 1, R>(m, row, output);
}

// Outputs `[from, to)` of weights `[out][in]`.
template <typename W>
static void along(const Map& m, int64_t from, int64_t to) {
  for (; from + 4 <= to; from += 4) meet_all<W, 4>(m, from);
  for (; from < to; ++from) meet_all<W, 1>(m, from);
}

// N rows against C vectors of weights `[in][out]`, which run along the outputs.
template <typename W, int N, int C>
static __attribute__((noinline)) void pass(const Map& m, int64_t row, int64_t output) {
  const W* w = static_cast<const W*>(m.weight) + output;
  const float* x = m.x + row * m.wide;
  Vec sums[N][C] = {};
  for (int64_t i = 0; i < m.in; ++i, w += m.out) {
    // The rows of a weight lie far apart, so that the processor does not foresee them.
    __builtin_prefetch(w + 8 * m.out);
    if (C > 2) __builtin_prefetch(w + 8 * m.out + 2 * LANES);
    Vec weights[C];
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) weights[c] = get(w + c * LANES);
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      const float input = x[n * m.wide + i];
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) sums[n][c] += input * weights[c];
    }
  }
  for (int n = 0; n < N; ++n)
    for (int c = 0; c < C; ++c)
      for (int lane = 0; lane < LANES; ++lane) {
        const int64_t at = output + c * LANES + lane;
        m.y[(row + n) * m.out + at] = biased(m, at, sums[n][c][lane]);
      }
}

template <typename W, int C>
static void pass_all(const Map& m, int64_t output) {
  int64_t row = 0;
  for (; row + 4 <= m.rows; row += 4) pass<W, 4, C>(m, row, output);
  for (; row + 2 <= m.rows; row += 2) pass<W, 2, C>(m, row, output);
  if (row < m.rows) pass<W, 1, C>(m, row, output);
}

// Outputs `[from, to)` of weights `[in][out]`.
template <typename W>
static void across(const Map& m, int64_t from, int64_t to) {
  for (; from + 4 * LANES <= to; from += 4 * LANES) pass_all<W, 4>(m, from);
  for (; from + LANES <= to; from += LANES) pass_all<W, 1>(m, from);
  for (; from < to; ++from)
    for (int64_t row = 0; row < m.rows; ++row) {
      float sum = 0;
      for (int64_t i = 0; i < m.in; ++i) sum += m.x[row * m.wide + i] * read(static_cast<const W*>(m.weight) + i * m.out + from);
      m.y[row * m.out + from] = biased(m, from, sum);
    }
}
