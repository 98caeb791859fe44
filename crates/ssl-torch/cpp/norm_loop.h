// The inner loops of normalisation, compiled once for each kind of vector unit by norm.cpp; hence no include guard.

#include "vector.h"

// A row of features and what belongs to it; absent tensors are null.
template <typename T>
static void forward_row(const Row<T>& row, float* held) {
  const Row<T> r = row;
  const int64_t d = r.d;
  Vec sum = {};
  sweep(d, EACH {
    Vec x = get(r.x, i, n);
    if (r.branch) {
      put(r.stream, i, n, x + get(r.branch, i, n));
      // What is normalised is what is kept, rounded.
      x = get(r.stream, i, n);
    }
    put(held + i, x);
    sum += x;
  });
  const float mean = r.centred ? sum_of(sum) / d : 0.0f;
  Vec squares = {};
  int64_t whole = 0;
  for (; whole + LANES <= d; whole += LANES) {
    const Vec x = get(held + whole) - mean;
    squares += x * x;
  }
  float rest = 0;
  for (int64_t i = whole; i < d; ++i) rest += (held[i] - mean) * (held[i] - mean);
  const float scale = 1.0f / __builtin_sqrtf((sum_of(squares) + rest) / d + r.eps);
  sweep(d, EACH {
    Vec y = (get(held + i) - mean) * scale * get(r.gain, i, n);
    if (r.bias) y += get(r.bias, i, n);
    put(r.y, i, n, y);
  });
  r.moments[0] = mean;
  r.moments[1] = scale;
}

// With x^ = (x - mean) scale and g = d_y gain: d_x = scale (g - mean(g) - x^ mean(g x^)), the middle term of centred rows alone.
template <typename T>
static void backward_row(const Row<T>& row, float*) {
  const Row<T> r = row;
  const int64_t d = r.d;
  const float mean = r.moments[0], scale = r.moments[1];
  Vec plain = {}, along = {};
  sweep(d, EACH {
    const Vec x = (get(r.x, i, n) - mean) * scale, d_y = get(r.d_y, i, n), g = d_y * get(r.gain, i, n);
    plain += g;
    along += g * x;
    put(r.d_gain, i, n, get(r.d_gain, i, n) + d_y * x);
    if (r.d_bias) put(r.d_bias, i, n, get(r.d_bias, i, n) + d_y);
  });
  const float shift = r.centred ? sum_of(plain) / d : 0.0f, slope = sum_of(along) / d;
  sweep(d, EACH {
    const Vec x = (get(r.x, i, n) - mean) * scale, g = get(r.d_y, i, n) * get(r.gain, i, n);
    Vec d_x = (g - shift - x * slope) * scale;
    if (r.d_stream) d_x += get(r.d_stream, i, n);
    put(r.d_x, i, n, d_x);
  });
}
