// Processes that compute together: a store where they meet, and collectives between them over Gloo.
//
// Only the making of a group names Gloo. Everything after goes through c10d's `Backend`, so that a group over NCCL (nccl.cpp) uses the
// same functions.
#include "shim.h"
#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <cstring>
#include <mutex>

// The stubs beside this file must give the class the size it has in the library. The number is the operand of `operator new`
// in the library's own `ProcessGroupGloo::split`; read it again (objdump -d libtorch_cpu.so) when libtorch moves.
static_assert(sizeof(c10d::ProcessGroupGloo) == 488, "the layout of ProcessGroupGloo changed; see gloo_stub/gloo/context.h");

using StorePtr = c10::intrusive_ptr<c10d::Store>;
using GroupPtr = c10::intrusive_ptr<c10d::Backend>;
using WorkPtr = c10::intrusive_ptr<c10d::Work>;
using std::chrono::milliseconds;

namespace {

StorePtr& store_of(void* store) { return *static_cast<StorePtr*>(store); }

c10d::Backend& group_of(void* group) { return **static_cast<GroupPtr*>(group); }

// Begins a collective. c10d's recorder of them, one a process, notes a group's first before it takes its own lock (libtorch 2.11,
// `FlightRecorder::recordWithResetEnabled`), so that groups of one process begin in turn. Only Gloo's are recorded, and do not wait to
// begin, as NCCL's may.
template <typename Begin>
WorkPtr* begun(void* group, Begin begin) {
  static std::mutex recorder;
  c10d::Backend& of = group_of(group);
  std::unique_lock<std::mutex> turn(recorder, std::defer_lock);
  if (of.getBackendName() == "gloo") turn.lock();
  return new WorkPtr(begin(of));
}

// c10d prints what it also throws, with its trace; the caller says it once, in its own words.
void quiet() { FLAGS_caffe2_log_level = c10::GLOG_FATAL; }

} // namespace

extern "C" {

int ssl_store_tcp(const char* host, uint16_t port, int serves, int64_t timeout_ms, void** out) {
  GUARD({
    quiet();
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = serves != 0;
    options.waitWorkers = false;
    options.timeout = milliseconds(timeout_ms);
    *out = new StorePtr(c10::make_intrusive<c10d::TCPStore>(std::string(host), options));
  })
}

int ssl_store_file(const char* path, int world, int64_t timeout_ms, void** out) {
  GUARD({
    quiet();
    StorePtr store = c10::make_intrusive<c10d::FileStore>(std::string(path), world);
    store->setTimeout(milliseconds(timeout_ms));
    *out = new StorePtr(std::move(store));
  })
}

// The same store with every key under a name of its own.
int ssl_store_within(void* store, const char* prefix, void** out) {
  GUARD(*out = new StorePtr(c10::make_intrusive<c10d::PrefixStore>(std::string(prefix), store_of(store))))
}

int ssl_store_set(void* store, const char* key, const char* value) {
  GUARD(store_of(store)->set(std::string(key), std::string(value)))
}

int ssl_store_has(void* store, const char* key, int* has) { GUARD(*has = store_of(store)->check({std::string(key)})) }

// Writes as much of the value as there is room for, and how long it is.
int ssl_store_get(void* store, const char* key, char* value, int64_t room, int64_t* length) {
  GUARD({
    auto found = store_of(store)->get(std::string(key));
    *length = static_cast<int64_t>(found.size());
    std::memcpy(value, found.data(), std::min<size_t>(found.size(), room));
  })
}

void ssl_store_free(void* store) {
  try {
    delete static_cast<StorePtr*>(store);
  } catch (...) {
  }
}

// `host` is the address to be reached at; where it is null, `interface` names the network interface.
int ssl_group_gloo(void* store, int rank, int world, int64_t timeout_ms, const char* host, const char* interface, void** out) {
  GUARD({
    using Gloo = c10d::ProcessGroupGloo;
    auto options = Gloo::Options::create(milliseconds(timeout_ms));
    // Two, so that one collective can begin while another ends.
    options->threads = 2;
    options->devices.push_back(host ? Gloo::createDeviceForHostname(host) : Gloo::createDeviceForInterface(interface));
    GroupPtr group = c10::make_intrusive<Gloo>(store_of(store), rank, world, options);
    *out = new GroupPtr(std::move(group));
  })
}

void ssl_group_free(void* group) {
  try {
    delete static_cast<GroupPtr*>(group);
  } catch (...) {
  }
}

int ssl_group_all_reduce(void* group, Handle tensor, void** work) {
  GUARD({
    std::vector<at::Tensor> tensors{*tensor};
    *work = begun(group, [&](c10d::Backend& of) { return of.allreduce(tensors); });
  })
}

int ssl_group_reduce(void* group, Handle tensor, int root, void** work) {
  GUARD({
    std::vector<at::Tensor> tensors{*tensor};
    c10d::ReduceOptions options;
    options.rootRank = root;
    *work = begun(group, [&](c10d::Backend& of) { return of.reduce(tensors, options); });
  })
}

int ssl_group_broadcast(void* group, Handle tensor, int root, void** work) {
  GUARD({
    std::vector<at::Tensor> tensors{*tensor};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    *work = begun(group, [&](c10d::Backend& of) { return of.broadcast(tensors, options); });
  })
}

int ssl_group_all_gather(void* group, Handle all, Handle own, void** work) {
  GUARD(*work = begun(group, [&](c10d::Backend& of) { return of._allgather_base(*all, *own); }))
}

int ssl_group_reduce_scatter(void* group, Handle own, Handle all, void** work) {
  GUARD(*work = begun(group, [&](c10d::Backend& of) { return of._reduce_scatter_base(*own, *all); }))
}

int ssl_group_send(void* group, Handle tensor, int to, void** work) {
  GUARD({
    std::vector<at::Tensor> tensors{*tensor};
    *work = begun(group, [&](c10d::Backend& of) { return of.send(tensors, to, 0); });
  })
}

int ssl_group_receive(void* group, Handle tensor, int from, void** work) {
  GUARD({
    std::vector<at::Tensor> tensors{*tensor};
    *work = begun(group, [&](c10d::Backend& of) { return of.recv(tensors, from, 0); });
  })
}

int ssl_group_barrier(void* group, void** work) { GUARD(*work = begun(group, [&](c10d::Backend& of) { return of.barrier(); })) }

// Waits for the end of a collective, which the group's timeout bounds.
int ssl_work_wait(void* work) { GUARD((*static_cast<WorkPtr*>(work))->wait()) }

void ssl_work_free(void* work) {
  try {
    delete static_cast<WorkPtr*>(work);
  } catch (...) {
  }
}

} // extern "C"
