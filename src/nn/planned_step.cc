// The steps of a PlannedNetwork.
#include <algorithm>
#include <cmath>

#include "nn/planned_part.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::nn {
namespace {

using dist::Cause;
using dist::Layout;
using dist::TensorShape;
using parallel::Held;
using torch::Tensor;

std::vector<int> levels_that(const Layout& layout, Held held) {
  std::vector<int> levels;
  for (std::size_t level = 0; level < layout.size(); ++level) {
    if (layout[level] == held) levels.push_back(static_cast<int>(level));
  }
  return levels;
}

// Over the workers that differ at these levels.
void sum_over(dist::WorkerArray& array, const std::vector<int>& levels, Tensor& values,
              Cause cause) {
  if (levels.empty()) return;
  dist::ProcessGroup& group = array.across(levels);
  values = values.contiguous();
  group.all_reduce({values.mutable_data_ptr<float>(), static_cast<std::size_t>(values.numel())},
                   cause);
}

}  // namespace

TensorShape PlannedNetwork::shape_of(const Shape& shape, std::int64_t batch) {
  return {.samples = batch, .channels = shape.channels, .inner = shape.height * shape.width};
}

// held: [samples, channels, ...] of its layout, and so is what is returned, which is a leaf.
Tensor PlannedNetwork::move(const Tensor& held, const TensorShape& shape, const Layout& made,
                            const Layout& wanted, Cause cause) {
  if (made == wanted) return held.detach();
  const Tensor plain = held.detach().contiguous();
  std::vector<std::int64_t> sizes = plain.sizes().vec();
  const TensorShape after = dist::held_shape(shape, wanted, rank_);
  sizes[0] = after.samples;
  sizes[1] = after.channels * after.inner;
  for (std::size_t k = 2; k < sizes.size(); ++k) sizes[1] /= sizes[k];
  return tensor_of(array_->move(numbers_of(plain), shape, made, wanted, cause), sizes);
}

// This worker's part of what the network reads, as a part wants it.
Tensor PlannedNetwork::read_input(const Part& part, const Tensor& input) const {
  const Shape& read = network_.layers[part.layer].in;
  const TensorShape whole = shape_of(read, input.size(0));
  const TensorShape mine = dist::held_shape(whole, part.wanted, rank_);
  return tensor_of(dist::take_held(numbers_of(input.contiguous()), whole, part.wanted, rank_),
                   {mine.samples, mine.channels, read.height, read.width});
}

Tensor PlannedNetwork::given(const Part& part, const std::vector<Tensor>& inputs) const {
  const Layer& layer = network_.layers[part.layer];
  const Tensor& x = inputs[0];
  if (layer.op == Op::kGlobalMean) return x.mean({2, 3});
  if (layer.op == Op::kLinear) return torch::linear(x.flatten(1), part.weight);
  if (layer.op == Op::kConv) return convolve(layer, x, part.weight, {});
  Tensor sum = x;
  for (std::size_t k = 1; k < inputs.size(); ++k) sum = sum + inputs[k].view_as(x);
  return sum;
}

// Pieces of the batch one after another, as one process cuts it: a worker has whole ones.
Tensor PlannedNetwork::normalized(const Norm& norm, const Tensor& x,
                                  std::vector<Tensor>& statistics) const {
  std::vector<Tensor> made;
  Tensor sums = torch::zeros({2, x.size(1)});
  for (std::int64_t begin = 0; begin < x.size(0); begin += piece_) {
    const Normalized one = normalize(x.narrow(0, begin, piece_), norm.weight, norm.bias);
    made.push_back(one.values);
    sums[0].add_(one.mean);
    sums[1].add_(one.variance);
  }
  statistics.push_back(sums);
  return torch::cat(made);
}

void PlannedNetwork::follow_statistics(const std::vector<Passed>& passed, std::int64_t batch) {
  const double share = kNormMomentum * static_cast<double>(piece_) / static_cast<double>(batch);
  for (std::size_t k = 0; k < parts_.size(); ++k) {
    const Part& part = *parts_[k];
    for (std::size_t n = 0; n < part.norms.size(); ++n) {
      Tensor sums = passed[k].statistics[n];
      sum_over(*array_, levels_that(part.held, Held::kBatch), sums, Cause::kControl);
      const auto follow = [&](const Tensor& running, const Tensor& sum) {
        running.mul_(1 - kNormMomentum).add_(sum, share);
      };
      follow(part.norms[n].mean, sums[0]);
      follow(part.norms[n].variance, sums[1]);
    }
  }
}

// Flattening waits for the product that needs it, so that channels stay apart.
Tensor PlannedNetwork::activated(const Part& part, Passed& now) const {
  Tensor y = now.sums;
  if (part.bias.defined()) {
    y = y + (y.dim() == 4 ? part.bias.view({1, -1, 1, 1}) : part.bias);
  }
  auto norm = part.norms.begin();
  for (const std::size_t i : part.tail) {
    const Layer& layer = network_.layers[i];
    if (layer.op == Op::kBatchNorm) y = normalized(*norm++, y, now.statistics);
    if (layer.op == Op::kRelu) y = torch::relu(y);
    if (layer.op == Op::kRelu6) y = torch::clamp(y, 0, 6);
    if (layer.op == Op::kMaxPool) y = pool_maxima(layer, y);
  }
  return y;
}

