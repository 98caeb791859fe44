// -log softmax(x)[target] a row, and the gradient in the logits' place: see cpp/cross_entropy.cpp.
//
// A block has a row, which it reads from memory once: the second time it lies in the cache. Source of the one-pass maximum
// and sum: Milakov and Gimelshein 2018, algorithm 3.

template <typename T, int W>
__global__ void cross_entropy_rows(const CrossEntropyArguments a) {
  const long long row = blockIdx.x, target = a.targets[row], step = static_cast<long long>(blockDim.x) * W;
  T* x = static_cast<T*>(a.logits) + row * a.v;
  float top = Most::NONE, sum = 0;
  for (long long i = static_cast<long long>(threadIdx.x) * W; i < a.v; i += step) {
    float part[W], highest = top;
    load<T, W>(x, i, part);
#pragma unroll
    for (int k = 0; k < W; ++k) highest = fmaxf(highest, part[k]);
    sum *= power(top - highest, T{});
#pragma unroll
    for (int k = 0; k < W; ++k) sum += power(part[k] - highest, T{});
    top = highest;
  }
  const float highest = over_block<Most>(top);
  const float total = over_block<Sum>(sum * power(top - highest, T{}));
  // A target outside of the vocabulary is told by a loss that is no number.
  const bool known = target >= 0 && target < a.v;
  const float at_target = known ? widen(x[target]) : 0.0f;
  if (threadIdx.x == 0) a.nats[row] = known ? logf(total) + highest - at_target : __int_as_float(0x7FC00000);
  if (!a.gradient) return;
  // Nobody writes before everybody has read the target.
  __syncthreads();
  const float weight = a.weights[row], factor = weight / total;
  for (long long i = static_cast<long long>(threadIdx.x) * W; i < a.v; i += step) {
    float part[W];
    load<T, W>(x, i, part);
#pragma unroll
    for (int k = 0; k < W; ++k) part[k] = power(part[k] - highest, T{}) * factor - (i + k == target ? weight : 0.0f);
    store<T, W>(x, i, part);
  }
}
