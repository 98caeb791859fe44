// The inner loop of Word2Vec, compiled once for each kind of vector unit by word2vec.cpp; hence no include guard.
//
// A prediction is a vector h (a word's row, or the mean of several) against n output rows with labels. All its dot products come
// first, then the sigmoids of eight at a time, then one pass that reads and writes each row once.

constexpr int64_t LANES = SSL_LANES;

// LANES floats fill a register of the unit at hand; wider vectors would live in memory.
typedef float Wide __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef float V8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float V4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t I8 __attribute__((vector_size(32)));

#define INLINE static inline __attribute__((always_inline))

// A counter and a multiplication: draw n of a key costs the same as draw 0. Source: wyrand (Wang Yi), after Lemire 2019.
struct Draw {
  uint64_t at;
};

INLINE uint64_t word(Draw& draw) {
  draw.at += 0xA0761D6478BD642Full;
  const unsigned __int128 product = static_cast<unsigned __int128>(draw.at) * (draw.at ^ 0xE7037ED1A0B428DBull);
  return static_cast<uint64_t>(product >> 64) ^ static_cast<uint64_t>(product);
}

INLINE uint64_t mix(uint64_t word) {
  word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9ull;
  word = (word ^ (word >> 27)) * 0x94D049BB133111EBull;
  return word ^ (word >> 31);
}

INLINE Wide& wide(float* p) { return *reinterpret_cast<Wide*>(p); }
INLINE V8& v8(float* p) { return *reinterpret_cast<V8*>(p); }
INLINE V4& v4(float* p) { return *reinterpret_cast<V4*>(p); }

INLINE V4 fold(Wide a) {
#if SSL_LANES == 16
  const V8 s = __builtin_shufflevector(a, a, 0, 1, 2, 3, 4, 5, 6, 7) + __builtin_shufflevector(a, a, 8, 9, 10, 11, 12, 13, 14, 15);
  return __builtin_shufflevector(s, s, 0, 1, 2, 3) + __builtin_shufflevector(s, s, 4, 5, 6, 7);
#elif SSL_LANES == 8
  return __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
#else
  return a;
#endif
}

