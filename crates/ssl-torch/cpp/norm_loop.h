// The inner loops of normalisation, compiled once for each kind of vector unit by norm.cpp; hence no include guard.

#include "vector.h"

// A row of features and what belongs to it; absent tensors are null.
template <typename T>
static void forward_row(const Row<T>& r, float* held) {
  const int64_t d = r.d;
  Vec sum = {};
  for (int64_t i = 0; i < d; i += LANES) {
    Vec x = get(r.x, i, d);
    if (r.branch) {
      put(r.stream, i, d, x + get(r.branch, i, d));
      // What is normalised is what is kept, rounded.
      x = get(r.stream, i, d);
    }
    put(held + i, x);
    sum += x;
  }
  const float mean = r.centred ? sum_of(sum) / d : 0.0f;
  Vec squares = {};
  int64_t i = 0;
  for (; i + LANES <= d; i += LANES) {
    const Vec x = get(held + i) - mean;
    squares += x * x;
  }
  float rest = 0;
  for (; i < d; ++i) rest += (held[i] - mean) * (held[i] - mean);
  const float scale = 1.0f / __builtin_sqrtf((sum_of(squares) + rest) / d + r.eps);
  for (i = 0; i < d; i += LANES) {
    Vec y = (get(held + i) - mean) * scale * get(r.gain, i, d);
    if (r.bias) y += get(r.bias, i, d);
    put(r.y, i, d, y);
  }
  r.moments[0] = mean;
  r.moments[1] = scale;
}

// With x^ = (x - mean) scale and g = d_y gain: d_x = scale (g - mean(g) - x^ mean(g x^)), the middle term of centred rows alone.
template <typename T>
static void backward_row(const Row<T>& r, float*) {
  const int64_t d = r.d;
  const float mean = r.moments[0], scale = r.moments[1];
  Vec plain = {}, along = {};
  for (int64_t i = 0; i < d; i += LANES) {
    const Vec x = (get(r.x, i, d) - mean) * scale, d_y = get(r.d_y, i, d), g = d_y * get(r.gain, i, d);
    plain += g;
    along += g * x;
    put(r.d_gain, i, d, get(r.d_gain, i, d) + d_y * x);
    if (r.d_bias) put(r.d_bias, i, d, get(r.d_bias, i, d) + d_y);
  }
  const float shift = r.centred ? sum_of(plain) / d : 0.0f, slope = sum_of(along) / d;
  for (int64_t i = 0; i < d; i += LANES) {
    const Vec x = (get(r.x, i, d) - mean) * scale, g = get(r.d_y, i, d) * get(r.gain, i, d);
    Vec d_x = (g - shift - x * slope) * scale;
    if (r.d_stream) d_x += get(r.d_stream, i, d);
    put(r.d_x, i, d, d_x);
  }
}
