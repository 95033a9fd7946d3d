// What each rival is: the composition of qr, the dealing of md and frequency, whole rows of row and
// cafe, free subsets of fiited; and the optimizers, on the full table.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "support.h"

namespace taut::embedding {
namespace {

constexpr int kDim = 16;

Options one_table(const std::string& method, std::int64_t budget) {
  return make_options(method, {.tables = 1, .dim = kDim}, budget);
}

std::vector<float> read_row(const Embedding& embedding, std::uint64_t id) {
  const std::vector<std::uint64_t> ids = {id};
  const std::vector<JaggedIds> tables = {{.ids = ids, .offsets = {}, .weights = {}}};
  std::vector<float> out(kDim);
  embedding.lookup(tables, 1, out);
  return out;
}

void step_row(Embedding& embedding, std::uint64_t id, const std::vector<float>& gradient) {
  const std::vector<std::uint64_t> ids = {id};
  const std::vector<JaggedIds> tables = {{.ids = ids, .offsets = {}, .weights = {}}};
  embedding.update(tables, 1, gradient);
}

int chunks_held(const std::vector<float>& row, int chunk) {
  int held = 0;
  for (int first = 0; first < kDim; first += chunk) {
    bool zero = true;
    for (int i = first; i < first + chunk; ++i)
      zero = zero && row[static_cast<std::size_t>(i)] == 0;
    held += zero ? 0 : 1;
  }
  return held;
}

TEST(Qr, DescendsTheGradientOfTheProduct) {
  // 0.5 * |row - target|^2 of two ids falls to nearly nothing, though their rows share parts.
  Options options = one_table("qr", 6000);
  options.tables[0].distinct_ids = 1000;
  options.learning_rate = 0.1;
  const auto embedding = make_embedding(options, threads(2));
  std::vector<float> target(kDim);
  for (int i = 0; i < kDim; ++i)
    target[static_cast<std::size_t>(i)] = 0.1f * static_cast<float>(i - 8);
  const auto loss = [&] {
    double sum = 0;
    for (const std::uint64_t id : {3u, 900u}) {
      const std::vector<float> row = read_row(*embedding, id);
      for (std::size_t i = 0; i < kDim; ++i) sum += (row[i] - target[i]) * (row[i] - target[i]);
    }
    return sum;
  };
  const double before = loss();
  for (int step = 0; step < 300; ++step) {
    for (const std::uint64_t id : {3u, 900u}) {
      std::vector<float> gradient = read_row(*embedding, id);
      for (std::size_t i = 0; i < kDim; ++i) gradient[i] -= target[i];
      step_row(*embedding, id, gradient);
    }
  }
  EXPECT_LT(loss(), before / 100);
}

TEST(Qr, NearlyAllIdsHaveRowsOfTheirOwn) {
  constexpr std::int64_t kIds = 10000;
  Options options = one_table("qr", kIds * 68 / 10);
  options.tables[0].distinct_ids = kIds;
  const auto embedding = make_embedding(options, threads(1));
  std::vector<std::vector<float>> rows;
  for (std::uint64_t id = 0; id < static_cast<std::uint64_t>(kIds); ++id)
    rows.push_back(read_row(*embedding, id));
  std::sort(rows.begin(), rows.end());
  const auto distinct = std::unique(rows.begin(), rows.end()) - rows.begin();
  EXPECT_GT(distinct, 9200);  // of 8 names an id: 9400 expected
}

class Counted : public testing::TestWithParam<std::string> {};

TEST_P(Counted, FrequentIdsGetTheBytes) {
  Options options = one_table(GetParam(), 20000);
  options.chunk = 4;
  const auto embedding = make_embedding(options, threads(1));
  ASSERT_TRUE(embedding->wants_counts());
  EXPECT_EQ(error_of([&] { (void)read_row(*embedding, 1); }).first, ErrorKind::kInvalidArgument);
  std::vector<std::uint64_t> ids;
  for (std::uint64_t id = 0; id < 1000; ++id) {  // id i occurs about 4000 / (i + 1) times
    ids.insert(ids.end(), 1 + 4000 / (id + 1), id);
  }
  const std::vector<JaggedIds> tables = {{.ids = ids, .offsets = {}, .weights = {}}};
  embedding->count(tables, static_cast<std::int64_t>(ids.size()));
  embedding->finish_counting();
  EXPECT_LE(embedding->peak_memory_bytes(), 20000);
  EXPECT_GT(embedding->memory_bytes(), 18000);
  int last = 4;
  int rows = 0;
  int narrow = 0;
  for (std::uint64_t id = 0; id < 1000; ++id) {
    const int held = chunks_held(read_row(*embedding, id), 4);
    // Ids of the same count may be cut off in any order; a step of the count may not turn around.
    if (id == 0 || 4000 / (id + 1) != 4000 / id) {
      EXPECT_LE(held, last) << id;
      last = held;
    }
    rows += held > 0 ? 1 : 0;
    narrow += held > 0 && held < 4 ? 1 : 0;
  }
  EXPECT_EQ(chunks_held(read_row(*embedding, 0), 4), 4);
  EXPECT_LT(rows, 1000);
  EXPECT_EQ(narrow > 0, GetParam() == "md");
}

INSTANTIATE_TEST_SUITE_P(Methods, Counted, testing::Values("frequency", "md"),
                         [](const auto& one) { return one.param; });

TEST(Counted, MethodsWithoutAFirstPassRefuseCounts) {
  const auto embedding = make_embedding(one_table("elastic", 20000), threads(1));
  EXPECT_FALSE(embedding->wants_counts());
  EXPECT_EQ(error_of([&] { embedding->finish_counting(); }).first, ErrorKind::kInvalidArgument);
}

TEST(Row, HoldsWholeRowsOnly) {
  const BatchShape shape{.size = 256, .tables = 1, .dim = kDim, .ids = 20000, .bags = false};
  const auto embedding = make_embedding(one_table("row", 60000), threads(1));
  train(*embedding, shape, 1, 0, 60);
  int held = 0;
  for (std::uint64_t id = 0; id < 2000; ++id) {
    const int chunks = chunks_held(read_row(*embedding, id), 4);
    EXPECT_TRUE(chunks == 0 || chunks == 4) << id;
    held += chunks == 4 ? 1 : 0;
  }
  EXPECT_GT(held, 300);
}

TEST(Cafe, ColdIdsShareRows) {
  const BatchShape shape{.size = 256, .tables = 1, .dim = kDim, .ids = 20000, .bags = false};
  const auto embedding = make_embedding(one_table("cafe", 60000), threads(1));
  train(*embedding, shape, 1, 0, 60);
  for (std::uint64_t id = 0; id < 2000; ++id) {
    ASSERT_EQ(chunks_held(read_row(*embedding, id), kDim), 1) << id;
  }
}

TEST(Fiited, RowsHoldAnySubsetOfTheirChunksByUtility) {
  Options options = one_table("fiited", 24000);
  options.chunk = 4;
  const auto embedding = make_embedding(options, threads(1));
  const CounterRandom random(3);
  // Only the third chunk of each row ever has a large gradient.
  for (std::uint64_t step = 0; step < 20000; ++step) {
    std::vector<float> gradient(kDim);
    for (std::size_t i = 0; i < kDim; ++i) {
      gradient[i] =
          (i / 4 == 2 ? 1.0f : 0.01f) * static_cast<float>(random.normal(step * kDim + i));
    }
    step_row(*embedding, step % 600, gradient);
  }
  int third = 0;
  int others = 0;
  for (std::uint64_t id = 0; id < 600; ++id) {
    const std::vector<float> row = read_row(*embedding, id);
    for (int k = 0; k < 4; ++k) {
      const bool held = row[static_cast<std::size_t>(4 * k)] != 0;
      (k == 2 ? third : others) += held ? 1 : 0;
    }
  }
  EXPECT_GT(third, 450);
  EXPECT_LT(others, 600);
  EXPECT_GT(embedding->statistics().evicted_rows, 0);
}

// Each optimizer written as plainly as can be.
void expect_equations(Options options, double tolerance) {
  const CounterRandom random(9);
  options.learning_rate = 0.05;
  options.l2 = 0.01;
  const auto embedding = make_embedding(options, threads(1));
  std::vector<double> value(kDim);
  std::vector<double> sums(kDim, 0.0);
  std::vector<double> momentum(kDim, 0.0);
  double row_sum = 0;
  double second = 0;
  for (int step = 1; step <= 50; ++step) {
    std::vector<float> gradient(kDim);
    for (std::size_t i = 0; i < kDim; ++i) {
      gradient[i] = static_cast<float>(random.normal(static_cast<std::uint64_t>(step) * kDim + i));
    }
    if (step == 1) {  // what the row starts with: initial values are the same for every method
      options.method = "full";
      const auto fresh = make_embedding(options, threads(1));
      const std::vector<float> start = read_row(*fresh, 42);
      value.assign(start.begin(), start.end());
    }
    step_row(*embedding, 42, gradient);
    std::vector<double> g(kDim);
    double mean = 0;
    for (std::size_t i = 0; i < kDim; ++i) {
      g[i] = gradient[i] + 0.01 * value[i];
      mean += g[i] * g[i] / kDim;
    }
    row_sum += mean;
    second = 0.999 * second + 0.001 * mean;
    for (std::size_t i = 0; i < kDim; ++i) {
      sums[i] += g[i] * g[i];
      momentum[i] = 0.9 * momentum[i] + 0.1 * g[i];
      switch (options.optimizer) {
        case Optimizer::kRowwiseAdagrad:
          value[i] -= 0.05 * g[i] / std::sqrt(row_sum + 0.2);
          break;
        case Optimizer::kAdagrad:
          value[i] -= 0.05 * g[i] / std::sqrt(sums[i] + 0.2);
          break;
        case Optimizer::kSgd:
          value[i] -= 0.05 * g[i];
          break;
        case Optimizer::kAdam:
          value[i] -= 0.05 * momentum[i] / (1 - std::pow(0.9, step)) /
                      std::sqrt(second / (1 - std::pow(0.999, step)));
          break;
      }
    }
  }
  const std::vector<float> got = read_row(*embedding, 42);
  for (std::size_t i = 0; i < kDim; ++i) {
    EXPECT_NEAR(got[i], value[i], tolerance) << spelling_of(options.optimizer) << " " << i;
  }
}

TEST(Optimizers, FollowTheirEquations) {
  for (const Optimizer kind :
       {Optimizer::kRowwiseAdagrad, Optimizer::kAdagrad, Optimizer::kSgd, Optimizer::kAdam}) {
    Options options = one_table("full", 0);
    options.optimizer = kind;
    expect_equations(options, 1e-4);  // fp32 over 50 steps
  }
}

TEST(Optimizers, FollowTheirEquationsInPagesToo) {
  for (const std::string method : {"elastic", "row", "cafe"}) {
    for (const Optimizer kind : {Optimizer::kAdagrad, Optimizer::kSgd, Optimizer::kAdam}) {
      SCOPED_TRACE(method);
      Options options = one_table(method, 100000);
      options.value_type = ValueType::kFloat32;
      options.optimizer = kind;
      options.cold_share = 0;
      // State of 8 bits of precision, rounded 50 times; row-wise Adagrad's state is an importance
      // code, which other tests look at.
      expect_equations(options, kind == Optimizer::kSgd ? 1e-4 : 1e-2);
    }
  }
}

}  // namespace
}  // namespace taut::embedding
