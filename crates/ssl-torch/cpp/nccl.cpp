// Collectives between CUDA devices over NCCL, as a c10d backend like Gloo's, so that what serves one group serves both.
//
// NCCL comes with CUDA's half of libtorch; its few functions are found by name in what is loaded. Each collective runs on a stream of its
// own after what the current stream has been given, and a wait looks at the clock, so that a rank that is gone ends the others.
#include "shim.h"
#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <chrono>
#include <cstring>
#include <mutex>
#include <thread>

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int64_t ID_BYTES = 128;
struct Id {
  char bytes[ID_BYTES];
};
using Communicator = void*;

// Of NCCL's header.
enum Result { SUCCESS = 0, IN_PROGRESS = 7 };
enum Operation { SUM = 0 };

// The options as of version 2.14, which later ones read too.
struct Options {
  size_t size = sizeof(Options);
  unsigned magic = 0xcafebeef, version = 21400;
  int blocking = 0;
};

struct Calls {
  int (*id)(Id*);
  int (*init)(Communicator*, int, Id, int, Options*);
  int (*state)(Communicator, int*);
  int (*abort)(Communicator);
  const char* (*error)(int);
  int (*all_reduce)(const void*, void*, size_t, int, int, Communicator, void*);
  int (*reduce)(const void*, void*, size_t, int, int, int, Communicator, void*);
  int (*broadcast)(const void*, void*, size_t, int, int, Communicator, void*);
  int (*all_gather)(const void*, void*, size_t, int, Communicator, void*);
  int (*reduce_scatter)(const void*, void*, size_t, int, int, Communicator, void*);
};

template <typename F>
void find(const char* name, F& f) {
  f = reinterpret_cast<F>(dlsym(RTLD_DEFAULT, name));
  TORCH_CHECK(f, "NCCL is not loaded: there is no ", name);
}

const Calls& calls() {
  static const Calls found = [] {
    Calls c;
    find("ncclGetUniqueId", c.id), find("ncclCommInitRankConfig", c.init), find("ncclCommGetAsyncError", c.state);
    find("ncclCommAbort", c.abort), find("ncclGetErrorString", c.error), find("ncclAllReduce", c.all_reduce);
    find("ncclReduce", c.reduce), find("ncclBroadcast", c.broadcast), find("ncclAllGather", c.all_gather);
    find("ncclReduceScatter", c.reduce_scatter);
    return c;
  }();
  return found;
}

int type_of(const at::Tensor& x) {
  switch (x.scalar_type()) {
    case at::kByte: return 1;
    case at::kInt: return 2;
    case at::kLong: return 4;
    case at::kHalf: return 6;
    case at::kFloat: return 7;
    case at::kDouble: return 8;
    case at::kBFloat16: return 9;
    default: TORCH_CHECK(false, "NCCL sends no ", x.scalar_type());
  }
}

// One rank's end of the connection.
struct Link {
  Communicator raw = nullptr;
  at::Device device;
  milliseconds timeout;
  std::mutex turn;

  Link(const Id& id, int rank, int world, milliseconds limit, at::Device on) : device(on), timeout(limit) {
    const c10::DeviceGuard here(device);
    Options options;
    settle(calls().init(&raw, world, id, rank, &options));
  }

  ~Link() {
    // Also where all is well: nobody waits for the others here.
    if (raw) calls().abort(raw);
  }

  void check(int code) const { TORCH_CHECK(code == SUCCESS || code == IN_PROGRESS, "NCCL: ", calls().error(code)); }

  // Waits until NCCL has taken what it was given.
  void settle(int code) {
    check(code);
    for (const auto until = steady_clock::now() + timeout; code == IN_PROGRESS; std::this_thread::sleep_for(milliseconds(1))) {
      TORCH_CHECK(raw, "NCCL: no connection");
      check(calls().state(raw, &code));
      check(code);
      if (code == IN_PROGRESS) late(until);
    }
  }

  void late(steady_clock::time_point until) {
    if (steady_clock::now() < until) return;
    calls().abort(std::exchange(raw, nullptr));
    TORCH_CHECK(false, "Timed out waiting ", timeout.count(), "ms for NCCL");
  }

