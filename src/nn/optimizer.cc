#include "nn/optimizer.h"

#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::nn {
namespace {

using torch::Tensor;
namespace optim = torch::optim;

// An optimizer of LibTorch whose groups differ in their decay alone.
template <typename Optimizer, typename Options>
std::unique_ptr<optim::Optimizer> made(const Options& options,
                                       const std::vector<ParameterGroup>& groups) {
  std::vector<optim::OptimizerParamGroup> all;
  for (const ParameterGroup& group : groups) {
    Options decaying = options;
    decaying.weight_decay(group.weight_decay);
    all.emplace_back(group.parameters, std::make_unique<Options>(decaying));
  }
  return std::make_unique<Optimizer>(all, options);
}

// State of Adam and AdamW, which keep the same under two types.
template <typename State>
std::unique_ptr<State> moments(OptimizerState state) {
  auto made = std::make_unique<State>();
  made->step(state.steps);
  made->exp_avg(state.tensors[0]);
  made->exp_avg_sq(state.tensors[1]);
  return made;
}

template <typename State>
OptimizerState from_moments(const State& state) {
  return {.steps = state.step(), .tensors = {state.exp_avg(), state.exp_avg_sq()}};
}

DenseOptimizer dense_optimizer(std::string_view name) {
  return parse_spelling<DenseOptimizer>(name, ErrorKind::kConfig, "optimizer");
}

std::unique_ptr<optim::OptimizerParamState> libtorch_state(DenseOptimizer kind,
                                                           OptimizerState state) {
  if (kind == DenseOptimizer::kAdam) return moments<optim::AdamParamState>(std::move(state));
  if (kind == DenseOptimizer::kAdamW) return moments<optim::AdamWParamState>(std::move(state));
  if (kind == DenseOptimizer::kAdagrad) {
    auto adagrad = std::make_unique<optim::AdagradParamState>();
    adagrad->step(state.steps);
    adagrad->sum(state.tensors[0]);
    return adagrad;
  }
  auto sgd = std::make_unique<optim::SGDParamState>();
  sgd->momentum_buffer(state.tensors[0]);
  return sgd;
}

}  // namespace

std::unique_ptr<optim::Optimizer> make_optimizer(const OptimizerChoice& choice,
                                                 const std::vector<ParameterGroup>& groups) {
  if (std::find(choice.offered.begin(), choice.offered.end(), choice.name) ==
      choice.offered.end()) {
    throw Error(ErrorKind::kConfig, concat("unknown optimizer \"", choice.name, "\""),
                "train.optimizer", suggest(choice.name, choice.offered));
  }
  const double rate = choice.learning_rate;
  switch (dense_optimizer(choice.name)) {
    case DenseOptimizer::kSgd:
      return made<optim::SGD>(
          optim::SGDOptions(rate).momentum(choice.momentum).nesterov(choice.nesterov), groups);
    case DenseOptimizer::kAdam:
      return made<optim::Adam>(optim::AdamOptions(rate), groups);
    case DenseOptimizer::kAdamW:
      return made<optim::AdamW>(optim::AdamWOptions(rate), groups);
    case DenseOptimizer::kAdagrad:
      return made<optim::Adagrad>(optim::AdagradOptions(rate), groups);
  }
  TAUT_ASSERT(false);
  return nullptr;
}

std::span<const std::string_view> optimizer_tensors(std::string_view name) {
  static constexpr std::array<std::string_view, 1> kSgd = {"momentum_buffer"};
  static constexpr std::array<std::string_view, 2> kAdam = {"exp_avg", "exp_avg_sq"};
  static constexpr std::array<std::string_view, 1> kAdagrad = {"sum"};
  switch (dense_optimizer(name)) {
    case DenseOptimizer::kSgd:
      return kSgd;
    case DenseOptimizer::kAdam:
    case DenseOptimizer::kAdamW:
      return kAdam;
    case DenseOptimizer::kAdagrad:
      return kAdagrad;
  }
  TAUT_ASSERT(false);
  return {};
}

