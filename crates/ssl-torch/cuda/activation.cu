// Activations and gates: see cpp/activation.cpp. Each thread has W neighbours of one row.

enum Kind { GELU = 0, GELU_TANH = 1, SILU = 2 };

struct Value {
  float at, slope;
};

// The share of a normal distribution below -|x|, to 5e-7 of its value, where the constants come from cpp/activation_loop.h.
__device__ inline float tail(float x, float bell, float type) {
  const float t = inverse(1.0f + 0.2828427125f * fabsf(x), type);
  float p = t * 0.04005596414208412f - 0.13442641496658325f;
  p = p * t + 0.07164620608091354f;
  p = p * t + 0.10228942334651947f;
  p = p * t + 0.06970293074846268f;
  p = p * t + 0.19774982333183289f;
  p = p * t + 0.20075218379497528f;
  p = p * t + 0.22660544514656067f;
  p = p * t + 0.22562450170516968f;
  return 0.5f * bell * t * p;
}

// The same to 7e-5, a thirtieth of what bf16 tells apart, and fitted alike: t = 1 / (1 + 0.35 z).
__device__ inline float tail(float x, float bell, bf16 type) {
  const float t = inverse(1.0f + 0.2474873734f * fabsf(x), type);
  float p = t * 0.52173032f - 0.26733121f;
  p = p * t + 0.39409185f;
  p = p * t + 0.14987313f;
  p = p * t + 0.20156784f;
  return 0.5f * bell * t * p;
}

template <typename T, int KIND>
__device__ inline Value activated(float x) {
  if (KIND == GELU) {
    const float bell = power(-0.5f * x * x, T{}), rest = tail(x, bell, T{}), share = x < 0.0f ? rest : 1.0f - rest;
    return {x * share, share + 0.3989422804f * x * bell};
  }
  // tanh(u) = 2 sigmoid(2u) - 1.
  const float held = fminf(fmaxf(x, -20.0f), 20.0f);
  const float u = KIND == SILU ? x : 1.5957691216f * held * (1.0f + 0.044715f * held * held);
  const float slope = KIND == SILU ? 1.0f : 1.5957691216f * (1.0f + 3.0f * 0.044715f * held * held);
  const float small = power(-fabsf(u), T{}), over = inverse(1.0f + small, T{}), s = u < 0.0f ? small * over : over;
  return {x * s, s + (KIND == SILU ? x : held) * s * (1.0f - s) * slope};
}

struct Place {
  bool inside;
  long long row, i;
};

// The row and the first feature of this thread; a division that single rows do without costs as much as an activation.
template <int W>
__device__ inline Place place(const ActivationArguments& a) {
  const long long across = a.n / W, pack = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (a.rows == 1) return {pack < across, 0, pack * W};
  const long long row = pack / across;
  return {row < a.rows, row, (pack - row * across) * W};
}

template <typename T, int W, int KIND>
__global__ void activation_forward(const ActivationArguments a) {
  const Place at = place<W>(a);
  if (!at.inside) return;
  const long long row = at.row, i = at.i;
  float x[W];
  load<T, W>(a.x, row * a.x_row + i, x);
#pragma unroll
  for (int k = 0; k < W; ++k) x[k] = activated<T, KIND>(x[k]).at;
  if (a.up) {
    float up[W];
    load<T, W>(a.up, row * a.up_row + i, up);
#pragma unroll
    for (int k = 0; k < W; ++k) x[k] *= up[k];
  }
  store<T, W>(a.y, row * a.y_row + i, x);
}

template <typename T, int W, int KIND>
__global__ void activation_backward(const ActivationArguments a) {
  const Place at = place<W>(a);
  if (!at.inside) return;
  const long long row = at.row, i = at.i;
  float x[W], d[W];
  load<T, W>(a.x, row * a.x_row + i, x);
  load<T, W>(a.d_y, row * a.d_y_row + i, d);
  if (a.up) {
    float up[W];
    load<T, W>(a.up, row * a.up_row + i, up);
#pragma unroll
    for (int k = 0; k < W; ++k) {
      const Value f = activated<T, KIND>(x[k]);
      x[k] = d[k] * up[k] * f.slope;
      d[k] *= f.at;
    }
    store<T, W>(a.d_up, row * a.d_up_row + i, d);
  } else {
#pragma unroll
    for (int k = 0; k < W; ++k) x[k] = d[k] * activated<T, KIND>(x[k]).slope;
  }
  store<T, W>(a.d_x, row * a.d_x_row + i, x);
}
