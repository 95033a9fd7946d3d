#include "taut/nn/recommender.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <cstring>

#include "nn/dense_step.h"
#include "nn/program.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/graph/recommender.h"

namespace taut::nn {
namespace {

using torch::Tensor;

// Examples in a slice, unless the options have pieces.
constexpr std::int64_t kSlice = 512;

void check_options(const RecommenderOptions& o) {
  const auto bad = [](std::string_view key, std::string_view wanted, const auto& got) {
    throw Error(ErrorKind::kConfig, concat("model.", key, " must be ", wanted, ", got ", got));
  };
  if (o.tables < 0) bad("inputs", "at least one dense or categorical column", o.tables);
  if (!(o.learning_rate > 0)) bad("learning_rate", "above 0", o.learning_rate);
  if (o.piece < 0) {
    throw Error(ErrorKind::kConfig, concat("train.piece must be 0 or more, got ", o.piece));
  }
  if (!(o.weight_decay >= 0)) bad("weight_decay", "0 or more", o.weight_decay);
}

Network network_of(const RecommenderOptions& o) {
  check_options(o);
  graph::RecommenderShape shape{.kind = o.kind,
                                .interaction = o.interaction,
                                .dense = o.dense,
                                .tables = {},
                                .dim = o.dim,
                                .bottom = o.bottom,
                                .top = o.top};
  for (std::int64_t t = 0; t < o.tables; ++t) {
    shape.tables.push_back({.name = concat("table", t), .dim = o.dim});
  }
  Network network = graph::recommender_network(shape);
  network.winners.unit = sparsity::Unit::kNeuron;
  return network;
}

}  // namespace

struct Recommender::Impl : Program {
  Impl(const RecommenderOptions& o, std::shared_ptr<ThreadPool> threads)
      : Program(network_of(o), Start::kUniform, o.seed, std::move(threads),
                o.piece > 0 ? o.piece : kSlice),
        options(o),
        training(turned(), options, choice_of(o)) {
    set_rates({o.winner_rate});
    for (std::size_t i = 0; i < network.layers.size(); ++i) {
      if (network.layers[i].name == "wide") zero(values.weights[i]);
    }
    set_optimizer(choice_of(o), {{.parameters = parameters, .weight_decay = o.weight_decay}});
  }

  // Before the step, which looks at how weights lie.
  Program& turned() {
    DensePlan::turn_weights(*this);
    return *this;
  }

  static OptimizerChoice choice_of(const RecommenderOptions& o) {
    return {.name = o.optimizer,
            .offered = {"adam", "adagrad", "sgd"},
            .learning_rate = o.learning_rate};
  }

  static void zero(Tensor& weight) {
    const torch::NoGradGuard no_grad;
    weight.zero_();
  }

  [[nodiscard]] NetworkInputs cut(const RecommenderInput& input, const Slice& slice) const {
    return {.input = view_of(input.dense, slice.begin * options.dense, {slice.size, options.dense}),
            .embedded = view_of(input.vectors, slice.begin * options.tables * options.dim,
                                {slice.size, options.tables, options.dim})};
  }

  // least: examples.
  void check_input(const RecommenderInput& input, std::int64_t least = 1) const {
    if (input.batch < least) {
      throw_invalid_argument("batch", concat("at least ", least), std::to_string(input.batch));
    }
    require_size("dense", input.batch * options.dense, input.dense.size());
    require_size("vectors", input.batch * options.tables * options.dim, input.vectors.size());
  }

  // That pieces of the batch lie on this worker as a whole.
  void check_part(const RecommenderInput& input) const {
    if (workers == nullptr || options.piece == 0) return;
    const Range mine = workers->part_of(workers->rank(), input.whole, slice_size);
    if (input.batch == mine.size) return;
    throw_invalid_argument("batch",
                           concat("this worker's share of ", input.whole, " examples, ", mine.size),
                           concat(input.batch));
  }

  // [examples]
  [[nodiscard]] Tensor logits_of(const NetworkInputs& inputs) const {
    return forward(network, values, inputs, {}).squeeze(1);
  }

  RecommenderOptions options;
  DenseStep training;
};

Recommender::Recommender(const RecommenderOptions& options, std::shared_ptr<ThreadPool> pool)
    : impl_(std::make_unique<Impl>(options, std::move(pool))) {}

Recommender::~Recommender() = default;

const RecommenderOptions& Recommender::options() const noexcept {
  return impl_->options;
}

const graph::Network& Recommender::network() const noexcept {
  return impl_->network;
}

void Recommender::set_workers(std::shared_ptr<dist::ProcessGroup> workers) {
  impl_->workers = std::move(workers);
  impl_->training.follow_workers();
}

void Recommender::set_winner_rate(double rate) {
  impl_->set_rates({rate});
}

double Recommender::train_step(const RecommenderInput& input, std::span<const float> labels,
                               std::span<float> logits, std::span<float> vectors_gradient) {
  if (impl_->workers != nullptr && input.whole < std::max<std::int64_t>(1, input.batch)) {
    throw_invalid_argument("whole", "the examples of all workers", std::to_string(input.whole));
  }
  impl_->check_input(input, impl_->workers == nullptr ? 1 : 0);
  impl_->check_part(input);
  require_size("labels", input.batch, labels.size());
  require_size("logits", input.batch, logits.size());
  require_size("vectors_gradient", static_cast<std::int64_t>(input.vectors.size()),
               vectors_gradient.size());

  return impl_->training.run(input, labels, logits, vectors_gradient);
}

void Recommender::predict(const RecommenderInput& input, std::span<float> logits) const {
  impl_->check_input(input);
  require_size("logits", input.batch, logits.size());
  impl_->for_slices(input.batch, [&](const Slice& slice) {
    const torch::NoGradGuard no_grad;
    const Tensor logit = impl_->logits_of(impl_->cut(input, slice)).contiguous();
    std::memcpy(logits.data() + slice.begin, logit.const_data_ptr<float>(), logit.nbytes());
  });
}

std::vector<double> Recommender::densities(const RecommenderInput& input) const {
  impl_->check_input(input);
  const graph::Network& network = impl_->network;
  std::vector<double> sums(network.winner_sites().size());
  std::vector<std::vector<double>> shares(static_cast<std::size_t>(impl_->slices(input.batch)),
                                          sums);
  impl_->for_slices(input.batch, [&](const Slice& slice) {
    const torch::NoGradGuard no_grad;
    ForwardOptions options;
    options.at_site = [&](int layer, const Tensor& /*before*/, const Tensor& after) {
      const int site = network.layers[static_cast<std::size_t>(layer)].winner_site;
      shares[static_cast<std::size_t>(slice.index)][static_cast<std::size_t>(site)] =
          nonzero_share(after) * static_cast<double>(slice.size);
    };
    static_cast<void>(forward(network, impl_->values, impl_->cut(input, slice), options));
  });
  for (const std::vector<double>& slice : shares) {
    for (std::size_t site = 0; site < sums.size(); ++site) sums[site] += slice[site];
  }
  for (double& sum : sums) sum /= static_cast<double>(input.batch);
  return sums;
}

void Recommender::save(SectionSink& file, const std::string& prefix) const {
  TensorWriter writer(file, prefix);
  impl_->save(writer);
  writer.finish();
}

void Recommender::load(const SectionSource& file, const std::string& prefix) {
  impl_->take(impl_->read(TensorReader(file, prefix), /*state=*/true));
}

std::vector<NamedTensor> Recommender::parameters() const {
  return impl_->named(impl_->values);
}

std::int64_t Recommender::parameter_count() const {
  return impl_->parameter_count();
}

}  // namespace taut::nn
