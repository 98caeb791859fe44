// Process-wide switches of libtorch and the allocator, and the loading of CUDA on demand.
#include "gpu.h"
#include "shim.h"
#include <ATen/Parallel.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <dlfcn.h>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#if defined(__GLIBC__)
#include <malloc.h>
#endif
#if defined(_OPENMP)
#include <omp.h>
#endif

extern "C" {

// Keeps freed memory in the process: a training step allocates what the last one freed, and handing pages back to the
// system only to fault them in again costs about a tenth of a step at GPT-2 size.
int ssl_keep_memory() {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 2047 << 20);
  mallopt(M_TOP_PAD, 32 << 20);
#endif
  return OK;
}

// Gives unused memory back to the system.
int ssl_release_memory() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
  return OK;
}

// Ends the helpers of this thread's loops until it has another loop. With the helpers of two threads there are more threads than
// processors, and OpenMP then lets all of them sleep between two loops instead of waiting awake.
void ssl_rest() {
#if defined(_OPENMP)
  omp_pause_resource(omp_pause_soft, omp_get_initial_device());
#endif
}

int ssl_flush_denormals(int on) { GUARD(at::globalContext().setFlushDenormal(on != 0)) }

// libtorch then also fills every new tensor with not-a-number, a twentieth of a step: what we read we have written.
int ssl_deterministic(int on) {
  GUARD({
    at::globalContext().setDeterministicAlgorithms(on != 0, false);
    at::globalContext().setDeterministicFillUninitializedMemory(false);
  })
}

// Bytes that a CUDA device has free, whoever asks for them.
int ssl_free_on_cuda(int64_t device, int64_t* bytes) {
  GUARD({
    const auto info = at::getDeviceAllocator(at::kCUDA)->getMemoryInfo(static_cast<c10::DeviceIndex>(device));
    *bytes = static_cast<int64_t>(info.first);
  })
}

// Loads libtorch_cuda from beside the libtorch_cpu in use; must come before anything that asks whether CUDA is there. `kernels` is the
// source of ours.
int ssl_load_cuda(const char* kernels) {
  GUARD({
    Dl_info info;
    if (!dladdr(reinterpret_cast<void*>(&at::get_num_threads), &info) || !info.dli_fname)
      throw std::runtime_error("cannot tell where libtorch_cpu was loaded from");
    const auto folder = std::filesystem::canonical(info.dli_fname).parent_path();
    // Without it cuBLAS sums in an order that changes from run to run, and libtorch refuses deterministic products.
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
    if (!dlopen((folder / "libtorch_cuda.so").c_str(), RTLD_NOW | RTLD_GLOBAL)) throw std::runtime_error(dlerror());
    gpu::prepare(kernels, folder.string());
  })
}
}
