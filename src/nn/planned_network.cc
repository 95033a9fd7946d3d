#include "nn/planned_network.h"

#include <algorithm>
#include <cstring>

#include "nn/planned_part.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/parallel/volume.h"

namespace taut::nn {
namespace {

using dist::Cause;
using dist::Layout;
using dist::TensorShape;
using parallel::Held;
using parallel::LayerState;
using parallel::Split;
using torch::Tensor;

bool is_weighted(const Layer& layer) {
  return layer.op == Op::kConv || layer.op == Op::kLinear;
}

[[noreturn]] void refuse(const Network& network, const Layer& layer, std::string_view why) {
  throw Error(ErrorKind::kUnsupported, concat("layer ", layer.name, " of ", network.name, " ", why),
              {}, "train it data parallel");
}

void check_layer(const Network& network, const Layer& layer) {
  if (layer.op == Op::kConv && layer.groups != 1) refuse(network, layer, "is grouped");
  if (layer.op == Op::kLinear && layer.out.is_map()) refuse(network, layer, "works on positions");
  if (layer.winner_site >= 0 && graph::winners_at(network, layer).rate < 1) {
    refuse(network, layer, "chooses winners");
  }
}

bool belongs_to_a_tail(Op op) {
  return op == Op::kRelu || op == Op::kRelu6 || op == Op::kMaxPool || op == Op::kFlatten ||
         op == Op::kBatchNorm;
}

// A weight [outputs, inputs, ...] as a tensor of samples and channels: type III pins outputs, type
// II inputs.
Layout weight_layout(const LayerState& split) {
  Layout layout;
  for (int level = 0; level < split.levels(); ++level) {
    const Split at = split.at(level);
    layout.push_back(at == Split::kOutput  ? Held::kBatch
                     : at == Split::kInput ? Held::kChannel
                                           : Held::kWhole);
  }
  return layout;
}

// Of what has channels and no samples.
Layout channels_alone(const Layout& layout) {
  Layout channels = layout;
  for (Held& held : channels) held = held == Held::kChannel ? held : Held::kWhole;
  return channels;
}

}  // namespace

std::span<const float> numbers_of(const Tensor& contiguous) {
  return {contiguous.const_data_ptr<float>(), static_cast<std::size_t>(contiguous.numel())};
}

Tensor tensor_of(const std::vector<float>& numbers, at::IntArrayRef shape) {
  Tensor made = torch::empty(shape);
  std::memcpy(made.mutable_data_ptr<float>(), numbers.data(), numbers.size() * sizeof(float));
  return made;
}

PlannedNetwork::~PlannedNetwork() = default;

PlannedNetwork::PlannedNetwork(const Program& program, const std::vector<LayerState>& splits,
                               const OptimizerChoice& optimizer, double weight_decay,
                               std::shared_ptr<dist::WorkerArray> array)
    : network_(program.network),
      array_(std::move(array)),
      rank_(array_->group()->rank()),
      piece_(program.slice_size),
      optimizer_name_(optimizer.name) {
  find_parts();
  lay_out(splits);
  std::vector<ParameterGroup> groups = {{.parameters = {}, .weight_decay = weight_decay},
                                        {.parameters = {}, .weight_decay = 0}};
  for (std::size_t k = 0; k < parts_.size(); ++k) {
    const Part& part = *parts_[k];
    take_values(k, program.values, splits[k]);
    if (part.weight.defined()) groups[0].parameters.push_back(part.weight);
    if (part.bias.defined()) groups[1].parameters.push_back(part.bias);
    for (const Norm& norm : part.norms) {
      groups[1].parameters.insert(groups[1].parameters.end(), {norm.weight, norm.bias});
    }
  }
  optimizer_ = make_optimizer(optimizer, groups);
  each_parameter(program.values, [&](const Tensor& piece, const Tensor& whole,
                                     const TensorShape& shape, const Layout& layout) {
    OptimizerState state = state_of(*program.optimizer, whole);
    for (Tensor& one : state.tensors) {
      one = tensor_of(dist::take_held(numbers_of(one.contiguous()), shape, layout, rank_),
                      piece.sizes());
    }
    set_state(*optimizer_, optimizer_name_, piece, std::move(state));
  });
}

// Cuts the network at the layers that are nodes of its cost graph.
void PlannedNetwork::find_parts() {
  std::vector<int> part_of(network_.layers.size(), graph::kNetworkInput);
  std::vector<bool> is_read;
  for (std::size_t i = 0; i < network_.layers.size(); ++i) {
    const Layer& layer = network_.layers[i];
    check_layer(network_, layer);
    const bool begins = is_weighted(layer) || layer.op == Op::kAdd || layer.op == Op::kGlobalMean;
    if (!begins && !belongs_to_a_tail(layer.op)) {
      refuse(network_, layer, concat("is ", to_string(layer.op), ", which no plan runs yet"));
    }
    std::vector<int> inputs;
    for (const int input : layer.inputs) {
      const int from =
          input == graph::kNetworkInput ? input : part_of[static_cast<std::size_t>(input)];
      inputs.push_back(from);
      if (from == graph::kNetworkInput) {
        if (is_weighted(layer) || layer.op == Op::kFlatten) continue;
        throw Error(ErrorKind::kUnsupported,
                    concat(network_.name, " begins with no weighted layer"), {},
                    "train it data parallel");
      }
      const auto read = static_cast<std::size_t>(from);
      if (parts_[read]->last() != static_cast<std::size_t>(input) || (!begins && is_read[read])) {
        refuse(network_, layer, "reads what others read before or after an activation");
      }
      is_read[read] = is_read[read] || begins;
    }
    if (begins) {
      part_of[i] = static_cast<int>(parts_.size());
      parts_.push_back(std::make_shared<Part>());
      is_read.push_back(false);
      Part& part = *parts_.back();
      part.layer = i;
      part.inputs = std::move(inputs);
      part.raw = part.pooled = layer.out;
      continue;
    }
    part_of[i] = inputs[0];
    if (inputs[0] == graph::kNetworkInput) continue;  // flattening, which nobody else sees
    Part& part = *parts_[static_cast<std::size_t>(inputs[0])];
    part.tail.push_back(i);
    if (layer.op == Op::kMaxPool) part.pooled = layer.out;
    if (layer.op != Op::kBatchNorm) continue;
    if (layer.out.channels != part.pooled.channels)
      refuse(network_, layer, "normalizes features of maps");
    part.norms.emplace_back().layer = i;
  }
  if (parts_.empty()) {
    throw Error(ErrorKind::kUnsupported, concat(network_.name, " begins with no weighted layer"),
                {}, "train it data parallel");
  }
}

void PlannedNetwork::lay_out(const std::vector<LayerState>& splits) {
  if (splits.size() != parts_.size()) {
    throw_invalid_argument(
        "splits", concat(parts_.size(), " states, one for each weighted layer, sum and mean"),
        concat(splits.size()));
  }
  for (std::size_t k = 0; k < parts_.size(); ++k) {
    Part& part = *parts_[k];
    const Layer& layer = network_.layers[part.layer];
    const int own =
        splits[k].count(Split::kBatch) +
        (is_weighted(layer) ? splits[k].count(Split::kInput) + splits[k].count(Split::kOutput)
                            : splits[k].count(Split::kChannels));
    if (splits[k].levels() != array_->levels() || own != array_->levels()) {
      throw_invalid_argument("splits",
                             concat("of ", array_->levels(), " levels of types ",
                                    is_weighted(layer) ? "I, II and III" : "I and C"),
                             concat(splits[k].levels(), " levels for ", layer.name));
    }
    part.wanted = parallel::layout_of(splits[k], &parallel::SplitLayouts::feature_wanted);
    part.made = parallel::layout_of(splits[k], &parallel::SplitLayouts::feature_made);
    part.error_wanted = parallel::layout_of(splits[k], &parallel::SplitLayouts::error_wanted);
    part.error_made = parallel::layout_of(splits[k], &parallel::SplitLayouts::error_made);
  }
  for (std::size_t k = 0; k < parts_.size(); ++k) {
    Part& part = *parts_[k];
    const auto reader = std::find_if(parts_.begin(), parts_.end(), [&](const auto& one) {
      return std::find(one->inputs.begin(), one->inputs.end(), static_cast<int>(k)) !=
             one->inputs.end();
    });
    part.held =
        parallel::summed(part.made, reader == parts_.end() ? by_batch() : (*reader)->wanted);
  }
}

// Calls body(this worker's piece, the whole parameter, its shape, the piece's layout).
template <typename Body>
void PlannedNetwork::each_parameter(const NetworkValues& values, Body&& body) {
  for (const std::shared_ptr<Part>& part : parts_) {
    const auto channels = [&](const Tensor& piece, const Tensor& whole) {
      body(piece, whole, TensorShape{.samples = 1, .channels = whole.numel()},
           channels_alone(part->held));
    };
    if (part->weight.defined()) {
      body(part->weight, values.weights[part->layer], part->weight_shape, part->weight_layout);
    }
    if (part->bias.defined()) channels(part->bias, values.biases[part->layer]);
    for (const Norm& norm : part->norms) {
      channels(norm.weight, values.weights[norm.layer]);
      channels(norm.bias, values.biases[norm.layer]);
    }
  }
}

// The same for running means and variances.
template <typename Body>
void PlannedNetwork::each_statistic(const NetworkValues& values, Body&& body) {
  for (const std::shared_ptr<Part>& part : parts_) {
    const Layout layout = channels_alone(part->held);
    for (const Norm& norm : part->norms) {
      const TensorShape shape{.samples = 1, .channels = values.means[norm.layer].numel()};
      body(norm.mean, values.means[norm.layer], shape, layout);
      body(norm.variance, values.variances[norm.layer], shape, layout);
    }
  }
}

void PlannedNetwork::take_values(std::size_t index, const NetworkValues& values,
                                 const LayerState& split) {
  Part& part = *parts_[index];
  const Layer& layer = network_.layers[part.layer];
  const auto channels = [&](const Tensor& whole) {
    const Tensor plain = whole.detach().contiguous();
    const std::vector<float> mine =
        dist::take_held(numbers_of(plain), {.samples = 1, .channels = plain.numel()},
                        channels_alone(part.held), rank_);
    return tensor_of(mine, {std::ssize(mine)});
  };
  for (Norm& norm : part.norms) {
    norm.weight = channels(values.weights[norm.layer]).set_requires_grad(true);
    norm.bias = channels(values.biases[norm.layer]).set_requires_grad(true);
    norm.mean = channels(values.means[norm.layer]);
    norm.variance = channels(values.variances[norm.layer]);
  }
  if (!is_weighted(layer)) return;
  if (values.biases[part.layer].defined()) {
    part.bias = channels(values.biases[part.layer]).set_requires_grad(true);
  }
  const Tensor whole = values.weights[part.layer].detach().contiguous();
  // Inputs are cut where the features before them are: between maps, not inside one.
  const int from = part.inputs[0];
  const std::int64_t inputs = from == graph::kNetworkInput
                                  ? layer.in.channels
                                  : parts_[static_cast<std::size_t>(from)]->pooled.channels;
  part.weight_layout = weight_layout(split);
  part.weight_shape = {.samples = whole.size(0),
                       .channels = inputs,
                       .inner = whole.numel() / whole.size(0) / inputs};
  const TensorShape piece = dist::held_shape(part.weight_shape, part.weight_layout, rank_);
  std::vector<std::int64_t> sizes = whole.sizes().vec();
  sizes[0] = piece.samples;
  sizes[1] = piece.values() / piece.samples;
  for (std::size_t k = 2; k < sizes.size(); ++k) sizes[1] /= sizes[k];
  part.weight =
      tensor_of(dist::take_held(numbers_of(whole), part.weight_shape, part.weight_layout, rank_),
                sizes)
          .set_requires_grad(true);
}

Tensor PlannedNetwork::joined(const Tensor& piece, const TensorShape& shape, const Layout& layout,
                              at::IntArrayRef sizes) {
  const Tensor plain = piece.detach().contiguous();
  Tensor whole = torch::empty(sizes);
  const std::span<float> to(whole.mutable_data_ptr<float>(),
                            static_cast<std::size_t>(whole.numel()));
  const auto pieces = array_->group()->gather(std::as_bytes(numbers_of(plain)), Cause::kControl);
  for (std::size_t worker = 0; worker < pieces.size(); ++worker) {
    std::vector<float> numbers(pieces[worker].size() / sizeof(float));
    std::memcpy(numbers.data(), pieces[worker].data(), pieces[worker].size());
    dist::put_held(numbers, shape, layout, static_cast<int>(worker), to);
  }
  return whole;
}

void PlannedNetwork::give_to(Program& program) {
  const torch::NoGradGuard no_grad;
  each_statistic(program.values, [&](const Tensor& piece, const Tensor& whole,
                                     const TensorShape& shape, const Layout& layout) {
    whole.copy_(joined(piece, shape, layout, whole.sizes()));
  });
  each_parameter(program.values, [&](const Tensor& piece, const Tensor& whole,
                                     const TensorShape& shape, const Layout& layout) {
    whole.copy_(joined(piece, shape, layout, whole.sizes()));
    OptimizerState state = state_of(*optimizer_, piece);
    for (Tensor& one : state.tensors) one = joined(one, shape, layout, whole.sizes());
    set_state(*program.optimizer, optimizer_name_, whole, std::move(state));
  });
}

}  // namespace taut::nn
