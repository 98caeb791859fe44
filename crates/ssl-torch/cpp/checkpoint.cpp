// Activation checkpointing: a part of the graph keeps its inputs alone, and is computed again when its gradient is asked for.
//
// Leaves that the part reads besides its inputs are found by walking the graph it makes, and become inputs of the node
// that stands for it. So their gradients flow through the outer graph: added once, with one call of a hook, however many
// parts share a leaf.
//
// Source: Chen, Xu, Zhang and Guestrin 2016, "Training deep nets with sublinear memory cost", section 3.
#include "callback.h"
#include "generator.h"
#include <ATen/SequenceNumber.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <algorithm>
#include <optional>
#include <unordered_set>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Node;
using torch::autograd::Variable;
using torch::autograd::variable_list;
using Call = int (*)(void*, const Handle*, int64_t, Handle*);

// The generators that a part draws from, as they stand.
struct Chance {
  at::Tensor cpu;
  std::optional<at::Device> device;
  at::Tensor of_device;

  static Chance now(std::optional<at::Device> device) {
    return {generator_state(at::kCPU), device, device ? generator_state(*device) : at::Tensor()};
  }

  void restore() const {
    set_generator_state(at::kCPU, cpu);
    if (device) set_generator_state(*device, of_device);
  }
};

struct Part : torch::CustomClassHolder {
  Closure closure;
  Call call;
  Chance chance;
  int64_t inputs = 0;

  Part(Closure closure, Call call) : closure(std::move(closure)), call(call) {}

  at::Tensor run(const variable_list& in) const {
    std::vector<Handle> handles;
    for (const Variable& tensor : in) handles.push_back(const_cast<Handle>(&tensor));
    Handle out = nullptr;
    const int code = call(closure.get(), handles.data(), static_cast<int64_t>(handles.size()), &out);
    std::unique_ptr<at::Tensor> owned(out);
    TORCH_CHECK(code == OK, ssl_last_error());
    TORCH_CHECK(owned && owned->defined(), "a checkpointed part returned no tensor");
    return *owned;
  }
};

using Held = c10::intrusive_ptr<Part>;

// The inputs as leaves of a graph of their own.
variable_list apart(at::TensorList inputs) {
  variable_list out;
  for (const at::Tensor& input : inputs) out.push_back(input.detach().requires_grad_(input.requires_grad()));
  return out;
}

// The leaves that `out` depends on besides `inputs`; nodes older than `first` would belong to somebody else's graph.
variable_list other_leaves(const Variable& out, const variable_list& inputs, uint64_t first) {
  variable_list leaves;
  std::unordered_set<Node*> seen;
  std::vector<Node*> open;
  const auto visit = [&](Node* node) {
    if (!node || !seen.insert(node).second) return;
    if (auto* leaf = dynamic_cast<torch::autograd::AccumulateGrad*>(node)) {
      const auto same = [&](const Variable& input) { return input.is_same(leaf->variable); };
      if (std::none_of(inputs.begin(), inputs.end(), same)) leaves.push_back(leaf->variable);
      return;
    }
    TORCH_CHECK(node->sequence_nr() >= first, "a checkpointed part reads a tensor that has a gradient and is none of its inputs");
    open.push_back(node);
  };
  visit(out.grad_fn().get());
  while (!open.empty()) {
    Node* node = open.back();
    open.pop_back();
    for (const auto& edge : node->next_edges()) visit(edge.function.get());
  }
  return leaves;
}

struct Checkpoint : torch::autograd::Function<Checkpoint> {
  // `read` are the part's inputs, then its other leaves; `out` is what it made of them.
  static Variable forward(AutogradContext* ctx, const Held& part, const std::unique_ptr<at::Tensor>& out, at::TensorList read) {
    ctx->saved_data["part"] = c10::IValue::make_capsule(part);
    ctx->save_for_backward(read.vec());
    return *out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    auto part = c10::static_intrusive_pointer_cast<Part>(ctx->saved_data["part"].toCapsule());
    variable_list read = ctx->get_saved_variables(), wanted;
    variable_list back(2 + read.size());
    if (!gradients[0].defined()) return back;
    std::vector<size_t> at;
    variable_list inputs = apart(at::TensorList(read).slice(0, part->inputs));
    for (size_t i = 0; i < read.size(); ++i) {
      const Variable& leaf = i < inputs.size() ? inputs[i] : read[i];
      if (!leaf.requires_grad()) continue;
      wanted.push_back(leaf);
      at.push_back(2 + i);
    }
    at::Tensor out;
    {
      struct Back {
        Chance now;
        ~Back() {
          try {
            now.restore();
          } catch (...) {
          }
        }
      } after{Chance::now(part->chance.device)};
      part->chance.restore();
      at::AutoGradMode on(true);
      out = part->run(inputs);
    }
    if (!out.requires_grad()) return back;
    auto found = torch::autograd::grad({std::move(out)}, wanted, {std::move(gradients[0])}, false, false, true);
    // Moved, not copied: a leaf may then keep this very tensor as its gradient.
    for (size_t i = 0; i < at.size(); ++i) back[at[i]] = std::move(found[i]);
    return back;
  }
};

}  // namespace

extern "C" {

// The closure is C++'s from here on: it goes with the graph that the output belongs to, or with this call.
int ssl_checkpoint(const Handle* inputs, int64_t n, void* data, Call call, void (*drop)(void*), Handle* output) {
  GUARD({
    Held part = c10::make_intrusive<Part>(keep(data, drop), call);
    variable_list read;
    std::optional<at::Device> device;
    for (int64_t i = 0; i < n; ++i) {
      read.push_back(*inputs[i]);
      if (!inputs[i]->device().is_cpu()) device = inputs[i]->device();
    }
    if (!at::GradMode::is_enabled()) {
      *output = new at::Tensor(part->run(read));
      return OK;
    }
    part->inputs = n;
    part->chance = Chance::now(device);
    auto out = std::make_unique<at::Tensor>();
    {
      // This graph dies at the end of the block, and with it what it kept for a backward pass.
      const uint64_t first = at::sequence_number::peek();
      variable_list own = apart(read);
      at::Tensor made = part->run(own);
      variable_list leaves = other_leaves(made, own, first);
      read.insert(read.end(), leaves.begin(), leaves.end());
      *out = made.variable_data();
    }
    *output = new at::Tensor(Checkpoint::apply(part, out, at::TensorList(read)));
  })
}
}
