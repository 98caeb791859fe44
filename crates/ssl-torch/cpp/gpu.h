// Kernels for CUDA devices: compiled for the device at first use by NVRTC, launched on the current stream.
//
// The libraries are found when CUDA is loaded, so that one binary runs with and without them, and neither a compiler for CUDA nor its
// headers are needed to build. Where NVRTC or the driver cannot be had, `serves` is false and libtorch's operations do the work.
#pragma once
#include "shim.h"
#include <string>
#include "../cuda/arguments.h"

namespace gpu {

// Whether our kernels work on this tensor: on CUDA, in fp32 or bf16.
bool serves(const at::Tensor& x);

// The major number of a device's compute capability: 8 is Ampere, 9 Hopper. 0 where the driver is not known.
int generation(const at::Device& device);

// The type's name in kernels.
inline const char* name(const at::Tensor& x) { return x.scalar_type() == at::kFloat ? "float" : "bf16"; }

// How many numbers one load takes: 16 bytes' worth where every row of every tensor allows it, else one.
struct Width {
  bool whole = true;
  // Rows of `size` bytes an element, `n` elements, `stride` elements apart; an undefined tensor constrains nothing.
  Width& rows(const at::Tensor& x, int64_t n, int64_t stride);
  int of(const at::Tensor& x) const { return whole ? static_cast<int>(16 / x.element_size()) : 1; }
};

// Launches the kernel of that name, such as "norm_forward<float, 4, 1>".
void launch(const at::Device& device, const std::string& kernel, int64_t blocks, int64_t threads, const void* arguments);

// Takes the kernels' source and finds the libraries, NVRTC also beside the libtorch in `folder`; without them `serves` stays false.
void prepare(const char* source, const std::string& folder);

}  // namespace gpu
