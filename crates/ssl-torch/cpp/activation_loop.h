// The inner loops of activations, compiled once for each kind of vector unit by activation.cpp; hence no include guard.

#include "vector.h"

// Phi(x), the share of a normal distribution below x, to 5e-7 of its value; `power` is e^(-x²/2).
//
// With z = |x| / sqrt(2) and t = 1 / (1 + 0.4 z), erfc(z) = e^(-z²) t P(t): P was fitted to the complementary error function
// scaled by e^(z²), by least squares weighted towards the least largest relative error, on z <= 9.4.
INLINE Vec normal_share(Vec x, Vec power) {
  const Vec t = 1.0f / (1.0f + 0.2828427125f * (x < 0.0f ? -x : x));
  Vec p = t * 0.04005596414208412f - 0.13442641496658325f;
  p = p * t + 0.07164620608091354f;
  p = p * t + 0.10228942334651947f;
  p = p * t + 0.06970293074846268f;
  p = p * t + 0.19774982333183289f;
  p = p * t + 0.20075218379497528f;
  p = p * t + 0.22660544514656067f;
  p = p * t + 0.22562450170516968f;
  const Vec tail = 0.5f * power * t * p;
  return x < 0.0f ? tail : 1.0f - tail;
}

// 1 / (1 + e^-x)
INLINE Vec sigmoid(Vec x) {
  const Vec power = exponential(x < 0.0f ? x : -x), inverse = 1.0f / (1.0f + power);
  return x < 0.0f ? power * inverse : inverse;
}

// A value and its derivative.
struct Value {
  Vec at, slope;
};

template <int KIND>
INLINE Value activated(Vec x) {
  if (KIND == SILU) {
    const Vec s = sigmoid(x);
    return {x * s, s * (1.0f + x * (1.0f - s))};
  }
  if (KIND == GELU_TANH) {
    // tanh(u) = 2 sigmoid(2u) - 1, which is 1 or 0 to the last bit where x is held.
    const Vec held = x > 20.0f ? Vec{} + 20.0f : x < -20.0f ? Vec{} - 20.0f : x, square = held * held;
    const Vec s = sigmoid(1.5957691216f * held * (1.0f + 0.044715f * square));
    return {x * s, s + held * s * (1.0f - s) * 1.5957691216f * (1.0f + 3.0f * 0.044715f * square)};
  }
  const Vec power = exponential(-0.5f * x * x), share = normal_share(x, power);
  return {x * share, share + 0.3989422804f * x * power};
}

// A row of `n`: y = f(x), times the gate's other side where there is one.
template <typename T, int KIND>
static void forward_row(const Row<T>& row) {
  const Row<T> r = row;
  sweep(r.n, EACH {
    Vec y = activated<KIND>(get(r.x, i, n)).at;
    if (r.up) y *= get(r.up, i, n);
    put(r.y, i, n, y);
  });
}

template <typename T, int KIND>
static void backward_row(const Row<T>& row) {
  const Row<T> r = row;
  sweep(r.n, EACH {
    const Value f = activated<KIND>(get(r.x, i, n));
    Vec d = get(r.d_y, i, n);
    if (r.up) {
      put(r.d_up, i, n, d * f.at);
      d *= get(r.up, i, n);
    }
    put(r.d_x, i, n, d * f.slope);
  });
}

template <typename T>
static void forward_any(const Row<T>& r, int kind) {
  if (kind == GELU) forward_row<T, GELU>(r);
  else if (kind == GELU_TANH) forward_row<T, GELU_TANH>(r);
  else forward_row<T, SILU>(r);
}

template <typename T>
static void backward_any(const Row<T>& r, int kind) {
  if (kind == GELU) backward_row<T, GELU>(r);
  else if (kind == GELU_TANH) backward_row<T, GELU_TANH>(r);
  else backward_row<T, SILU>(r);
}
