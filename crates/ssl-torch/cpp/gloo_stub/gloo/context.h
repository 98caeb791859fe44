// libtorch ships ProcessGroupGloo.hpp without the headers of Gloo that it includes. These declarations of ours are what it
// needs to be read: its members hold Gloo's types behind pointers alone, and every definition is in libtorch_cpu. Nothing
// here may be made or called from our side; `static_assert`s in group.cpp hold the layout to the library's own.
#pragma once
#include <chrono>

namespace gloo {
class Context {
 public:
  void setTimeout(std::chrono::milliseconds);
};
} // namespace gloo
