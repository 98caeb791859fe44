// The inner loop of rotary positions, compiled once for each kind of vector unit by rotate.cpp; hence no include guard.
#include "vector.h"

// Turns `half` pairs; the other member of each lies `half` further on. `sign` -1 turns back.
template <typename T>
static void rotate_row(const T* x, const T* cos, const T* sin, int64_t half, float sign, T* y) {
  sweep(half, EACH {
    const Vec first = get(x, i, n), second = get(x + half, i, n), c = get(cos, i, n), s = get(sin, i, n) * sign;
    put(y, i, n, first * c - second * s);
    put(y + half, i, n, second * c + first * s);
  });
}
