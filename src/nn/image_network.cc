#include "taut/nn/image_network.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <sstream>

#include "nn/image_network_impl.h"
#include "nn/one_thread.h"
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

void require_size(std::string_view argument, std::int64_t wanted, std::size_t got) {
  if (static_cast<std::size_t>(wanted) != got) {
    throw_invalid_argument(concat("size of ", argument), std::to_string(wanted),
                           std::to_string(got));
  }
}

void check_rates(const std::vector<double>& rates, std::size_t sites) {
  for (const double rate : rates) {
    require(rate > 0 && rate <= 1, "model.winner_rate", "in (0, 1]", rate);
  }
  require(rates.size() <= 1 || rates.size() == sites, "model.winner_rate",
          concat("one rate, or one for each of ", sites, " layers"), rates.size());
}

// A unit that none of the maps or features at the sites has.
void check_unit(const WinnerPolicy& policy, const Network& spec) {
  using sparsity::Unit;
  if (policy.rates.empty()) return;
  for (const int site : spec.winner_sites()) {
    const Layer& layer = spec.layers[static_cast<std::size_t>(site)];
    const bool map = layer.out.height * layer.out.width > 1;
    if (map && policy.unit == Unit::kNeuron) {
      throw Error(ErrorKind::kConfig,
                  concat("model.unit is neuron, but ", layer.name, " of ", spec.name,
                         " gives maps of ", layer.out.height, "x", layer.out.width),
                  {}, "use position, element, channel or block");
    }
    if (policy.unit == Unit::kBlock && layer.out.channels % policy.block != 0) {
      throw Error(ErrorKind::kConfig, concat("model.block must divide the ", layer.out.channels,
                                             " channels of ", layer.name, ", got ", policy.block));
    }
  }
  const auto sites = spec.winner_sites();
  const bool maps = std::any_of(sites.begin(), sites.end(), [&](int site) {
    const Shape& out = spec.layers[static_cast<std::size_t>(site)].out;
    return out.height * out.width > 1;
  });
  if (!maps && (policy.unit == Unit::kChannel || policy.unit == Unit::kPosition)) {
    throw Error(
        ErrorKind::kConfig,
        concat("model.unit is ", to_string(policy.unit), ", but ", spec.name, " has no maps"), {},
        "use neuron, element or block");
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

std::unique_ptr<torch::optim::Optimizer> make_optimizer(
    const ImageNetworkOptions& o, const std::vector<torch::optim::OptimizerParamGroup>& groups) {
  if (o.optimizer == "sgd") {
    return std::make_unique<torch::optim::SGD>(
        groups, torch::optim::SGDOptions(0.1).momentum(o.momentum).nesterov(o.momentum > 0));
  }
  if (o.optimizer == "adam") {
    return std::make_unique<torch::optim::Adam>(groups, torch::optim::AdamOptions(1e-3));
  }
  if (o.optimizer == "adamw") {
    return std::make_unique<torch::optim::AdamW>(groups, torch::optim::AdamWOptions(1e-3));
  }
  const std::vector<std::string> known = {"sgd", "adam", "adamw"};
  throw Error(ErrorKind::kConfig, concat("unknown optimizer \"", o.optimizer, "\""),
              "train.optimizer", suggest(o.optimizer, known));
}

// Two groups: weights that decay, and the rest.
std::vector<torch::optim::OptimizerParamGroup> groups_of(const ImageNetworkOptions& o,
                                                         const Network& spec,
                                                         const NetworkValues& values) {
  std::vector<Tensor> decaying;
  std::vector<Tensor> others;
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    const bool norm = spec.layers[i].op == Op::kBatchNorm;
    if (values.weights[i].defined()) (norm ? others : decaying).push_back(values.weights[i]);
    if (values.biases[i].defined()) others.push_back(values.biases[i]);
  }
  const auto options = [&](double decay) -> std::unique_ptr<torch::optim::OptimizerOptions> {
    if (o.optimizer == "adam") {
      return std::make_unique<torch::optim::AdamOptions>(
          torch::optim::AdamOptions(1e-3).weight_decay(decay));
    }
    if (o.optimizer == "adamw") {
      return std::make_unique<torch::optim::AdamWOptions>(
          torch::optim::AdamWOptions(1e-3).weight_decay(decay));
    }
    return std::make_unique<torch::optim::SGDOptions>(torch::optim::SGDOptions(0.1)
                                                          .momentum(o.momentum)
                                                          .nesterov(o.momentum > 0)
                                                          .weight_decay(decay));
  };
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(decaying, options(o.weight_decay));
  groups.emplace_back(others, options(0));
  return groups;
}

}  // namespace

