// The inner loops of attention, compiled once for each kind of vector unit by attention.cpp; hence no include guard.
//
// Scores are held transposed, `[keys][QUERIES]`: a vector then is one key against LANES queries, so that maxima, sums and the
// statistics of a row of the softmax are vertical, and every product below is one kernel over what already lies in memory.

#include "vector.h"

// Rows of a tile: as many as leave registers for the rest.
constexpr int ROWS = LANES == 16 ? 12 : LANES == 8 ? 6 : 4;
// Columns of a tile, and queries of a block: a multiple of them.
constexpr int64_t COLUMNS = 2 * LANES;
constexpr int64_t QUERIES = 32;
// Keys that the backward pass holds at once.
constexpr int64_t KEYS = 128;

// C[R][COLUMNS] = (add ? C : 0) + A[R][depth] B[depth][COLUMNS]; the tile stays in registers while `depth` passes by.
template <int R>
static __attribute__((noinline)) void tile(int64_t depth, const float* a, int64_t a_row, int64_t a_col, const float* b, int64_t b_row,
                                           float* c, int64_t c_row, bool add) {
  Vec low[R], high[R];
  for (int i = 0; i < R; ++i) {
    low[i] = add ? get(c + i * c_row) : Vec{};
    high[i] = add ? get(c + i * c_row + LANES) : Vec{};
  }
  for (int64_t k = 0; k < depth; ++k, a += a_col, b += b_row) {
    const Vec left = get(b), right = get(b + LANES);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const float x = a[i * a_row];
      low[i] += x * left;
      high[i] += x * right;
    }
  }
  for (int i = 0; i < R; ++i) {
    put(c + i * c_row, low[i]);
    put(c + i * c_row + LANES, high[i]);
  }
}

// The same for any number of rows, and of columns that COLUMNS divides.
static void product(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t a_row, int64_t a_col, const float* b,
                    int64_t b_row, float* c, int64_t c_row, bool add) {
  for (int64_t j = 0; j < columns; j += COLUMNS) {
    int64_t i = 0;
    for (; i + ROWS <= rows; i += ROWS) tile<ROWS>(depth, a + i * a_row, a_row, a_col, b + j, b_row, c + i * c_row + j, c_row, add);
    for (; i + 2 <= rows; i += 2) tile<2>(depth, a + i * a_row, a_row, a_col, b + j, b_row, c + i * c_row + j, c_row, add);
    if (i < rows) tile<1>(depth, a + i * a_row, a_row, a_col, b + j, b_row, c + i * c_row + j, c_row, add);
  }
}

INLINE float read(const float* p) { return *p; }
INLINE float read(const uint16_t* p) { return widen(*p); }
INLINE void write(float* p, float x) { *p = x; }
INLINE void write(uint16_t* p, float x) { *p = narrow(x); }

// Rows of a head, side by side and as wide as tiles want them.
template <typename T>
static void gather(const T* from, int64_t row, int64_t rows, int64_t e, int64_t wide, float* to) {
  for (int64_t i = 0; i < rows; ++i, from += row, to += wide) {
    for (int64_t j = 0; j < e; ++j) to[j] = read(from + j);
    for (int64_t j = e; j < wide; ++j) to[j] = 0;
  }
}

// The rows of one block of queries as columns, `[e][QUERIES]`; those beyond the last are 0.
template <typename T>
static void columns_of(const T* from, int64_t row, int64_t rows, int64_t e, float scale, float* to) {
  for (int64_t i = 0; i < QUERIES; ++i)
    for (int64_t j = 0; j < e; ++j) to[j * QUERIES + i] = i < rows ? read(from + i * row + j) * scale : 0.0f;
}

// Hides from each query of a block what comes after it: keys [from, to) of `scores`, whose first query stands at `query`.
INLINE void hide(float* scores, int64_t from, int64_t to, int64_t query) {
  for (int64_t k = from > query ? from : query; k < to; ++k)
    for (int64_t i = 0; i < QUERIES && query + i < k; ++i) scores[(k - from) * QUERIES + i] = -INFINITY;
}

