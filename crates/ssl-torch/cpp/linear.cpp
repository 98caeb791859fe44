// Linear maps of few rows without gradients, as decoding needs them: bound by how fast the weights come, not by arithmetic.
#include "shim.h"
#include "bf16.h"
#include <ATen/Parallel.h>
#include <algorithm>
#include <type_traits>
#include <vector>

namespace {

// y [rows][out] = x [rows][in] times a weight whose rows are `row` apart, with a bias where there is one.
struct Map {
  // As fp32, or as bf16 bits where pairs of those are multiplied.
  const float* x;
  const uint16_t* pairs;
  const void *weight, *bias;
  void* y;
  // Whether `bias` and `y` are bf16 bits and not fp32.
  bool narrows;
  int64_t rows, in, out, row;

  void write(int64_t n, int64_t output, float sum) const {
    if (bias) sum += narrows ? widen(static_cast<const uint16_t*>(bias)[output]) : static_cast<const float*>(bias)[output];
    if (narrows) static_cast<uint16_t*>(y)[n * out + output] = narrow(sum);
    else static_cast<float*>(y)[n * out + output] = sum;
  }
};

}  // namespace

#define LOOPS "linear_loop.h"
#include "each_unit.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define PAIRS 1
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,avx2,fma")
namespace avx512_bf16 {

// The `left` numbers from here on, of at most 32; the rest are 0.
inline __attribute__((always_inline)) __m512bh pairs(const uint16_t* p, int64_t left) {
  return (__m512bh)(left >= 32 ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi16((1u << left) - 1, p));
}

// N rows of bf16 against R weights `[out][in]` of bf16: products of two neighbours at once add up in fp32.
template <int N, int R>
__attribute__((noinline)) void meet(const Map& m, int64_t row, int64_t output) {
  const uint16_t *w = static_cast<const uint16_t*>(m.weight) + output * m.row, *x = m.pairs + row * m.in;
  avx512::Vec sums[N * R] = {};
  const auto add = [&](int64_t i, int64_t left) __attribute__((always_inline)) {
    __m512bh weights[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      weights[r] = pairs(w + r * m.row + i, left);
      if (N > 1) __builtin_prefetch(w + (R + r) * m.row + i);
    }
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      const __m512bh input = pairs(x + n * m.in + i, left);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) sums[n * R + r] = (avx512::Vec)_mm512_dpbf16_ps((__m512)sums[n * R + r], input, weights[r]);
    }
  };
  const int64_t whole = m.in / 32 * 32;
  for (int64_t i = 0; i < whole; i += 32) add(i, 32);
  if (whole < m.in) add(whole, m.in - whole);
  float found[(N * R + 15) / 16 * 16];
  avx512::sums_of<N * R>(sums, found);
  for (int n = 0; n < N; ++n)
    for (int r = 0; r < R; ++r) m.write(row + n, output + r, found[n * R + r]);
}

template <int N>
void outputs(const Map& m, int64_t row, int64_t from, int64_t to) {
  constexpr int R = avx512::BESIDE<N>;
  for (; from + R <= to; from += R) meet<N, R>(m, row, from);
  for (; from < to; ++from) meet<N, 1>(m, row, from);
}

void along(const Map& m, int64_t from, int64_t to) {
  int64_t row = 0;
  for (; row + 8 <= m.rows; row += 8) outputs<8>(m, row, from, to);
  if (m.rows - row >= 4) outputs<4>(m, row, from, to), row += 4;
  if (m.rows - row >= 2) outputs<2>(m, row, from, to), row += 2;
  if (m.rows > row) outputs<1>(m, row, from, to);
}

}
#pragma GCC pop_options
#endif

