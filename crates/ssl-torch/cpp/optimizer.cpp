// Optimizer arithmetic in one pass over memory: master weights and moments in fp32, gradients in fp32 or bf16, and the
// model's own copy of the weights written in the same pass.
#include "bf16.h"
#include "gpu.h"
#include "shim.h"
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <algorithm>
#include <cmath>
#include <vector>

namespace {

// Work is cut at fixed places, so that sums do not depend on the number of threads.
constexpr int64_t CHUNK = 1 << 16;

struct Span {
  int64_t tensor, begin, end;
};

std::vector<Span> spans(const Handle* tensors, int64_t n) {
  std::vector<Span> out;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t begin = 0, size = tensors[i]->numel(); begin < size; begin += CHUNK)
      out.push_back({i, begin, std::min(begin + CHUNK, size)});
  return out;
}

template <typename F>
void each(const std::vector<Span>& all, F f) {
  at::parallel_for(0, static_cast<int64_t>(all.size()), 1, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) f(i, all[i]);
  });
}

// Square sums run in 16 lanes of float within 256 elements, and in double above.
template <typename Load>
inline __attribute__((always_inline)) double squares_of(int64_t n, Load load) {
  double total = 0;
  int64_t i = 0;
  for (; i + 256 <= n; i += 256) {
    float lane[16] = {};
    for (int64_t j = 0; j < 256; j += 16)
      for (int k = 0; k < 16; ++k) {
        float x = load(i + j + k);
        lane[k] += x * x;
      }
    for (float part : lane) total += part;
  }
  for (; i < n; ++i) {
    double x = load(i);
    total += x * x;
  }
  return total;
}

VECTORISED double squares_f32(const float* g, int64_t n) {
  return squares_of(n, [g](int64_t i) { return g[i]; });
}

VECTORISED double squares_bf16(const uint16_t* g, int64_t n) {
  return squares_of(n, [g](int64_t i) { return widen(g[i]); });
}

VECTORISED void widen_into(const uint16_t* from, float* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = widen(from[i]);
}

VECTORISED void narrow_into(const float* from, uint16_t* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = narrow(from[i]);
}

VECTORISED void add_into(const float* from, float* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] += from[i];
}

struct Adam {
  float lr, beta1, beta2, eps, correction1, correction2_root, scale, decay, coupled;
};

VECTORISED void adam(float* p, const float* g, float* m, float* v, int64_t n, Adam a) {
  const float step = a.lr / a.correction1, keep = 1.0f - a.lr * a.decay;
  for (int64_t i = 0; i < n; ++i) {
    float w = p[i] * keep;
    float grad = g[i] * a.scale + a.coupled * p[i];
    float mean = m[i] + (1.0f - a.beta1) * (grad - m[i]);
    float square = a.beta2 * v[i] + (1.0f - a.beta2) * grad * grad;
    m[i] = mean;
    v[i] = square;
    p[i] = w - step * mean / (std::sqrt(square) / a.correction2_root + a.eps);
  }
}

struct Sgd {
  float lr, momentum, nesterov, scale, coupled;
};

VECTORISED void sgd(float* p, const float* g, float* m, int64_t n, Sgd a) {
  for (int64_t i = 0; i < n; ++i) {
    float grad = g[i] * a.scale + a.coupled * p[i];
    m[i] = a.momentum * m[i] + grad;
    float move = a.nesterov != 0.0f ? grad + a.momentum * m[i] : m[i];
    p[i] -= a.lr * move;
  }
}

bool on_cpu(const Handle* tensors, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    TORCH_CHECK(tensors[i]->is_contiguous(), "parameter ", i, " is not contiguous");
    if (!tensors[i]->device().is_cpu()) return false;
  }
  return true;
}

void same_sizes(const Handle* a, const Handle* b, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    TORCH_CHECK(b[i]->is_contiguous() && a[i]->numel() == b[i]->numel(), "tensor ", i, " of a parameter has another shape or layout");
    TORCH_CHECK(a[i]->device() == b[i]->device(), "tensor ", i, " of a parameter is on another device");
  }
}

// A gradient chunk in fp32: itself, or widened into `space`.
const float* chunk_of(const at::Tensor& grad, int64_t begin, int64_t n, float* space) {
  if (grad.scalar_type() == at::kFloat) return grad.const_data_ptr<float>() + begin;
  TORCH_CHECK(grad.scalar_type() == at::kBFloat16, "gradients must be fp32 or bf16");
  widen_into(reinterpret_cast<const uint16_t*>(grad.const_data_ptr<at::BFloat16>()) + begin, space, n);
  return space;
}

// Writes the model's own copy of a chunk, where it keeps one.
void publish(const at::Tensor& leaf, const float* p, int64_t begin, int64_t n) {
  if (leaf.scalar_type() == at::kBFloat16)
    narrow_into(p, reinterpret_cast<uint16_t*>(leaf.data_ptr<at::BFloat16>()) + begin, n);
}

