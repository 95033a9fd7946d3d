#include "taut/nn/embedding_tables.h"

#include <gtest/gtest.h>

#include <sstream>

namespace taut::nn {
namespace {

embedding::Options two_tables() {
  embedding::Options options;
  options.method = "full";
  options.tables = {{.name = "a", .distinct_ids = 20}, {.name = "b", .distinct_ids = 20}};
  options.dim = 4;
  options.learning_rate = 0.1;
  return options;
}

torch::Tensor ids_of(std::vector<std::int64_t> values) {
  return torch::tensor(values, torch::kInt64);
}

TEST(EmbeddingTables, PoolEveryTableSideBySide) {
  EmbeddingTables tables(two_tables(), LossReduction::kSum, 1);
  const torch::Tensor single =
      tables->forward({ids_of({1, 2}), ids_of({3, 4})}, {ids_of({0, 1, 2}), ids_of({0, 1, 2})});
  const torch::Tensor pooled =
      tables->forward({ids_of({1, 2}), ids_of({3, 4})}, {ids_of({0, 2}), ids_of({0, 2})});
  EXPECT_EQ(single.sizes(), at::IntArrayRef({2, 2, 4}));
  EXPECT_TRUE(torch::allclose(pooled[0], single.sum(0)));
}

TEST(EmbeddingTables, TrainTowardsATargetThroughAutograd) {
  EmbeddingTables tables(two_tables(), LossReduction::kMean, 1);
  const torch::Tensor target = torch::ones({3, 2, 4});
  double first = 0;
  double last = 0;
  for (int step = 0; step < 200; ++step) {
    const torch::Tensor out = tables->forward({ids_of({1, 2, 3}), ids_of({4, 4, 5})},
                                              {ids_of({0, 1, 2, 3}), ids_of({0, 1, 2, 3})});
    const torch::Tensor loss = torch::mse_loss(out, target, at::Reduction::Sum) / 3;
    loss.backward();
    last = loss.item<double>();
    if (step == 0) first = last;
  }
  EXPECT_LT(last, 0.01 * first);
  EXPECT_EQ(tables->tables().steps(), 200);
}

TEST(EmbeddingTables, WithoutGradientNothingIsTrained) {
  EmbeddingTables tables(two_tables(), LossReduction::kMean, 1);
  const torch::NoGradGuard no_grad;
  EXPECT_FALSE(tables->forward({ids_of({1}), ids_of({1})}, {ids_of({0, 1}), ids_of({0, 1})})
                   .requires_grad());
  EXPECT_EQ(tables->tables().steps(), 0);
}

TEST(EmbeddingTables, NameBadArguments) {
  EmbeddingTables tables(two_tables(), LossReduction::kMean, 1);
  EXPECT_THROW(tables->forward({ids_of({1})}, {ids_of({0, 1})}), c10::ValueError);
  EXPECT_THROW(tables->forward({ids_of({1}), ids_of({1})}, {ids_of({0, 2}), ids_of({0, 1})}),
               c10::ValueError);
}

TEST(EmbeddingTables, AreSavedWithTheirRows) {
  EmbeddingTables first(two_tables(), LossReduction::kSum, 1);
  const auto look_up = [](EmbeddingTables& tables) {
    return tables->forward({ids_of({1, 2}), ids_of({3, 4})},
                           {ids_of({0, 1, 2}), ids_of({0, 1, 2})});
  };
  look_up(first).sum().backward();
  std::stringstream file;
  torch::save(first, file);
  embedding::Options options = two_tables();
  EmbeddingTables second(options, LossReduction::kSum, 1);
  EXPECT_FALSE(torch::equal(look_up(first), look_up(second)));
  torch::load(second, file);
  EXPECT_TRUE(torch::equal(look_up(first), look_up(second)));
  look_up(first).sum().backward();
  EXPECT_FALSE(torch::equal(look_up(first), look_up(second)));
  look_up(second).sum().backward();
  EXPECT_TRUE(torch::equal(look_up(first), look_up(second)));
  options.seed = 7;
  EmbeddingTables other(options, LossReduction::kSum, 1);
  file.seekg(0);
  EXPECT_THROW(torch::load(other, file), c10::ValueError);
}

}  // namespace
}  // namespace taut::nn
