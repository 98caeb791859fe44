// Normalisation over the last axis with the addition before it: see cpp/norm.cpp and cpp/norm_loop.h, whose arithmetic this is.
//
// A block has a row at a time; each thread keeps PACKS times W of its features in registers from the first pass to the last.

template <typename T, int W, int PACKS>
__global__ void norm_forward(const NormArguments a) {
  const long long row = blockIdx.x, at = row * a.d;
  float x[PACKS][W], sum = 0;
#pragma unroll
  for (int p = 0; p < PACKS; ++p) {
    const long long i = (static_cast<long long>(p) * blockDim.x + threadIdx.x) * W;
    if (i >= a.d) continue;
    load<T, W>(a.x, at + i, x[p]);
    if (a.branch) {
      float branch[W];
      load<T, W>(a.branch, at + i, branch);
#pragma unroll
      for (int k = 0; k < W; ++k) x[p][k] = rounded<T>(x[p][k] + branch[k]);
      store<T, W>(a.stream, at + i, x[p]);
    }
#pragma unroll
    for (int k = 0; k < W; ++k) sum += x[p][k];
  }
  const float mean = a.centred ? over_block<Sum>(sum) / a.d : 0.0f;
  float squares = 0;
#pragma unroll
  for (int p = 0; p < PACKS; ++p) {
    if ((static_cast<long long>(p) * blockDim.x + threadIdx.x) * W >= a.d) continue;
#pragma unroll
    for (int k = 0; k < W; ++k) squares += (x[p][k] - mean) * (x[p][k] - mean);
  }
  const float scale = 1.0f / sqrtf(over_block<Sum>(squares) / a.d + a.eps);
#pragma unroll
  for (int p = 0; p < PACKS; ++p) {
    const long long i = (static_cast<long long>(p) * blockDim.x + threadIdx.x) * W;
    if (i >= a.d) continue;
    float gain[W], bias[W] = {};
    load<float, W>(a.gain, i, gain);
    if (a.bias) load<float, W>(a.bias, i, bias);
#pragma unroll
    for (int k = 0; k < W; ++k) gain[k] = (x[p][k] - mean) * scale * gain[k] + bias[k];
    store<T, W>(a.y, at + i, gain);
  }
  if (threadIdx.x == 0) {
    a.moments[2 * row] = mean;
    a.moments[2 * row + 1] = scale;
  }
}

// Rows of a block are neighbours, so that its sums for gain and bias are those of a fixed share.
template <typename T, int W, int PACKS>
__global__ void norm_backward(const NormArguments a) {
  float gain[PACKS][W], d_gain[PACKS][W] = {}, d_bias[PACKS][W] = {};
#pragma unroll
  for (int p = 0; p < PACKS; ++p) {
    const long long i = (static_cast<long long>(p) * blockDim.x + threadIdx.x) * W;
    if (i < a.d) load<float, W>(a.gain, i, gain[p]);
  }
  const long long share = (a.rows + gridDim.x - 1) / gridDim.x, from = blockIdx.x * share;
  for (long long row = from; row < from + share && row < a.rows; ++row) {
    const long long at = row * a.d;
    const float mean = a.moments[2 * row], scale = a.moments[2 * row + 1];
    float x[PACKS][W], g[PACKS][W], plain = 0, along = 0;
#pragma unroll
    for (int p = 0; p < PACKS; ++p) {
      const long long i = (static_cast<long long>(p) * blockDim.x + threadIdx.x) * W;
      if (i >= a.d) continue;
      load<T, W>(a.x, at + i, x[p]);
      load<T, W>(a.d_y, at + i, g[p]);
#pragma unroll
      for (int k = 0; k < W; ++k) {
        x[p][k] = (x[p][k] - mean) * scale;
        d_gain[p][k] += g[p][k] * x[p][k];
        d_bias[p][k] += g[p][k];
        g[p][k] *= gain[p][k];
        plain += g[p][k];
        along += g[p][k] * x[p][k];
      }
    }
    const float shift = a.centred ? over_block<Sum>(plain) / a.d : 0.0f, slope = over_block<Sum>(along) / a.d;
#pragma unroll
    for (int p = 0; p < PACKS; ++p) {
      const long long i = (static_cast<long long>(p) * blockDim.x + threadIdx.x) * W;
      if (i >= a.d) continue;
      float d_x[W] = {};
      if (a.d_stream) load<T, W>(a.d_stream, at + i, d_x);
#pragma unroll
      for (int k = 0; k < W; ++k) d_x[k] += (g[p][k] - shift - x[p][k] * slope) * scale;
      store<T, W>(a.d_x, at + i, d_x);
    }
  }
#pragma unroll
  for (int p = 0; p < PACKS; ++p) {
    const long long i = (static_cast<long long>(p) * blockDim.x + threadIdx.x) * W;
    if (i >= a.d) continue;
    store<float, W>(a.d_gain, blockIdx.x * a.d + i, d_gain[p]);
    if (a.d_bias) store<float, W>(a.d_bias, blockIdx.x * a.d + i, d_bias[p]);
  }
}