// Whether our kernels take these tensors: on one device and of one type that they read.
bool on_gpu(const Handle* tensors, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    if (!gpu::serves(*tensors[i]) || tensors[i]->device() != tensors[0]->device() || tensors[i]->scalar_type() != tensors[0]->scalar_type())
      return false;
  return n > 0;
}

// What a launch of a kernel over lists is told; absent lists are null.
struct Part {
  const Handle *params, *leaves, *grads, *ms, *vs;
  const double *decay, *coupled;
  int64_t from, to, blocks;

  TensorLists lists() {
    TensorLists l{};
    const auto fp32 = [](const Handle* list, int64_t i) { return list ? list[i]->data_ptr<float>() : nullptr; };
    blocks = 0;
    for (int64_t i = from; i < to; ++i, ++l.tensors) {
      const int at = l.tensors;
      l.p[at] = fp32(params, i), l.m[at] = fp32(ms, i), l.v[at] = fp32(vs, i);
      if (leaves && leaves[i]->scalar_type() == at::kBFloat16) l.leaf[at] = leaves[i]->data_ptr();
      l.g[at] = grads[i]->const_data_ptr();
      l.n[at] = grads[i]->numel();
      l.decay[at] = decay ? static_cast<float>(decay[i]) : 0.0f, l.coupled[at] = coupled ? static_cast<float>(coupled[i]) : 0.0f;
      l.first[at] = static_cast<int>(blocks);
      blocks += (l.n[at] + SSL_CUDA_CHUNK - 1) / SSL_CUDA_CHUNK;
    }
    return l;
  }
};

constexpr int64_t THREADS = 256;

// A kernel's name for gradients of their type.
std::string kernel(const char* name, const Handle* grads) { return std::string(name) + "<" + gpu::name(*grads[0]) + ">"; }

// Calls launch(lists, blocks) for as many tensors as fit, until all have been.
template <typename F>
void in_parts(Part part, int64_t n, F launch) {
  for (part.from = 0; part.from < n; part.from = part.to) {
    part.to = std::min<int64_t>(n, part.from + SSL_CUDA_TENSORS);
    const TensorLists lists = part.lists();
    launch(lists, part.blocks);
  }
}

}  // namespace

