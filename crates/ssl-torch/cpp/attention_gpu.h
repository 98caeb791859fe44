// Attention on a CUDA device, by libtorch's kernels.
#pragma once
#include <ATen/ATen.h>

namespace gpu {

// q [b, h, t, e], k and v [b, g, s, e] -> [b, t, h e].
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool causal, double scale);

// qkv [b, t, (h + 2 g) e] -> [b, t, h e]; the gradient is made as one tensor where flash attention serves.
at::Tensor attention_packed(const at::Tensor& qkv, int64_t heads, int64_t kv_heads, bool causal, double scale);

}  // namespace gpu
