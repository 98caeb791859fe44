#include "gpu.h"
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <vector>

namespace gpu {
namespace {

// What we use of NVRTC and of the driver, declared here because their headers are not at hand where this is built.
using Program = void*;
using Module = void*;
using Function = void*;

// CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR; the minor number is the next.
constexpr int MAJOR = 75;

struct Libraries {
  int (*create)(Program*, const char*, const char*, int, const char* const*, const char* const*);
  int (*name)(Program, const char*);
  int (*compile)(Program, int, const char* const*);
  int (*lowered)(Program, const char*, const char**);
  int (*log_size)(Program, size_t*);
  int (*log)(Program, char*);
  int (*code_size)(Program, size_t*);
  int (*code)(Program, char*);
  int (*destroy)(Program*);
  int (*load)(Module*, const void*);
  int (*function)(Function*, Module, const char*);
  int (*attribute)(int*, int, int);
  int (*device)(int*);
  int (*launch)(Function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
  int (*error)(int, const char**);
};

std::string source;
std::unique_ptr<Libraries> libraries;

void* open(const std::vector<std::string>& names) {
  for (const auto& name : names)
    if (void* found = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) return found;
  return nullptr;
}

template <typename F>
bool find(void* library, const char* name, F& f) {
  f = reinterpret_cast<F>(dlsym(library, name));
  return f != nullptr;
}

// NVRTC looks for its second half by name alone, which succeeds where that is loaded already.
void open_beside(void* of) {
  Dl_info info;
  if (!dladdr(of, &info) || !info.dli_fname) return;
  std::error_code ignored;
  for (const auto& file : std::filesystem::directory_iterator(std::filesystem::path(info.dli_fname).parent_path(), ignored))
    if (file.path().filename().string().rfind("libnvrtc-builtins.so", 0) == 0) dlopen(file.path().c_str(), RTLD_NOW | RTLD_GLOBAL);
}

// One kernel for one device.
struct Key {
  int device;
  std::string kernel;
  bool operator<(const Key& other) const { return std::tie(device, kernel) < std::tie(other.device, other.kernel); }
};

void driver(int code, const char* what) {
  if (code == 0) return;
  const char* text = nullptr;
  libraries->error(code, &text);
  TORCH_CHECK(false, "CUDA driver: ", what, ": ", text ? text : "unknown error");
}

Function compile(const std::string& kernel) {
  const Libraries& l = *libraries;
  int device = 0, major = 0, minor = 0;
  driver(l.device(&device), "no current device");
  driver(l.attribute(&major, MAJOR, device), "compute capability");
  driver(l.attribute(&minor, MAJOR + 1, device), "compute capability");
  Program program = nullptr;
  TORCH_CHECK(l.create(&program, source.c_str(), "ssl.cu", 0, nullptr, nullptr) == 0, "NVRTC: cannot begin");
  std::unique_ptr<Program, void (*)(Program*)> owned(&program, [](Program* p) { libraries->destroy(p); });
  TORCH_CHECK(l.name(program, kernel.c_str()) == 0, "NVRTC: no kernel ", kernel);
  const std::string architecture = "--gpu-architecture=sm_" + std::to_string(major) + std::to_string(minor);
  const char* options[] = {architecture.c_str(), "--std=c++17"};
  if (l.compile(program, 2, options) != 0) {
    size_t size = 0;
    l.log_size(program, &size);
    std::string log(size, ' ');
    l.log(program, log.data());
    TORCH_CHECK(false, "NVRTC: ", kernel, " does not compile: ", log);
  }
  const char* lowered = nullptr;
  TORCH_CHECK(l.lowered(program, kernel.c_str(), &lowered) == 0, "NVRTC: no kernel ", kernel);
  size_t size = 0;
  TORCH_CHECK(l.code_size(program, &size) == 0, "NVRTC: no code for ", kernel);
  std::string code(size, ' ');
  TORCH_CHECK(l.code(program, code.data()) == 0, "NVRTC: no code for ", kernel);
  Module module = nullptr;
  Function function = nullptr;
  driver(l.load(&module, code.data()), kernel.c_str());
  driver(l.function(&function, module, lowered), kernel.c_str());
  return function;
}

// Kernels live as long as the process.
Function function(const Key& key) {
  static std::mutex turn;
  static std::map<Key, Function> known;
  std::lock_guard<std::mutex> lock(turn);
  auto found = known.find(key);
  if (found == known.end()) found = known.emplace(key, compile(key.kernel)).first;
  return found->second;
}

}  // namespace

void prepare(const char* text, const std::string& folder) {
  if (libraries) return;
  void* nvrtc = open({"libnvrtc.so.13", folder + "/../../nvidia/cu13/lib/libnvrtc.so.13", "libnvrtc.so.12",
                      folder + "/../../nvidia/cuda_nvrtc/lib/libnvrtc.so.12"});
  void* cuda = open({"libcuda.so.1"});
  auto l = std::make_unique<Libraries>();
  if (!nvrtc || !cuda) return;
  if (find(nvrtc, "nvrtcCreateProgram", l->create) && find(nvrtc, "nvrtcAddNameExpression", l->name) &&
      find(nvrtc, "nvrtcCompileProgram", l->compile) && find(nvrtc, "nvrtcGetLoweredName", l->lowered) &&
      find(nvrtc, "nvrtcGetProgramLogSize", l->log_size) && find(nvrtc, "nvrtcGetProgramLog", l->log) &&
      find(nvrtc, "nvrtcGetCUBINSize", l->code_size) && find(nvrtc, "nvrtcGetCUBIN", l->code) &&
      find(nvrtc, "nvrtcDestroyProgram", l->destroy) && find(cuda, "cuModuleLoadData", l->load) &&
      find(cuda, "cuModuleGetFunction", l->function) && find(cuda, "cuDeviceGetAttribute", l->attribute) &&
      find(cuda, "cuCtxGetDevice", l->device) && find(cuda, "cuLaunchKernel", l->launch) && find(cuda, "cuGetErrorString", l->error)) {
    open_beside(reinterpret_cast<void*>(l->create));
    source = text;
    libraries = std::move(l);
  }
}

bool serves(const at::Tensor& x) {
  return libraries && x.is_cuda() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

int generation(const at::Device& device) {
  if (!libraries) return 0;
  const c10::DeviceGuard guard(device);
  int current = 0, major = 0;
  driver(libraries->device(&current), "no current device");
  driver(libraries->attribute(&major, MAJOR, current), "compute capability");
  return major;
}

Width& Width::rows(const at::Tensor& x, int64_t n, int64_t stride) {
  if (!x.defined()) return *this;
  const auto wide = static_cast<int64_t>(16 / x.element_size());
  whole = whole && reinterpret_cast<uintptr_t>(x.data_ptr()) % 16 == 0 && n % wide == 0 && stride % wide == 0;
  return *this;
}

void launch(const at::Device& device, const std::string& kernel, int64_t blocks, int64_t threads, const void* arguments) {
  if (blocks <= 0) return;
  TORCH_CHECK(blocks < (int64_t{1} << 31), "too large for one launch of ", kernel, ": ", blocks, " blocks");
  const c10::DeviceGuard guard(device);
  const c10::Stream stream = c10::impl::VirtualGuardImpl(device.type()).getStream(device);
  void* list[] = {const_cast<void*>(arguments)};
  driver(libraries->launch(function({device.index(), kernel}), static_cast<unsigned>(blocks), 1, 1, static_cast<unsigned>(threads), 1, 1, 0,
                           stream.native_handle(), list, nullptr),
         kernel.c_str());
}

}  // namespace gpu
