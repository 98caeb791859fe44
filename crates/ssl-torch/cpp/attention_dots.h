// Attention of bf16 tensors on processors that multiply pairs of bf16 (AVX512_BF16), included by attention.cpp behind
// attention_loop.h, whose order of work it follows: products take two neighbours of their depth at once, and add up in fp32.
//
// The right side of every product is packed in pairs, `[depth / 2][columns][2]`; of the left side a pair must lie together.
// What stands on the left is read where it lies.

INLINE __m512bh pairs_at(const uint16_t* p) { return (__m512bh)_mm512_loadu_si512(p); }

// Two neighbours, for all lanes.
INLINE __m512bh everywhere(const uint16_t* p) {
  int32_t both;
  __builtin_memcpy(&both, p, 4);
  return (__m512bh)_mm512_set1_epi32(both);
}

// As `tile`, in pairs: C[R][32] = (add ? C : 0) + A[R][2 pairs] B[2 pairs][32].
template <int R>
static __attribute__((noinline)) void tile_dots(int64_t pairs, const uint16_t* a, int64_t a_row, int64_t a_pair, const uint16_t* b,
                                                int64_t b_pair, float* c, int64_t c_row, bool add) {
  __m512 low[R], high[R];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    low[i] = add ? _mm512_loadu_ps(c + i * c_row) : _mm512_setzero_ps();
    high[i] = add ? _mm512_loadu_ps(c + i * c_row + LANES) : _mm512_setzero_ps();
  }
  for (int64_t k = 0; k < pairs; ++k, a += a_pair, b += b_pair) {
    const __m512bh left = pairs_at(b), right = pairs_at(b + 2 * LANES);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const __m512bh x = everywhere(a + i * a_row);
      low[i] = _mm512_dpbf16_ps(low[i], x, left);
      high[i] = _mm512_dpbf16_ps(high[i], x, right);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    _mm512_storeu_ps(c + i * c_row, low[i]);
    _mm512_storeu_ps(c + i * c_row + LANES, high[i]);
  }
}

// As `product`, in pairs.
static void dots(int64_t rows, int64_t columns, int64_t pairs, const uint16_t* a, int64_t a_row, int64_t a_pair, const uint16_t* b,
                 int64_t b_pair, float* c, int64_t c_row, bool add) {
  for (int64_t j = 0; j < columns; j += COLUMNS) {
    int64_t i = 0;
    const auto tiles = [&](auto tile, int64_t r) {
      for (; i + r <= rows; i += r) tile(pairs, a + i * a_row, a_row, a_pair, b + 2 * j, b_pair, c + i * c_row + j, c_row, add);
    };
    tiles(tile_dots<12>, 12);
    tiles(tile_dots<8>, 8);
    tiles(tile_dots<4>, 4);
    tiles(tile_dots<1>, 1);
  }
}

// Two rows side by side, element by element: what stands first becomes 16 pairs of the first halves, then 16 of the second.
INLINE void interleave(__m512i even, __m512i odd, uint16_t* to) {
  const __m512i step = _mm512_set1_epi32(0x00010001);
  const __m512i low = _mm512_set_epi32(0x2f000f, 0x2e000e, 0x2d000d, 0x2c000c, 0x2b000b, 0x2a000a, 0x290009, 0x280008, 0x270007,
                                       0x260006, 0x250005, 0x240004, 0x230003, 0x220002, 0x210001, 0x200000);
  const __m512i high = _mm512_add_epi16(low, _mm512_slli_epi32(step, 4));
  _mm512_storeu_si512(to, _mm512_permutex2var_epi16(even, low, odd));
  _mm512_storeu_si512(to + 2 * LANES, _mm512_permutex2var_epi16(even, high, odd));
}

// The `left` features from here on, of at most 32; the rest are 0.
INLINE __m512i some(const uint16_t* from, int64_t left) {
  return left >= COLUMNS ? _mm512_loadu_si512(from) : _mm512_maskz_loadu_epi16((1u << left) - 1, from);
}

// A product that is rounded before anything is taken from it: what was found to be the largest is then taken from itself exactly.
INLINE Vec rounded(Vec product) {
  asm("" : "+v"(product));
  return product;
}

INLINE int64_t up_to_even(int64_t n) { return n + (n & 1); }

