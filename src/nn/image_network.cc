#include "taut/nn/image_network.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "nn/image_network_impl.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/graph/zoo.h"

namespace taut::nn {
namespace {

using torch::Tensor;

void require(bool holds, std::string_view key, std::string_view wanted, const auto& got) {
  if (holds) return;
  throw Error(ErrorKind::kConfig, concat(key, " must be ", wanted, ", got ", got));
}

// A unit that none of the maps or features at the sites has.
void check_unit(const WinnerPolicy& policy, const Network& network) {
  using sparsity::Unit;
  if (policy.rates.empty()) return;
  for (const int site : network.winner_sites()) {
    const Layer& layer = network.layers[static_cast<std::size_t>(site)];
    const bool map = layer.out.height * layer.out.width > 1;
    if (map && policy.unit == Unit::kNeuron) {
      throw Error(ErrorKind::kConfig,
                  concat("model.unit is neuron, but ", layer.name, " of ", network.name,
                         " gives maps of ", layer.out.height, "x", layer.out.width),
                  {}, "use position, element, channel or block");
    }
    if (policy.unit == Unit::kBlock && layer.out.channels % policy.block != 0) {
      throw Error(ErrorKind::kConfig, concat("model.block must divide the ", layer.out.channels,
                                             " channels of ", layer.name, ", got ", policy.block));
    }
  }
  const auto sites = network.winner_sites();
  const bool maps = std::any_of(sites.begin(), sites.end(), [&](int site) {
    const Shape& out = network.layers[static_cast<std::size_t>(site)].out;
    return out.height * out.width > 1;
  });
  if (!maps && (policy.unit == Unit::kChannel || policy.unit == Unit::kPosition)) {
    throw Error(
        ErrorKind::kConfig,
        concat("model.unit is ", to_string(policy.unit), ", but ", network.name, " has no maps"),
        {}, "use neuron, element or block");
  }
}

NetworkValues cloned(const NetworkValues& values) {
  NetworkValues copy = values;
  for (auto* tensors : {&copy.weights, &copy.biases, &copy.means, &copy.variances}) {
    for (Tensor& tensor : *tensors) {
      if (tensor.defined()) tensor = tensor.detach().clone();
    }
  }
  return copy;
}

// Two groups: weights that decay, and the rest.
std::vector<ParameterGroup> groups_of(const Network& network, const NetworkValues& values,
                                      double weight_decay) {
  ParameterGroup decaying{.parameters = {}, .weight_decay = weight_decay};
  ParameterGroup others;
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const bool norm = network.layers[i].op == Op::kBatchNorm;
    if (values.weights[i].defined()) {
      (norm ? others : decaying).parameters.push_back(values.weights[i]);
    }
    if (values.biases[i].defined()) others.parameters.push_back(values.biases[i]);
  }
  return {decaying, others};
}

}  // namespace

void check_options(const ImageNetworkOptions& o, const Network& network) {
  static_cast<void>(rates_by_site(o.winners.rates, network.winner_sites().size()));
  require(o.winners.block >= 1, "model.block", "at least 1", o.winners.block);
  check_unit(o.winners, network);
  require(o.momentum >= 0 && o.momentum < 1, "train.momentum", "in [0, 1)", o.momentum);
  require(o.weight_decay >= 0, "train.weight_decay", "0 or more", o.weight_decay);
  require(o.label_smoothing >= 0 && o.label_smoothing < 1, "train.label_smoothing", "in [0, 1)",
          o.label_smoothing);
  require(o.ema >= 0 && o.ema < 1, "train.ema", "in [0, 1)", o.ema);
  require(o.piece >= 1, "train.piece", "at least 1", o.piece);
}

ImageNetwork::Impl::Impl(const ImageNetworkOptions& o, std::shared_ptr<ThreadPool> threads)
    : Program(
          graph::make_network(o.kind, {.input = o.input, .classes = o.classes, .width = o.width}),
          Start::kKaiming, o.seed, std::move(threads), o.piece),
      options(o) {
  check_options(o, network);
  set_policy(o.winners);
  average = cloned(values);
  masks.resize(network.layers.size());
  maps.resize(network.layers.size());
  set_optimizer(optimizer_choice(), groups_of(network, values, o.weight_decay));
}

OptimizerChoice ImageNetwork::Impl::optimizer_choice() const {
  return {.name = options.optimizer,
          .offered = {"sgd", "adam", "adamw"},
          .momentum = options.momentum,
          .nesterov = options.momentum > 0};
}

void ImageNetwork::Impl::set_policy(const WinnerPolicy& policy) {
  options.winners = policy;
  network.winners = policy;
  set_rates(policy.rates);
}

NetworkInputs ImageNetwork::Impl::images_of(const ImageInput& input, const Slice& slice) const {
  const Shape& shape = options.input;
  return {.input = view_of(input.pixels, slice.begin * shape.size(),
                           {slice.size, shape.height, shape.width, shape.channels})
                       .permute({0, 3, 1, 2}),
          .embedded = {}};
}

