// Normalisation over the last axis, with the addition before it and its gradient's: one pass over memory each way.
#include "gpu.h"
#include "shim.h"
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <algorithm>
#include <optional>
#include <vector>

namespace {

template <typename T>
struct Row {
  const T *x, *branch;
  const float *gain, *bias;
  T *stream, *y;
  // The mean, and one over the deviation.
  float* moments;
  const T *d_stream, *d_y;
  T* d_x;
  float *d_gain, *d_bias;
  int64_t d;
  bool centred;
  float eps;
};

}  // namespace

#define LOOPS "norm_loop.h"
#include "each_unit.h"

namespace {

template <typename T>
using Loop = void (*)(const Row<T>&, float*);

// Rows whose gradients of gain and bias are added up by one thread: a fixed share, so that sums do not depend on the threads.
int64_t share_of(int64_t rows) { return std::max<int64_t>(64, (rows + 63) / 64); }

template <typename T>
T* data(const at::Tensor& x) {
  return x.defined() ? static_cast<T*>(x.data_ptr()) : nullptr;
}

template <typename T>
T* at_row(T* p, int64_t row, int64_t d) {
  return p ? p + row * d : nullptr;
}

// Rows of d features for a block of threads with some packs of w features each; no packs where a row is too long for one.
std::pair<int64_t, int64_t> cut(int64_t d, int64_t w) {
  const int64_t all = (d + w - 1) / w, threads = std::min<int64_t>(512, std::max<int64_t>(32, (all + 31) / 32 * 32));
  for (int64_t packs = 1; packs <= 8; packs *= 2)
    if (packs * threads >= all) return {threads, packs};
  return {0, 0};
}

// Blocks that share the rows of a backward pass on a device, and so the sums for gain and bias that are added up afterwards.
constexpr int64_t BLOCKS = 2048;

struct Call {
  at::Tensor x, branch, gain, bias, stream, y, moments;
  bool centred;
  double eps;
  at::Tensor d_stream, d_y, d_x, d_gain, d_bias;

  template <typename T>
  Row<T> row() const {
    Row<T> row{};
    row.x = data<T>(x), row.branch = data<T>(branch), row.gain = data<float>(gain), row.bias = data<float>(bias);
    row.stream = data<T>(stream), row.y = data<T>(y), row.moments = data<float>(moments);
    row.d_stream = data<T>(d_stream), row.d_y = data<T>(d_y), row.d_x = data<T>(d_x);
    row.d_gain = data<float>(d_gain), row.d_bias = data<float>(d_bias);
    row.d = x.size(-1), row.centred = centred, row.eps = static_cast<float>(eps);
    return row;
  }

  template <typename T>
  void run(Loop<T> loop) const {
    const Row<T> first = row<T>();
    const int64_t d = first.d, rows = d > 0 ? x.numel() / d : 0, share = share_of(rows);
    at::parallel_for(0, (rows + share - 1) / share, 1, [&](int64_t from, int64_t to) {
      std::vector<float> held(d + 16);
      for (int64_t part = from; part < to; ++part)
        for (int64_t i = part * share; i < std::min(rows, (part + 1) * share); ++i) {
          Row<T> row = first;
          row.x = at_row(row.x, i, d), row.branch = at_row(row.branch, i, d), row.stream = at_row(row.stream, i, d);
          row.y = at_row(row.y, i, d), row.moments += 2 * i;
          row.d_stream = at_row(row.d_stream, i, d), row.d_y = at_row(row.d_y, i, d), row.d_x = at_row(row.d_x, i, d);
          row.d_gain = at_row(row.d_gain, part, d), row.d_bias = at_row(row.d_bias, part, d);
          loop(row, held.data());
        }
    });
  }

