#include "attention_gpu.h"
#include "gpu.h"
#include "shim.h"
#include <torch/csrc/autograd/custom_function.h>
#include <array>
#include <utility>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// What `_fused_sdp_choice` answers for flash attention.
constexpr int64_t FLASH = 1;

// Queries, keys and values of `[b, t, (h + 2 g) e]` as `[b, heads, t, e]`.
std::array<at::Tensor, 3> parts(const at::Tensor& qkv, int64_t heads, int64_t kv_heads) {
  const int64_t e = qkv.size(2) / (heads + 2 * kv_heads);
  const auto part = [&](int64_t from, int64_t count) {
    return qkv.narrow(2, from * e, count * e).unflatten(2, {count, e}).transpose(1, 2);
  };
  return {part(0, heads), part(heads, kv_heads), part(heads + kv_heads, kv_heads)};
}

at::Tensor joined(const at::Tensor& x_bhte) { return x_bhte.transpose(1, 2).flatten(2); }

// The result and the logarithm of each query's sum of exponentials, [b, h, t].
std::pair<at::Tensor, at::Tensor> attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool causal, double scale) {
  // On Hopper cuDNN's takes two thirds of the time. Its gradient is another each time, so that is not used.
  if (q.size(1) == k.size(1) && q.size(3) <= 128 && gpu::generation(q.device()) == 9) {
    const auto found = at::_scaled_dot_product_cudnn_attention(q, k, v, {}, true, 0.0, causal, false, scale);
    return {std::get<0>(found), std::get<1>(found).reshape({q.size(0), q.size(1), q.size(2)})};
  }
  const auto found = at::_scaled_dot_product_flash_attention(q, k, v, 0.0, causal, false, scale);
  return {std::get<0>(found), std::get<1>(found)};
}

// Source: Dao 2023, FlashAttention-2. libtorch's own gradient would put three zeroed tensors of all rows together.
struct Flash : torch::autograd::Function<Flash> {
  static Variable forward(AutogradContext* ctx, const Variable& qkv, int64_t heads, int64_t kv_heads, bool causal, double scale) {
    const auto [q, k, v] = parts(qkv, heads, kv_heads);
    const auto [out, logs] = attend(q, k, v, causal, scale);
    ctx->save_for_backward({qkv, out, logs});
    ctx->saved_data["heads"] = heads;
    ctx->saved_data["kv_heads"] = kv_heads;
    ctx->saved_data["causal"] = causal;
    ctx->saved_data["scale"] = scale;
    return joined(out);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    ONCE_DIFFERENTIABLE;
    at::AutoDispatchBelowADInplaceOrView below;
    const variable_list saved = ctx->get_saved_variables();
    const auto [q, k, v] = parts(saved[0], ctx->saved_data["heads"].toInt(), ctx->saved_data["kv_heads"].toInt());
    const at::Tensor d_out = grads[0].unflatten(2, {q.size(1), q.size(3)}).transpose(1, 2), none;
    // Where nothing is dropped the state of the generator is not read.
    const at::Tensor unused = at::empty({}, q.options().dtype(at::kLong));
    const auto [d_q, d_k, d_v] = at::_scaled_dot_product_flash_attention_backward(
        d_out, q, k, v, saved[1], saved[2], none, none, q.size(2), k.size(2), 0.0, ctx->saved_data["causal"].toBool(), unused, unused,
        ctx->saved_data["scale"].toDouble());
    return {at::cat({joined(d_q), joined(d_k), joined(d_v)}, 2), Variable(), Variable(), Variable(), Variable()};
  }
};

}  // namespace

namespace gpu {

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool causal, double scale) {
  return joined(at::scaled_dot_product_attention(q, k, v, {}, 0.0, causal, scale, q.size(1) != k.size(1)));
}

at::Tensor attention_packed(const at::Tensor& qkv, int64_t heads, int64_t kv_heads, bool causal, double scale) {
  const auto [q, k, v] = parts(qkv, heads, kv_heads);
  if (at::_fused_sdp_choice(q, k, v, {}, 0.0, causal, scale, heads != kv_heads) == FLASH && q.size(3) % 8 == 0)
    return Flash::apply(qkv, heads, kv_heads, causal, scale);
  return attention(q, k, v, causal, scale);
}

}  // namespace gpu
