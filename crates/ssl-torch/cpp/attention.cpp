// Scaled dot-product attention, on the CPU forward and backward without holding the scores of more than a few queries.
//
// Products run in fp32 on operands that are read once and then lie in the cache; of bf16 tensors, on processors that can, on pairs
// of bf16 that add up in fp32. What comes after a query is not computed and then hidden but, a few keys at the diagonal apart,
// not computed.
#include "attention_gpu.h"
#include "shim.h"
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define PAIRS 1
#endif

namespace {

// One head, as pointers and the distances between its rows, in elements.
template <typename T>
struct Head {
  const T *q, *k, *v;
  int64_t q_row, k_row, v_row;
  // The result, its gradient, and the logarithm of each query's sum of exponentials.
  T* out;
  const T* d_out;
  int64_t out_row;
  float* logs;
  // Gradients.
  T *d_q, *d_k, *d_v;
  int64_t d_q_row, d_k_row, d_v_row;
  // Queries, keys, features, and features as tiles want them.
  int64_t t, s, e, wide;
  float scale;
  bool causal;
  // From one head of queries to the next.
  int64_t q_head, d_q_head;

  void next() {
    q += q_head;
    d_q += d_q_head;
    out += e;
    d_out += e;
    logs += t;
  }
};

}  // namespace

#define LOOPS "attention_loop.h"
#include "each_unit.h"

#ifdef PAIRS
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,avx2,fma")
#define WIDE
namespace avx512_bf16 {
constexpr int LANES = 16;
#include "attention_loop.h"
#include "attention_dots.h"
}
#undef WIDE
#pragma GCC pop_options
#endif

namespace {

// The loops for one kind of vector unit.
template <typename T>
struct Loops {
  void (*forward)(const Head<T>&, float*);
  void (*few)(const Head<T>&, float*);
  void (*backward)(Head<T>, int64_t, float*);
  int64_t columns;
};

template <typename T>
Loops<T> choose(int64_t e) {
#ifdef PAIRS
  if constexpr (std::is_same_v<T, uint16_t>)
    if (has_avx512() && __builtin_cpu_supports("avx512bf16") && e % 2 == 0)
      return {avx512_bf16::forward_dots, avx512_bf16::forward_few<T>, avx512_bf16::backward_dots, avx512_bf16::COLUMNS};
#endif
  return {BEST_UNIT(forward_head<T>), BEST_UNIT(forward_few<T>), BEST_UNIT(backward_group<T>), BEST_UNIT(COLUMNS)};
}

// Room of a thread, kept from call to call.
float* space_of(int64_t floats) {
  constexpr int64_t LINE_BYTES = 64, LINE = LINE_BYTES / sizeof(float);
  thread_local std::vector<float> space;
  if (static_cast<int64_t>(space.size()) < floats + LINE) space.resize(floats + LINE);
  // A vector that lies across two lines of the cache is read twice.
  return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(space.data()) + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES);
}

template <typename T>
int64_t forward_floats(const Head<T>& h) {
  return 2 * h.s * h.wide + 2 * h.wide * portable::QUERIES + h.s * portable::QUERIES;
}

// Queries `[b, h, t, e]`, keys and values `[b, g, s, e]`, in any order of rows; the result `[b, t, h e]`.
struct Call {
  at::Tensor q, k, v, out, logs;
  bool causal;
  double scale;

  template <typename T>
  Head<T> head(int64_t b, int64_t h, int64_t columns) const {
    const int64_t e = q.size(3), g = h / (q.size(1) / k.size(1));
    Head<T> head{};
    head.q = data<T>(q) + b * q.stride(0) + h * q.stride(1);
    head.k = data<T>(k) + b * k.stride(0) + g * k.stride(1);
    head.v = data<T>(v) + b * v.stride(0) + g * v.stride(1);
    head.q_row = q.stride(2), head.k_row = k.stride(2), head.v_row = v.stride(2);
    head.t = q.size(2), head.s = k.size(2), head.e = e, head.wide = (e + columns - 1) / columns * columns;
    head.out_row = out.stride(1);
    head.out = data<T>(out) + b * out.stride(0) + h * e;
    head.logs = logs.data_ptr<float>() + (b * q.size(1) + h) * head.t;
    head.scale = static_cast<float>(scale);
    head.causal = causal;
    head.q_head = q.stride(1);
    return head;
  }

  template <typename T>
  static T* data(const at::Tensor& tensor) {
    return static_cast<T*>(tensor.data_ptr());
  }

