// Vectors of LANES floats and what loops over them share; included inside a namespace once for each kind of vector unit, which
// has set LANES (and WIDE for AVX-512), hence no include guard. Tensors in memory are fp32 or, as bits, bf16.

typedef float Vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES)));
typedef uint16_t Halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE Vec get(const float* p) { return *reinterpret_cast<const Vec*>(p); }
// The compiler takes wide vectors of these apart, so that where they are wide they are named.
INLINE Vec get(const uint16_t* p) {
#ifdef WIDE
  return (Vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16);
#else
  const Words wide = __builtin_convertvector(*reinterpret_cast<const Halves*>(p), Words) << 16;
  return reinterpret_cast<const Vec&>(wide);
#endif
}

// The upper halves, rounded as `narrow` rounds.
INLINE Halves halves(Vec x) {
  const Words word = reinterpret_cast<const Words&>(x);
  const Words rounded = (word + 0x7FFF + ((word >> 16) & 1)) >> 16, whole = x != x ? Words{} + 0x7FC0 : rounded;
#ifdef WIDE
  return (Halves)_mm512_cvtepi32_epi16((__m512i)whole);
#else
  return __builtin_convertvector(whole, Halves);
#endif
}

INLINE void put(float* p, Vec x) { *reinterpret_cast<Vec*>(p) = x; }
INLINE void put(uint16_t* p, Vec x) { *reinterpret_cast<Halves*>(p) = halves(x); }

// The lanes of `p[i..n]`, of which there may be fewer than LANES: the rest are 0, and are not written.
template <typename T>
INLINE Vec get(const T* p, int64_t i, int64_t n) {
  if (i + LANES <= n) return get(p + i);
  T some[LANES] = {};
  __builtin_memcpy(some, p + i, (n - i) * sizeof(T));
  return get(some);
}

template <typename T>
INLINE void put(T* p, int64_t i, int64_t n, Vec x) {
  if (i + LANES <= n) return put(p + i, x);
  T some[LANES];
  put(some, x);
  __builtin_memcpy(p + i, some, (n - i) * sizeof(T));
}

// `f(i, end)` of every LANES of `n` places, and then of the rest: what ends at `end` is there. All but the last are whole,
// and the compiler sees that.
template <typename F>
INLINE void sweep(int64_t n, F f) {
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) f(i, i + LANES);
  if (i < n) f(i, n);
}
#define EACH [&](int64_t i, int64_t n) __attribute__((always_inline))

INLINE Vec larger(Vec a, Vec b) { return a > b ? a : b; }

// The sum of all lanes, in pairs.
INLINE float sum_of(Vec x) {
#pragma GCC unroll 4
  for (int step = LANES / 2; step > 0; step /= 2) {
    Vec other = {};
#ifdef __clang__
    for (int lane = 0; lane < LANES; ++lane) other[lane] = x[lane ^ step];
#else
    Ints from = {};
#pragma GCC unroll 16
    for (int lane = 0; lane < LANES; ++lane) from[lane] = lane ^ step;
    other = __builtin_shuffle(x, from);
#endif
    x += other;
  }
  return x[0];
}

// The sums of all lanes of each of 16 vectors, each in the pairs of `sum_of`.
INLINE void sums_of_16(const Vec* x, float* sums) {
#ifdef WIDE
  // Two vectors become one that has the half of each, until one is left.
  __m512 eight[8], four[4], two[2];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const __m512 a = (__m512)x[i], b = (__m512)x[i + 8];
    eight[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE));
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i)
    four[i] = _mm512_add_ps(_mm512_shuffle_f32x4(eight[i], eight[i + 4], 0x88), _mm512_shuffle_f32x4(eight[i], eight[i + 4], 0xDD));
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    const __m512d a = _mm512_castps_pd(four[i]), b = _mm512_castps_pd(four[i + 2]);
    two[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  const __m512 all = _mm512_add_ps(_mm512_shuffle_ps(two[0], two[1], 0x88), _mm512_shuffle_ps(two[0], two[1], 0xDD));
  const __m512i order = _mm512_set_epi32(15, 13, 14, 12, 7, 5, 6, 4, 11, 9, 10, 8, 3, 1, 2, 0);
  _mm512_storeu_ps(sums, _mm512_permutexvar_ps(order, all));
#else
  for (int i = 0; i < 16; ++i) sums[i] = sum_of(x[i]);
#endif
}

// The same of K vectors; there is room for a multiple of 16 sums.
template <int K>
INLINE void sums_of(const Vec* x, float* sums) {
  if (LANES < 16) {
    for (int i = 0; i < K; ++i) sums[i] = sum_of(x[i]);
    return;
  }
#pragma GCC unroll 4
  for (int from = 0; from < K; from += 16) {
    Vec some[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) some[i] = from + i < K ? x[from + i] : Vec{};
    sums_of_16(some, sums + from);
  }
}

// e^x for x <= 0, to 2 units in the last place; 0 below -87, and 1 where rounding has left x above 0. Source: Moshier, Cephes
// library (expf).
INLINE Vec exponential(Vec x) {
  const Vec held = x < -87.0f ? Vec{} - 87.0f : x > 0.0f ? Vec{} : x;
  const Vec shifted = held * 1.44269504f + 12582912.0f;  // rounds to a whole number in the low bits
  const Vec whole = shifted - 12582912.0f;
  const Vec r = (held - whole * 0.693359375f) + whole * 2.12194440e-4f;
  Vec y = r * 1.9875691500e-4f + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  const Ints power = (reinterpret_cast<const Ints&>(shifted) - (0x4B400000 - 127)) << 23;
  const Vec value = y * reinterpret_cast<const Vec&>(power);
  return x < -87.0f ? Vec{} : value;
}
