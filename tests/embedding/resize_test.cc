// resize_budget while training: within the new budget, what matters most stays, resume still exact.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "support.h"

namespace taut::embedding {
namespace {

class Resize : public testing::TestWithParam<std::string> {
 protected:
  [[nodiscard]] Options options(std::int64_t budget) const {
    Options made = make_options(GetParam(), shape_, budget);
    made.period = 10;
    return made;
  }
  BatchShape shape_{.size = 256, .tables = 2, .ids = 20000, .bags = false};
};

TEST_P(Resize, ShrinksAndGrowsWithinTheBudgetAndGoesOnTraining) {
  const auto embedding = make_embedding(options(400000), threads(2));
  train(*embedding, shape_, 1, 0, 60);
  const std::int64_t rows = embedding->statistics().resident_rows;
  int step = 60;
  for (const std::int64_t budget : {200000, 100000, 30000, 90000, 500000}) {
    embedding->resize_budget(Bytes{budget});
    EXPECT_LE(embedding->memory_bytes(), budget);
    EXPECT_GE(embedding->memory_bytes(), budget * 9 / 10 - 8192);
    EXPECT_EQ(embedding->options().budget.count, budget);
    for (int i = 0; i < 20; ++i, ++step) {
      train(*embedding, shape_, 1, step, step + 1);
      ASSERT_LE(embedding->memory_bytes(), budget);
    }
    EXPECT_GT(embedding->statistics().resident_rows, rows * budget / 400000 / 3);
  }
}

TEST_P(Resize, KeepsTheRowsThatMatterMost) {
  // Half the bytes: what is read of the most frequent ids hardly changes.
  const auto embedding = make_embedding(options(400000), threads(1));
  train(*embedding, shape_, 1, 0, 80);
  TestBatch head;
  head.size = 40;
  head.ids.resize(2);
  head.offsets.resize(2);
  head.weights.resize(2);
  for (std::uint64_t id = 0; id < 40; ++id) {
    const std::uint64_t spelled = id % 7 == 3 ? id | (std::uint64_t{1} << 63) : id;
    head.ids[0].push_back(spelled);
    head.ids[1].push_back(spelled);
  }
  const std::vector<float> before = look_up(*embedding, head, shape_.dim);
  embedding->resize_budget(Bytes{200000});
  const std::vector<float> after = look_up(*embedding, head, shape_.dim);
  // Rows that held 16 bits may hold 8 now: a step of their largest value / 127.
  const std::size_t dim = static_cast<std::size_t>(shape_.dim);
  std::size_t same = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const auto row = before.begin() + static_cast<std::ptrdiff_t>(i - i % dim);
    const float step =
        std::abs(*std::max_element(row, row + static_cast<std::ptrdiff_t>(dim),
                                   [](float a, float b) { return std::abs(a) < std::abs(b); })) /
        127;
    same += std::abs(before[i] - after[i]) <= step ? 1 : 0;
  }
  EXPECT_GT(same, before.size() * 7 / 10);
}

TEST_P(Resize, ACheckpointTakenAfterwardsResumesToTheSameBits) {
  const auto whole = make_embedding(options(400000), threads(2));
  train(*whole, shape_, 1, 0, 25);
  whole->resize_budget(Bytes{70000});
  train(*whole, shape_, 1, 25, 33);
  const test::TemporaryDirectory file;
  save_to(*whole, file.file("saved"));
  const auto resumed = make_embedding(options(70000), threads(1));
  load_from(*resumed, file.file("saved"));
  train(*whole, shape_, 1, 33, 60);
  train(*resumed, shape_, 1, 33, 60);
  const TestBatch probe = make_batch(shape_, 1, 12);
  EXPECT_EQ(look_up(*resumed, probe, shape_.dim), look_up(*whole, probe, shape_.dim));
  EXPECT_LE(resumed->memory_bytes(), 70000);
}

TEST_P(Resize, ABudgetThatHoldsNothingChangesNothing) {
  const auto embedding = make_embedding(options(400000), threads(1));
  train(*embedding, shape_, 1, 0, 10);
  const TestBatch probe = make_batch(shape_, 1, 12);
  const std::vector<float> before = look_up(*embedding, probe, shape_.dim);
  EXPECT_EQ(error_of([&] { embedding->resize_budget(Bytes{10}); }).first, ErrorKind::kBudget);
  EXPECT_EQ(look_up(*embedding, probe, shape_.dim), before);
  EXPECT_EQ(embedding->options().budget.count, 400000);
}

INSTANTIATE_TEST_SUITE_P(Methods, Resize, testing::Values("elastic", "row", "cafe"),
                         [](const auto& one) { return one.param; });

TEST(Budget, MethodsWhoseRowsCannotMoveSaySo) {
  for (const std::string method : {"full", "hash", "qr", "fiited"}) {
    const auto embedding = make_embedding(make_options(method, {}, 100000), threads(1));
    const auto [kind, text] = error_of([&] { embedding->resize_budget(Bytes{50000}); });
    EXPECT_EQ(kind, ErrorKind::kUnsupported);
    EXPECT_THAT(text, testing::HasSubstr(method));
  }
}

}  // namespace
}  // namespace taut::embedding