  // Waits for a point on the stream.
  void reach(const c10::Event& event) {
    const auto until = steady_clock::now() + timeout;
    for (int turns = 0; !event.query(); ++turns) {
      int code = SUCCESS;
      TORCH_CHECK(raw, "NCCL: the connection is gone");
      check(calls().state(raw, &code));
      check(code);
      late(until);
      if (turns > 100) std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
};

struct Under final : c10d::Work {
  std::shared_ptr<Link> link;
  c10::Event end{c10::DeviceType::CUDA};

  explicit Under(std::shared_ptr<Link> on) : link(std::move(on)) {}

  bool wait(milliseconds) override {
    const c10::DeviceGuard here(link->device);
    link->reach(end);
    return true;
  }
};

using WorkPtr = c10::intrusive_ptr<c10d::Work>;

struct Nccl final : c10d::Backend {
  std::shared_ptr<Link> link;
  c10::Stream side;

  Nccl(const Id& id, int rank, int world, milliseconds timeout, at::Device device)
      : Backend(rank, world), link(std::make_shared<Link>(id, rank, world, timeout, device)),
        side(c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device, true)) {}

  const std::string getBackendName() const override { return "nccl"; }

  // Gives NCCL a collective: f(communicator, stream).
  template <typename F>
  WorkPtr give(const at::Tensor& tensor, F f) {
    TORCH_CHECK(tensor.device() == link->device && tensor.is_contiguous(), "a tensor on ", tensor.device(), " of a group on ", link->device,
                ", or one that is not contiguous");
    const c10::DeviceGuard here(link->device);
    const std::lock_guard<std::mutex> lock(link->turn);
    TORCH_CHECK(link->raw, "NCCL: the connection is gone");
    c10::Event ready(c10::DeviceType::CUDA);
    ready.record(c10::impl::VirtualGuardImpl(link->device.type()).getStream(link->device));
    ready.block(side);
    auto work = c10::make_intrusive<Under>(link);
    link->settle(f(link->raw, side.native_handle()));
    work->end.record(side);
    return work;
  }

  WorkPtr allreduce(std::vector<at::Tensor>& list, const c10d::AllreduceOptions&) override {
    const at::Tensor& x = list.at(0);
    return give(x, [&](auto on, auto stream) { return calls().all_reduce(x.data_ptr(), x.data_ptr(), x.numel(), type_of(x), SUM, on, stream); });
  }

  WorkPtr reduce(std::vector<at::Tensor>& list, const c10d::ReduceOptions& options) override {
    const at::Tensor& x = list.at(0);
    const int root = static_cast<int>(options.rootRank);
    return give(x, [&](auto on, auto stream) { return calls().reduce(x.data_ptr(), x.data_ptr(), x.numel(), type_of(x), SUM, root, on, stream); });
  }

  WorkPtr broadcast(std::vector<at::Tensor>& list, const c10d::BroadcastOptions& options) override {
    const at::Tensor& x = list.at(0);
    const int root = static_cast<int>(options.rootRank);
    return give(x, [&](auto on, auto stream) { return calls().broadcast(x.data_ptr(), x.data_ptr(), x.numel(), type_of(x), root, on, stream); });
  }

  WorkPtr _allgather_base(at::Tensor& all, at::Tensor& own, const c10d::AllgatherOptions&) override {
    TORCH_CHECK(all.numel() == own.numel() * getSize(), "no room for ", getSize(), " times ", own.numel(), " in ", all.numel());
    return give(all, [&](auto on, auto stream) { return calls().all_gather(own.data_ptr(), all.data_ptr(), own.numel(), type_of(own), on, stream); });
  }

  WorkPtr _reduce_scatter_base(at::Tensor& own, at::Tensor& all, const c10d::ReduceScatterOptions&) override {
    TORCH_CHECK(all.numel() == own.numel() * getSize(), getSize(), " parts of ", own.numel(), " are not ", all.numel());
    return give(own, [&](auto on, auto stream) { return calls().reduce_scatter(all.data_ptr(), own.data_ptr(), own.numel(), type_of(own), SUM, on, stream); });
  }
};

}  // namespace

extern "C" {

// What the ranks of a new group recognise each other by: rank 0 makes it, into u8 [128] on the CPU.
int ssl_nccl_id(Handle id) {
  GUARD({
    TORCH_CHECK(id->is_cpu() && id->is_contiguous() && id->scalar_type() == at::kByte && id->numel() == ID_BYTES, "an id is u8 [128] on the CPU");
    Id made;
    const int code = calls().id(&made);
    TORCH_CHECK(code == SUCCESS, "NCCL: ", calls().error(code));
    std::memcpy(id->data_ptr(), made.bytes, ID_BYTES);
  })
}

int ssl_group_nccl(Handle id, int rank, int world, int64_t timeout_ms, int device, void** out) {
  GUARD({
    TORCH_CHECK(id->is_cpu() && id->is_contiguous() && id->scalar_type() == at::kByte && id->numel() == ID_BYTES, "an id is u8 [128] on the CPU");
    Id known;
    std::memcpy(known.bytes, id->data_ptr(), ID_BYTES);
    const at::Device on(at::kCUDA, static_cast<c10::DeviceIndex>(device));
    *out = new c10::intrusive_ptr<c10d::Backend>(c10::make_intrusive<Nccl>(known, rank, world, milliseconds(timeout_ms), on));
  })
}
}
