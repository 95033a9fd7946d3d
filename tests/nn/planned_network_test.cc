// Networks trained under plans on real processes: what one process trains, with the words that the
// exact cost model counts.
#include "nn/planned_network.h"

#include <gtest/gtest.h>

#include "nn/program.h"
#include "support/error_matchers.h"
#include "support/workers.h"
#include "taut/core/random.h"
#include "taut/core/text.h"
#include "taut/graph/cost_graph.h"
#include "taut/graph/zoo.h"
#include "taut/parallel/cost_model.h"

namespace taut::nn {
namespace {

using dist::Cause;
using dist::WorkerEnvironment;
using parallel::LayerState;
using parallel::Split;
using test::error_of;
using test::expect_workers;
using test::IsError;
using torch::Tensor;

const dist::GroupOptions kPatient{.timeout = std::chrono::seconds(60)};
constexpr int kSteps = 30;
constexpr double kRate = 0.05;

OptimizerChoice sgd() {
  return {
      .name = "sgd", .offered = {"sgd"}, .learning_rate = kRate, .momentum = 0.9, .nesterov = true};
}

struct Batch {
  Tensor images;
  Tensor labels;
};

Batch batch_of(const Network& network, std::int64_t size, std::uint64_t seed) {
  at::Generator random = at::make_generator<at::CPUGeneratorImpl>(seed);
  const Shape& in = network.input;
  return {.images = torch::randn({size, in.channels, in.height, in.width}, random),
          .labels = torch::randint(network.layers.back().out.channels, {size}, random)};
}

// By autograd over the whole network, on one process, piece by piece.
struct Alone {
  explicit Alone(const Network& network, std::int64_t piece = 64)
      : program(network, Start::kKaiming, 3, std::make_shared<ThreadPool>(1), piece) {
    program.set_optimizer(sgd(), {{.parameters = program.parameters, .weight_decay = 0}});
  }

  double step(const Batch& batch, double rate = kRate) {
    const std::int64_t size = batch.labels.size(0);
    const std::size_t layers = program.network.layers.size();
    std::vector<std::vector<Tensor>> gradients;
    std::vector<NormStatistics> statistics;
    double total = 0;
    for (std::int64_t k = 0; k < program.slices(size); ++k) {
      const Slice slice = program.slice_at(size, k);
      statistics.push_back(
          {.means = std::vector<Tensor>(layers), .variances = std::vector<Tensor>(layers)});
      ForwardOptions options;
      options.training = true;
      options.statistics = &statistics.back();
      const Tensor images = batch.images.narrow(0, slice.begin, slice.size);
      const Tensor labels = batch.labels.narrow(0, slice.begin, slice.size);
      const Tensor logits =
          forward(program.network, program.values, {.input = images, .embedded = {}}, options);
      const Tensor loss = at::cross_entropy_loss(logits, labels, {}, at::Reduction::Sum);
      gradients.push_back(torch::autograd::grad({loss}, program.parameters));
      total += loss.item<double>();
    }
    const torch::NoGradGuard no_grad;
    for (auto& group : program.optimizer->param_groups()) group.options().set_lr(rate);
    program.step(Program::sums_of(gradients), size);
    for (std::size_t i = 0; i < layers; ++i) {
      if (!program.values.means[i].defined()) continue;
      const auto mean_of = [&](std::vector<Tensor> NormStatistics::* member) {
        Tensor sum = torch::zeros_like(program.values.means[i]);
        for (const NormStatistics& one : statistics) sum += (one.*member)[i];
        return sum / static_cast<double>(statistics.size());
      };
      program.values.means[i].mul_(0.9).add_(mean_of(&NormStatistics::means), 0.1);
      program.values.variances[i].mul_(0.9).add_(mean_of(&NormStatistics::variances), 0.1);
    }
    return total;
  }