  // As a kernel is told it; `blocks` of it share the rows.
  void launch(const char* kernel, int64_t blocks) const {
    const int64_t d = x.size(-1);
    gpu::Width width;
    for (const at::Tensor& tensor : {x, branch, gain, bias, stream, y, d_stream, d_y, d_x, d_gain, d_bias}) width.rows(tensor, d, d);
    const int w = width.of(x);
    const auto [threads, packs] = cut(d, w);
    NormArguments a{};
    a.x = data<void>(x), a.branch = data<void>(branch), a.gain = data<float>(gain), a.bias = data<float>(bias);
    a.stream = data<void>(stream), a.y = data<void>(y), a.moments = data<float>(moments);
    a.d_stream = data<void>(d_stream), a.d_y = data<void>(d_y), a.d_x = data<void>(d_x);
    a.d_gain = data<float>(d_gain), a.d_bias = data<float>(d_bias);
    a.rows = d > 0 ? x.numel() / d : 0, a.d = d, a.eps = static_cast<float>(eps), a.centred = centred;
    const std::string name = std::string(kernel) + "<" + gpu::name(x) + ", " + std::to_string(w) + ", " + std::to_string(packs) + ">";
    gpu::launch(x.device(), name, blocks, threads, &a);
  }

  void forward() const {
    if (x.is_cuda()) launch("norm_forward", moments.size(0));
    else if (x.scalar_type() == at::kFloat) run<float>(BEST_UNIT(forward_row<float>));
    else run<uint16_t>(BEST_UNIT(forward_row<uint16_t>));
  }

  void backward() const {
    if (x.is_cuda()) launch("norm_backward", d_gain.size(0));
    else if (x.scalar_type() == at::kFloat) run<float>(BEST_UNIT(backward_row<float>));
    else run<uint16_t>(BEST_UNIT(backward_row<uint16_t>));
  }
};

at::Tensor wide(const at::Tensor& x) { return x.defined() ? x.to(at::kFloat).contiguous() : x; }
at::Tensor dense(const at::Tensor& x) { return x.defined() ? x.contiguous() : x; }

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;
using Optional = std::optional<at::Tensor>;

Optional maybe(const at::Tensor& x) { return x.defined() ? Optional(x) : std::nullopt; }

// The norm of x, or of x and a branch, whose sum then is the call's stream.
Call normalised(const at::Tensor& x, const at::Tensor& branch, const at::Tensor& gain, const at::Tensor& bias, bool centred, double eps) {
  Call call{dense(x), dense(branch), wide(gain), wide(bias)};
  call.stream = branch.defined() ? at::empty_like(call.x) : at::Tensor();
  call.y = at::empty_like(call.x);
  call.moments = at::empty({call.x.numel() / std::max<int64_t>(1, x.size(-1)), 2}, x.options().dtype(at::kFloat));
  call.centred = centred, call.eps = eps;
  call.forward();
  return call;
}

// Gives the stream, where it is asked for or made here, and then its norm.
struct Normalise : torch::autograd::Function<Normalise> {
  static variable_list forward(AutogradContext* ctx, const Variable& x, const Optional& maybe_branch, const Variable& gain,
                               const Optional& maybe_bias, bool centred, double eps, bool fork) {
    const at::Tensor branch = maybe_branch.value_or(at::Tensor()), bias = maybe_bias.value_or(at::Tensor());
    const Call call = normalised(x, branch, gain, bias, centred, eps);
    ctx->set_materialize_grads(false);
    ctx->save_for_backward({branch.defined() ? call.stream : x, gain, call.moments});
    ctx->saved_data["bias"] = bias.defined();
    ctx->saved_data["branch"] = branch.defined();
    ctx->saved_data["centred"] = centred;
    if (branch.defined()) return {call.stream, call.y};
    return fork ? variable_list{x, call.y} : variable_list{call.y};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    ONCE_DIFFERENTIABLE;
    at::AutoDispatchBelowADInplaceOrView below;
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &gain = saved[1], d_y = grads.back();
    const at::Tensor d_stream = grads.size() > 1 ? grads[0] : at::Tensor();
    const bool bias = ctx->saved_data["bias"].toBool(), branch = ctx->saved_data["branch"].toBool();
    const auto give = [&](const at::Tensor& d_x, const at::Tensor& d_gain, const at::Tensor& d_bias) {
      return variable_list{d_x, branch ? d_x : Variable(), d_gain, d_bias, Variable(), Variable(), Variable()};
    };
    if (!d_y.defined()) return give(d_stream, Variable(), Variable());
    Call call{dense(saved[0])};
    call.gain = wide(gain), call.moments = saved[2], call.centred = ctx->saved_data["centred"].toBool();
    call.d_stream = dense(d_stream), call.d_y = dense(d_y), call.d_x = at::empty_like(call.x);
    const int64_t rows = call.moments.size(0), share = share_of(rows);
    const int64_t parts = std::max<int64_t>(1, call.x.is_cuda() ? std::min(rows, BLOCKS) : (rows + share - 1) / share);
    const auto sums = [&] { return call.x.is_cuda() ? at::empty({parts, gain.numel()}, call.gain.options()) : at::zeros({parts, gain.numel()}, call.gain.options()); };
    call.d_gain = sums();
    if (bias) call.d_bias = sums();
    call.backward();
    const auto whole = [&](const at::Tensor& part) { return part.defined() ? part.sum(0).to(gain.scalar_type()) : part; };
    return give(call.d_x, whole(call.d_gain), whole(call.d_bias));
  }
};

// The same by libtorch's own operations, for other devices and types.
variable_list plainly(const at::Tensor& x, const at::Tensor& branch, const at::Tensor& gain, const at::Tensor& bias, bool centred, double eps) {
  const at::Tensor stream = branch.defined() ? x + branch : x;
  if (centred) return {stream, at::layer_norm(stream, gain.sizes(), gain, bias, eps, false)};
  const at::Tensor y = at::rms_norm(stream, gain.sizes(), gain, eps);
  return {stream, bias.defined() ? y + bias : y};
}

}  // namespace

