// Gradients that wait for a step: random passes, scalings and steps beside dense tensors that do
// the same by hand.
#include "nn/gathered.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "nn/tables.h"
#include "support/error_matchers.h"
#include "taut/core/random.h"
#include "taut/core/thread_pool.h"

namespace taut::nn {
namespace {

using taut::test::error_of;
using taut::test::IsError;

constexpr std::int64_t kRowCount = 12;
constexpr int kRowDim = 4;
constexpr std::size_t kTableCount = 2;
constexpr double kStepRate = 0.25;

embedding::Options sgd_options() {
  embedding::Options options;
  options.method = "full";
  options.dim = kRowDim;
  options.optimizer = embedding::Optimizer::kSgd;
  options.learning_rate = kStepRate;
  for (std::size_t t = 0; t < kTableCount; ++t) {
    options.tables.push_back({.name = std::to_string(t), .distinct_ids = kRowCount});
  }
  return options;
}

// Bags of ids of both tables, the second with weights, and a gradient of their sums.
struct Batch {
  std::vector<at::Tensor> ids;
  std::vector<at::Tensor> offsets;
  std::vector<at::Tensor> weights;
  at::Tensor gradient;

  Batch(const CounterRandom& random, std::int64_t bags) {
    std::uint64_t counter = 0;
    for (std::size_t t = 0; t < kTableCount; ++t) {
      std::vector<std::int64_t> drawn;
      std::vector<std::int64_t> ends{0};
      std::vector<float> factors;
      for (std::int64_t bag = 0; bag < bags; ++bag) {
        for (std::uint64_t n = random.below(counter++, 4); n > 0; --n) {
          drawn.push_back(static_cast<std::int64_t>(random.below(counter++, kRowCount)));
          factors.push_back(static_cast<float>(random.uniform(counter++)));
        }
        ends.push_back(static_cast<std::int64_t>(drawn.size()));
      }
      ids.push_back(at::tensor(drawn, at::kLong));
      offsets.push_back(at::tensor(ends, at::kLong));
      weights.push_back(t == 1 ? at::tensor(factors, at::kFloat) : at::ones({ids[t].numel()}));
    }
    gradient = at::empty({bags, static_cast<std::int64_t>(kTableCount), kRowDim});
    auto* values = gradient.mutable_data_ptr<float>();
    for (std::int64_t i = 0; i < gradient.numel(); ++i) {
      values[i] = static_cast<float>(random.uniform(counter++) * 2 - 1);
    }
  }

  [[nodiscard]] Bags bags() const { return {ids, offsets, weights, kTableCount, {}}; }