  template <typename T>
  void forward() const {
    const Loops<T> loops = choose<T>(q.size(3));
    const int64_t heads = q.size(1);
    at::parallel_for(0, q.size(0) * heads, 1, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i) {
        const Head<T> head = this->head<T>(i / heads, i % heads, loops.columns);
        loops.forward(head, space_of(forward_floats(head)));
      }
    });
  }

  template <typename T>
  void backward(const at::Tensor& d_out, const at::Tensor& d_q, const at::Tensor& d_k, const at::Tensor& d_v) const {
    const Loops<T> loops = choose<T>(q.size(3));
    const int64_t groups = k.size(1), heads = q.size(1) / groups;
    at::parallel_for(0, q.size(0) * groups, 1, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i) {
        const int64_t b = i / groups, g = i % groups, h = g * heads;
        Head<T> head = this->head<T>(b, h, loops.columns);
        head.d_out = data<T>(d_out) + b * d_out.stride(0) + h * head.e;
        head.d_q = data<T>(d_q) + b * d_q.stride(0) + h * d_q.stride(1);
        head.d_k = data<T>(d_k) + b * d_k.stride(0) + g * d_k.stride(1);
        head.d_v = data<T>(d_v) + b * d_v.stride(0) + g * d_v.stride(1);
        head.d_q_row = d_q.stride(2), head.d_k_row = d_k.stride(2), head.d_v_row = d_v.stride(2);
        head.d_q_head = d_q.stride(1);
        const int64_t floats = 4 * head.s * head.wide + 5 * head.wide * portable::QUERIES + 4 * portable::KEYS * portable::QUERIES;
        loops.backward(head, heads, space_of(floats));
      }
    });
  }
};

void check(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool causal, double scale) {
  TORCH_CHECK(q.dim() == 4 && k.dim() == 4 && k.sizes() == v.sizes(), "queries ", q.sizes(), ", keys ", k.sizes(), " and values ",
              v.sizes(), " do not meet");
  TORCH_CHECK(q.size(0) == k.size(0) && q.size(3) == k.size(3) && k.size(1) > 0 && q.size(1) % k.size(1) == 0, "queries ", q.sizes(),
              " and keys ", k.sizes(), " do not meet");
  TORCH_CHECK(!causal || q.size(2) == k.size(2), "causal attention is among as many keys as queries");
  TORCH_CHECK(scale > 0, "scores are scaled by more than 0, not by ", scale);
  TORCH_CHECK(k.size(2) > 0 && q.size(1) > 0 && q.size(3) > 0, "attention needs a key, a head and a feature");
  for (const at::Tensor* x : {&q, &k, &v}) {
    TORCH_CHECK(x->device() == q.device() && (q.is_cpu() || q.is_cuda()), "queries, keys and values are on one device, the CPU or CUDA");
    TORCH_CHECK(x->scalar_type() == q.scalar_type() && (q.scalar_type() == at::kFloat || q.scalar_type() == at::kBFloat16),
                "queries, keys and values are all fp32 or all bf16");
  }
}

// Features side by side, whatever the order of the other axes.
at::Tensor rows(const at::Tensor& x) { return x.stride(3) == 1 ? x : x.contiguous(); }

Call attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool causal, double scale) {
  const int64_t b = q.size(0), h = q.size(1), t = q.size(2), e = q.size(3);
  Call call{rows(q), rows(k), rows(v), at::empty({b, t, h * e}, q.options()), at::empty({b, h, t}, q.options().dtype(at::kFloat)),
            causal, scale};
  if (q.scalar_type() == at::kFloat) call.forward<float>();
  else call.forward<uint16_t>();
  return call;
}

void gradients(const Call& call, const at::Tensor& d_out, const at::Tensor& d_q, const at::Tensor& d_k, const at::Tensor& d_v) {
  if (d_out.scalar_type() == at::kFloat) call.backward<float>(d_out, d_q, d_k, d_v);
  else call.backward<uint16_t>(d_out, d_q, d_k, d_v);
}

// `[b, t, h e]`, a part of a row, as `[b, h, t, e]`.
at::Tensor heads_of(const at::Tensor& x, int64_t from, int64_t heads, int64_t e) {
  return x.narrow(2, from * e, heads * e).unflatten(2, {heads, e}).transpose(1, 2);
}

