// Activations and gated activations with their gradients: one pass over memory each way, and nothing kept but the inputs.
#include "gpu.h"
#include "shim.h"
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <algorithm>
#include <optional>
#include <utility>

namespace {

enum Kind { GELU = 0, GELU_TANH = 1, SILU = 2 };

template <typename T>
struct Row {
  const T *x, *up, *d_y;
  T *y, *d_x, *d_up;
  int64_t n;
};

}  // namespace

#define LOOPS "activation_loop.h"
#include "each_unit.h"

namespace {

template <typename T>
using Loop = void (*)(const Row<T>&, int);

// As rows of features side by side, wherever the rows lie.
at::Tensor rows(const at::Tensor& x) {
  if (!x.defined()) return x;
  const at::Tensor two = x.reshape({-1, x.size(-1)});
  return two.stride(1) == 1 ? two : two.contiguous();
}

template <typename T>
T* at_row(const at::Tensor& x, int64_t row) {
  return x.defined() ? static_cast<T*>(x.data_ptr()) + row * x.stride(0) : nullptr;
}

constexpr int64_t THREADS = 256;

struct Call {
  int kind;
  at::Tensor x, up, d_y, y, d_x, d_up;

  template <typename T>
  void run(Loop<T> loop) const {
    const int64_t n = x.size(1), some = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, n));
    at::parallel_for(0, x.size(0), some, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i)
        loop({at_row<T>(x, i), at_row<T>(up, i), at_row<T>(d_y, i), at_row<T>(y, i), at_row<T>(d_x, i), at_row<T>(d_up, i), n}, kind);
    });
  }

  void launch(const char* kernel) const {
    const int64_t n = x.size(1);
    gpu::Width width;
    for (const at::Tensor& tensor : {x, up, d_y, y, d_x, d_up}) width.rows(tensor, n, tensor.defined() ? tensor.stride(0) : 0);
    const int w = width.of(x);
    const auto row = [](const at::Tensor& tensor) { return tensor.defined() ? tensor.stride(0) : 0; };
    const auto at = [](const at::Tensor& tensor) { return tensor.defined() ? tensor.data_ptr() : nullptr; };
    ActivationArguments a{at(x), at(up), at(d_y), at(y), at(d_x), at(d_up), row(x), row(up), row(d_y), row(y), row(d_x), row(d_up), x.size(0), n};
    // Rows that follow each other everywhere are one.
    const auto follow = [n](const at::Tensor& tensor) { return !tensor.defined() || tensor.stride(0) == n; };
    if (follow(x) && follow(up) && follow(d_y) && follow(y) && follow(d_x) && follow(d_up)) a.n *= std::exchange(a.rows, 1);
    const std::string name = std::string(kernel) + "<" + gpu::name(x) + ", " + std::to_string(w) + ", " + std::to_string(kind) + ">";
    gpu::launch(x.device(), name, (x.numel() / w + THREADS - 1) / THREADS, THREADS, &a);
  }

  void forward() const {
    if (x.is_cuda()) launch("activation_forward");
    else if (x.scalar_type() == at::kFloat) run<float>(BEST_UNIT(forward_any<float>));
    else run<uint16_t>(BEST_UNIT(forward_any<uint16_t>));
  }

  void backward() const {
    if (x.is_cuda()) launch("activation_backward");
    else if (x.scalar_type() == at::kFloat) run<float>(BEST_UNIT(backward_any<float>));
    else run<uint16_t>(BEST_UNIT(backward_any<uint16_t>));
  }
};

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

at::Tensor activated(const at::Tensor& x, const at::Tensor& up, int kind) {
  const at::Tensor y = at::empty(x.sizes(), x.options().requires_grad(false));
  Call{kind, rows(x), rows(up), {}, rows(y)}.forward();
  return y;
}

struct Activation : torch::autograd::Function<Activation> {
  static Variable forward(AutogradContext* ctx, const Variable& x, const std::optional<at::Tensor>& gated, int64_t kind) {
    const at::Tensor up = gated.value_or(at::Tensor());
    ctx->save_for_backward({x, up});
    ctx->saved_data["kind"] = kind;
    return activated(x, up, static_cast<int>(kind));
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    ONCE_DIFFERENTIABLE;
    at::AutoDispatchBelowADInplaceOrView below;
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &up = saved[1];
    const at::Tensor d_x = at::empty(x.sizes(), x.options()), d_up = up.defined() ? at::empty(x.sizes(), x.options()) : up;
    Call{static_cast<int>(ctx->saved_data["kind"].toInt()), rows(x), rows(up), rows(grads[0]), {}, rows(d_x), rows(d_up)}.backward();
    return {d_x, d_up, Variable()};
  }
};

// The same by libtorch's own operations, for other devices and types.
at::Tensor plainly(const at::Tensor& x, const at::Tensor& up, int kind) {
  const at::Tensor y = kind == SILU ? at::silu(x) : at::gelu(x, kind == GELU ? "none" : "tanh");
  return up.defined() ? y * up : y;
}

}  // namespace

extern "C" {

// f(x), times `up` where that is not null; both [.., n] of one type.
int ssl_activation(Handle x, Handle up, int kind, Handle* out) {
  GUARD({
    const at::Tensor none, other = up ? *up : none;
    TORCH_CHECK(x->dim() > 0 && kind >= GELU && kind <= SILU, "no activation ", kind, " of ", x->sizes());
    TORCH_CHECK(!other.defined() || (other.sizes() == x->sizes() && other.scalar_type() == x->scalar_type()), "a gate of ", x->sizes(), " and ",
                x->scalar_type(), " does not meet ", other.sizes(), " and ", other.scalar_type());
    TORCH_CHECK(!other.defined() || other.device() == x->device(), "a gate's sides lie on ", other.device(), " and ", x->device());
    const bool type = x->scalar_type() == at::kFloat || x->scalar_type() == at::kBFloat16;
    const bool ours = x->numel() > 0 && type && (x->is_cpu() || gpu::serves(*x));
    if (ours && !at::GradMode::is_enabled()) *out = new at::Tensor(activated(*x, other, kind));
    else *out = new at::Tensor(ours ? Activation::apply(*x, up ? std::optional<at::Tensor>(*up) : std::nullopt, static_cast<int64_t>(kind)) : plainly(*x, other, kind));
  })
}
}
