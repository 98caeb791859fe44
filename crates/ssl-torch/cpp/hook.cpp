// Hooks that run as soon as a leaf's gradient is complete, and call Rust.
#include "callback.h"
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

namespace {

using Call = int (*)(void*, Handle);

struct Hook : torch::autograd::PostAccumulateGradHook {
  Closure closure;
  Call call;

  Hook(Closure closure, Call call) : closure(std::move(closure)), call(call) {}

  void operator()(const at::Tensor& leaf) override {
    // A hold of our own: the closure may take its hook away while it runs, and this object with it.
    Closure own = closure;
    at::Tensor handle = leaf;
    TORCH_CHECK(call(own.get(), &handle) == OK, "a hook failed: ", ssl_last_error());
  }
};

}  // namespace

extern "C" {

// The closure is C++'s from here on: it goes with the hook, with the leaf, or with this call where it fails.
int ssl_hook(Handle leaf, void* data, Call call, void (*drop)(void*)) {
  GUARD({
    Closure closure = keep(data, drop);
    TORCH_CHECK(leaf->defined() && leaf->is_leaf() && leaf->requires_grad(), "a hook stands on a leaf that gets a gradient");
    TORCH_CHECK(!torch::autograd::impl::post_acc_grad_hooks(*leaf), "this leaf has a hook already");
    torch::autograd::impl::set_post_acc_grad_hooks(*leaf, std::make_unique<Hook>(std::move(closure), call));
  })
}

int ssl_unhook(Handle leaf) { GUARD(torch::autograd::impl::set_post_acc_grad_hooks(*leaf, nullptr)) }
}