// Texts that are read on in side by side: of each a table of keys and one of values `[1, g, room, e]`, how many tokens are in it,
// and how many of the columns of `q`, `k` and `v` come next.
struct Texts {
  const Handle *keys, *values;
  const int64_t *from, *t;
  int64_t count;

  // So many queries are met one by one before a tile of them pays.
  static constexpr int64_t FEW = 6;

  void check(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const {
    int64_t all = 0;
    for (int64_t i = 0; i < count; ++i) {
      TORCH_CHECK(t[i] > 0 && t[i] <= q.size(2) - all && from[i] >= 0, "a piece has tokens, and stands behind others");
      all += t[i];
      for (const at::Tensor* x : {keys[i], values[i]})
        TORCH_CHECK(x->is_cpu() && x->dim() == 4 && x->size(0) == 1 && x->size(1) == k.size(1) && t[i] <= x->size(2) && from[i] <= x->size(2) - t[i] &&
                        x->size(3) == k.size(3) && x->stride(3) == 1 && x->scalar_type() == q.scalar_type(),
                    "a table of ", x->sizes(), " has no room for ", t[i], " keys behind ", from[i], " of ", k.sizes());
    }
    TORCH_CHECK(q.is_cpu() && q.size(0) == 1 && q.size(2) == all && k.size(2) == all && v.size(2) == all, "pieces of ", all,
                " tokens do not make up queries ", q.sizes());
  }

  // Writes rows `[at, at + t)` of `x` behind what a table has.
  template <typename T>
  static void extend(const at::Tensor& table, const at::Tensor& x, int64_t from, int64_t at, int64_t t) {
    T* to = static_cast<T*>(table.data_ptr());
    const T* rows = static_cast<const T*>(x.data_ptr());
    for (int64_t g = 0; g < x.size(1); ++g)
      for (int64_t i = 0; i < t; ++i)
        std::copy_n(rows + g * x.stride(1) + (at + i) * x.stride(2), x.size(3), to + g * table.stride(1) + (from + i) * table.stride(2));
  }

  template <typename T>
  void read_on(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& out, double scale) const {
    const Loops<T> loops = choose<T>(q.size(3));
    const int64_t heads = q.size(1), groups = k.size(1);
    std::vector<Head<T>> all;
    const at::Tensor logs = at::empty({heads, q.size(2)}, q.options().dtype(at::kFloat));
    int64_t at = 0;
    for (int64_t i = 0; i < count; at += t[i++]) {
      extend<T>(*keys[i], k, from[i], at, t[i]);
      extend<T>(*values[i], v, from[i], at, t[i]);
      const int64_t s = from[i] + t[i];
      const Call call{q.narrow(2, at, t[i]), keys[i]->narrow(2, 0, s), values[i]->narrow(2, 0, s), out.narrow(1, at, t[i]), logs, true, scale};
      for (int64_t h = 0; h < heads; ++h) {
        all.push_back(call.head<T>(0, h, loops.columns));
        all.back().logs = logs.data_ptr<float>() + h * q.size(2) + at;
      }
    }
    // A thread takes some heads of every text, so that long texts are shared.
    at::parallel_for(0, count * heads, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const Head<T>& head = all[i % count * heads + i / count];
        if (head.t <= FEW) loops.few(head, space_of(head.wide + head.s + portable::QUERIES));
        else loops.forward(head, space_of(forward_floats(head)));
      }
    });
  }
};

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

struct Attention : torch::autograd::Function<Attention> {
  static Variable forward(AutogradContext* ctx, const Variable& q, const Variable& k, const Variable& v, bool causal, double scale) {
    Call call = attend(q, k, v, causal, scale);
    ctx->save_for_backward({q, k, v, call.out, call.logs});
    ctx->saved_data["causal"] = causal;
    ctx->saved_data["scale"] = scale;
    return call.out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    ONCE_DIFFERENTIABLE;
    at::AutoDispatchBelowADInplaceOrView below;
    const variable_list saved = ctx->get_saved_variables();
    const Call call{rows(saved[0]), rows(saved[1]), rows(saved[2]), saved[3], saved[4], ctx->saved_data["causal"].toBool(),
                    ctx->saved_data["scale"].toDouble()};
    // Laid out as a linear map left them, rows of all heads.
    const auto like = [](const at::Tensor& x) { return at::empty({x.size(0), x.size(2), x.size(1), x.size(3)}, x.options()).transpose(1, 2); };
    at::Tensor d_q = like(call.q), d_k = like(call.k), d_v = like(call.v);
    gradients(call, grads[0].contiguous(), d_q, d_k, d_v);
    return {d_q, d_k, d_v, Variable(), Variable()};
  }
};