  // What a dense weight [rows, tables, dim] would get.
  [[nodiscard]] at::Tensor dense() const {
    at::Tensor sums = at::zeros({kRowCount, static_cast<std::int64_t>(kTableCount), kRowDim});
    for (std::size_t t = 0; t < kTableCount; ++t) {
      const auto table = static_cast<std::int64_t>(t);
      const at::Tensor bag = at::repeat_interleave(offsets[t].diff());
      const at::Tensor parts =
          gradient.select(1, table).index_select(0, bag) * weights[t].unsqueeze(1);
      sums.select(1, table).index_add_(0, ids[t], parts);
    }
    return sums;
  }
};

at::Tensor rows_of(const Tables& tables) {
  const at::Tensor ids = at::arange(kRowCount, at::kLong);
  const at::Tensor ends = at::arange(kRowCount + 1, at::kLong);
  return tables.lookup(Bags({ids, ids}, {ends, ends}, {}, kTableCount, {}));
}

class Waiting : public testing::TestWithParam<bool> {
 protected:
  // scale of a summed loss, or 0 of a mean one
  [[nodiscard]] static double scale() { return GetParam() ? 1.0 : 0.0; }
};

TEST_P(Waiting, PassesScalingsAndStepsAreThoseOfADenseWeight) {
  Tables tables(sgd_options(), 1);
  tables.defer();
  at::Tensor weight = rows_of(tables).clone();
  at::Tensor gradient = at::zeros_like(weight);
  std::int64_t examples = 0;
  double factor = 1;  // of what waits, since the last pass
  const CounterRandom random(5);
  int steps = 0;
  for (std::uint64_t turn = 0; turn < 400; ++turn) {
    const CounterRandom of = random.with(turn);
    switch (of.below(1000, 6)) {
      case 0:
        factor *= 0.5;
        break;
      case 1:
        factor = 0;
        break;
      case 2: {
        if (factor == 0) break;
        tables.step_waiting(scale(), factor);
        const double summed = scale() > 0 ? 1.0 : static_cast<double>(examples);
        weight -= kStepRate * factor * summed * gradient;
        ++steps;
        break;
      }
      default: {
        std::int64_t most = 0;
        gradient *= factor;
        if (factor == 0) examples = 0;
        for (std::uint64_t lookups = 1 + of.below(1001, 2); lookups > 0; --lookups) {
          const auto bags = static_cast<std::int64_t>(of.below(1002 + lookups, 5));
          const Batch batch(of.with(lookups), bags);
          tables.update(batch.bags(), scale(), batch.gradient);
          gradient += batch.dense();
          most = std::max(most, bags);
        }
        examples += most;
        const double norm = tables.end_pass(factor);
        EXPECT_NEAR(norm, gradient.norm().item<double>(), 1e-5 * (1 + norm));
        factor = 1;
      }
    }
    ASSERT_TRUE(at::allclose(rows_of(tables), weight, 1e-4, 1e-3)) << "turn " << turn;
  }
  EXPECT_GT(steps, 30);
}
INSTANTIATE_TEST_SUITE_P(Losses, Waiting, testing::Bool(), [](const auto& one) {
  return one.param ? std::string("summed") : std::string("mean");
});

TEST(WaitingGradients, NothingIsStepped) {
  Tables tables(sgd_options(), 1);
  tables.defer();
  const at::Tensor before = rows_of(tables).clone();
  tables.step_waiting(1.0, 1.0);
  EXPECT_EQ(tables.end_pass(1.0), 0);
  const Batch batch(CounterRandom(1), 3);
  tables.update(batch.bags(), 1.0, batch.gradient);
  EXPECT_TRUE(at::equal(rows_of(tables), before));  // it waits
  tables.drop();
  tables.step_waiting(1.0, 1.0);
  EXPECT_TRUE(at::equal(rows_of(tables), before));
}

TEST(WaitingGradients, GatheringIsRefusedAndTheOtherWayRound) {
  Tables waits(sgd_options(), 1);
  waits.defer();
  EXPECT_THAT(error_of([&] { waits.gather(2); }),
              IsError(ErrorKind::kInvalidArgument, "wait as they are"));
  Tables gathers(sgd_options(), 1);
  gathers.gather(2);
  EXPECT_THAT(error_of([&] { gathers.defer(); }),
              IsError(ErrorKind::kInvalidArgument, "being gathered"));
}

TEST(WaitingGradients, IdsThatDoNotFitLeaveWhatWaitsAsItWas) {
  Tables tables(sgd_options(), 1);
  tables.defer();
  const Batch batch(CounterRandom(2), 4);
  tables.update(batch.bags(), 1.0, batch.gradient);
  const double norm = tables.end_pass(1.0);
  std::vector<at::Tensor> wrong = batch.offsets;
  wrong[1] = at::tensor(std::vector<std::int64_t>{0, 3, 2, 1, 0}, at::kLong);
  const Bags bags(batch.ids, wrong, batch.weights, kTableCount, {});
  EXPECT_THAT(error_of([&] { tables.update(bags, 1.0, batch.gradient); }),
              IsError(ErrorKind::kInvalidArgument, "tables[1]"));
  EXPECT_EQ(tables.end_pass(1.0), norm);
}

}  // namespace
}  // namespace taut::nn
