// Output head and cross-entropy in one: the logits of all rows are never held at once, and the gradients are made while
// a chunk of logits is at hand.
#include "bf16.h"
#include "gpu.h"
#include "shim.h"
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <algorithm>
#include <cmath>

namespace {

// Logits held at once. A step that fits is one matrix product each way; more rows than that cost one more pass over the
// head's gradient a chunk.
constexpr int64_t LOGIT_BYTES = 128 << 20;
// A device needs large products to be busy, and has the room.
constexpr int64_t LOGIT_BYTES_ON_DEVICE = int64_t{2} << 30;

inline float load(const float* x, int64_t i) { return x[i]; }
inline float load(const uint16_t* x, int64_t i) { return widen(x[i]); }
inline void store(float* x, int64_t i, float value) { x[i] = value; }
inline void store(uint16_t* x, int64_t i, float value) { x[i] = narrow(value); }

// e^x for x <= 0, to 2 units in the last place. Source: Moshier, Cephes library (expf).
inline __attribute__((always_inline)) float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  const float shifted = x * 1.44269504f + 12582912.0f;  // rounds to a whole number in the low bits
  const float whole = shifted - 12582912.0f;
  const float r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
  float y = 1.9875691500e-4f;
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  int32_t bits;
  __builtin_memcpy(&bits, &shifted, 4);
  bits = (bits - 0x4B400000 + 127) << 23;
  float power;
  __builtin_memcpy(&power, &bits, 4);
  return y * power;
}

constexpr int LANES = 16;

// -log softmax(x)[target]; x becomes weight * (softmax - onehot) where `gradient` is asked for.
template <typename T>
inline __attribute__((always_inline)) float row_of(T* x, int64_t n, int64_t target, float weight, bool gradient) {
  const int64_t even = n - n % LANES;
  float top[LANES];
  for (int k = 0; k < LANES; ++k) top[k] = -INFINITY;
  for (int64_t i = 0; i < even; i += LANES)
    for (int k = 0; k < LANES; ++k) {
      const float value = load(x, i + k);
      top[k] = value > top[k] ? value : top[k];
    }
  float highest = -INFINITY;
  for (float t : top) highest = t > highest ? t : highest;
  for (int64_t i = even; i < n; ++i) highest = std::max(highest, load(x, i));
  float sum[LANES] = {};
  for (int64_t i = 0; i < even; i += LANES)
    for (int k = 0; k < LANES; ++k) sum[k] += exponential(load(x, i + k) - highest);
  double total = 0;
  for (float s : sum) total += s;
  for (int64_t i = even; i < n; ++i) total += exponential(load(x, i) - highest);
  const float nats = static_cast<float>(std::log(total) + highest - load(x, target));
  if (gradient) {
    const float factor = static_cast<float>(weight / total), at_target = load(x, target);
    for (int64_t i = 0; i < n; ++i) store(x, i, exponential(load(x, i) - highest) * factor);
    store(x, target, exponential(at_target - highest) * factor - weight);
  }
  return nats;
}

VECTORISED float row(float* x, int64_t n, int64_t target, float weight, bool gradient) {
  return row_of(x, n, target, weight, gradient);
}

VECTORISED float row_bf16(uint16_t* x, int64_t n, int64_t target, float weight, bool gradient) {
  return row_of(x, n, target, weight, gradient);
}

inline float any_row(float* x, int64_t n, int64_t t, float w, bool g) { return row(x, n, t, w, g); }
inline float any_row(at::BFloat16* x, int64_t n, int64_t t, float w, bool g) {
  return row_bf16(reinterpret_cast<uint16_t*>(x), n, t, w, g);
}

// Logits [c, v] to nats [c], in place to their gradient.
template <typename T>
void cpu_rows(at::Tensor& logits, const at::Tensor& targets, const at::Tensor& weights, at::Tensor& nats, bool gradient) {
  const int64_t rows = logits.size(0), v = logits.size(1);
  T* x = logits.data_ptr<T>();
  const int64_t* target = targets.const_data_ptr<int64_t>();
  const float* weight = weights.const_data_ptr<float>();
  float* out = nats.data_ptr<float>();
  at::parallel_for(0, rows, 1, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      TORCH_CHECK(target[i] >= 0 && target[i] < v, "target ", target[i], " lies outside a vocabulary of ", v);
      out[i] = any_row(x + i * v, v, target[i], weight[i], gradient);
    }
  });
}

