// Optimizer steps over lists of tensors, a block a chunk: see cpp/optimizer.cpp.

__device__ inline int tensor_of(const TensorLists& lists) {
  int i = 0;
  while (i + 1 < lists.tensors && static_cast<int>(blockIdx.x) >= lists.first[i + 1]) ++i;
  return i;
}

// Of type G, as all gradients of a launch are.
template <typename G>
__device__ inline float gradient(const TensorLists& lists, int t, long long i) {
  return widen(static_cast<const G*>(lists.g[t])[i]);
}

// Calls f(tensor, element) for all of this block's.
template <typename F>
__device__ inline void each(const TensorLists& lists, F f) {
  const int t = tensor_of(lists);
  const long long from = static_cast<long long>(blockIdx.x - lists.first[t]) * SSL_CUDA_CHUNK;
  const long long to = min(from + SSL_CUDA_CHUNK, lists.n[t]);
#pragma unroll 4
  for (long long i = from + threadIdx.x; i < to; i += blockDim.x) f(t, i);
}

template <typename G>
__global__ void squares(const __grid_constant__ SquaresArguments a) {
  float sum = 0;
  each(a.lists, [&](int t, long long i) {
    const float g = gradient<G>(a.lists, t, i);
    sum += g * g;
  });
  // A chunk in fp32, 64 numbers a thread; the chunks in fp64.
  sum = over_block<Sum>(sum);
  if (threadIdx.x == 0) a.sums[blockIdx.x] = sum;
}

template <typename G>
__global__ void accumulate(const __grid_constant__ TensorLists lists) {
  each(lists, [&](int t, long long i) { lists.p[t][i] += gradient<G>(lists, t, i); });
}

template <typename G>
__global__ void adam(const __grid_constant__ AdamArguments a) {
  const float step = a.lr / a.correction1;
  each(a.lists, [&](int t, long long i) {
    const TensorLists& l = a.lists;
    const float p = l.p[t][i], grad = gradient<G>(l, t, i) * a.scale + l.coupled[t] * p;
    const float mean = l.m[t][i] + (1.0f - a.beta1) * (grad - l.m[t][i]);
    const float square = a.beta2 * l.v[t][i] + (1.0f - a.beta2) * grad * grad;
    const float moved = p * (1.0f - a.lr * l.decay[t]) - step * mean / (sqrtf(square) / a.correction2_root + a.eps);
    l.m[t][i] = mean;
    l.v[t][i] = square;
    l.p[t][i] = moved;
    if (l.leaf[t]) static_cast<bf16*>(l.leaf[t])[i] = narrow<bf16>(moved);
  });
}

template <typename G>
__global__ void sgd(const __grid_constant__ SgdArguments a) {
  each(a.lists, [&](int t, long long i) {
    const TensorLists& l = a.lists;
    const float p = l.p[t][i], grad = gradient<G>(l, t, i) * a.scale + l.coupled[t] * p;
    const float velocity = a.momentum * l.m[t][i] + grad;
    const float moved = p - a.lr * (a.nesterov ? grad + a.momentum * velocity : velocity);
    l.m[t][i] = velocity;
    l.p[t][i] = moved;
    if (l.leaf[t]) static_cast<bf16*>(l.leaf[t])[i] = narrow<bf16>(moved);
  });
}