Tensor ImageNetwork::Impl::labels_of(const ImageInput& input, const Slice& slice) const {
  return torch::from_blob(const_cast<std::int64_t*>(input.labels.data()) + slice.begin,
                          {slice.size}, torch::kLong);
}

void ImageNetwork::Impl::check_input(const ImageInput& input, bool labelled) const {
  if (input.size < 1) throw_invalid_argument("size", "at least 1", std::to_string(input.size));
  require_size("pixels", input.size * options.input.size(), input.pixels.size());
  if (labelled) require_size("labels", input.size, input.labels.size());
}

ForwardOptions ImageNetwork::Impl::forward_options(bool training) const {
  ForwardOptions forward;
  forward.training = training;
  forward.bf16 = options.bf16;
  forward.maps = &maps;
  forward.codes = quantized ? &codes : nullptr;
  return forward;
}

NormStatistics ImageNetwork::Impl::empty_statistics() const {
  return {.means = std::vector<Tensor>(network.layers.size()),
          .variances = std::vector<Tensor>(network.layers.size())};
}

Tensor ImageNetwork::Impl::loss_of(const Tensor& logits, const NetworkInputs& images,
                                   const Tensor& labels) const {
  const Tensor entropy =
      at::cross_entropy_loss(logits, labels, {}, at::Reduction::Sum, -100, options.label_smoothing);
  if (teacher == nullptr) return entropy;
  Tensor target;
  {
    const torch::NoGradGuard no_grad;
    const Impl& other = *teacher->impl_;
    target = forward(other.network, other.predicting(), images, other.forward_options(false));
  }
  const Tensor divergence = at::kl_div(torch::log_softmax(logits / temperature, 1),
                                       torch::log_softmax(target / temperature, 1),
                                       at::Reduction::Sum, /*log_target=*/true);
  return entropy * (1 - teacher_weight) + divergence * (teacher_weight * temperature * temperature);
}

void ImageNetwork::Impl::apply_masks() {
  for (std::size_t i = 0; i < masks.size(); ++i) {
    if (masks[i].defined()) values.weights[i].mul_(masks[i]);
  }
}

void ImageNetwork::Impl::follow_statistics(const std::vector<NormStatistics>& of_slices,
                                           std::int64_t batch, double momentum) {
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    if (!values.means[i].defined()) continue;
    values.means[i].mul_(1 - momentum);
    values.variances[i].mul_(1 - momentum);
    for (std::size_t s = 0; s < of_slices.size(); ++s) {
      const std::int64_t size = slice_at(batch, static_cast<std::int64_t>(s)).size;
      const double share = momentum * static_cast<double>(size) / static_cast<double>(batch);
      values.means[i].add_(of_slices[s].means[i], share);
      values.variances[i].add_(of_slices[s].variances[i], share);
    }
  }
}

void ImageNetwork::Impl::follow_average() {
  if (options.ema == 0) return;
  const auto follow = [&](std::vector<Tensor>& averages, const std::vector<Tensor>& now) {
    for (std::size_t i = 0; i < now.size(); ++i) {
      if (now[i].defined()) averages[i].lerp_(now[i].detach(), 1 - options.ema);
    }
  };
  follow(average.weights, values.weights);
  follow(average.biases, values.biases);
  follow(average.means, values.means);
  follow(average.variances, values.variances);
  for (std::size_t i = 0; i < masks.size(); ++i) {
    if (masks[i].defined()) average.weights[i].mul_(masks[i]);
  }
}

ImageNetwork::ImageNetwork(const ImageNetworkOptions& options, std::shared_ptr<ThreadPool> pool)
    : impl_(std::make_unique<Impl>(options, std::move(pool))) {}

ImageNetwork::~ImageNetwork() = default;

const ImageNetworkOptions& ImageNetwork::options() const noexcept {
  return impl_->options;
}

const graph::Network& ImageNetwork::network() const noexcept {
  return impl_->network;
}

void ImageNetwork::set_winner_rates(const std::vector<double>& rates) {
  impl_->set_rates(rates);
  impl_->options.winners.rates = rates;
}

void ImageNetwork::set_winner_policy(const WinnerPolicy& policy) {
  ImageNetworkOptions changed = impl_->options;
  changed.winners = policy;
  check_options(changed, impl_->network);
  impl_->set_policy(policy);
}

const std::vector<double>& ImageNetwork::winner_rates() const noexcept {
  return impl_->options.winners.rates;
}

void ImageNetwork::set_teacher(std::shared_ptr<const ImageNetwork> teacher, double weight,
                               double temperature) {
  require(weight >= 0 && weight <= 1, "teacher.weight", "in [0, 1]", weight);
  require(temperature > 0, "teacher.temperature", "above 0", temperature);
  if (teacher != nullptr) {
    const ImageNetworkOptions& theirs = teacher->options();
    require(theirs.classes == impl_->options.classes, "classes of the teacher",
            std::to_string(impl_->options.classes), theirs.classes);
    require(theirs.input == impl_->options.input, "image size of the teacher",
            std::to_string(impl_->options.input.size()), theirs.input.size());
  }
  impl_->teacher = std::move(teacher);
  impl_->teacher_weight = weight;
  impl_->temperature = temperature;
}