  Program program;
};

LayerState state_of(const std::string& types) {
  LayerState state(static_cast<int>(types.size()), Split::kBatch);
  for (std::size_t level = 0; level < types.size(); ++level) {
    state.set(static_cast<int>(level), static_cast<Split>(types[level] - '1'));
  }
  return state;
}

// plan: types of each layer that is a node, top level first ("13" is I, then III; 4 is C).
double predicted_words(const Network& network, const std::vector<std::string>& plan,
                       std::int64_t batch) {
  const graph::Graph graph = graph::cost_graph(network);
  const auto levels = static_cast<int>(plan.front().size());
  const parallel::CostModel model(graph, {.batch = batch, .levels = levels, .raw_sums = true});
  parallel::Plan whole{.levels = levels, .states = {}};
  std::size_t next = 0;
  for (const graph::Node& node : graph.nodes()) {
    whole.states.push_back(node.kind == graph::NodeKind::kBatchOnly
                               ? LayerState(levels, Split::kBatch)
                               : state_of(plan[next++]));
  }
  double words = 0;
  for (const double level : model.traffic(whole).words) words += level;
  return words;
}

// Sums over 16 samples and up to 500 inputs in another order: a step's gradient is off by less than
// 10 roundings of 2^-24 of its terms, momentum of 0.9 gathers ten steps of it, and in 30 steps of a
// rate of 0.05 what is off grows by less than a factor of 30: 10 * 10 * 2^-24 * 30 = 2e-4.
constexpr double kTolerance = 2e-4;

// How a plan is run beside one process.
struct Beside {
  int steps = kSteps;
  std::int64_t piece = 64;
  double rate = kRate;
  double tolerance = kTolerance;
  double norm_bias = 0;  ///< of normalizations at the start
};

void check_plan(const WorkerEnvironment& environment, const Network& network,
                const std::vector<std::string>& plan, const Beside& beside) {
  constexpr std::int64_t kBatch = 16;
  const auto array =
      std::make_shared<dist::WorkerArray>(dist::ProcessGroup::connect(environment, kPatient));
  Alone alone(network, beside.piece);
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const torch::NoGradGuard no_grad;
    if (alone.program.values.means[i].defined()) {
      alone.program.values.biases[i].fill_(beside.norm_bias);
    }
  }
  std::vector<LayerState> splits;
  for (const std::string& types : plan) splits.push_back(state_of(types));
  PlannedNetwork planned(alone.program, splits, sgd(), 0, array);
  for (int step = 0; step < beside.steps; ++step) {
    const Batch batch = batch_of(network, kBatch, static_cast<std::uint64_t>(step) % 4);
    const double wanted = alone.step(batch, beside.rate);
    const double got = planned.step(batch.images, batch.labels, beside.rate).loss;
    EXPECT_NEAR(got, wanted, beside.tolerance * wanted) << join(plan, " ") << " step " << step;
  }
  const dist::TrafficCount& sent = array->group()->traffic();
  std::int64_t bytes = 0;
  for (const std::int64_t one :
       array->group()->each(sent[Cause::kFeatures].bytes + sent[Cause::kErrors].bytes +
                            sent[Cause::kGradients].bytes)) {
    bytes += one;
  }
  EXPECT_EQ(static_cast<double>(bytes), 4 * beside.steps * predicted_words(network, plan, kBatch))
      << join(plan, " ");
  Alone joined(network);
  planned.give_to(joined.program);
  const NetworkValues& whole = joined.program.values;
  const auto expect_near = [&](const Tensor& got, const Tensor& wanted, std::size_t layer) {
    if (!wanted.defined()) return;
    const double scale = wanted.abs().max().item<double>();
    EXPECT_LE((got - wanted).abs().max().item<double>(), 2 * beside.tolerance * scale)
        << join(plan, " ") << " " << network.layers[layer].name;
  };
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const NetworkValues& wanted = alone.program.values;
    expect_near(whole.weights[i], wanted.weights[i], i);
    expect_near(whole.means[i], wanted.means[i], i);
    expect_near(whole.variances[i], wanted.variances[i], i);
  }
}

Network perceptron() {
  return graph::make_network("sfc", {.input = {1, 8, 8}, .classes = 16, .width = 1.0 / 256});
}

Network lenet() {
  return graph::make_network("lenet-c", {.input = {1, 28, 28}, .classes = 10});
}

TEST(PlannedNetwork, TrainsWhatOneProcessTrainsOnTwo) {
  const std::vector<std::vector<std::string>> plans = {{"1", "1", "1", "1"}, {"2", "2", "2", "2"},
                                                       {"3", "3", "3", "3"}, {"3", "2", "3", "2"},
                                                       {"2", "3", "1", "2"}, {"1", "3", "2", "3"}};
  for (const auto& plan : plans) {
    expect_workers(2, [&](const WorkerEnvironment& environment) {
      check_plan(environment, perceptron(), plan, {});
    });
  }
}

TEST(PlannedNetwork, TrainsWhatOneProcessTrainsOnFourAndEight) {
  const std::vector<std::vector<std::string>> plans = {{"11", "11", "11", "11"},
                                                       {"32", "23", "12", "21"},
                                                       {"13", "31", "22", "33"},
                                                       {"123", "231", "312", "113"},
                                                       {"333", "222", "333", "211"}};
  for (const auto& plan : plans) {
    expect_workers(1 << plan.front().size(), [&](const WorkerEnvironment& environment) {
      check_plan(environment, perceptron(), plan, {});
    });
  }
}

