// Work of a CUDA device, recorded once and launched again as a whole.
//
// libtorch's `CUDAGraph` does the recording, because its allocator and its generators must know of it. The class lives in the library
// that is loaded on demand, and its headers need those of CUDA; so its few functions are found by name at run time.
#include "shim.h"
#include <ATen/DeviceAccelerator.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>
#include <memory>
#include <optional>
#include <utility>

namespace {

using Pool = std::pair<unsigned long long, unsigned long long>;

struct Calls {
  void (*make)(void*, bool);
  void (*destroy)(void*);
  void (*begin)(void*, Pool, int);
  void (*end)(void*);
  void (*replay)(void*);
};

// Room for the object: libtorch 2.11's takes about 200 bytes.
constexpr size_t ROOM = 4096;
// CUDA's cudaStreamCaptureModeThreadLocal: other threads may allocate and copy meanwhile.
constexpr int THREAD_LOCAL = 1;

template <typename F>
void find(const char* name, F& f) {
  f = reinterpret_cast<F>(dlsym(RTLD_DEFAULT, name));
  TORCH_CHECK(f, "this libtorch has no ", name);
}

const Calls& calls() {
  static const Calls found = [] {
    Calls c;
    find("_ZN2at4cuda9CUDAGraphC1Eb", c.make);
    find("_ZN2at4cuda9CUDAGraphD1Ev", c.destroy);
    find("_ZN2at4cuda9CUDAGraph13capture_beginESt4pairIyyE21cudaStreamCaptureMode", c.begin);
    find("_ZN2at4cuda9CUDAGraph11capture_endEv", c.end);
    find("_ZN2at4cuda9CUDAGraph6replayEv", c.replay);
    return c;
  }();
  return found;
}

struct Graph {
  alignas(64) char room[ROOM] = {};
  at::Device device;
  c10::Stream before;
  bool recording = false;

  explicit Graph(at::Device on) : device(on), before(c10::Stream::DEFAULT, on) { calls().make(room, false); }
  ~Graph() {
    try {
      leave();
      calls().destroy(room);
    } catch (...) {
    }
  }

  c10::impl::VirtualGuardImpl guard() const { return c10::impl::VirtualGuardImpl(device.type()); }

  void enter() {
    const c10::Stream side = guard().getStreamFromGlobalPool(device, false);
    guard().getStream(device).synchronize();
    before = guard().exchangeStream(side);
    recording = true;
    calls().begin(room, Pool{0, 0}, THREAD_LOCAL);
  }

  void leave() {
    if (!recording) return;
    recording = false;
    guard().exchangeStream(before);
  }
};

}  // namespace

extern "C" {

// Begins to record what this thread launches on the device, until `ssl_graph_end`; nothing of it runs meanwhile.
int ssl_graph_begin(int device, void** out) {
  GUARD({
    auto graph = std::make_unique<Graph>(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device)));
    const c10::DeviceGuard here(graph->device);
    // What is recorded takes memory of its own; what passes before left behind is given back for it.
    at::accelerator::emptyCache();
    graph->enter();
    *out = graph.release();
  })
}

int ssl_graph_end(void* graph) {
  GUARD({
    auto& g = *static_cast<Graph*>(graph);
    const c10::DeviceGuard here(g.device);
    struct Back {
      Graph& g;
      ~Back() { g.leave(); }
    } back{g};
    calls().end(g.room);
  })
}

int ssl_graph_replay(void* graph) {
  GUARD({
    auto& g = *static_cast<Graph*>(graph);
    const c10::DeviceGuard here(g.device);
    calls().replay(g.room);
  })
}

void ssl_graph_free(void* graph) { delete static_cast<Graph*>(graph); }
}