// Rows as pairs of neighbours, `[rows / 2][wide][2]`; rows and features that are not there are 0.
static void pair_rows(const uint16_t* from, int64_t row, int64_t rows, int64_t e, int64_t wide, uint16_t* to) {
  for (int64_t i = 0; i < rows; i += 2, to += 2 * wide)
    for (int64_t j = 0; j < wide; j += COLUMNS) {
      const __m512i even = some(from + i * row + j, e - j);
      interleave(even, i + 1 < rows ? some(from + (i + 1) * row + j, e - j) : _mm512_setzero_si512(), to + 2 * j);
    }
}

// One block's rows of queries as columns, pairs of features together: `[e / 2][QUERIES][2]`; those beyond the last are 0.
static void pair_columns(const uint16_t* from, int64_t row, int64_t rows, int64_t e, uint16_t* to) {
  for (int64_t i = 0; i < QUERIES; ++i)
    for (int64_t j = 0; j < e; j += 2) {
      uint32_t both = 0;
      if (i < rows) __builtin_memcpy(&both, from + i * row + j, 4);
      __builtin_memcpy(to + j * QUERIES + 2 * i, &both, 4);
    }
}

// `x * factor` in bf16.
static void narrow_row(const float* x, float factor, int64_t e, uint16_t* to) {
  for (int64_t j = 0; j < e; j += LANES) {
    const __m256i half = (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(_mm512_loadu_ps(x + j), _mm512_set1_ps(factor)));
    if (e - j >= LANES) _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + j), half);
    else _mm256_mask_storeu_epi16(to + j, (1u << (e - j)) - 1, half);
  }
}

INLINE __m512i narrow_both(Vec low, Vec high) { return (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low); }

static void forward_dots(const Head<uint16_t>& h, float* space) {
  const int64_t wide = h.wide, even = up_to_even(h.s);
  float *scores = space, *sums = scores + even * QUERIES;
  uint16_t* weights = reinterpret_cast<uint16_t*>(sums + QUERIES * wide);
  uint16_t *values = weights + even * QUERIES, *query = values + even * wide;
  pair_rows(h.v, h.v_row, h.s, h.e, wide, values);
  for (int64_t q = 0; q < h.t; q += QUERIES) {
    const int64_t count = h.t - q < QUERIES ? h.t - q : QUERIES;
    const int64_t place = h.s - h.t + q, seen = h.causal ? place + count : h.s;
    pair_columns(h.q + q * h.q_row, h.q_row, count, h.e, query);
    dots(seen, QUERIES, h.e / 2, h.k, h.k_row, 2, query, 2 * QUERIES, scores, QUERIES, false);
    if (h.causal) hide(scores, 0, seen, place);
    Vec top[2], sum[2] = {};
    for (int half = 0; half < 2; ++half) {
      top[half] = get(scores + half * LANES) * h.scale;
      for (int64_t k = 1; k < seen; ++k) top[half] = larger(top[half], get(scores + k * QUERIES + half * LANES) * h.scale);
    }
    for (int64_t k = 0; k < seen; k += 2) {
      Vec p[2][2] = {};
      for (int64_t next = 0; next < 2 && k + next < seen; ++next)
        for (int half = 0; half < 2; ++half) {
          p[next][half] = exponential(rounded(get(scores + (k + next) * QUERIES + half * LANES) * h.scale) - top[half]);
          sum[half] += p[next][half];
        }
      interleave(narrow_both(p[0][0], p[0][1]), narrow_both(p[1][0], p[1][1]), weights + k * QUERIES);
    }
    dots(count, wide, (seen + 1) / 2, weights, 2, 2 * QUERIES, values, 2 * wide, sums, wide, false);
    for (int64_t i = 0; i < count; ++i) {
      const float total = sum[i / LANES][i % LANES];
      h.logs[q + i] = top[i / LANES][i % LANES] + __builtin_logf(total);
      narrow_row(sums + i * wide, 1.0f / total, h.e, h.out + (q + i) * h.out_row);
    }
  }
}

// The sum of products of two rows.
INLINE float dot(const uint16_t* a, const uint16_t* b, int64_t e) {
  __m512 sum = _mm512_setzero_ps();
  for (int64_t j = 0; j < e; j += COLUMNS) sum = _mm512_dpbf16_ps(sum, (__m512bh)some(a + j, e - j), (__m512bh)some(b + j, e - j));
  return _mm512_reduce_add_ps(sum);
}