void check_options(const ImageNetworkOptions& o, const Network& spec) {
  check_rates(o.winners.rates, spec.winner_sites().size());
  require(o.winners.block >= 1, "model.block", "at least 1", o.winners.block);
  check_unit(o.winners, spec);
  require(o.momentum >= 0 && o.momentum < 1, "train.momentum", "in [0, 1)", o.momentum);
  require(o.weight_decay >= 0, "train.weight_decay", "0 or more", o.weight_decay);
  require(o.label_smoothing >= 0 && o.label_smoothing < 1, "train.label_smoothing", "in [0, 1)",
          o.label_smoothing);
  require(o.ema >= 0 && o.ema < 1, "train.ema", "in [0, 1)", o.ema);
  require(o.piece >= 1, "train.piece", "at least 1", o.piece);
}

ImageNetwork::Impl::Impl(const ImageNetworkOptions& o, std::shared_ptr<ThreadPool> threads)
    : options(o),
      spec(graph::make_network(o.kind, {.input = o.input, .classes = o.classes, .width = o.width})),
      pool(std::move(threads)) {
  check_options(o, spec);
  use_one_torch_thread();
  values = initial_values(spec, o.seed);
  average = cloned(values);
  masks.resize(spec.layers.size());
  maps.resize(spec.layers.size());
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    for (Tensor* parameter : {&values.weights[i], &values.biases[i]}) {
      if (!parameter->defined()) continue;
      parameter->set_requires_grad(true);
      parameters.push_back(*parameter);
    }
  }
  optimizer = make_optimizer(o, groups_of(o, spec, values));
}

void ImageNetwork::Impl::enter_piece() {
  use_one_torch_thread();
}

ImageNetwork::Impl::Piece ImageNetwork::Impl::cut(const ImageInput& input,
                                                  std::int64_t index) const {
  const Shape& shape = options.input;
  Piece piece;
  piece.begin = index * options.piece;
  piece.size = std::min(options.piece, input.size - piece.begin);
  piece.images =
      torch::from_blob(const_cast<float*>(input.pixels.data()) + piece.begin * shape.size(),
                       {piece.size, shape.height, shape.width, shape.channels})
          .permute({0, 3, 1, 2});
  if (!input.labels.empty()) {
    piece.labels = torch::from_blob(const_cast<std::int64_t*>(input.labels.data()) + piece.begin,
                                    {piece.size}, torch::kLong);
  }
  return piece;
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
  forward.winners = &options.winners;
  forward.maps = &maps;
  forward.codes = quantized ? &codes : nullptr;
  return forward;
}

NormStatistics ImageNetwork::Impl::empty_statistics() const {
  return {.means = std::vector<Tensor>(spec.layers.size()),
          .variances = std::vector<Tensor>(spec.layers.size())};
}

Tensor ImageNetwork::Impl::loss_of(const Tensor& logits, const Piece& piece) const {
  const Tensor entropy = at::cross_entropy_loss(logits, piece.labels, {}, at::Reduction::Sum, -100,
                                                options.label_smoothing);
  if (teacher == nullptr) return entropy;
  Tensor target;
  {
    const torch::NoGradGuard no_grad;
    const Impl& other = *teacher->impl_;
    target = forward(other.spec, other.predicting(), piece.images, other.forward_options(false));
  }
  const Tensor divergence = at::kl_div(torch::log_softmax(logits / temperature, 1),
                                       torch::log_softmax(target / temperature, 1),
                                       at::Reduction::Sum, /*log_target=*/true);
  return entropy * (1 - teacher_weight) + divergence * (teacher_weight * temperature * temperature);
}

void ImageNetwork::Impl::step(std::vector<std::vector<Tensor>>& gradients, std::int64_t batch,
                              double learning_rate) {
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    Tensor sum = gradients[0][p];
    for (std::size_t piece = 1; piece < gradients.size(); ++piece) sum.add_(gradients[piece][p]);
    parameters[p].mutable_grad() = sum.div_(static_cast<double>(batch));
  }
  for (auto& group : optimizer->param_groups()) group.options().set_lr(learning_rate);
  optimizer->step();
  apply_masks();
}

void ImageNetwork::Impl::apply_masks() {
  for (std::size_t i = 0; i < masks.size(); ++i) {
    if (masks[i].defined()) values.weights[i].mul_(masks[i]);
  }
}