ImageLoss PlannedNetwork::compare(const Tensor& logits, const Tensor& labels, std::int64_t batch,
                                  Tensor& slope) {
  const Tensor places = torch::arange(batch, torch::kFloat32);
  const std::vector<float> mine =
      dist::take_held(numbers_of(places), {.samples = batch, .channels = 1}, by_batch(), rank_);
  const Tensor own = labels.index_select(0, tensor_of(mine, {std::ssize(mine)}).to(torch::kLong));
  const Tensor leaf = logits.detach().flatten(1).set_requires_grad(true);
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

void PlannedNetwork::check_pieces(std::int64_t batch) const {
  const bool normalizes = std::any_of(parts_.begin(), parts_.end(),
                                      [](const auto& part) { return !part->norms.empty(); });
  const std::int64_t least = piece_ << array_->levels();
  if (!normalizes || batch % least == 0) return;
  throw Error(ErrorKind::kConfig,
              concat("a batch of ", batch, " examples, normalized in pieces of ", piece_,
                     ", leaves no whole pieces to each of ", 1 << array_->levels(), " workers"),
              "train.batch_size",
              concat("make it a multiple of ", least, ", or change train.piece"));
}

ImageLoss PlannedNetwork::step(const Tensor& input, const Tensor& labels, double learning_rate) {
  const std::int64_t batch = input.size(0);
  check_pieces(batch);
  std::vector<Passed> passed;
  for (const std::shared_ptr<Part>& part : parts_) {
    Passed now;
    for (const int from : part->inputs) {
      if (from == graph::kNetworkInput) {
        now.inputs.push_back(read_input(*part, input));
        continue;
      }
      const Part& maker = *parts_[static_cast<std::size_t>(from)];
      now.inputs.push_back(move(passed[static_cast<std::size_t>(from)].activated,
                                shape_of(maker.pooled, batch), maker.held, part->wanted,
                                Cause::kFeatures)
                               .set_requires_grad(true));
    }
    now.product = given(*part, now.inputs);
    now.sums =
        move(now.product, shape_of(part->raw, batch), part->made, part->held, Cause::kFeatures)
            .set_requires_grad(true);
    now.activated = activated(*part, now);
    passed.push_back(std::move(now));
  }
  const Part& last = *parts_.back();
  const TensorShape shape = shape_of(last.pooled, batch);
  Tensor slope;
  const ImageLoss loss =
      compare(move(passed.back().activated, shape, last.held, by_batch(), Cause::kFeatures), labels,
              batch, slope);
  require_finite(loss.loss, "lower train.learning_rate");
  for (auto& group : optimizer_->param_groups()) group.options().set_lr(learning_rate);
  backward(passed, move(slope, shape, by_batch(), last.held, Cause::kErrors), batch);
  optimizer_->step();
  follow_statistics(passed, batch);
  return loss;
}

// slope: the gradient of the logits, as the last part holds them.
void PlannedNetwork::backward(std::vector<Passed>& passed, Tensor slope, std::int64_t batch) {
  std::vector<Tensor> slopes(parts_.size());
  slopes.back() = std::move(slope);
  for (std::size_t k = parts_.size(); k-- > 0;) {
    const Part& part = *parts_[k];
    const Passed& was = passed[k];
    const Tensor error = move(behind_tail(part, was, slopes[k], batch), shape_of(part.raw, batch),
                              part.held, part.error_wanted, Cause::kErrors);
    std::vector<Tensor> leaves;
    if (part.weight.defined()) leaves.push_back(part.weight);
    for (std::size_t j = 0; j < part.inputs.size(); ++j) {
      if (part.inputs[j] != graph::kNetworkInput) leaves.push_back(was.inputs[j]);
    }
    std::vector<Tensor> gradients =
        torch::autograd::grad({was.product}, leaves, {error.view_as(was.product)});
    auto next = gradients.begin();
    if (part.weight.defined()) {
      sum_over(*array_, levels_that(part.weight_layout, Held::kWhole), *next, Cause::kGradients);
      part.weight.mutable_grad() = next->div_(static_cast<double>(batch));
      ++next;
    }
    for (const int from : part.inputs) {
      if (from == graph::kNetworkInput) continue;
      const Part& maker = *parts_[static_cast<std::size_t>(from)];
      const Tensor moved =
          move(*next++, shape_of(maker.pooled, batch), part.error_made, maker.held, Cause::kErrors);
      Tensor& sum = slopes[static_cast<std::size_t>(from)];
      sum = sum.defined() ? sum + moved.view_as(sum) : moved;
    }
  }
}

// The gradient of what a part gives, before its tail; those of the tail's parameters are set.
Tensor PlannedNetwork::behind_tail(const Part& part, const Passed& was, const Tensor& slope,
                                   std::int64_t batch) {
  std::vector<Tensor> leaves = {was.sums};
  if (part.bias.defined()) leaves.push_back(part.bias);
  for (const Norm& norm : part.norms) {
    leaves.push_back(norm.weight);
    leaves.push_back(norm.bias);
  }
  std::vector<Tensor> gradients =
      torch::autograd::grad({was.activated}, leaves, {slope.view_as(was.activated)});
  for (std::size_t i = 1; i < leaves.size(); ++i) {
    sum_over(*array_, levels_that(part.held, Held::kBatch), gradients[i], Cause::kControl);
    leaves[i].mutable_grad() = gradients[i].div_(static_cast<double>(batch));
  }
  return gradients[0];
}

}  // namespace taut::nn