// One head forward: `out` and `logs`, the logarithm of each query's sum of exponentials.
template <typename T>
static void forward_head(const Head<T>& h, float* space) {
  const int64_t wide = h.wide;
  float *keys = space, *values = keys + h.s * wide, *query = values + h.s * wide, *scores = query + wide * QUERIES;
  float* sums = scores + h.s * QUERIES;
  gather(h.k, h.k_row, h.s, h.e, wide, keys);
  gather(h.v, h.v_row, h.s, h.e, wide, values);
  for (int64_t q = 0; q < h.t; q += QUERIES) {
    const int64_t count = h.t - q < QUERIES ? h.t - q : QUERIES;
    const int64_t place = h.s - h.t + q, seen = h.causal ? place + count : h.s;
    columns_of(h.q + q * h.q_row, h.q_row, count, h.e, h.scale, query);
    product(seen, QUERIES, h.e, keys, wide, 1, query, QUERIES, scores, QUERIES, false);
    if (h.causal) hide(scores, 0, seen, place);
    float inverse[QUERIES];
    for (int64_t i = 0; i < QUERIES; i += LANES) {
      Vec top = get(scores + i);
      for (int64_t k = 1; k < seen; ++k) top = larger(top, get(scores + k * QUERIES + i));
      Vec sum = {};
      for (int64_t k = 0; k < seen; ++k) {
        const Vec p = exponential(get(scores + k * QUERIES + i) - top);
        sum += p;
        put(scores + k * QUERIES + i, p);
      }
      put(inverse + i, 1.0f / sum);
      for (int64_t j = 0; j < LANES && i + j < count; ++j) h.logs[q + i + j] = top[j] + __builtin_logf(sum[j]);
    }
    product(h.e, QUERIES, seen, values, 1, wide, scores, QUERIES, sums, QUERIES, false);
    for (int64_t i = 0; i < count; ++i)
      for (int64_t j = 0; j < h.e; ++j) write(h.out + (q + i) * h.out_row + j, sums[j * QUERIES + i] * inverse[i]);
  }
}

// The products of a query and one key, to be summed.
template <typename T>
INLINE Vec meet(const float* query, const T* key, int64_t e) {
  Vec sum = {};
  sweep(e, EACH { sum += get(query, i, n) * get(key, i, n); });
  return sum;
}

// C vectors of features of all values, each by its weight; the last vector may have fewer than LANES of them.
template <int C, typename T>
INLINE void gathered(const float* weights, const T* values, int64_t row, int64_t count, int64_t i, int64_t e, float inverse, T* out) {
  // Two sums each, so that one does not wait for the other.
  Vec even[C] = {}, odd[C] = {};
  int64_t k = 0;
  for (; k + 2 <= count; k += 2, values += 2 * row)
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      even[c] += weights[k] * get(values, i + c * LANES, e);
      odd[c] += weights[k + 1] * get(values + row, i + c * LANES, e);
    }
#pragma GCC unroll 4
  for (int c = 0; c < C; ++c) {
    if (k < count) even[c] += weights[k] * get(values, i + c * LANES, e);
    put(out, i + c * LANES, e, (even[c] + odd[c]) * inverse);
  }
}

// One head forward for a few queries, which meet keys and values where they lie; `logs` are not wanted.
template <typename T>
static void forward_few(const Head<T>& h, float* space) {
  float *query = space, *scores = query + h.wide;
  for (int64_t q = 0; q < h.t; ++q) {
    const int64_t seen = h.causal ? h.s - h.t + q + 1 : h.s, room = (seen + LANES - 1) / LANES * LANES;
    for (int64_t j = 0; j < h.e; ++j) query[j] = read(h.q + q * h.q_row + j) * h.scale;
    int64_t k = 0;
    for (; k + 16 <= seen; k += 16) {
      Vec sums[16];
      for (int i = 0; i < 16; ++i) sums[i] = meet(query, h.k + (k + i) * h.k_row, h.e);
      sums_of_16(sums, scores + k);
    }
    for (; k < seen; ++k) scores[k] = sum_of(meet(query, h.k + k * h.k_row, h.e));
    for (; k < room; ++k) scores[k] = -INFINITY;
    Vec tops = get(scores), sums = {};
    for (k = LANES; k < room; k += LANES) tops = larger(tops, get(scores + k));
    float top = tops[0];
    for (int i = 1; i < LANES; ++i) top = tops[i] > top ? tops[i] : top;
    for (k = 0; k < room; k += LANES) {
      const Vec p = exponential(get(scores + k) - top);
      put(scores + k, p);
      sums += p;
    }
    const float inverse = 1.0f / sum_of(sums);
    T* out = h.out + q * h.out_row;
    int64_t i = 0;
    for (; i + 4 * LANES <= h.e; i += 4 * LANES) gathered<4>(scores, h.v, h.v_row, seen, i, i + 4 * LANES, inverse, out);
    for (; i < h.e; i += LANES) gathered<1>(scores, h.v, h.v_row, seen, i, h.e, inverse, out);
  }
}

