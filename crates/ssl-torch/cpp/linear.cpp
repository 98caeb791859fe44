// A linear map of few rows without gradients, as decoding needs it: bound by how fast the weights come, not by arithmetic.
#include "shim.h"
#include <ATen/Parallel.h>
#include <algorithm>
#include <type_traits>
#include <vector>

namespace {

// y [rows][out] = x [rows][in], as fp32 `wide` apart, times a weight whose rows are `row` apart, with a bias where there is one.
struct Map {
  const float* x;
  // The same as bf16 bits, `in` apart, where it is that.
  const void* halves;
  const void* weight;
  const float* bias;
  float* y;
  int64_t rows, in, wide, out, row;
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
  const uint16_t *w = static_cast<const uint16_t*>(m.weight) + output * m.row, *x = static_cast<const uint16_t*>(m.halves) + row * m.in;
  __m512 sums[N][R] = {};
  for (int64_t i = 0; i < m.in; i += 32) {
    __m512bh weights[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) weights[r] = pairs(w + r * m.row + i, m.in - i);
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      const __m512bh input = pairs(x + n * m.in + i, m.in - i);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) sums[n][r] = _mm512_dpbf16_ps(sums[n][r], input, weights[r]);
    }
  }
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n)
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
      m.y[(row + n) * m.out + output + r] = _mm512_reduce_add_ps(sums[n][r]) + (m.bias ? m.bias[output + r] : 0.0f);
}

template <int R>
void meet_all(const Map& m, int64_t output) {
  int64_t row = 0;
  for (; row + 4 <= m.rows; row += 4) meet<4, R>(m, row, output);
  for (; row + 2 <= m.rows; row += 2) meet<2, R>(m, row, output);
  if (row < m.rows) meet<1, R>(m, row, output);
}

void along(const Map& m, int64_t from, int64_t to) {
  for (; from + 4 <= to; from += 4) meet_all<4>(m, from);
  for (; from < to; ++from) meet_all<1>(m, from);
}

}
#pragma GCC pop_options
#endif

namespace {

// Outputs in pieces that end where a vector of outputs ends.
template <typename F>
void in_pieces(const Map& m, F loop) {
  constexpr int64_t PIECE = 64;
  const int64_t pieces = (m.out + PIECE - 1) / PIECE, work = std::max<int64_t>(1, m.rows * m.in * PIECE);
  // A thread is worth waking for some microseconds of work.
  at::parallel_for(0, pieces, std::max<int64_t>(1, (1 << 15) / work), [&](int64_t from, int64_t to) {
    loop(m, from * PIECE, std::min(to * PIECE, m.out));
  });
}

template <typename W>
void run(const Map& m, bool transposed) {
#ifdef PAIRS
  if (std::is_same_v<W, uint16_t> && !transposed && m.halves && has_avx512() && __builtin_cpu_supports("avx512bf16"))
    return in_pieces(m, avx512_bf16::along);
#endif
  if (transposed) in_pieces(m, BEST_UNIT(across<W>));
  else in_pieces(m, BEST_UNIT(along<W>));
}

// The bytes of a scale behind a row of int8.
constexpr int64_t SCALE = sizeof(float);

}  // namespace

extern "C" {

// x [.., in] fp32 or bf16; weight [out, in], or [in, out] if `transposed`, fp32 or bf16, or [out, in + 4] int8 of which a row ends with
// its scale; bias [out] or null -> [.., out] in the type of x, without a gradient.
int ssl_linear_few(Handle x, Handle weight, Handle bias, int transposed, Handle* out) {
  GUARD({
    const bool whole = weight->scalar_type() == at::kChar;
    TORCH_CHECK(x->is_cpu() && weight->is_cpu() && weight->dim() == 2 && weight->is_contiguous() && x->dim() > 0, "a map of few rows is made on the CPU");
    TORCH_CHECK(!(whole && transposed), "rows of int8 lie along the inputs");
    const int64_t row = weight->size(1), in = whole ? row - SCALE : transposed ? weight->size(0) : row, outputs = weight->size(transposed ? 1 : 0);
    TORCH_CHECK(x->size(-1) == in && in > 0 && outputs > 0, "rows of ", x->sizes(), " do not meet weights ", weight->sizes());
    TORCH_CHECK(!bias || (bias->dim() == 1 && bias->size(0) == outputs), "one bias an output");
    const at::Tensor given = x->contiguous(), inputs = given.to(at::kFloat), biases = bias ? bias->to(at::kFloat).contiguous() : at::Tensor();
    std::vector<int64_t> shape = x->sizes().vec();
    shape.back() = outputs;
    const at::Tensor y = at::empty(shape, x->options().dtype(at::kFloat).requires_grad(false));
    const Map m{inputs.data_ptr<float>(), given.scalar_type() == at::kBFloat16 ? given.data_ptr() : nullptr, weight->data_ptr(), bias ? biases.data_ptr<float>() : nullptr, y.data_ptr<float>(), x->numel() / in,
                in, in, outputs, row};
    switch (weight->scalar_type()) {
      case at::kFloat: run<float>(m, transposed != 0); break;
      case at::kBFloat16: run<uint16_t>(m, transposed != 0); break;
      case at::kChar: run<int8_t>(m, false); break;
      default: TORCH_CHECK(false, "weights are fp32, bf16 or int8, not ", weight->scalar_type());
    }
    *out = new at::Tensor(y.to(x->scalar_type()));
  })
}
}
