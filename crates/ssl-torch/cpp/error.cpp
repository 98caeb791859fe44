// Exceptions to codes.
#include "shim.h"
#include <new>
#include <string>

static thread_local std::string last;

static int put(int code, const char* text) noexcept {
  try {
    last = text ? text : "";
  } catch (...) {
  }
  return code;
}

int classify() noexcept {
  try {
    throw;
  } catch (const c10::OutOfMemoryError& e) {
    return put(OUT_OF_MEMORY, e.what_without_backtrace());
  } catch (const c10::Error& e) {
    return put(FAILED, e.what_without_backtrace());
  } catch (const std::bad_alloc& e) {
    return put(OUT_OF_MEMORY, e.what());
  } catch (const std::exception& e) {
    return put(FAILED, e.what());
  } catch (...) {
    return put(FAILED, "unknown C++ exception");
  }
}

extern "C" {

const char* ssl_last_error() { return last.c_str(); }

void ssl_set_error(const char* text) { put(FAILED, text); }
}