namespace {

bool multiplies_pairs() {
#ifdef PAIRS
  static const bool can = has_avx512() && __builtin_cpu_supports("avx512bf16");
  return can;
#else
  return false;
#endif
}

void run(const Map& m, at::ScalarType weight, int64_t from, int64_t to) {
#ifdef PAIRS
  if (m.pairs) return avx512_bf16::along(m, from, to);
#endif
  if (weight == at::kFloat) BEST_UNIT(along<float>)(m, from, to);
  else if (weight == at::kBFloat16) BEST_UNIT(along<uint16_t>)(m, from, to);
  else BEST_UNIT(along<int8_t>)(m, from, to);
}

// The bytes of a scale behind a row of int8.
constexpr int64_t SCALE = sizeof(float);
// Outputs that a thread makes at once.
constexpr int64_t PIECE = 64;

// The rows that maps are made of, as they need them: the widened ones where a map does not multiply pairs.
struct Rows {
  at::Tensor x, wide;

  explicit Rows(const at::Tensor& given) : x(given.contiguous()) {
    TORCH_CHECK(x.is_cpu() && x.dim() > 0, "a map of few rows is made on the CPU");
    TORCH_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16, "rows are fp32 or bf16, not ", x.scalar_type());
  }

  const float* widened() {
    if (!wide.defined()) wide = x.to(at::kFloat);
    return wide.data_ptr<float>();
  }
};

struct Call {
  at::Tensor bias, y;
  at::ScalarType kind;
  Map map;

  Call(Rows& rows, const at::Tensor& weight, const at::Tensor* maybe_bias) : kind(weight.scalar_type()) {
    const at::Tensor& x = rows.x;
    const bool whole = kind == at::kChar;
    TORCH_CHECK(weight.is_cpu() && weight.dim() == 2 && weight.is_contiguous(), "a map of few rows is made on the CPU");
    TORCH_CHECK(whole || kind == at::kFloat || kind == at::kBFloat16, "weights are fp32, bf16 or int8, not ", kind);
    const int64_t row = weight.size(1), in = whole ? row - SCALE : row, out = weight.size(0);
    TORCH_CHECK(x.size(-1) == in && in > 0 && out > 0, "rows of ", x.sizes(), " do not meet weights ", weight.sizes());
    TORCH_CHECK(!maybe_bias || (maybe_bias->is_cpu() && maybe_bias->dim() == 1 && maybe_bias->size(0) == out), "one bias an output");
    const bool narrows = x.scalar_type() == at::kBFloat16, paired = narrows && kind == at::kBFloat16 && multiplies_pairs();
    if (maybe_bias) bias = maybe_bias->to(x.scalar_type()).contiguous();
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = out;
    y = at::empty(shape, x.options().requires_grad(false));
    map = Map{paired ? nullptr : rows.widened(), paired ? static_cast<const uint16_t*>(x.data_ptr()) : nullptr, weight.data_ptr(),
              bias.defined() ? bias.data_ptr() : nullptr, y.data_ptr(), narrows, x.numel() / in, in, out, row};
  }

  int64_t pieces() const { return (map.out + PIECE - 1) / PIECE; }
};

}  // namespace

extern "C" {

// x [.., in] fp32 or bf16; `n` weights [out, in] fp32 or bf16, or [out, in + 4] int8 of which a row ends with its scale; of each a bias
// [out], added in the type of x, or null -> of each [.., out] in the type of x, without a gradient.
int ssl_linear_few(Handle x, const Handle* weights, const Handle* biases, int64_t n, Handle* outs) {
  GUARD({
    Rows rows(*x);
    std::vector<Call> calls;
    int64_t pieces = 0, work = 1;
    for (int64_t i = 0; i < n; ++i) {
      calls.emplace_back(rows, *weights[i], biases[i]);
      pieces += calls.back().pieces();
      work = std::max(work, calls.back().map.rows * calls.back().map.in * PIECE);
    }
    // A thread is worth waking for some microseconds of work.
    at::parallel_for(0, pieces, std::max<int64_t>(1, (1 << 15) / work), [&](int64_t from, int64_t to) {
      for (const Call& call : calls) {
        const int64_t own = call.pieces(), first = std::max<int64_t>(from, 0), last = std::min(to, own);
        if (first < last) run(call.map, call.kind, first * PIECE, std::min(last * PIECE, call.map.out));
        from -= own, to -= own;
      }
    });
    for (int64_t i = 0; i < n; ++i) outs[i] = new at::Tensor(calls[i].y);
  })
}
}
