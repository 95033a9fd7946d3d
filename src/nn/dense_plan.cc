#include "nn/dense_plan.h"

#include <algorithm>

#include "taut/core/error.h"

namespace taut::nn {
namespace {

using at::Tensor;
using graph::kNetworkInput;
using graph::Layer;
using graph::Op;

// Inputs of a weight that one thread steps at a time, at most: fixed, as bits may depend on it.
constexpr std::int64_t kTile = 256;

}  // namespace

DensePlan::DensePlan(const Program& of, const RecommenderOptions& with)
    : program(of),
      options(with),
      type(with.bf16 ? at::kBFloat16 : at::kFloat),
      products(products_of(with.products)),
      linear_at_(of.network.layers.size(), -1),
      copied_(of.network.layers.size(), false) {
  std::size_t next = 0;
  for (std::size_t i = 0; i < program.network.layers.size(); ++i) {
    const Layer& one = program.network.layers[i];
    if (one.op == Op::kRelu) {
      // recommender_network() puts a ReLU behind linear layers alone, which nobody else reads.
      const int from = one.inputs[0];
      TAUT_ASSERT(from != kNetworkInput && linear_at_[static_cast<std::size_t>(from)] >= 0);
      PlannedLinear& before =
          linears[static_cast<std::size_t>(linear_at_[static_cast<std::size_t>(from)])];
      before.relu = static_cast<int>(i);
      before.is_head = false;
      continue;
    }
    if (one.op != Op::kLinear) continue;
    const int from = source(one.inputs[0]);
    if (from != kNetworkInput && layer(from).op == Op::kEmbedding) {
      copied_[static_cast<std::size_t>(from)] = true;
    }
    linear_at_[i] = static_cast<int>(linears.size());
    linears.push_back({.layer = i,
                       .weight = next,
                       .has_bias = one.bias,
                       .outputs = one.out.size(),
                       .inputs = one.in.size(),
                       .is_head = one.out.size() == 1});
    next += one.bias ? 2 : 1;
  }
  TAUT_ASSERT(next == program.parameters.size());
  for (std::size_t k = 0; k < linears.size(); ++k) {
    const PlannedLinear& linear = linears[k];
    if (!linear.is_head) {
      const std::int64_t count = (linear.inputs + kTile - 1) / kTile;
      const std::int64_t size = (linear.inputs + count * 16 - 1) / (count * 16) * 16;
      for (std::int64_t begin = 0; begin < linear.inputs; begin += size) {
        tiles.push_back(
            {.linear = k, .begin = begin, .count = std::min(size, linear.inputs - begin)});
      }
    }
    tiles.push_back({.linear = k});
    const Tensor& value = parameter(linear);
    TAUT_ASSERT(value.t().is_contiguous());
    weights.push_back(options.bf16 && !linear.is_head
                          ? at::empty({linear.inputs, linear.outputs}, type).t()
                          : value.detach());
  }
}

void DensePlan::turn_weights(Program& program) {
  for (const Tensor& parameter : program.parameters) {
    if (parameter.dim() != 2) continue;
    Tensor turned = parameter.detach().t().contiguous().t();
    parameter.set_data(turned);
  }
}

int DensePlan::source(int number) const {
  while (number != kNetworkInput &&
         (layer(number).op == Op::kFlatten || layer(number).op == Op::kRelu)) {
    number = layer(number).inputs[0];
  }
  return number;
}

const float* DensePlan::bias(const PlannedLinear& linear) const {
  if (!linear.has_bias) return nullptr;
  return program.parameters[linear.weight + 1].const_data_ptr<float>();
}

bool DensePlan::is_scalar(std::size_t number) const {
  const PlannedLinear* linear = linear_of(number);
  if (linear != nullptr) return linear->is_head;
  const Op op = program.network.layers[number].op;
  return op == Op::kFirstValues || op == Op::kAdd;
}

GroupMemory DensePlan::room(std::int64_t slices) const {
  const std::int64_t rows = slices * program.slice_size;
  const std::size_t count = program.network.layers.size();
  GroupMemory group;
  group.outputs.resize(count);
  group.gradients.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const Layer& one = program.network.layers[i];
    if (source(static_cast<int>(i)) != static_cast<int>(i)) continue;
    if (one.op == Op::kEmbedding && !copied_[i]) continue;
    const at::ScalarType of = is_scalar(i) ? at::kFloat : type;
    group.outputs[i] = at::empty({rows, one.out.size()}, of);
    group.gradients[i] = at::empty({rows, one.out.size()}, of);
  }
  if (options.bf16 && options.dense > 0) group.input = at::empty({rows, options.dense}, type);
  for (std::int64_t k = 0; k < slices; ++k) group.slices.push_back(slice_of(group, k));
  return group;
}

SliceMemory DensePlan::slice_of(const GroupMemory& group, std::int64_t number) const {
  const std::int64_t rows = program.slice_size;
  const auto part = [&](const Tensor& whole) {
    return whole.defined() ? whole.narrow(0, number * rows, rows) : Tensor();
  };
  SliceMemory m;
  for (const Tensor& whole : group.outputs) m.outputs.push_back(part(whole));
  for (const Tensor& whole : group.gradients) m.gradients.push_back(part(whole));
  m.input = part(group.input);
  for (const PlannedLinear& linear : linears) {
    m.bias_sums.push_back(at::empty({linear.outputs}, at::kFloat));
    m.weight_sums.push_back(linear.is_head ? at::empty({linear.inputs}, at::kFloat) : Tensor());
  }
  for (const Layer& one : program.network.layers) {
    if (one.op != Op::kInteraction || !options.bf16) continue;
    m.wide_bottom = at::empty({kInteracted, options.dim}, at::kFloat);
    m.wide_bottom_gradient = at::empty({kInteracted, options.dim}, at::kFloat);
    m.wide_dots = at::empty({kInteracted, one.out.size()}, at::kFloat);
  }
  return m;
}

}  // namespace taut::nn
