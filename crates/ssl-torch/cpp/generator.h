// The state of libtorch's random number generators, of which there is one a device.
#pragma once
#include "shim.h"
#include <ATen/Context.h>
#include <mutex>

inline at::Tensor generator_state(at::Device device) {
  at::Generator generator = at::globalContext().defaultGenerator(device);
  std::lock_guard<std::mutex> lock(generator.mutex());
  return generator.get_state();
}

inline void set_generator_state(at::Device device, const at::Tensor& state) {
  at::Generator generator = at::globalContext().defaultGenerator(device);
  std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_state(state);
}

// Devices as numbers: -1 is the CPU, others are those of CUDA.
inline at::Device device_of(int number) {
  return number < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(number));
}
