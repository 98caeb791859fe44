// The inner loops of a linear map of few rows, compiled once for each kind of vector unit by linear.cpp; hence no include guard.
//
// Weights pass by once for up to ROWS rows: those lie in the cache, and all sums of a tile stay in registers. Weights are fp32, bf16
// as bits, or int8 with a scale of four bytes behind each row.

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

// Rows, and weights beside each other, of a tile: as many as leave registers for the rest.
constexpr int ROWS = LANES == 16 ? 8 : 4;
template <int N>
constexpr int BESIDE = LANES == 16 ? (N > 4 ? 3 : N > 1 ? 4 : 8) : (N > 2 ? 2 : 4);

// N rows against R weights `[out][in]`, one beside the other.
template <typename W, int N, int R>
static __attribute__((noinline)) void meet(const Map& m, int64_t row, int64_t output) {
  const W* w = static_cast<const W*>(m.weight) + output * m.row;
  const float* x = m.x + row * m.in;
  Vec sums[N * R] = {};
  const int64_t whole = m.in / LANES * LANES;
  for (int64_t i = 0; i < whole; i += LANES) {
    Vec weights[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      weights[r] = get(w + r * m.row + i);
      // With many rows the weights come too slowly for the processor to foresee the next tile's.
      if (N > 1) __builtin_prefetch(w + (R + r) * m.row + i);
    }
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      const Vec input = get(x + n * m.in + i);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) sums[n * R + r] += input * weights[r];
    }
  }
  float found[(N * R + 15) / 16 * 16];
  sums_of<N * R>(sums, found);
  for (int n = 0; n < N; ++n)
    for (int r = 0; r < R; ++r) {
      float sum = found[n * R + r];
      for (int64_t i = whole; i < m.in; ++i) sum += x[n * m.in + i] * read(w + r * m.row + i);
      m.write(row + n, output + r, sum * scale_of(w + r * m.row, m.in));
    }
}

// N rows, and outputs `[from, to)`.
template <typename W, int N>
static void outputs(const Map& m, int64_t row, int64_t from, int64_t to) {
  constexpr int R = BESIDE<N>;
  for (; from + R <= to; from += R) meet<W, N, R>(m, row, from);
  for (; from < to; ++from) meet<W, N, 1>(m, row, from);
}

// All rows, and outputs `[from, to)` of weights that the cache holds meanwhile.
template <typename W>
static void along(const Map& m, int64_t from, int64_t to) {
  int64_t row = 0;
  for (; row + ROWS <= m.rows; row += ROWS) outputs<W, ROWS>(m, row, from, to);
  const auto rest = [&](auto rows) {
    if (m.rows - row >= rows()) {
      outputs<W, rows()>(m, row, from, to);
      row += rows();
    }
  };
  if (ROWS > 4) rest(std::integral_constant<int, 4>());
  rest(std::integral_constant<int, 2>());
  rest(std::integral_constant<int, 1>());
}