OptimizerState state_of(const optim::Optimizer& optimizer, const Tensor& parameter) {
  const auto found = optimizer.state().find(parameter.unsafeGetTensorImpl());
  if (found == optimizer.state().end()) return {};
  const optim::OptimizerParamState* state = found->second.get();
  if (const auto* sgd = dynamic_cast<const optim::SGDParamState*>(state)) {
    if (!sgd->momentum_buffer().defined()) return {};
    return {.tensors = {sgd->momentum_buffer()}};
  }
  if (const auto* adagrad = dynamic_cast<const optim::AdagradParamState*>(state)) {
    return {.steps = adagrad->step(), .tensors = {adagrad->sum()}};
  }
  if (const auto* adam = dynamic_cast<const optim::AdamParamState*>(state)) {
    return from_moments(*adam);
  }
  return from_moments(dynamic_cast<const optim::AdamWParamState&>(*state));
}

void set_state(optim::Optimizer& optimizer, std::string_view name, const Tensor& parameter,
               OptimizerState state) {
  void* key = parameter.unsafeGetTensorImpl();
  if (state.tensors.empty()) {
    optimizer.state().erase(key);
    return;
  }
  TAUT_ASSERT(state.tensors.size() == optimizer_tensors(name).size());
  optimizer.state()[key] = libtorch_state(dense_optimizer(name), std::move(state));
}

FusedStep::FusedStep(optim::Optimizer& optimizer, const OptimizerChoice& choice,
                     double weight_decay, const Tensor& parameter, double scale)
    : values_(static_cast<float*>(parameter.data_ptr())) {
  TAUT_ASSERT(parameter.is_non_overlapping_and_dense());
  const Tensor like = parameter.detach();
  OptimizerState state = state_of(optimizer, parameter);
  if (state.tensors.empty()) {
    state.tensors.resize(optimizer_tensors(choice.name).size());
    for (Tensor& kept : state.tensors) kept = torch::zeros_like(like);
  }
  for (Tensor& kept : state.tensors) {  // as a file gave it, perhaps
    if (kept.strides() != like.strides()) kept = torch::empty_like(like).copy_(kept);
  }
  state_ = state.tensors;
  const auto decay = static_cast<float>(weight_decay);
  const auto rate = static_cast<float>(choice.learning_rate);
  const auto factor = static_cast<float>(scale);
  const DenseOptimizer kind = dense_optimizer(choice.name);
  if (kind == DenseOptimizer::kSgd) {
    step_ = SgdStep{.scale = factor,
                    .weight_decay = decay,
                    .learning_rate = rate,
                    .momentum = static_cast<float>(choice.momentum),
                    .nesterov = choice.nesterov};
  } else if (kind == DenseOptimizer::kAdagrad) {
    ++state.steps;
    step_ = AdagradStep{.scale = factor, .weight_decay = decay, .learning_rate = rate};
  } else {
    TAUT_ASSERT(kind == DenseOptimizer::kAdam);
    AdamStep adam{.scale = factor, .weight_decay = decay};
    const auto steps = static_cast<double>(++state.steps);
    adam.step_size = static_cast<float>(choice.learning_rate / (1 - std::pow(0.9, steps)));
    adam.correction_root = static_cast<float>(std::sqrt(1 - std::pow(0.999, steps)));
    step_ = adam;
  }
  set_state(optimizer, choice.name, parameter, std::move(state));
}

void FusedStep::operator()(std::int64_t begin, std::int64_t count, const float* gradient) const {
  const auto part = [&](std::size_t k) {
    return static_cast<float*>(state_[k].data_ptr()) + begin;
  };
  float* values = values_ + begin;
  if (const auto* one = std::get_if<AdamStep>(&step_)) {
    adam(*one, count, gradient, part(0), part(1), values);
  } else if (const auto* two = std::get_if<AdagradStep>(&step_)) {
    adagrad(*two, count, gradient, part(0), values);
  } else {
    sgd(std::get<SgdStep>(step_), count, gradient, part(0), values);
  }
}

}  // namespace taut::nn
