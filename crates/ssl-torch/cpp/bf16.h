// bfloat16 as bits: the upper half of a float.
#pragma once
#include <cstdint>

inline float widen(uint16_t bits) {
  uint32_t word = static_cast<uint32_t>(bits) << 16;
  float value;
  __builtin_memcpy(&value, &word, 4);
  return value;
}

// Round to nearest, ties to even; not-a-number stays one.
inline uint16_t narrow(float value) {
  uint32_t word;
  __builtin_memcpy(&word, &value, 4);
  uint32_t rounded = (word + 0x7FFF + ((word >> 16) & 1)) >> 16;
  return value != value ? 0x7FC0 : static_cast<uint16_t>(rounded);
}