at::Tensor any_rows(at::Tensor logits, const at::Tensor& targets, const at::Tensor& weights, at::Tensor& nats, bool gradient) {
  if (logits.device().is_cpu() && logits.scalar_type() == at::kFloat) {
    cpu_rows<float>(logits, targets, weights, nats, gradient);
    return logits;
  }
  if (logits.device().is_cpu() && logits.scalar_type() == at::kBFloat16) {
    cpu_rows<at::BFloat16>(logits, targets, weights, nats, gradient);
    return logits;
  }
  if (gpu::serves(logits) && logits.numel() > 0) {
    const int64_t v = logits.size(1);
    const int w = gpu::Width().rows(logits, v, v).of(logits);
    const auto* target = reinterpret_cast<const long long*>(targets.const_data_ptr<int64_t>());
    const CrossEntropyArguments a{logits.data_ptr(), target, weights.const_data_ptr<float>(), nats.data_ptr<float>(), v, gradient};
    const int64_t threads = std::min<int64_t>(512, std::max<int64_t>(32, (v / w + 31) / 32 * 32));
    const std::string name = std::string("cross_entropy_rows<") + gpu::name(logits) + ", " + std::to_string(w) + ">";
    gpu::launch(logits.device(), name, logits.size(0), threads, &a);
    return logits;
  }
  at::Tensor wide = logits.to(at::kFloat), at_target = targets.unsqueeze(1);
  at::Tensor total = wide.logsumexp(1, true);
  nats.copy_((total - wide.gather(1, at_target)).squeeze(1));
  if (!gradient) return logits;
  wide.sub_(total).exp_();
  wide.scatter_(1, at_target, wide.gather(1, at_target) - 1);
  return wide.mul_(weights.unsqueeze(1)).to(logits.scalar_type());
}

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

struct LinearCrossEntropy : torch::autograd::Function<LinearCrossEntropy> {
  static variable_list forward(AutogradContext* ctx, const Variable& hidden, const Variable& head, const Variable& targets,
                               const Variable& weights, bool gradient) {
    const int64_t n = hidden.size(0), v = head.size(0);
    at::Tensor nats = at::empty({n}, weights.options());
    const int64_t room = hidden.is_cpu() ? LOGIT_BYTES : LOGIT_BYTES_ON_DEVICE;
    const int64_t most = std::max<int64_t>(64, room / std::max<int64_t>(1, v * hidden.element_size()));
    // Chunks of one size, so that the last is no waste.
    const int64_t parts = std::max<int64_t>(1, (n + most - 1) / most), rows = std::max<int64_t>(1, (n + parts - 1) / parts);
    const bool whole = rows >= n;
    at::Tensor d_hidden, d_head;
    if (gradient && !whole) {
      d_hidden = at::empty_like(hidden);
    }
    at::Tensor head_t = head.t();
    for (int64_t at = 0; at < n; at += rows) {
      const int64_t count = std::min(rows, n - at);
      at::Tensor h = hidden.narrow(0, at, count), part = nats.narrow(0, at, count);
      at::Tensor d = any_rows(at::mm(h, head_t), targets.narrow(0, at, count), weights.narrow(0, at, count), part, gradient);
      if (!gradient) continue;
      if (whole) {
        d_hidden = at::mm(d, head);
        d_head = at::mm(d.t(), h);
      } else {
        at::Tensor into = d_hidden.narrow(0, at, count);
        at::mm_out(into, d, head);
        const at::Tensor part = at::mm(d.t(), h);
        d_head = d_head.defined() ? d_head.add_(part) : part.to(at::kFloat);
      }
    }
    if (gradient) {
      ctx->saved_data["hidden"] = d_hidden;
      ctx->saved_data["head"] = whole ? d_head : d_head.to(head.scalar_type());
    }
    at::Tensor total = at::dot(nats.to(at::kDouble), weights.to(at::kDouble));
    ctx->mark_non_differentiable({nats});
    return {total, nats};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    ONCE_DIFFERENTIABLE;
    at::AutoDispatchBelowADInplaceOrView below;
    auto hidden = ctx->saved_data.find("hidden"), head = ctx->saved_data.find("head");
    TORCH_CHECK(hidden != ctx->saved_data.end() && !hidden->second.isNone(), "the gradients of this loss were already taken");
    // Moved out, not copied: autograd may then keep these very tensors as the parameters' gradients.
    at::Tensor d_hidden = std::move(hidden->second).toTensor(), d_head = std::move(head->second).toTensor();
    const at::Tensor& scale = grads[0];
    if (!scale.device().is_cpu() || scale.item<double>() != 1.0) {
      d_hidden.mul_(scale.to(d_hidden.scalar_type()));
      d_head.mul_(scale.to(d_head.scalar_type()));
    }
    return {d_hidden, d_head, Variable(), Variable(), Variable()};
  }
};

}  // namespace

extern "C" {

// hidden [n, d] (fp32 or bf16), head [v, d] of the same type, targets [n] (i64), weights [n] (fp32)
// -> total (fp64, differentiable): sum of weights * nats; nats [n] (fp32), without gradient.
int ssl_linear_cross_entropy(Handle hidden, Handle head, Handle targets, Handle weights, Handle* total, Handle* nats) {
  GUARD({
    TORCH_CHECK(hidden->dim() == 2 && head->dim() == 2 && hidden->size(1) == head->size(1), "hidden ", hidden->sizes(),
                " and head ", head->sizes(), " do not meet");
    TORCH_CHECK(targets->numel() == hidden->size(0) && weights->numel() == hidden->size(0), "one target and one weight a row");
    TORCH_CHECK(targets->scalar_type() == at::kLong && weights->scalar_type() == at::kFloat, "targets are i64, weights fp32");
    const bool gradient = at::GradMode::is_enabled() && (hidden->requires_grad() || head->requires_grad());
    auto out = LinearCrossEntropy::apply(hidden->contiguous(), *head, targets->reshape({-1}).contiguous(),
                                         weights->reshape({-1}).contiguous(), gradient);
    *total = new at::Tensor(out[0]);
    *nats = new at::Tensor(out[1]);
  })
}
}