extern "C" {

// x and branch [.., d], gain and bias [d]; branch and bias may be null. `stream` is x + branch, or x, where the caller asks for it.
int ssl_normalise(Handle x, Handle branch, Handle gain, Handle bias, int centred, double eps, Handle* stream, Handle* y) {
  GUARD({
    const at::Tensor none, b = branch ? *branch : none, shift = bias ? *bias : none;
    TORCH_CHECK(x->dim() > 0 && gain->dim() == 1 && x->size(-1) == gain->size(0), "features of ", x->sizes(), " are not those of a gain of ",
                gain->sizes());
    TORCH_CHECK(!shift.defined() || shift.sizes() == gain->sizes(), "a bias of ", shift.sizes(), " beside a gain of ", gain->sizes());
    TORCH_CHECK(!b.defined() || (b.sizes() == x->sizes() && b.scalar_type() == x->scalar_type()), "a branch of ", b.sizes(), " and ",
                b.scalar_type(), " does not join a stream of ", x->sizes(), " and ", x->scalar_type());
    for (const at::Tensor& other : std::vector<at::Tensor>{*gain, shift, b})
      TORCH_CHECK(!other.defined() || other.device() == x->device(), "a norm's tensors lie on ", other.device(), " and ", x->device());
    const bool type = x->scalar_type() == at::kFloat || x->scalar_type() == at::kBFloat16;
    const bool ours = type && (x->is_cpu() || (gpu::serves(*x) && x->numel() > 0 && cut(x->size(-1), 1).first > 0));
    if (ours && !at::GradMode::is_enabled()) {
      const Call call = normalised(*x, b, *gain, shift, centred != 0, eps);
      if (stream) *stream = new at::Tensor(b.defined() ? call.stream : *x);
      *y = new at::Tensor(call.y);
      return OK;
    }
    const auto out = ours ? Normalise::apply(*x, maybe(b), *gain, maybe(shift), centred != 0, eps, stream != nullptr)
                          : plainly(*x, b, *gain, shift, centred != 0, eps);
    if (stream) *stream = new at::Tensor(out.front());
    *y = new at::Tensor(out.back());
  })
}
}