void ImageNetwork::set_workers(std::shared_ptr<dist::ProcessGroup> workers) {
  impl_->exchange =
      workers != nullptr ? std::make_unique<GradientExchange>(workers, impl_->parameters) : nullptr;
  impl_->workers = std::move(workers);
}

ImageLoss ImageNetwork::train_step(const ImageInput& input, double learning_rate) {
  if (impl_->array != nullptr) return impl_->planned_step(input, learning_rate);
  const std::int64_t batch = input.whole > 0 ? input.whole : input.size;
  impl_->check_step(input, batch);
  const auto count = static_cast<std::size_t>(impl_->slices(input.size));
  std::vector<std::vector<Tensor>> gradients(count);
  std::vector<NormStatistics> statistics(count, impl_->empty_statistics());
  std::vector<ImageLoss> losses(count);
  GradientExchange* const exchange = impl_->exchange.get();
  std::optional<dist::OverlapScope> beside;
  if (exchange != nullptr) beside.emplace(exchange->start(count));
  impl_->for_slices(input.size, [&](const Slice& slice) {
    const auto at = static_cast<std::size_t>(slice.index);
    std::vector<Tensor> leaves;
    const NetworkValues values = impl_->leaves_of(at, leaves);
    ForwardOptions options = impl_->forward_options(/*training=*/true);
    options.statistics = &statistics[at];
    const NetworkInputs images = impl_->images_of(input, slice);
    const Tensor labels = impl_->labels_of(input, slice);
    const Tensor logits = forward(impl_->network, values, images, options);
    const Tensor loss = impl_->loss_of(logits, images, labels);
    gradients[at] = torch::autograd::grad({loss}, leaves);
    losses[at] = {.loss = loss.item<double>(),
                  .correct = logits.detach().argmax(1).eq(labels).sum().item<std::int64_t>()};
  });
  std::vector<Tensor> sums =
      exchange != nullptr ? exchange->finish(gradients) : Program::sums_of(gradients);
  if (impl_->workers != nullptr) impl_->share_slices(losses, statistics, batch);
  ImageLoss total;
  for (const ImageLoss& slice : losses) {
    total.loss += slice.loss;
    total.correct += slice.correct;
  }
  require_finite(total.loss, "lower train.learning_rate");
  const torch::NoGradGuard no_grad;
  for (auto& group : impl_->optimizer->param_groups()) group.options().set_lr(learning_rate);
  impl_->step(std::move(sums), batch);
  impl_->apply_masks();
  impl_->follow_statistics(statistics, batch, kNormMomentum);
  impl_->follow_average();
  return total;
}

void ImageNetwork::predict(const ImageInput& input, std::span<float> logits) const {
  impl_->check_input(input, /*labelled=*/false);
  const std::int64_t classes = impl_->options.classes;
  require_size("logits", input.size * classes, logits.size());
  impl_->for_slices(input.size, [&](const Slice& slice) {
    const torch::NoGradGuard no_grad;
    const Tensor result = forward(impl_->network, impl_->predicting(),
                                  impl_->images_of(input, slice), impl_->forward_options(false))
                              .contiguous();
    std::memcpy(logits.data() + slice.begin * classes, result.const_data_ptr<float>(),
                result.nbytes());
  });
}

void ImageNetwork::recalibrate_batch_norm(std::span<const ImageInput> batches) {
  double seen = 0;
  for (const ImageInput& input : batches) {
    impl_->check_input(input, /*labelled=*/false);
    std::vector<NormStatistics> statistics(static_cast<std::size_t>(impl_->slices(input.size)),
                                           impl_->empty_statistics());
    impl_->for_slices(input.size, [&](const Slice& slice) {
      const torch::NoGradGuard no_grad;
      ForwardOptions options = impl_->forward_options(/*training=*/true);
      options.statistics = &statistics[static_cast<std::size_t>(slice.index)];
      static_cast<void>(
          forward(impl_->network, impl_->predicting(), impl_->images_of(input, slice), options));
    });
    const torch::NoGradGuard no_grad;
    seen += 1;
    impl_->follow_statistics(statistics, input.size, 1.0 / seen);
  }
  for (std::size_t i = 0; i < impl_->network.layers.size(); ++i) {
    if (!impl_->values.means[i].defined()) continue;
    impl_->average.means[i].copy_(impl_->values.means[i]);
    impl_->average.variances[i].copy_(impl_->values.variances[i]);
  }
}

std::vector<NamedTensor> ImageNetwork::parameters() const {
  return impl_->named(impl_->predicting());
}

std::int64_t ImageNetwork::parameter_count() const {
  return impl_->parameter_count();
}

const std::vector<InputCodes>& ImageNetwork::input_codes() const noexcept {
  return impl_->codes;
}

}  // namespace taut::nn