void ImageNetwork::Impl::follow_statistics(const std::vector<NormStatistics>& pieces,
                                           const std::vector<std::int64_t>& sizes,
                                           double momentum) {
  double total = 0;
  for (const std::int64_t size : sizes) total += static_cast<double>(size);
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    if (!values.means[i].defined()) continue;
    values.means[i].mul_(1 - momentum);
    values.variances[i].mul_(1 - momentum);
    for (std::size_t p = 0; p < pieces.size(); ++p) {
      const double share = momentum * static_cast<double>(sizes[p]) / total;
      values.means[i].add_(pieces[p].means[i], share);
      values.variances[i].add_(pieces[p].variances[i], share);
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

const Network& ImageNetwork::spec() const noexcept {
  return impl_->spec;
}

void ImageNetwork::set_winner_rates(const std::vector<double>& rates) {
  check_rates(rates, impl_->spec.winner_sites().size());
  impl_->options.winners.rates = rates;
}

void ImageNetwork::set_winner_policy(const WinnerPolicy& policy) {
  ImageNetworkOptions changed = impl_->options;
  changed.winners = policy;
  check_options(changed, impl_->spec);
  impl_->options.winners = policy;
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

ImageLoss ImageNetwork::train_step(const ImageInput& input, double learning_rate) {
  impl_->check_input(input, /*labelled=*/true);
  const auto count = static_cast<std::size_t>(impl_->pieces(input));
  std::vector<std::vector<Tensor>> gradients(count);
  std::vector<NormStatistics> statistics(count, impl_->empty_statistics());
  std::vector<std::int64_t> sizes(count);
  std::vector<ImageLoss> losses(count);
  impl_->for_pieces(input, [&](const Impl::Piece& piece, std::int64_t index) {
    const auto at = static_cast<std::size_t>(index);
    ForwardOptions options = impl_->forward_options(/*training=*/true);
    options.statistics = &statistics[at];
    const Tensor logits = forward(impl_->spec, impl_->values, piece.images, options);
    const Tensor loss = impl_->loss_of(logits, piece);
    gradients[at] = torch::autograd::grad({loss}, impl_->parameters);
    losses[at] = {.loss = loss.item<double>(),
                  .correct = logits.detach().argmax(1).eq(piece.labels).sum().item<std::int64_t>()};
    sizes[at] = piece.size;
  });
  ImageLoss total;
  for (const ImageLoss& piece : losses) {
    total.loss += piece.loss;
    total.correct += piece.correct;
  }
  if (!std::isfinite(total.loss)) {
    throw Error(ErrorKind::kData, "the loss is not finite", {}, "lower train.learning_rate");
  }
  const torch::NoGradGuard no_grad;
  impl_->step(gradients, input.size, learning_rate);
  impl_->follow_statistics(statistics, sizes, 0.1);
  impl_->follow_average();
  return total;
}

void ImageNetwork::predict(const ImageInput& input, std::span<float> logits) const {
  impl_->check_input(input, /*labelled=*/false);
  const std::int64_t classes = impl_->options.classes;
  require_size("logits", input.size * classes, logits.size());
  impl_->for_pieces(input, [&](const Impl::Piece& piece, std::int64_t /*index*/) {
    const torch::NoGradGuard no_grad;
    const Tensor result = forward(impl_->spec, impl_->predicting(), piece.images,
                                  impl_->forward_options(/*training=*/false))
                              .contiguous();
    std::memcpy(logits.data() + piece.begin * classes, result.const_data_ptr<float>(),
                result.nbytes());
  });
}

void ImageNetwork::recalibrate_batch_norm(std::span<const ImageInput> batches) {
  double seen = 0;
  for (const ImageInput& input : batches) {
    impl_->check_input(input, /*labelled=*/false);
    const auto count = static_cast<std::size_t>(impl_->pieces(input));
    std::vector<NormStatistics> statistics(count, impl_->empty_statistics());
    std::vector<std::int64_t> sizes(count);
    impl_->for_pieces(input, [&](const Impl::Piece& piece, std::int64_t index) {
      const torch::NoGradGuard no_grad;
      const auto at = static_cast<std::size_t>(index);
      ForwardOptions options = impl_->forward_options(/*training=*/true);
      options.statistics = &statistics[at];
      static_cast<void>(forward(impl_->spec, impl_->predicting(), piece.images, options));
      sizes[at] = piece.size;
    });
    const torch::NoGradGuard no_grad;
    seen += 1;
    impl_->follow_statistics(statistics, sizes, 1.0 / seen);
  }
  for (std::size_t i = 0; i < impl_->spec.layers.size(); ++i) {
    if (!impl_->values.means[i].defined()) continue;
    impl_->average.means[i].copy_(impl_->values.means[i]);
    impl_->average.variances[i].copy_(impl_->values.variances[i]);
  }
}

std::vector<NamedTensor> ImageNetwork::parameters() const {
  std::vector<NamedTensor> result;
  visit_values(impl_->spec, impl_->predicting(), [&](const std::string& name, const Tensor& value) {
    const Tensor plain = value.detach().contiguous();
    const float* data = plain.const_data_ptr<float>();
    result.push_back({name, plain.sizes().vec(), {data, data + plain.numel()}});
  });
  return result;
}

std::int64_t ImageNetwork::parameter_count() const {
  std::int64_t count = 0;
  for (const Tensor& parameter : impl_->parameters) count += parameter.numel();
  return count;
}

const std::vector<InputCodes>& ImageNetwork::input_codes() const noexcept {
  return impl_->codes;
}

}  // namespace taut::nn
