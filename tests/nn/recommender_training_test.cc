// Steps of recommenders against plain LibTorch, written out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "nn/training_support.h"
#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/nn/recommender.h"

namespace taut::nn {
namespace {

using taut::test::error_of;
using taut::test::IsError;

struct Clicks {
  std::int64_t size = 700;  // two slices
  std::vector<float> dense = random_values(700 * 3, 1);
  std::vector<float> vectors = random_values(700 * 4 * 8, 2);
  std::vector<float> labels;
  std::vector<float> logits = std::vector<float>(700);
  std::vector<float> gradient = std::vector<float>(700 * 4 * 8);
  Clicks() {
    for (std::int64_t i = 0; i < size; ++i) labels.push_back(i % 3 == 0 ? 1.0f : 0.0f);
  }
  [[nodiscard]] RecommenderInput input() const {
    return {.batch = size, .dense = dense, .vectors = vectors};
  }
  double step(Recommender& model) { return model.train_step(input(), labels, logits, gradient); }
};

RecommenderOptions click_options(const std::string& kind) {
  RecommenderOptions o;
  o.kind = kind;
  o.dense = 3;
  o.tables = 4;
  o.dim = 8;
  o.bottom = {6};
  o.top = {10};
  return o;
}

Tensor layer(const std::map<std::string, Tensor>& p, const std::string& name, const Tensor& x) {
  return torch::linear(x, p.at(name + ".weight"), p.at(name + ".bias"));
}

// Both kinds with operations of LibTorch alone.
Tensor plain_logits(const std::string& kind, const std::map<std::string, Tensor>& p,
                    const Tensor& dense, const Tensor& vectors) {
  if (kind == "wide_deep") {
    const Tensor deep = torch::cat({dense, vectors.flatten(1)}, 1);
    return (layer(p, "top.1", layer(p, "top.0", deep).relu()) + vectors.select(2, 0).sum(1, true) +
            torch::matmul(dense, p.at("wide.weight").t()))
        .squeeze(1);
  }
  const Tensor bottom = layer(p, "bottom.1", layer(p, "bottom.0", dense).relu()).relu();
  const Tensor all = torch::cat({bottom.unsqueeze(1), vectors}, 1);
  const Tensor products = torch::bmm(all, all.transpose(1, 2));
  std::vector<Tensor> features;
  for (std::int64_t i = 0; i < all.size(1); ++i) {
    for (std::int64_t j = 0; j < i; ++j) features.push_back(products.select(1, i).select(1, j));
  }
  const Tensor read = torch::cat({torch::stack(features, 1), all.flatten(1)}, 1);
  return layer(p, "top.1", layer(p, "top.0", read).relu()).squeeze(1);
}

class RecommenderTraining : public testing::TestWithParam<const char*> {};

TEST_P(RecommenderTraining, StepsAsPlainSgdAndAdamDo) {
  for (const std::string optimizer : {"sgd", "adam"}) {
    RecommenderOptions o = click_options(GetParam());
    o.optimizer = optimizer;
    o.learning_rate = 0.01;
    o.weight_decay = 0.03;
    Recommender model(o, threads(2));
    Clicks clicks;
    auto plain = leaves_of(model.parameters());
    std::map<std::string, Tensor> first;
    std::map<std::string, Tensor> second;
    for (int step = 1; step <= 2; ++step) {
      const Tensor vectors = torch::tensor(clicks.vectors).view({700, 4, 8}).requires_grad_();
      const Tensor logits =
          plain_logits(o.kind, plain, torch::tensor(clicks.dense).view({700, 3}), vectors);
      const Tensor loss = torch::binary_cross_entropy_with_logits(
          logits, torch::tensor(clicks.labels), {}, {}, at::Reduction::Sum);
      loss.backward();
      EXPECT_NEAR(clicks.step(model), loss.item<double>(), 2e-3);
      EXPECT_TRUE(torch::allclose(torch::tensor(clicks.gradient).view({700, 4, 8}), vectors.grad(),
                                  1e-4, 1e-5));
      const torch::NoGradGuard no_grad;
      for (auto& [name, p] : plain) {
        const Tensor g = p.grad() / 700 + 0.03 * p;
        p.mutable_grad() = Tensor();
        if (step == 1) first[name] = second[name] = torch::zeros_like(p);
        if (optimizer == "sgd") {
          first[name] = 0.9 * first[name] + g;
          p -= 0.01 * first[name];
        } else {
          first[name] = 0.9 * first[name] + 0.1 * g;
          second[name] = 0.999 * second[name] + 0.001 * g * g;
          p -= 0.01 * first[name] / (1 - std::pow(0.9, step)) /
               ((second[name] / (1 - std::pow(0.999, step))).sqrt() + 1e-8);
        }
      }
    }
    expect_close(model.parameters(), plain, optimizer == "sgd" ? 1e-6 : 2e-4);
  }
}

TEST_P(RecommenderTraining, TheNetworkIsTheOneThatIsTrained) {
  RecommenderOptions o = click_options(GetParam());
  o.winner_rate = 0.4;
  Recommender model(o, threads(1));
  const graph::Network& network = model.network();
  EXPECT_EQ(network.name, GetParam());
  EXPECT_EQ(network.tables.size(), 4U);
  EXPECT_EQ(network.layers.back().out.size(), 1);
  EXPECT_FALSE(graph::wrong_layer(network).has_value());
  std::size_t at = 0;
  const std::vector<NamedTensor> parameters = model.parameters();
  for (const graph::Layer& l : network.layers) {
    if (graph::weight_shape(l).empty()) continue;
    ASSERT_LT(at, parameters.size());
    EXPECT_EQ(parameters[at].name, l.name + ".weight");
    EXPECT_EQ(parameters[at++].shape, graph::weight_shape(l));
    if (!l.bias) continue;
    EXPECT_EQ(parameters[at++].name, l.name + ".bias");
  }
  EXPECT_EQ(at, parameters.size());
  EXPECT_EQ(network.winners.rates, std::vector<double>(network.winner_sites().size(), 0.4));
  model.set_winner_rate(0.6);
  EXPECT_EQ(network.winners.rates, std::vector<double>(network.winner_sites().size(), 0.6));
  EXPECT_EQ(model.options().winner_rate, 0.4);
  EXPECT_THAT(error_of([&] { model.set_winner_rate(0); }),
              IsError(ErrorKind::kConfig, "model.winner_rate must be in (0, 1], got 0"));
}

INSTANTIATE_TEST_SUITE_P(Kinds, RecommenderTraining, testing::Values("dlrm", "wide_deep"));

TEST_P(RecommenderTraining, DensitiesAreTheSharesOfNeuronsThatAreNotZero) {
  RecommenderOptions o = click_options(GetParam());
  o.winner_rate = 0.4;
  const Recommender model(o, threads(2));
  const Clicks clicks;
  const auto p = leaves_of(model.parameters());
  const Tensor dense = torch::tensor(clicks.dense).view({clicks.size, 3});
  const auto share = [](const Tensor& relu, double rate) {
    const auto kept = static_cast<std::int64_t>(std::ceil(rate * relu.size(1)));
    const Tensor alive = (relu > 0).sum(1).clamp_max(kept);
    return alive.to(torch::kFloat64).mean().item<double>() / relu.size(1);
  };
  const std::vector<double> got = model.densities(clicks.input());
  ASSERT_EQ(got.size(), model.network().winner_sites().size());
  if (std::string(GetParam()) == "dlrm") {
    EXPECT_NEAR(got[0], share(layer(p, "bottom.0", dense).relu(), 0.4), 1e-6);
  }
  EXPECT_GT(got.back(), 0);
  EXPECT_LE(got.back(), 0.4 + 1e-9) << "4 of 10 neurons of the top may win";
  const Recommender one_thread(o, threads(1));
  EXPECT_EQ(one_thread.densities(clicks.input()), got);
}

TEST(RecommenderState, OfAnotherOptimizerIsRefusedAndChangesNothing) {
  const test::TemporaryDirectory folder;
  RecommenderOptions o = click_options("dlrm");
  Recommender model(o, threads(1));
  Clicks clicks;
  clicks.step(model);
  SectionWriter file(folder.file("r"), "test", 1);
  model.save(file, "m/");
  file.commit();
  const SectionReader reader(folder.file("r"), "test", 1);
  EXPECT_THAT(reader.names(), testing::IsSupersetOf({"m/tensors", "m/values/bottom.0.weight",
                                                     "m/optimizer/top.1.bias/exp_avg_sq"}));
  o.optimizer = "adagrad";
  o.seed = 4;
  Recommender other(o, threads(1));
  const auto before = leaves_of(other.parameters());
  EXPECT_THAT(error_of([&] { other.load(reader, "m/"); }),
              IsError(ErrorKind::kFormat, "wanted adagrad, got adam"));
  expect_close(other.parameters(), before, 0);
  EXPECT_THAT(error_of([&] { other.load(reader, "n/"); }),
              IsError(ErrorKind::kFormat, "n/tensors"));
}

TEST(RecommenderState, WithoutTablesOrDenseColumnsStepsToo) {
  for (const std::string kind : {"dlrm", "wide_deep"}) {
    for (const bool tables : {false, true}) {
      RecommenderOptions o = click_options(kind);
      (tables ? o.dense : o.tables) = 0;
      Recommender model(o, threads(1));
      Clicks clicks;
      (tables ? clicks.dense : clicks.vectors).clear();
      if (!tables) clicks.gradient.clear();
      const double first = clicks.step(model);
      for (int step = 0; step < 20; ++step) clicks.step(model);
      EXPECT_LT(clicks.step(model), first) << kind << " " << tables;
    }
  }
  RecommenderOptions none = click_options("dlrm");
  none.dense = none.tables = 0;
  EXPECT_THAT(error_of([&] { Recommender made(none, threads(1)); }),
              IsError(ErrorKind::kConfig, "model.inputs"));
  none.tables = -1;
  EXPECT_THAT(error_of([&] { Recommender made(none, threads(1)); }),
              IsError(ErrorKind::kConfig, "model.inputs"));
}

}  // namespace
}  // namespace taut::nn