struct PackedAttention : torch::autograd::Function<PackedAttention> {
  static Variable forward(AutogradContext* ctx, const Variable& qkv, int64_t heads, int64_t kv_heads, bool causal, double scale) {
    const int64_t e = qkv.size(2) / (heads + 2 * kv_heads);
    Call call = attend(heads_of(qkv, 0, heads, e), heads_of(qkv, heads, kv_heads, e), heads_of(qkv, heads + kv_heads, kv_heads, e), causal, scale);
    ctx->save_for_backward({qkv, call.out, call.logs});
    ctx->saved_data["heads"] = heads;
    ctx->saved_data["kv_heads"] = kv_heads;
    ctx->saved_data["causal"] = causal;
    ctx->saved_data["scale"] = scale;
    return call.out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    ONCE_DIFFERENTIABLE;
    at::AutoDispatchBelowADInplaceOrView below;
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor& qkv = saved[0];
    const int64_t h = ctx->saved_data["heads"].toInt(), g = ctx->saved_data["kv_heads"].toInt(), e = qkv.size(2) / (h + 2 * g);
    const auto part = [&](const at::Tensor& x, int64_t from, int64_t heads) { return heads_of(x, from, heads, e); };
    const Call call{part(qkv, 0, h), part(qkv, h, g), part(qkv, h + g, g), saved[1], saved[2], ctx->saved_data["causal"].toBool(),
                    ctx->saved_data["scale"].toDouble()};
    at::Tensor d_qkv = at::empty_like(qkv);
    gradients(call, grads[0].contiguous(), part(d_qkv, 0, h), part(d_qkv, h, g), part(d_qkv, h + g, g));
    return {d_qkv, Variable(), Variable(), Variable(), Variable()};
  }
};

}  // namespace

extern "C" {

// q [b, h, t, e], k and v [b, g, s, e], all fp32 or all bf16 -> [b, t, h e], differentiable once.
int ssl_attention(Handle q, Handle k, Handle v, int causal, double scale, Handle* out) {
  GUARD({
    check(*q, *k, *v, causal != 0, scale);
    *out = new at::Tensor(q->is_cpu() ? Attention::apply(*q, *k, *v, causal != 0, scale) : gpu::attention(*q, *k, *v, causal != 0, scale));
  })
}

// qkv [b, t, (h + 2 g) e]: queries of all heads, then keys, then values, in each row.
int ssl_attention_packed(Handle qkv, int64_t heads, int64_t kv_heads, int causal, double scale, Handle* out) {
  GUARD({
    TORCH_CHECK(qkv->dim() == 3 && heads > 0 && kv_heads > 0 && qkv->size(2) % (heads + 2 * kv_heads) == 0, "rows of ", qkv->sizes(),
                " are not those of ", heads, " heads and twice ", kv_heads);
    const int64_t e = qkv->size(2) / (heads + 2 * kv_heads);
    check(heads_of(*qkv, 0, heads, e), heads_of(*qkv, heads, kv_heads, e), heads_of(*qkv, heads + kv_heads, kv_heads, e), causal != 0, scale);
    *out = new at::Tensor(qkv->is_cpu() ? PackedAttention::apply(qkv->contiguous(), heads, kv_heads, causal != 0, scale)
                                        : gpu::attention_packed(*qkv, heads, kv_heads, causal != 0, scale));
  })
}

// q [1, h, t, e], k and v [1, g, t, e]: pieces of `n` texts side by side, all fp32 or all bf16. Writes keys and values behind those of
// their texts and attends, each query to what stands before it in its own text -> [1, t, h e], without a gradient.
int ssl_attention_texts(Handle q, Handle k, Handle v, const Handle* keys, const Handle* values, const int64_t* from, const int64_t* t,
                        int64_t n, double scale, Handle* out) {
  GUARD({
    check(*q, *k, *v, true, scale);
    const Texts texts{keys, values, from, t, n};
    texts.check(*q, *k, *v);
    const at::Tensor read = at::empty({1, q->size(2), q->size(1) * q->size(3)}, q->options().requires_grad(false));
    if (q->scalar_type() == at::kFloat) texts.read_on<float>(rows(*q), rows(*k), rows(*v), read, scale);
    else texts.read_on<uint16_t>(rows(*q), rows(*k), rows(*v), read, scale);
    *out = new at::Tensor(read);
  })
}
}