extern "C" {

// The Euclidean norm over all gradients.
int ssl_norm(const Handle* grads, int64_t n, double* norm) {
  GUARD({
    c10::NoGradGuard off;
    double total = 0;
    if (on_cpu(grads, n)) {
      auto all = spans(grads, n);
      std::vector<double> part(all.size());
      each(all, [&](int64_t i, Span s) {
        const auto& g = *grads[s.tensor];
        part[i] = g.scalar_type() == at::kFloat
            ? squares_f32(g.const_data_ptr<float>() + s.begin, s.end - s.begin)
            : squares_bf16(reinterpret_cast<const uint16_t*>(g.const_data_ptr<at::BFloat16>()) + s.begin, s.end - s.begin);
      });
      for (double p : part) total += p;
    } else if (on_gpu(grads, n)) {
      int64_t all = 0, at = 0;
      for (int64_t i = 0; i < n; ++i) all += (grads[i]->numel() + SSL_CUDA_CHUNK - 1) / SSL_CUDA_CHUNK;
      const at::Tensor sums = at::empty({all}, grads[0]->options().dtype(at::kDouble));
      in_parts({nullptr, nullptr, grads}, n, [&](const TensorLists& lists, int64_t blocks) {
        const SquaresArguments a{lists, sums.data_ptr<double>() + at};
        gpu::launch(sums.device(), kernel("squares", grads), blocks, THREADS, &a);
        at += blocks;
      });
      total = sums.sum().item<double>();
    } else {
      at::Tensor sum = at::zeros({}, grads[0]->options().dtype(at::kDouble));
      for (int64_t i = 0; i < n; ++i) sum += grads[i]->to(at::kFloat).square().sum(at::kDouble);
      total = sum.item<double>();
    }
    *norm = std::sqrt(total);
  })
}

// Forgets gradients, so that the next backward pass hands its own over instead of adding to zeros.
int ssl_drop_grads(const Handle* leaves, int64_t n) {
  GUARD(for (int64_t i = 0; i < n; ++i) leaves[i]->mutable_grad().reset())
}

// Gives leaves gradients, which they then hold beside whoever else does.
int ssl_set_grads(const Handle* leaves, const Handle* grads, int64_t n) {
  GUARD({
    same_sizes(leaves, grads, n);
    for (int64_t i = 0; i < n; ++i) leaves[i]->mutable_grad() = *grads[i];
  })
}

// sum += grad, in fp32.
int ssl_accumulate(const Handle* sums, const Handle* grads, int64_t n) {
  GUARD({
    c10::NoGradGuard off;
    same_sizes(sums, grads, n);
    if (on_gpu(sums, n) && on_gpu(grads, n)) {
      in_parts({sums, nullptr, grads}, n, [&](const TensorLists& lists, int64_t blocks) {
        gpu::launch(sums[0]->device(), kernel("accumulate", grads), blocks, THREADS, &lists);
      });
      return OK;
    }
    if (!on_cpu(sums, n)) {
      for (int64_t i = 0; i < n; ++i) sums[i]->add_(grads[i]->to(at::kFloat));
      return OK;
    }
    each(spans(sums, n), [&](int64_t, Span s) {
      thread_local std::vector<float> space(CHUNK);
      const float* g = chunk_of(*grads[s.tensor], s.begin, s.end - s.begin, space.data());
      add_into(g, sums[s.tensor]->data_ptr<float>() + s.begin, s.end - s.begin);
    });
  })
}

// Adam and AdamW. `decay` is decoupled, `coupled` is added to the gradient (L2); both per tensor.
int ssl_adam(const Handle* params, const Handle* leaves, const Handle* grads, const Handle* ms, const Handle* vs,
             const double* decay, const double* coupled, int64_t n, double lr, double beta1, double beta2, double eps,
             int64_t step, double scale) {
  GUARD({
    c10::NoGradGuard off;
    for (const Handle* list : {leaves, grads, ms, vs}) same_sizes(params, list, n);
    const double c1 = 1 - std::pow(beta1, static_cast<double>(step)), c2 = std::sqrt(1 - std::pow(beta2, static_cast<double>(step)));
    if (on_gpu(params, n) && on_gpu(grads, n) && on_gpu(leaves, n)) {
      in_parts({params, leaves, grads, ms, vs, decay, coupled}, n, [&](const TensorLists& lists, int64_t blocks) {
        const AdamArguments a{lists, float(lr), float(beta1), float(beta2), float(eps), float(c1), float(c2), float(scale)};
        gpu::launch(params[0]->device(), kernel("adam", grads), blocks, THREADS, &a);
      });
      return OK;
    }
    if (!on_cpu(params, n)) {
      for (int64_t i = 0; i < n; ++i) {
        at::Tensor g = grads[i]->to(at::kFloat) * scale;
        if (coupled[i] != 0) g = g + *params[i] * coupled[i];
        params[i]->mul_(1 - lr * decay[i]);
        ms[i]->lerp_(g, 1 - beta1);
        vs[i]->mul_(beta2).addcmul_(g, g, 1 - beta2);
        params[i]->addcdiv_(*ms[i], (vs[i]->sqrt() / c2).add_(eps), -lr / c1);
        if (!leaves[i]->is_same(*params[i])) leaves[i]->copy_(*params[i]);
      }
      return OK;
    }
    each(spans(params, n), [&](int64_t, Span s) {
      thread_local std::vector<float> space(CHUNK);
      const int64_t i = s.tensor, count = s.end - s.begin;
      Adam a{float(lr), float(beta1), float(beta2), float(eps), float(c1), float(c2), float(scale), float(decay[i]), float(coupled[i])};
      float* p = params[i]->data_ptr<float>() + s.begin;
      adam(p, chunk_of(*grads[i], s.begin, count, space.data()), ms[i]->data_ptr<float>() + s.begin,
           vs[i]->data_ptr<float>() + s.begin, count, a);
      publish(*leaves[i], p, s.begin, count);
    });
  })
}

// Stochastic gradient descent with momentum; the first step takes the gradient whole, as PyTorch does.
int ssl_sgd(const Handle* params, const Handle* leaves, const Handle* grads, const Handle* ms, const double* coupled,
            int64_t n, double lr, double momentum, int nesterov, double scale) {
  GUARD({
    c10::NoGradGuard off;
    for (const Handle* list : {leaves, grads, ms}) same_sizes(params, list, n);
    if (on_gpu(params, n) && on_gpu(grads, n) && on_gpu(leaves, n)) {
      in_parts({params, leaves, grads, ms, nullptr, nullptr, coupled}, n, [&](const TensorLists& lists, int64_t blocks) {
        const SgdArguments a{lists, float(lr), float(momentum), float(scale), nesterov};
        gpu::launch(params[0]->device(), kernel("sgd", grads), blocks, THREADS, &a);
      });
      return OK;
    }
    if (!on_cpu(params, n)) {
      for (int64_t i = 0; i < n; ++i) {
        at::Tensor g = grads[i]->to(at::kFloat) * scale + *params[i] * coupled[i];
        ms[i]->mul_(momentum).add_(g);
        params[i]->add_(nesterov ? g + *ms[i] * momentum : *ms[i], -lr);
        if (!leaves[i]->is_same(*params[i])) leaves[i]->copy_(*params[i]);
      }
      return OK;
    }
    each(spans(params, n), [&](int64_t, Span s) {
      thread_local std::vector<float> space(CHUNK);
      const int64_t i = s.tensor, count = s.end - s.begin;
      Sgd a{float(lr), float(momentum), nesterov ? 1.0f : 0.0f, float(scale), float(coupled[i])};
      float* p = params[i]->data_ptr<float>() + s.begin;
      sgd(p, chunk_of(*grads[i], s.begin, count, space.data()), ms[i]->data_ptr<float>() + s.begin, count, a);
      publish(*leaves[i], p, s.begin, count);
    });
  })
}
}
