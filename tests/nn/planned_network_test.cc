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

// By autograd over the whole network, on one process.
struct Alone {
  explicit Alone(const Network& network)
      : program(network, Start::kKaiming, 3, std::make_shared<ThreadPool>(1), 64) {
    program.set_optimizer(sgd(), {{.parameters = program.parameters, .weight_decay = 0}});
  }

  double step(const Batch& batch) {
    const Tensor logits =
        forward(program.network, program.values, {.input = batch.images, .embedded = {}}, {});
    const Tensor loss = at::cross_entropy_loss(logits, batch.labels, {}, at::Reduction::Sum);
    std::vector<std::vector<Tensor>> gradients = {
        torch::autograd::grad({loss}, program.parameters)};
    program.step(gradients, batch.labels.size(0));
    return loss.item<double>();
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

// plan: types of each weighted layer, top level first ("13" is I, then III).
double predicted_words(const Network& network, const std::vector<std::string>& plan,
                       std::int64_t batch) {
  const graph::Graph graph = graph::cost_graph(network);
  const auto levels = static_cast<int>(plan.front().size());
  const parallel::CostModel model(graph, {.batch = batch, .levels = levels, .raw_sums = true});
  parallel::Plan whole{.levels = levels, .states = {}};
  std::size_t next = 0;
  for (const graph::Node& node : graph.nodes()) {
    whole.states.push_back(node.kind == graph::NodeKind::kWeighted
                               ? state_of(plan[next++])
                               : LayerState(levels, Split::kBatch));
  }
  double words = 0;
  for (const double level : model.traffic(whole).words) words += level;
  return words;
}

// Sums over 16 samples and up to 500 inputs in another order: a step's gradient is off by less than
// 10 roundings of 2^-24 of its terms, momentum of 0.9 gathers ten steps of it, and in 30 steps of a
// rate of 0.05 what is off grows by less than a factor of 30: 10 * 10 * 2^-24 * 30 = 2e-4.
constexpr double kTolerance = 2e-4;

void check_plan(const WorkerEnvironment& environment, const Network& network,
                const std::vector<std::string>& plan, int steps) {
  constexpr std::int64_t kBatch = 16;
  const auto array =
      std::make_shared<dist::WorkerArray>(dist::ProcessGroup::connect(environment, kPatient));
  Alone alone(network);
  std::vector<LayerState> splits;
  for (const std::string& types : plan) splits.push_back(state_of(types));
  PlannedNetwork planned(alone.program, splits, sgd(), 0, array);
  for (int step = 0; step < steps; ++step) {
    const Batch batch = batch_of(network, kBatch, static_cast<std::uint64_t>(step) % 4);
    const double wanted = alone.step(batch);
    const double got = planned.step(batch.images, batch.labels, kRate).loss;
    EXPECT_NEAR(got, wanted, kTolerance * wanted) << join(plan, " ") << " step " << step;
  }
  const dist::TrafficCount& sent = array->group()->traffic();
  std::int64_t bytes = 0;
  for (const std::int64_t one :
       array->group()->each(sent[Cause::kFeatures].bytes + sent[Cause::kErrors].bytes +
                            sent[Cause::kGradients].bytes)) {
    bytes += one;
  }
  EXPECT_EQ(static_cast<double>(bytes), 4 * steps * predicted_words(network, plan, kBatch))
      << join(plan, " ");
  Alone joined(network);
  planned.give_to(joined.program);
  const NetworkValues& whole = joined.program.values;
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    if (!whole.weights[i].defined()) continue;
    const Tensor& wanted = alone.program.values.weights[i];
    const double scale = wanted.abs().max().item<double>();
    EXPECT_LE((whole.weights[i] - wanted).abs().max().item<double>(), 2 * kTolerance * scale)
        << join(plan, " ") << " " << network.layers[i].name;
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
      check_plan(environment, perceptron(), plan, kSteps);
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
      check_plan(environment, perceptron(), plan, kSteps);
    });
  }
}

// Convolutions by the batch and by output channels, with pools; the linear layers anyhow.
TEST(PlannedNetwork, TrainsConvolutions) {
  const std::vector<std::vector<std::string>> plans = {
      {"1", "1", "1", "1"}, {"1", "1", "2", "2"}, {"3", "1", "3", "2"}, {"1", "3", "2", "3"}};
  for (const auto& plan : plans) {
    expect_workers(2, [&](const WorkerEnvironment& environment) {
      check_plan(environment, lenet(), plan, 5);
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
    EXPECT_THAT(refused(graph::make_network("resnet-20", {.input = {3, 16, 16}, .classes = 10}), 1),
                IsError(ErrorKind::kUnsupported, "batch_norm"));
    EXPECT_THAT(refused(lenet(), 3), IsError(ErrorKind::kInvalidArgument, "4 states"));
    Network winners = lenet();
    winners.number_sites();
    winners.winners.rates = std::vector<double>(winners.winner_sites().size(), 0.5);
    EXPECT_THAT(refused(winners, 4), IsError(ErrorKind::kUnsupported, "chooses winners"));
  });
}

}  // namespace
}  // namespace taut::nn