static void backward_head_dots(const Head<uint16_t>& h, const uint16_t* keys, float* d_keys, float* d_values, float* space) {
  const int64_t wide = h.wide;
  float *scores = space, *d_weights = scores + KEYS * QUERIES, *d_query = d_weights + KEYS * QUERIES;
  uint16_t* query = reinterpret_cast<uint16_t*>(d_query + QUERIES * wide);
  uint16_t *gradient = query + wide * QUERIES, *query_rows = gradient + wide * QUERIES, *gradient_rows = query_rows + wide * QUERIES;
  // Weights, and the gradients of scores, `[keys][QUERIES]`; the latter in pairs of keys too.
  uint16_t *weights = gradient_rows + wide * QUERIES, *d_scores = weights + KEYS * QUERIES, *d_scores_paired = d_scores + KEYS * QUERIES;
  for (int64_t q = 0; q < h.t; q += QUERIES) {
    const int64_t count = h.t - q < QUERIES ? h.t - q : QUERIES;
    const int64_t seen = h.causal ? q + count : h.s;
    pair_columns(h.q + q * h.q_row, h.q_row, count, h.e, query);
    pair_columns(h.d_out + q * h.out_row, h.out_row, count, h.e, gradient);
    pair_rows(h.q + q * h.q_row, h.q_row, count, h.e, wide, query_rows);
    pair_rows(h.d_out + q * h.out_row, h.out_row, count, h.e, wide, gradient_rows);
    float logs[QUERIES] = {}, shares[QUERIES] = {};
    for (int64_t i = 0; i < count; ++i) {
      logs[i] = h.logs[q + i];
      shares[i] = dot(h.d_out + (q + i) * h.out_row, h.out + (q + i) * h.out_row, h.e);
    }
    for (int64_t from = 0; from < seen; from += KEYS) {
      const int64_t n = seen - from < KEYS ? seen - from : KEYS;
      dots(n, QUERIES, h.e / 2, h.k + from * h.k_row, h.k_row, 2, query, 2 * QUERIES, scores, QUERIES, false);
      if (h.causal) hide(scores, from, from + n, q);
      dots(n, QUERIES, h.e / 2, h.v + from * h.v_row, h.v_row, 2, gradient, 2 * QUERIES, d_weights, QUERIES, false);
      for (int64_t k = 0; k < n; k += 2) {
        __m512i d_rows[2] = {};
        for (int64_t next = 0; next < 2 && k + next < n; ++next) {
          Vec p[2], d[2];
          for (int half = 0; half < 2; ++half) {
            const int64_t at = (k + next) * QUERIES + half * LANES;
            p[half] = exponential(rounded(get(scores + at) * h.scale) - get(logs + half * LANES));
            d[half] = p[half] * (get(d_weights + at) - get(shares + half * LANES)) * h.scale;
          }
          d_rows[next] = narrow_both(d[0], d[1]);
          _mm512_storeu_si512(weights + (k + next) * QUERIES, narrow_both(p[0], p[1]));
          _mm512_storeu_si512(d_scores + (k + next) * QUERIES, d_rows[next]);
        }
        interleave(d_rows[0], d_rows[1], d_scores_paired + k * QUERIES);
      }
      dots(count, wide, (n + 1) / 2, d_scores_paired, 2, 2 * QUERIES, keys + from * wide, 2 * wide, d_query, wide, from > 0);
      dots(n, wide, (count + 1) / 2, weights, QUERIES, 2, gradient_rows, 2 * wide, d_values + from * wide, wide, true);
      dots(n, wide, (count + 1) / 2, d_scores, QUERIES, 2, query_rows, 2 * wide, d_keys + from * wide, wide, true);
    }
    for (int64_t i = 0; i < count; ++i) narrow_row(d_query + i * wide, 1.0f, h.e, h.d_q + (q + i) * h.d_q_row);
  }
}

static void backward_dots(Head<uint16_t> h, int64_t heads, float* space) {
  const int64_t wide = h.wide, size = h.s * wide;
  float *d_keys = space, *d_values = d_keys + size;
  uint16_t* keys = reinterpret_cast<uint16_t*>(d_values + size);
  pair_rows(h.k, h.k_row, h.s, h.e, wide, keys);
  for (int64_t i = 0; i < 2 * size; ++i) d_keys[i] = 0;
  for (int64_t head = 0; head < heads; ++head) {
    backward_head_dots(h, keys, d_keys, d_values, reinterpret_cast<float*>(keys + up_to_even(h.s) * wide));
    h.next();
  }
  for (int64_t k = 0; k < h.s; ++k) {
    narrow_row(d_keys + k * wide, 1.0f, h.e, h.d_k + k * h.d_k_row);
    narrow_row(d_values + k * wide, 1.0f, h.e, h.d_v + k * h.d_v_row);
  }
}
