#include "nn/planned_network.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "taut/core/error.h"
#include "taut/core/text.h"

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

void check_chain(const Network& network) {
  const auto refuse = [&](const Layer& layer, std::string_view why) {
    throw Error(ErrorKind::kUnsupported,
                concat("layer ", layer.name, " of ", network.name, " ", why), {},
                "train it data parallel");
  };
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const Layer& layer = network.layers[i];
    const bool known = is_weighted(layer) || layer.op == Op::kRelu || layer.op == Op::kRelu6 ||
                       layer.op == Op::kMaxPool || layer.op == Op::kFlatten;
    if (!known) refuse(layer, concat("is ", to_string(layer.op), ", which no plan runs yet"));
    if (layer.inputs.size() != 1 || layer.inputs[0] != static_cast<int>(i) - 1) {
      refuse(layer, "does not read the layer before it");
    }
    if (layer.op == Op::kConv && layer.groups != 1) refuse(layer, "is grouped");
    if (layer.op == Op::kLinear && layer.out.is_map()) refuse(layer, "works on positions");
    if (layer.winner_site >= 0 && graph::winners_at(network, layer).rate < 1) {
      refuse(layer, "chooses winners");
    }
  }
  const auto first = std::find_if(network.layers.begin(), network.layers.end(),
                                  [](const Layer& layer) { return layer.op != Op::kFlatten; });
  if (first == network.layers.end() || !is_weighted(*first)) {
    throw Error(ErrorKind::kUnsupported, concat(network.name, " begins with no weighted layer"), {},
                "train it data parallel");
  }
}

