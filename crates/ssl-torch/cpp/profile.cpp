// Traces of operations, by libtorch's profiler (Kineto), in the format of Chrome's tracing.
#include "shim.h"
#include <ATen/record_function.h>
#include <torch/csrc/autograd/profiler_kineto.h>

using namespace torch::profiler::impl;

extern "C" {

int ssl_trace_start(int cuda) {
  GUARD({
    ProfilerConfig config(ProfilerState::KINETO, /*report_input_shapes=*/true);
    std::set<ActivityType> activities{ActivityType::CPU};
    if (cuda) activities.insert(ActivityType::CUDA);
    torch::autograd::profiler::prepareProfiler(config, activities);
    torch::autograd::profiler::enableProfiler(
        config, activities, {at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION, at::RecordScope::USER_SCOPE});
  })
}

// Ends the trace; without a path it is thrown away.
int ssl_trace_stop(const char* path) {
  GUARD({
    auto result = torch::autograd::profiler::disableProfiler();
    if (path) result->save(path);
  })
}

// A named stretch of time, until `ssl_range_end`.
int ssl_range_begin(const char* name, void** range) {
  GUARD({
    auto record = std::make_unique<at::RecordFunction>(at::RecordScope::USER_SCOPE);
    if (record->isActive()) record->before(std::string(name));
    *range = record.release();
  })
}

int ssl_range_end(void* range) { GUARD(delete static_cast<at::RecordFunction*>(range)) }
}