// One head of queries backward; the gradients of keys and values join `d_keys` and `d_values`, `[s][wide]`.
template <typename T>
static void backward_head(const Head<T>& h, const float* keys, const float* values, float* d_keys, float* d_values, float* space) {
  const int64_t wide = h.wide;
  float *query = space, *gradient = query + wide * QUERIES, *d_query = gradient + wide * QUERIES;
  float *query_rows = d_query + wide * QUERIES, *gradient_rows = query_rows + wide * QUERIES;
  float *weights = gradient_rows + wide * QUERIES, *d_scores = weights + KEYS * QUERIES;
  for (int64_t q = 0; q < h.t; q += QUERIES) {
    const int64_t count = h.t - q < QUERIES ? h.t - q : QUERIES;
    const int64_t seen = h.causal ? q + count : h.s;
    columns_of(h.q + q * h.q_row, h.q_row, count, h.e, h.scale, query);
    columns_of(h.d_out + q * h.out_row, h.out_row, count, h.e, 1.0f, gradient);
    gather(h.q + q * h.q_row, h.q_row, count, h.e, wide, query_rows);
    gather(h.d_out + q * h.out_row, h.out_row, count, h.e, wide, gradient_rows);
    // Of each query: its logarithm, and the sum of its gradient times what it gave out (Dao et al. 2022, appendix B.2).
    float logs[QUERIES] = {}, shares[QUERIES] = {};
    for (int64_t i = 0; i < count; ++i) {
      logs[i] = h.logs[q + i];
      for (int64_t j = 0; j < h.e; ++j) shares[i] += gradient_rows[i * wide + j] * read(h.out + (q + i) * h.out_row + j);
    }
    for (int64_t from = 0; from < seen; from += KEYS) {
      const int64_t n = seen - from < KEYS ? seen - from : KEYS;
      product(n, QUERIES, h.e, keys + from * wide, wide, 1, query, QUERIES, weights, QUERIES, false);
      if (h.causal) hide(weights, from, from + n, q);
      product(n, QUERIES, h.e, values + from * wide, wide, 1, gradient, QUERIES, d_scores, QUERIES, false);
      for (int64_t i = 0; i < QUERIES; i += LANES) {
        const Vec log = get(logs + i), share = get(shares + i);
        for (int64_t k = 0; k < n; ++k) {
          const Vec p = exponential(get(weights + k * QUERIES + i) - log);
          put(weights + k * QUERIES + i, p);
          put(d_scores + k * QUERIES + i, p * (get(d_scores + k * QUERIES + i) - share) * h.scale);
        }
      }
      product(h.e, QUERIES, n, keys + from * wide, 1, wide, d_scores, QUERIES, d_query, QUERIES, from > 0);
      product(n, wide, count, weights, QUERIES, 1, gradient_rows, wide, d_values + from * wide, wide, true);
      product(n, wide, count, d_scores, QUERIES, 1, query_rows, wide, d_keys + from * wide, wide, true);
    }
    for (int64_t i = 0; i < count; ++i)
      for (int64_t j = 0; j < h.e; ++j) write(h.d_q + (q + i) * h.d_q_row + j, d_query[j * QUERIES + i]);
  }
}

// All heads of queries that share one head of keys and values.
template <typename T>
static void backward_group(Head<T> h, int64_t heads, float* space) {
  const int64_t size = h.s * h.wide;
  float *keys = space, *values = keys + size, *d_keys = values + size, *d_values = d_keys + size;
  gather(h.k, h.k_row, h.s, h.e, h.wide, keys);
  gather(h.v, h.v_row, h.s, h.e, h.wide, values);
  for (int64_t i = 0; i < 2 * size; ++i) d_keys[i] = 0;
  for (int64_t head = 0; head < heads; ++head) {
    backward_head(h, keys, values, d_keys, d_values, d_values + size);
    h.next();
  }
  for (int64_t k = 0; k < h.s; ++k)
    for (int64_t j = 0; j < h.e; ++j) {
      write(h.d_k + k * h.d_k_row + j, d_keys[k * h.wide + j]);
      write(h.d_v + k * h.d_v_row + j, d_values[k * h.wide + j]);
    }
}
