// How much memory tensors hold: on a device by its allocator's count, on the CPU by listening to the allocator.
#include "shim.h"
#include <ATen/DeviceAccelerator.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <algorithm>
#include <cstring>
#include <memory>

namespace {

// Counts what is allocated and freed while it listens.
struct Count : c10::MemoryReportingInfoBase {
  int64_t held = 0, peak = 0;

  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device device) override {
    if (!device.is_cpu()) return;
    held += bytes;
    peak = std::max(peak, held);
  }

  bool memoryProfilingEnabled() const override { return true; }
};

struct Counting {
  std::shared_ptr<Count> count = std::make_shared<Count>();
  c10::DebugInfoGuard listening{c10::DebugInfoKind::PROFILER_STATE, count};
};

}  // namespace

extern "C" {

// Bytes in use and the most since the start or the last reset.
int ssl_device_memory(int device, int64_t* held, int64_t* peak) {
  GUARD({
    auto stats = at::accelerator::getDeviceStats(static_cast<c10::DeviceIndex>(device));
    const auto& bytes = stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)];
    *held = bytes.current;
    *peak = bytes.peak;
  })
}

// `bytes` of data as a tensor on a CUDA device, by way of memory that the device reads by itself: the copy may be under way when this
// returns. One thread copies: to wake sixteen for so little takes longer than the device takes for a step.
int ssl_upload(const void* data, int64_t bytes, const int64_t* shape, int64_t axes, int whole, int device, Handle* out) {
  GUARD({
    const auto options = at::TensorOptions().dtype(whole ? at::kLong : at::kFloat).pinned_memory(true);
    const at::Tensor host = at::empty(at::IntArrayRef(shape, static_cast<size_t>(axes)), options);
    TORCH_CHECK(bytes == static_cast<int64_t>(host.nbytes()), bytes, " bytes do not fill ", host.sizes());
    std::memcpy(host.data_ptr(), data, static_cast<size_t>(bytes));
    const at::Device on(at::kCUDA, static_cast<c10::DeviceIndex>(device));
    *out = new at::Tensor(host.to(on, host.scalar_type(), true));
  })
}

// Counts the bytes of CPU tensors that this thread holds more than before, until `ssl_count_end` on the same thread.
int ssl_count_begin(void** counting) { GUARD(*counting = new Counting()) }

int ssl_count_end(void* counting, int64_t* peak) {
  GUARD({
    std::unique_ptr<Counting> owned(static_cast<Counting*>(counting));
    *peak = owned->count->peak;
  })
}
}
