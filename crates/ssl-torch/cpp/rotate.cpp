// Rotary positions: pairs of features turned by angles, in one pass over memory each way.
#include "shim.h"
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <algorithm>

#define LOOPS "rotate_loop.h"
#include "each_unit.h"

namespace {

template <typename T>
void rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, float sign, const at::Tensor& y) {
  const int64_t heads = x.size(1), t = x.size(2), e = x.size(3), own = cos.size(0) == 1 ? 0 : t * e;
  const auto data = [](const at::Tensor& tensor) { return static_cast<T*>(tensor.data_ptr()); };
  const auto loop = BEST_UNIT(rotate_row<T>);
  at::parallel_for(0, x.size(0) * t, std::max<int64_t>(1, (1 << 14) / (heads * e)), [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      const int64_t b = i / t, at = i % t;
      for (int64_t h = 0; h < heads; ++h)
        loop(data(x) + b * x.stride(0) + h * x.stride(1) + at * x.stride(2), data(cos) + b * own + at * e, data(sin) + b * own + at * e, e / 2, sign,
             data(y) + b * y.stride(0) + h * y.stride(1) + at * y.stride(2));
    }
  });
}

// The heads of a position lie side by side in the result, as a linear map leaves and wants them.
at::Tensor rotated(const at::Tensor& given, const at::Tensor& cos, const at::Tensor& sin, float sign) {
  const at::Tensor x = given.stride(3) == 1 ? given : given.contiguous();
  const at::Tensor y = at::empty({x.size(0), x.size(2), x.size(1), x.size(3)}, x.options().requires_grad(false)).transpose(1, 2);
  if (x.scalar_type() == at::kFloat) rotate<float>(x, cos, sin, sign, y);
  else rotate<uint16_t>(x, cos, sin, sign, y);
  return y;
}

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

struct Rotate : torch::autograd::Function<Rotate> {
  static Variable forward(AutogradContext* ctx, const Variable& x, const Variable& cos, const Variable& sin) {
    ctx->save_for_backward({cos, sin});
    return rotated(x, cos, sin, 1);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    ONCE_DIFFERENTIABLE;
    at::AutoDispatchBelowADInplaceOrView below;
    const variable_list saved = ctx->get_saved_variables();
    return {rotated(grads[0], saved[0], saved[1], -1), Variable(), Variable()};
  }
};

}  // namespace

extern "C" {

// x [b, h, t, e], cos and sin [1 or b, 1, t, e] of its type, fp32 or bf16 -> [b, h, t, e].
int ssl_rotate(Handle x, Handle cos, Handle sin, Handle* out) {
  GUARD({
    TORCH_CHECK(x->is_cpu() && x->dim() == 4 && x->size(1) > 0 && x->size(3) > 0 && x->size(3) % 2 == 0, "heads of ", x->sizes(), " have no pairs to turn");
    TORCH_CHECK(x->scalar_type() == at::kFloat || x->scalar_type() == at::kBFloat16, "heads are fp32 or bf16, not ", x->scalar_type());
    for (const at::Tensor* angles : {cos, sin})
      TORCH_CHECK(angles->is_cpu() && angles->scalar_type() == x->scalar_type() && angles->dim() == 4 && angles->sizes() == cos->sizes() &&
                      (angles->size(0) == 1 || angles->size(0) == x->size(0)) && angles->size(1) == 1 && angles->size(2) == x->size(2) && angles->size(3) == x->size(3),
                  "angles of ", angles->sizes(), " and ", angles->scalar_type(), " do not meet heads of ", x->sizes());
    const at::Tensor c = cos->contiguous(), s = sin->contiguous();
    const bool wanted = at::GradMode::is_enabled() && x->requires_grad();
    *out = new at::Tensor(wanted ? Rotate::apply(*x, c, s) : rotated(*x, c, s, 1));
  })
}
}