// What of a layer's splits holds at each level.
template <typename Member>
Layout layout_by(const LayerState& split, Member member) {
  Layout layout;
  for (int level = 0; level < split.levels(); ++level) {
    layout.push_back(parallel::layouts_of(split.at(level)).*member);
  }
  return layout;
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

std::vector<int> levels_that(const Layout& layout, Held held) {
  std::vector<int> levels;
  for (std::size_t level = 0; level < layout.size(); ++level) {
    if (layout[level] == held) levels.push_back(static_cast<int>(level));
  }
  return levels;
}

std::span<const float> numbers_of(const Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

Tensor tensor_of(const std::vector<float>& numbers, at::IntArrayRef shape) {
  Tensor made = torch::empty(shape);
  std::memcpy(made.mutable_data_ptr<float>(), numbers.data(), numbers.size() * sizeof(float));
  return made;
}

// Over the workers that differ at these levels.
void sum_over(dist::WorkerArray& array, const std::vector<int>& levels, Tensor& gradient,
              Cause cause) {
  if (levels.empty()) return;
  dist::ProcessGroup& group = array.across(levels);
  gradient = gradient.contiguous();
  group.all_reduce({gradient.mutable_data_ptr<float>(), static_cast<std::size_t>(gradient.numel())},
                   cause);
}

}  // namespace

struct PlannedNetwork::Part {
  std::size_t layer = 0;
  std::size_t end = 0;  // the next weighted layer, or the end of the network
  Layout wanted;        // features that it reads
  Layout made;          // what its product gives
  Layout held;          // the same with partial sums added, and so what follows up to the next
  Layout error_wanted;  // the gradient of its product
  Layout error_made;    // the gradient of what it reads
  Layout weight_layout;
  TensorShape weight_shape;  // the whole weight
  Tensor weight;             // this worker's piece
  Tensor bias;               // of the channels that `held` gives it; undefined: none
  Shape raw;                 // of its product, one example
  Shape pooled;              // of what the next layer reads
};

struct PlannedNetwork::Passed {
  Tensor input;      // what the product reads, a leaf
  Tensor product;    // of this worker's piece
  Tensor sums;       // partial sums added, a leaf
  Tensor activated;  // what the next layer is given
};

PlannedNetwork::~PlannedNetwork() = default;

PlannedNetwork::PlannedNetwork(const Program& program, const std::vector<LayerState>& splits,
                               const OptimizerChoice& optimizer, double weight_decay,
                               std::shared_ptr<dist::WorkerArray> array)
    : network_(program.network),
      array_(std::move(array)),
      rank_(array_->group()->rank()),
      optimizer_name_(optimizer.name) {
  check_chain(network_);
  std::vector<std::size_t> weighted;
  for (std::size_t i = 0; i < network_.layers.size(); ++i) {
    if (is_weighted(network_.layers[i])) weighted.push_back(i);
  }
  if (splits.size() != weighted.size()) {
    throw_invalid_argument("splits",
                           concat(weighted.size(), " states, one for each weighted layer"),
                           concat(splits.size()));
  }
  for (std::size_t k = 0; k < weighted.size(); ++k) {
    if (splits[k].levels() != array_->levels() || splits[k].count(Split::kChannels) > 0) {
      throw_invalid_argument(
          "splits", concat("of ", array_->levels(), " levels of types I, II and III"),
          concat(splits[k].levels(), " levels for ", network_.layers[weighted[k]].name));
    }
    parts_.push_back(std::make_shared<Part>());
    Part& part = *parts_.back();
    part.layer = weighted[k];
    part.end = k + 1 < weighted.size() ? weighted[k + 1] : network_.layers.size();
    part.wanted = layout_by(splits[k], &parallel::SplitLayouts::feature_wanted);
    part.made = layout_by(splits[k], &parallel::SplitLayouts::feature_made);
    part.error_wanted = layout_by(splits[k], &parallel::SplitLayouts::error_wanted);
    part.error_made = layout_by(splits[k], &parallel::SplitLayouts::error_made);
    part.raw = network_.layers[part.layer].out;
    part.pooled = part.raw;
    for (std::size_t i = part.layer + 1; i < part.end; ++i) {
      if (network_.layers[i].op != Op::kFlatten) part.pooled = network_.layers[i].out;
    }
  }
  std::vector<ParameterGroup> groups = {{.parameters = {}, .weight_decay = weight_decay},
                                        {.parameters = {}, .weight_decay = 0}};
  for (std::size_t k = 0; k < parts_.size(); ++k) {
    Part& part = *parts_[k];
    part.held = part.made;
    for (std::size_t level = 0; level < part.held.size(); ++level) {
      if (part.held[level] != Held::kPartial) continue;
      const Held next = k + 1 < parts_.size() ? parts_[k + 1]->wanted[level] : Held::kBatch;
      part.held[level] = next == Held::kWhole ? Held::kChannel : next;
    }
    add_part(k, program.values, splits[k]);
    groups[0].parameters.push_back(part.weight);
    if (part.bias.defined()) groups[1].parameters.push_back(part.bias);
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

// Calls body(this worker's piece, the whole parameter, its shape, the piece's layout).
template <typename Body>
void PlannedNetwork::each_parameter(const NetworkValues& values, Body&& body) {
  for (const std::shared_ptr<Part>& part : parts_) {
    body(part->weight, values.weights[part->layer], part->weight_shape, part->weight_layout);
    if (!part->bias.defined()) continue;
    const Tensor& bias = values.biases[part->layer];
    body(part->bias, bias, TensorShape{.samples = 1, .channels = bias.numel()},
         channels_alone(part->held));
  }
}

void PlannedNetwork::add_part(std::size_t index, const NetworkValues& values,
                              const LayerState& split) {
  Part& part = *parts_[index];
  const Layer& layer = network_.layers[part.layer];
  const Tensor whole = values.weights[part.layer].detach().contiguous();
  // Inputs are cut where the features before them are: between maps, not inside one.
  const std::int64_t inputs = index == 0 ? layer.in.channels : parts_[index - 1]->pooled.channels;
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
  if (!values.biases[part.layer].defined()) return;
  const Tensor bias = values.biases[part.layer].detach().contiguous();
  const std::vector<float> mine = dist::take_held(
      numbers_of(bias), {.samples = 1, .channels = bias.numel()}, channels_alone(part.held), rank_);
  part.bias = tensor_of(mine, {std::ssize(mine)}).set_requires_grad(true);
}

TensorShape PlannedNetwork::shape_of(const Shape& shape, std::int64_t batch) const {
  return {.samples = batch, .channels = shape.channels, .inner = shape.height * shape.width};
}

// held: [samples, channels, ...] of its layout, and so is what is returned.
Tensor PlannedNetwork::move(const Tensor& held, const TensorShape& shape, const Layout& made,
                            const Layout& wanted, Cause cause) {
  const Tensor plain = held.detach().contiguous();
  std::vector<std::int64_t> sizes = plain.sizes().vec();
  const TensorShape after = dist::held_shape(shape, wanted, rank_);
  sizes[0] = after.samples;
  sizes[1] = after.channels * after.inner;
  for (std::size_t k = 2; k < sizes.size(); ++k) sizes[1] /= sizes[k];
  return tensor_of(array_->move(numbers_of(plain), shape, made, wanted, cause), sizes);
}

Tensor PlannedNetwork::multiplied(const Part& part, const Tensor& x) const {
  const Layer& layer = network_.layers[part.layer];
  if (layer.op == Op::kLinear) return torch::linear(x.flatten(1), part.weight);
  const std::int64_t after = layer.window.after;
  return torch::conv2d(after == 0 ? x : torch::constant_pad_nd(x, {0, after, 0, after}, 0),
                       part.weight, {},
                       {layer.window.stride, graph::along_width(layer.window).stride},
                       {layer.window.padding, layer.window.padding});
}

// Flattening waits for the product that needs it, so that channels stay apart.
Tensor PlannedNetwork::activated(const Part& part, const Tensor& sums) const {
  Tensor y = sums;
  if (part.bias.defined()) {
    y = y + (y.dim() == 4 ? part.bias.view({1, -1, 1, 1}) : part.bias);
  }
  for (std::size_t i = part.layer + 1; i < part.end; ++i) {
    const Layer& layer = network_.layers[i];
    if (layer.op == Op::kRelu) y = torch::relu(y);
    if (layer.op == Op::kRelu6) y = torch::clamp(y, 0, 6);
    if (layer.op == Op::kMaxPool) {
      const std::int64_t after = layer.window.after;
      const Tensor padded =
          after == 0 ? y : torch::constant_pad_nd(y, {0, after, 0, after}, -INFINITY);
      y = torch::max_pool2d(padded, {layer.window.kernel, layer.window.kernel},
                            {layer.window.stride, graph::along_width(layer.window).stride},
                            {layer.window.padding, layer.window.padding});
    }
  }
  return y;
}

ImageLoss PlannedNetwork::compare(const Tensor& logits, const Tensor& labels, std::int64_t batch,
                                  Tensor& slope) {
  const Layout by_batch(static_cast<std::size_t>(array_->levels()), Held::kBatch);
  const Tensor places = torch::arange(batch, torch::kFloat32);
  const std::vector<float> mine =
      dist::take_held(numbers_of(places), {.samples = batch, .channels = 1}, by_batch, rank_);
  const Tensor own = labels.index_select(0, tensor_of(mine, {std::ssize(mine)}).to(torch::kLong));
  const Tensor leaf = logits.detach().set_requires_grad(true);
  const Tensor loss = at::cross_entropy_loss(leaf, own, {}, at::Reduction::Sum);
  slope = torch::autograd::grad({loss}, {leaf})[0];
  const ImageLoss local{.loss = loss.item<double>(),
                        .correct = leaf.detach().argmax(1).eq(own).sum().item<std::int64_t>()};
  ImageLoss total;
  for (const ImageLoss& one : array_->group()->each(local)) {
    total.loss += one.loss;
    total.correct += one.correct;
  }
  return total;
}

ImageLoss PlannedNetwork::step(const Tensor& input, const Tensor& labels, double learning_rate) {
  const std::int64_t batch = input.size(0);
  const Layout by_batch(static_cast<std::size_t>(array_->levels()), Held::kBatch);
  const Part& first = *parts_.front();
  const Shape& read = network_.layers[first.layer].in;
  const TensorShape whole = shape_of(read, batch);
  const TensorShape mine = dist::held_shape(whole, first.wanted, rank_);
  Tensor x = tensor_of(dist::take_held(numbers_of(input.contiguous()), whole, first.wanted, rank_),
                       {mine.samples, mine.channels, read.height, read.width});
  std::vector<Passed> passed;
  for (std::size_t k = 0; k < parts_.size(); ++k) {
    const Part& part = *parts_[k];
    Passed now;
    now.input = x.detach().set_requires_grad(k > 0);
    now.product = multiplied(part, now.input);
    now.sums = move(now.product, shape_of(part.raw, batch), part.made, part.held, Cause::kFeatures)
                   .set_requires_grad(true);
    now.activated = activated(part, now.sums);
    x = move(now.activated, shape_of(part.pooled, batch), part.held,
             k + 1 < parts_.size() ? parts_[k + 1]->wanted : by_batch, Cause::kFeatures);
    passed.push_back(now);
  }
  Tensor slope;
  const ImageLoss loss = compare(x, labels, batch, slope);
  require_finite(loss.loss, "lower train.learning_rate");
  for (auto& group : optimizer_->param_groups()) group.options().set_lr(learning_rate);
  backward(passed, slope, batch);
  optimizer_->step();
  return loss;
}

// slope: the gradient of the logits, batch-split.
void PlannedNetwork::backward(std::vector<Passed>& passed, Tensor slope, std::int64_t batch) {
  Layout made(static_cast<std::size_t>(array_->levels()), Held::kBatch);
  for (std::size_t k = parts_.size(); k-- > 0;) {
    Part& part = *parts_[k];
    const Passed& was = passed[k];
    slope = move(slope, shape_of(part.pooled, batch), made, part.held, Cause::kErrors);
    std::vector<Tensor> inputs = {was.sums};
    if (part.bias.defined()) inputs.push_back(part.bias);
    auto gradients = torch::autograd::grad({was.activated}, inputs, {slope.view_as(was.activated)});
    if (part.bias.defined()) {
      sum_over(*array_, levels_that(part.held, Held::kBatch), gradients[1], Cause::kControl);
      part.bias.mutable_grad() = gradients[1].div_(static_cast<double>(batch));
    }
    const Tensor error =
        move(gradients[0], shape_of(part.raw, batch), part.held, part.error_wanted, Cause::kErrors);
    inputs = {part.weight};
    if (k > 0) inputs.push_back(was.input);
    gradients = torch::autograd::grad({was.product}, inputs, {error.view_as(was.product)});
    sum_over(*array_, levels_that(part.weight_layout, Held::kWhole), gradients[0],
             Cause::kGradients);
    part.weight.mutable_grad() = gradients[0].div_(static_cast<double>(batch));
    if (k > 0) slope = gradients[1];
    made = part.error_made;
  }
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
  each_parameter(program.values, [&](const Tensor& piece, const Tensor& whole,
                                     const TensorShape& shape, const Layout& layout) {
    whole.copy_(joined(piece, shape, layout, whole.sizes()));
    OptimizerState state = state_of(*optimizer_, piece);
    for (Tensor& one : state.tensors) one = joined(one, shape, layout, whole.sizes());
    set_state(*program.optimizer, optimizer_name_, whole, std::move(state));
  });
}

}  // namespace taut::nn
