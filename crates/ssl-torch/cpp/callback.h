// A Rust closure in C++'s keeping, dropped when the last who holds it lets go.
#pragma once
#include "shim.h"
#include <memory>

using Closure = std::shared_ptr<void>;

// Takes the closure over; `drop` does not throw.
inline Closure keep(void* data, void (*drop)(void*)) { return Closure(data, drop); }