// Convolutions by the batch and by output channels, with pools; the linear layers anyhow.
TEST(PlannedNetwork, TrainsConvolutions) {
  const std::vector<std::vector<std::string>> plans = {
      {"1", "1", "1", "1"}, {"1", "1", "2", "2"}, {"3", "1", "3", "2"}, {"1", "3", "2", "3"}};
  for (const auto& plan : plans) {
    expect_workers(2, [&](const WorkerEnvironment& environment) {
      check_plan(environment, lenet(), plan, {.steps = 5});
    });
  }
}

// Sums, shortcuts, a mean of maps, and normalization by pieces: 8, 16 and 32 channels.
Network residual() {
  return graph::make_network("resnet-20", {.input = {3, 8, 8}, .classes = 16, .width = 0.5});
}

// Every node by the batch or by channels, drawn at random, but for what the model counts in another
// way: type II of the first convolution, whose output two nodes read.
std::vector<std::string> drawn_plan(const Network& network, int levels, std::uint64_t seed) {
  const CounterRandom random = CounterRandom(5).with(seed);
  std::uint64_t counter = 0;
  std::vector<std::string> plan;
  for (const graph::Node& node : graph::cost_graph(network).nodes()) {
    if (node.kind == graph::NodeKind::kBatchOnly) continue;
    const bool weighted = node.kind == graph::NodeKind::kWeighted;
    const std::string types = plan.empty() ? "13" : weighted ? "123" : "14";
    plan.emplace_back();
    for (int level = 0; level < levels; ++level) {
      plan.back() += types[random.below(counter++, types.size())];
    }
  }
  return plan;
}

// Words, losses, weights and running statistics. Deep networks part where a value comes to lie on
// the other side of a ReLU, as one process does under a rate that is 1e-6 off; normalizations that
// begin four deviations above zero keep clear of that, so that the tolerance is what it is above.
TEST(PlannedNetwork, TrainsResidualNetworks) {
  struct Case {
    std::vector<std::string> plan;
    Beside beside;
  };
  const Network network = residual();
  const auto drawn = [&](int levels, std::uint64_t seed) {
    return drawn_plan(network, levels, seed);
  };
  const std::vector<Case> cases = {
      {drawn(1, 0), {.piece = 8, .rate = 5e-4, .norm_bias = 4}},
      {drawn(1, 1), {.steps = 2, .piece = 4, .rate = 5e-4, .norm_bias = 4}},
      {drawn(2, 0), {.steps = 2, .piece = 4, .rate = 5e-4, .norm_bias = 4}},
      {drawn(3, 0), {.steps = 1, .piece = 2, .rate = 5e-4, .norm_bias = 4}}};
  for (const auto& [plan, beside] : cases) {
    expect_workers(1 << plan.front().size(), [&](const WorkerEnvironment& environment) {
      check_plan(environment, network, plan, beside);
    });
  }
}

TEST(PlannedNetwork, RefusesWhatItCannotSplit) {
  expect_workers(2, [](const WorkerEnvironment& environment) {
    const auto array =
        std::make_shared<dist::WorkerArray>(dist::ProcessGroup::connect(environment, kPatient));
    const auto refused = [&](const Network& network, std::size_t layers) {
      const Alone alone(network);
      return error_of([&] {
        PlannedNetwork(alone.program, std::vector<LayerState>(layers, state_of("1")), sgd(), 0,
                       array);
      });
    };
    EXPECT_THAT(
        refused(graph::make_network("densenet-121", {.input = {3, 64, 64}, .classes = 10}), 1),
        IsError(ErrorKind::kUnsupported, "which no plan runs yet"));
    EXPECT_THAT(
        refused(graph::make_network("mobilenet-v1", {.input = {3, 64, 64}, .classes = 10}), 1),
        IsError(ErrorKind::kUnsupported, "is grouped"));
    const Alone norms(residual());
    PlannedNetwork normalizing(
        norms.program, std::vector<LayerState>(drawn_plan(residual(), 1, 0).size(), state_of("1")),
        sgd(), 0, array);
    const Batch batch = batch_of(residual(), 64, 1);
    EXPECT_THAT(error_of([&] { normalizing.step(batch.images, batch.labels, kRate); }),
                IsError(ErrorKind::kConfig, "leaves no whole pieces to each of 2 workers"));
    EXPECT_THAT(refused(lenet(), 3), IsError(ErrorKind::kInvalidArgument, "4 states"));
    Network winners = lenet();
    winners.number_sites();
    winners.winners.rates = std::vector<double>(winners.winner_sites().size(), 0.5);
    EXPECT_THAT(refused(winners, 4), IsError(ErrorKind::kUnsupported, "chooses winners"));
  });
}

}  // namespace
}  // namespace taut::nn