// The sums of four vectors.
INLINE V4 sums(V4 a, V4 b, V4 c, V4 d) {
  const V4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const V4 cd = __builtin_shufflevector(c, d, 0, 4, 1, 5) + __builtin_shufflevector(c, d, 2, 6, 3, 7);
  return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

// h . rows[j] for B rows, B <= 8; pointers are copied, since a store to floats might change them in memory.
template <int B>
INLINE V8 dots(float* h, float* const* list, int64_t d) {
  float* rows[B];
  for (int j = 0; j < B; ++j) rows[j] = list[j];
  Wide part[B] = {};
  V4 sum[8] = {};
  int64_t k = 0;
  for (; k + LANES <= d; k += LANES) {
    const Wide x = wide(h + k);
    for (int j = 0; j < B; ++j) part[j] += x * wide(rows[j] + k);
  }
  for (int j = 0; j < B; ++j) sum[j] = fold(part[j]);
  for (; k + 4 <= d; k += 4) {
    const V4 x = v4(h + k);
    for (int j = 0; j < B; ++j) sum[j] += x * v4(rows[j] + k);
  }
  for (; k < d; ++k)
    for (int j = 0; j < B; ++j) sum[j][0] += h[k] * rows[j][k];
  const V4 a = sums(sum[0], sum[1], sum[2], sum[3]);
  if (B <= 4) return __builtin_shufflevector(a, V4{}, 0, 1, 2, 3, 4, 5, 6, 7);
  return __builtin_shufflevector(a, sums(sum[4], sum[5], sum[6], sum[7]), 0, 1, 2, 3, 4, 5, 6, 7);
}

// rows[j] += g_j h, and sum_j g_j rows[j], with the rows as they were, joins `error`; or h itself when B rows are all there are.
template <int B, bool ALONE>
INLINE void spread(float* h, float* const* list, const float* g, float* error, int64_t d) {
  float *rows[B], step[B];
  for (int j = 0; j < B; ++j) rows[j] = list[j];
  for (int j = 0; j < B; ++j) step[j] = g[j];
  int64_t k = 0;
  for (; k + LANES <= d; k += LANES) {
    const Wide x = wide(h + k);
    Wide e = ALONE ? x : wide(error + k);
    for (int j = 0; j < B; ++j) {
      const Wide row = wide(rows[j] + k);
      e += step[j] * row;
      wide(rows[j] + k) = row + step[j] * x;
    }
    wide((ALONE ? h : error) + k) = e;
  }
  for (; k + 4 <= d; k += 4) {
    const V4 x = v4(h + k);
    V4 e = ALONE ? x : v4(error + k);
    for (int j = 0; j < B; ++j) {
      const V4 row = v4(rows[j] + k);
      e += step[j] * row;
      v4(rows[j] + k) = row + step[j] * x;
    }
    v4((ALONE ? h : error) + k) = e;
  }
  for (; k < d; ++k) {
    const float x = h[k];
    float e = ALONE ? x : error[k];
    for (int j = 0; j < B; ++j) {
      const float row = rows[j][k];
      e += step[j] * row;
      rows[j][k] = row + step[j] * x;
    }
    (ALONE ? h : error)[k] = e;
  }
}

// exp(-|x|), to 2e-7 of itself.
INLINE V8 exp_minus(V8 x) {
  V8 t = (x < 0 ? x : -x) * 1.44269504f;
  t = t < -120.0f ? V8{} - 120.0f : t;
  // Adding and taking away 1.5 * 2^23 rounds to whole numbers.
  const V8 whole = (t + 12582912.0f) - 12582912.0f;
  const V8 y = (t - whole) * 0.693147181f;
  V8 p = y * 1.38888889e-3f + 8.33333333e-3f;
  p = p * y + 4.16666667e-2f;
  p = p * y + 1.66666667e-1f;
  p = p * y + 0.5f;
  p = p * y + 1.0f;
  p = p * y + 1.0f;
  const I8 power = (__builtin_convertvector(whole, I8) + 127) << 23;
  V8 scale;
  __builtin_memcpy(&scale, &power, sizeof scale);
  return p * scale;
}

// g = (label - sigma(x)) lr, and -log sigma(x) or -log sigma(-x) by the label.
INLINE void sigmoid(V8 x, V8 label, float lr, V8& g, V8& nats) {
  const V8 e = exp_minus(x);
  const V8 above = 1.0f / (1.0f + e);
  g = (label - (x < 0 ? e * above : above)) * lr;
  const V8 against = label > 0.5f ? -x : x;
  // log(1 + e) = 2 artanh(e / (2 + e)), whose series ends soon: the argument is at most 1/3.
  const V8 u = e / (2.0f + e), uu = u * u;
  const V8 series = (((uu * 0.111111111f + 0.142857143f) * uu + 0.2f) * uu + 0.333333333f) * uu + 1.0f;
  nats = (against > 0 ? against : V8{}) + 2.0f * u * series;
}

INLINE void add(float* to, const float* from, float factor, int64_t d) {
  for (int64_t k = 0; k < d; ++k) to[k] += factor * from[k];
}

#define BY_EIGHT(CALL)                                                                                                             \
  switch (n - j) {                                                                                                                 \
    case 1: CALL(1); break;                                                                                                        \
    case 2: CALL(2); break;                                                                                                        \
    case 3: CALL(3); break;                                                                                                        \
    case 4: CALL(4); break;                                                                                                        \
    case 5: CALL(5); break;                                                                                                        \
    case 6: CALL(6); break;                                                                                                        \
    case 7: CALL(7); break;                                                                                                        \
    default: CALL(8); break;                                                                                                       \
  }

// What one prediction is made against: n rows, and the labels and lane fillers of its target in blocks of eight.
struct Aim {
  float** rows;
  float* gradients;
  int64_t n;
};

// The first half of a prediction: dot products, sigmoids, loss. Fillers push the lanes beyond n to where nothing is lost.
INLINE void score(const Word2Vec& w, const Scratch& s, float* h, const Aim& aim, V8& nats) {
  const int64_t n = aim.n;
  for (int64_t j = 0; j < n; j += 8) {
    V8 x, step, loss;
#define SCORE(B) x = dots<B>(h, aim.rows + j, w.d)
    BY_EIGHT(SCORE)
#undef SCORE
    sigmoid(x + v8(s.fillers + j), v8(s.labels + j), w.lr, step, loss);
    v8(aim.gradients + j) = step;
    nats += loss;
  }
}

// The second half: the rows and h move. `error` is left for the caller to give to h unless h is a row of its own.
INLINE void move(const Word2Vec& w, Scratch& s, float* h, const Aim& aim, bool own) {
  const int64_t n = aim.n;
  if (own && n <= 8) {
    const int64_t j = 0;
#define SPREAD(B) spread<B, true>(h, aim.rows, aim.gradients, nullptr, w.d)
    if (n > 0) BY_EIGHT(SPREAD)
#undef SPREAD
    return;
  }
  for (int64_t k = 0; k < w.d; ++k) s.error[k] = 0;
#define SPREAD(B) spread<B, false>(h, aim.rows + j, aim.gradients + j, s.error, w.d)
  for (int64_t j = 0; j < n; j += 8) BY_EIGHT(SPREAD)
#undef SPREAD
  if (own) add(h, s.error, 1.0f, w.d);
}

INLINE void fetch(const float* row, int64_t d) {
  for (int64_t k = 0; k < d; k += 16) __builtin_prefetch(row + k, 1);
}

// What is drawn for one place: its half-width, and the negatives of each of its predictions, whose rows are asked for early.
INLINE int64_t draw_place(const Word2Vec& w, Draw& draw, int64_t i, int64_t n, uint32_t* draws) {
  const int64_t b = 1 + static_cast<int64_t>((static_cast<unsigned __int128>(word(draw)) * static_cast<uint64_t>(w.window)) >> 64);
  if (!w.alias) return b;
  const int64_t before = i < b ? i : b, after = n - 1 - i < b ? n - 1 - i : b;
  const int64_t count = (w.cbow ? before + after > 0 : before + after) * w.negatives;
  for (int64_t j = 0; j < count; ++j) {
    const uint64_t bits = word(draw);
    const uint64_t slot = ((bits >> 32) * static_cast<uint64_t>(w.words)) >> 32;
    const Alias entry = w.alias[slot];
    // Which of the two is a toss that no processor foresees, so it is no branch.
    const uint32_t own = -static_cast<uint32_t>(static_cast<uint32_t>(bits) < entry.threshold);
    draws[j] = (static_cast<uint32_t>(slot) & own) | (entry.other & ~own);
  }
  for (int64_t j = 0; j < count; ++j) fetch(w.out + draws[j] * w.d, w.d);
  return b;
}

// Points prediction number `slot` of a place at its rows: the target and its draws, or the target's path in the tree.
INLINE Aim point(const Word2Vec& w, Scratch& s, int64_t slot, uint32_t target, const uint32_t* draws) {
  Aim aim{s.rows + slot * s.stride, s.gradients + slot * s.stride, 1 + w.negatives};
  if (!w.alias) {
    const uint32_t begin = w.starts[target];
    aim.n = w.starts[target + 1] - begin;
    for (int64_t j = 0; j < aim.n; ++j) aim.rows[j] = w.out + w.nodes[begin + j] * w.d;
    return aim;
  }
  aim.rows[0] = w.out + target * w.d;
  for (int64_t j = 0; j < w.negatives; ++j) aim.rows[1 + j] = w.out + draws[j] * w.d;
  return aim;
}

// A draw of the target itself is passed over, as in the original: it has no step and no loss.
INLINE double pass_over(const Word2Vec& w, const Aim& aim, float* h) {
  double nats = 0;
  for (int64_t j = 1; w.alias && j < aim.n; ++j) {
    if (aim.rows[j] != aim.rows[0]) continue;
    aim.gradients[j] = 0;
    float x = 0;
    for (int64_t k = 0; k < w.d; ++k) x += h[k] * aim.rows[j][k];
    nats += __builtin_log1pf(__builtin_expf(x));
  }
  return nats;
}

// Labels and fillers of a path; those of negatives never change.
INLINE void label(const Word2Vec& w, Scratch& s, uint32_t target) {
  if (w.alias) return;
  const uint32_t begin = w.starts[target], n = w.starts[target + 1] - begin;
  for (uint32_t j = 0; j < n; ++j) s.labels[j] = w.labels[begin + j];
  for (uint32_t j = n; j < (n + 7) / 8 * 8; ++j) s.labels[j] = 0;
  for (uint32_t j = 0; j < (n + 7) / 8 * 8; ++j) s.fillers[j] = j < n ? 0.0f : FILLER;
}

// All predictions of one place are scored before any of them moves a row: they do not wait for each other.
INLINE int64_t place(const Word2Vec& w, Scratch& s, int64_t i, int64_t from, int64_t to, const uint32_t* draws, V8& nats, double& passed) {
  const uint32_t target = s.kept[i];
  const int64_t contexts = to - from;
  if (contexts == 0) return 0;
  label(w, s, target);
  if (w.cbow) {
    const float share = 1.0f / static_cast<float>(contexts);
    for (int64_t k = 0; k < w.d; ++k) s.hidden[k] = 0;
    for (int64_t c = from; c <= to; ++c)
      if (c != i) add(s.hidden, w.in + s.kept[c] * w.d, share, w.d);
    const Aim aim = point(w, s, 0, target, draws);
    score(w, s, s.hidden, aim, nats);
    passed += pass_over(w, aim, s.hidden);
    if (!w.train) return 1;
    move(w, s, s.hidden, aim, false);
    for (int64_t c = from; c <= to; ++c)
      if (c != i) add(w.in + s.kept[c] * w.d, s.error, w.exact ? share : 1.0f, w.d);
    return 1;
  }
  int64_t slot = 0;
  for (int64_t c = from; c <= to; ++c) {
    if (c == i) continue;
    float* h = w.in + s.kept[c] * w.d;
    const Aim aim = point(w, s, slot, target, draws + slot * w.negatives);
    score(w, s, h, aim, nats);
    passed += pass_over(w, aim, h);
    ++slot;
  }
  if (!w.train) return contexts;
  Aim aim{s.rows, s.gradients, w.alias ? 1 + w.negatives : w.starts[target + 1] - w.starts[target]};
  for (int64_t c = from; c <= to; ++c) {
    if (c == i) continue;
    move(w, s, w.in + s.kept[c] * w.d, aim, true);
    aim.rows += s.stride;
    aim.gradients += s.stride;
  }
  return contexts;
}

static Nats piece(const Word2Vec& w, int64_t index, Scratch& s) {
  Draw draw{mix(mix(w.key + 0x9E3779B97F4A7C15ull) ^ static_cast<uint64_t>(index))};
  int64_t n = 0;
  for (int64_t t = w.bounds[2 * index]; t < w.bounds[2 * index + 1]; ++t) {
    const uint32_t id = w.tokens[t], bound = w.keep[id];
    s.kept[n] = id;
    n += static_cast<uint32_t>(word(draw) >> 32) < bound || bound == UINT32_MAX;
  }
  Nats total;
  V8 nats = {};
  double passed = 0;
  int64_t b = n > 0 ? draw_place(w, draw, 0, n, s.draws) : 0;
  for (int64_t i = 0; i < n; ++i) {
    // The next place is drawn first, so that its rows arrive while this one is computed.
    const int64_t next = i + 1 < n ? draw_place(w, draw, i + 1, n, s.next) : 0;
    total.weight += place(w, s, i, i < b ? 0 : i - b, n - 1 - i < b ? n - 1 : i + b, s.draws, nats, passed);
    uint32_t* swap = s.draws;
    s.draws = s.next;
    s.next = swap;
    b = next;
  }
  for (int j = 0; j < 8; ++j) total.nats += nats[j];
  total.nats -= passed;
  return total;
}

#undef BY_EIGHT
#undef INLINE
