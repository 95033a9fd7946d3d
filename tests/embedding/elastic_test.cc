// What elastic alone promises: rows follow importance, admission switches, small budgets work.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <vector>

#include "embedding/elastic_plan.h"
#include "support.h"

namespace taut::embedding {
namespace {

// One table, one id per example; each id's gradient has its own size.
class Importance : public testing::Test {
 protected:
  static constexpr int kDim = 16;
  static constexpr std::int64_t kIds = 4000;

  [[nodiscard]] static Options options(std::int64_t budget_bytes) {
    Options options = make_options("elastic", {.tables = 1, .dim = kDim}, budget_bytes);
    options.keys = Keys::kExact;
    return options;
  }
  // Id i has gradients of size scale(i) in every step that it is in.
  static void train_all(Embedding& embedding, int steps,
                        const std::function<float(std::uint64_t)>& scale) {
    const CounterRandom random(5);
    for (int step = 0; step < steps; ++step) {
      std::vector<std::uint64_t> ids;
      std::vector<float> gradient;
      for (std::uint64_t i = 0; i < 512; ++i) {
        const auto counter = static_cast<std::uint64_t>(step) * 512 + i;
        ids.push_back(random.below(counter, kIds));
        for (int d = 0; d < kDim; ++d) {
          gradient.push_back(scale(ids.back()) *
                             static_cast<float>(random.with(1).normal(
                                 counter * kDim + static_cast<std::uint64_t>(d))));
        }
      }
      const std::vector<JaggedIds> tables = {{.ids = ids, .offsets = {}, .weights = {}}};
      embedding.update(tables, 512, gradient);
    }
  }
  // Values of a row that are not 0.
  static int width(const Embedding& embedding, std::uint64_t id) {
    std::vector<float> out(kDim);
    const std::vector<std::uint64_t> ids = {id};
    const std::vector<JaggedIds> tables = {{.ids = ids, .offsets = {}, .weights = {}}};
    embedding.lookup(tables, 1, out);
    int last = 0;
    for (int i = 0; i < kDim; ++i) {
      if (out[static_cast<std::size_t>(i)] != 0) last = i + 1;
    }
    return last;
  }
};

TEST_F(Importance, RowsOfLargeGradientsAreWideAndOthersNarrowOrAbsent) {
  for (const Admission admission : {Admission::kSampled, Admission::kSketch}) {
    Options limited = options(24000);  // 6 bytes an id
    limited.admission = admission;
    const auto embedding = make_embedding(limited, threads(2));
    const auto scale = [](std::uint64_t id) { return id < 100 ? 1.0f : id < 800 ? 0.1f : 0.005f; };
    train_all(*embedding, 300, scale);
    double mean[3] = {0, 0, 0};
    for (std::uint64_t id = 0; id < kIds; ++id) {
      const int group = id < 100 ? 0 : id < 800 ? 1 : 2;
      mean[group] += width(*embedding, id) / (group == 0 ? 100.0 : group == 1 ? 700.0 : 3200.0);
    }
    EXPECT_GT(mean[0], 15.0);
    EXPECT_GT(mean[1], 4.0);
    EXPECT_LT(mean[1], 15.0);
    EXPECT_LT(mean[2], 2.0);
    EXPECT_GT(embedding->statistics().threshold, 0);
  }
}

TEST_F(Importance, ARowThatBecomesImportantTakesTheRoomOfOneThatDoesNotAnyMore) {
  Options limited = options(24000);
  limited.decay = 0.7;
  limited.period = 10;
  const auto embedding = make_embedding(limited, threads(1));
  train_all(*embedding, 200, [](std::uint64_t id) { return id < 400 ? 1.0f : 0.01f; });
  train_all(*embedding, 200, [](std::uint64_t id) { return id >= 3600 ? 1.0f : 0.01f; });
  int now = 0;
  int before = 0;
  for (std::uint64_t id = 0; id < 400; ++id) {
    now += width(*embedding, 3600 + id);
    before += width(*embedding, id);
  }
  EXPECT_GT(now, 400 * 14);
  EXPECT_LT(before, 400 * 8);
}

TEST_F(Importance, WithRoomForAllEveryRowIsFull) {
  const auto embedding = make_embedding(options(kIds * 100), threads(2));
  train_all(*embedding, 100, [](std::uint64_t id) { return 0.01f + static_cast<float>(id % 7); });
  const Statistics statistics = embedding->statistics();
  EXPECT_EQ(statistics.threshold, 0);
  EXPECT_EQ(statistics.evicted_rows, 0);
  EXPECT_EQ(statistics.rows_by_width.back(), statistics.resident_rows);
  EXPECT_EQ(statistics.resident_rows, kIds);
}

TEST(Elastic, TrainsAsFullDoesWhereTheBudgetHoldsEverything) {
  const BatchShape shape{.size = 128, .tables = 2, .dim = 8, .ids = 300, .bags = false};
  Options options = make_options("elastic", shape, 1 << 20);
  options.value_type = ValueType::kFloat32;
  options.keys = Keys::kExact;
  const auto elastic = make_embedding(options, threads(2));
  Options plain = options;
  plain.method = "full";
  const auto full = make_embedding(plain, threads(2));
  const TestBatch probe = make_batch(shape, 1, 0);
  train(*elastic, shape, 1, 0, 1);
  train(*full, shape, 1, 0, 1);
  // The first step knows the importance exactly: the same sums, so the same bits.
  EXPECT_EQ(look_up(*elastic, probe, shape.dim), look_up(*full, probe, shape.dim));
  train(*elastic, shape, 1, 1, 40);
  train(*full, shape, 1, 1, 40);
  // Later the importance is a 10-bit counter (spread 12 %, so 6 % in the step): near, not equal.
  const std::vector<float> got = look_up(*elastic, probe, shape.dim);
  const std::vector<float> wanted = look_up(*full, probe, shape.dim);
  double square = 0;
  double difference = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    square += wanted[i] * wanted[i];
    difference += (got[i] - wanted[i]) * (got[i] - wanted[i]);
  }
  EXPECT_LT(std::sqrt(difference / square), 0.12);
}

TEST(Elastic, AdmissionChangesToSamplingWhenTooManyIdsCome) {
  const BatchShape shape{.size = 1024, .tables = 1, .ids = 100000000, .bags = false};
  const auto embedding = make_embedding(make_options("elastic", shape, 200000), threads(2));
  const auto part = [&](const std::string& name) {
    for (const auto& [known, bytes] : embedding->statistics().parts) {
      if (known == name) return bytes;
    }
    return std::int64_t{-1};
  };
  train(*embedding, shape, 1, 0, 4);
  EXPECT_GT(part("sketch"), 0);
  EXPECT_GT(part("distinct_ids"), 0);
  train(*embedding, shape, 1, 4, 120);
  EXPECT_EQ(part("sketch"), 0);
  EXPECT_EQ(part("distinct_ids"), 0);
  EXPECT_LE(embedding->peak_memory_bytes(), 200000);
  EXPECT_LT(part("free"), 20000) << "the pages took the sketch's room";
}

TEST(Elastic, DistinctIdsThatAreKnownDecideTheAdmission) {
  Options options = make_options("elastic", {.tables = 1}, 100000);
  options.tables[0].distinct_ids = 4900;  // less than a twentieth of the bytes
  EXPECT_TRUE(plan_elastic(options).sketch);
  options.tables[0].distinct_ids = 5100;
  EXPECT_FALSE(plan_elastic(options).sketch);
  options.admission = Admission::kSketch;
  EXPECT_TRUE(plan_elastic(options).sketch);
}

TEST(Elastic, BetaFollowsTheBudgetWhereItIsNotGiven) {
  Options options = make_options("elastic", {.tables = 2, .dim = 16}, 0);
  options.budget = Bytes{68 * 2000};
  EXPECT_EQ(resolved_beta(options), 2.5) << "distinct ids are not known";
  options.tables[0].distinct_ids = 1000;
  EXPECT_EQ(resolved_beta(options), 2.5) << "those of one table";
  options.tables[1].distinct_ids = 1000;
  EXPECT_EQ(resolved_beta(options), 1.0);
  options.budget = Bytes{68 * 500};  // a quarter
  EXPECT_NEAR(resolved_beta(options), 1.0, 1e-9);
  double before = 1.0;
  for (std::int64_t rows = 499; rows > 200; --rows) {
    options.budget = Bytes{68 * rows};
    EXPECT_GT(resolved_beta(options), before);
    before = resolved_beta(options);
  }
  options.budget = Bytes{68 * 200};  // a tenth
  EXPECT_NEAR(resolved_beta(options), 2.5, 1e-9);
  options.budget = Bytes{68 * 2};
  EXPECT_EQ(resolved_beta(options), 2.5);
  options.beta = 0;
  EXPECT_EQ(resolved_beta(options), 0.0);
}

TEST(Elastic, PlansFitEveryBudgetAndDimension) {
  for (const int dim : {4, 16, 64, 128, 512}) {
    for (const ValueType type : {ValueType::kFloat32, ValueType::kMixed}) {
      for (std::int64_t budget = 300; budget < (std::int64_t{1} << 34); budget = budget * 5 / 3) {
        Options options = make_options("elastic", {.tables = 1, .dim = dim}, budget);
        options.chunk = std::max(4, dim / 16);
        options.value_type = type;
        ElasticPlan plan;
        try {
          plan = plan_elastic(options);
        } catch (const Error& error) {
          ASSERT_EQ(error.kind(), ErrorKind::kBudget);
          ASSERT_LT(budget, 20 * dim + 400);
          continue;
        }
        const std::int64_t bytes = plan.shards * ElasticShard::total_bytes(plan.sizes, plan.layout);
        ASSERT_LE(bytes, budget);
        ASSERT_GE(bytes, budget - budget / 5 - 64) << dim << " " << budget;
        ASSERT_GE(plan.layout.page_bytes, plan.layout.least_page_bytes());
        ASSERT_LE(plan.layout.page_bytes, 65535);
      }
    }
  }
}

TEST(Elastic, WhatOnlyTheOptimizerNeedsIsNotExported) {
  const BatchShape shape{.size = 256, .tables = 1, .dim = 16, .ids = 4000};
  std::map<Optimizer, std::uintmax_t> bytes;
  for (const Optimizer kind : {Optimizer::kRowwiseAdagrad, Optimizer::kAdam}) {
    Options options = make_options("elastic", shape, 60000);
    options.value_type = ValueType::kInt8;
    options.admission = Admission::kSampled;
    options.optimizer = kind;
    options.learning_rate = 0.01;
    const auto embedding = make_embedding(options, threads(1));
    for (std::uint64_t step = 0; step < 200; ++step) {
      const TestBatch batch = make_batch(shape, 5, step);
      embedding->update(batch.tables(), batch.size, batch.gradient);
    }
    std::int64_t optimizer = 0;
    for (const auto& [name, part] : embedding->statistics().parts) {
      if (name == "optimizer") optimizer = part;
    }
    EXPECT_EQ(optimizer > 0, kind == Optimizer::kAdam);
    const test::TemporaryDirectory file;
    SectionWriter writer(file.file("saved"), "ckpt", 1);
    embedding->export_frozen(writer, "");
    (void)writer.commit();
    bytes[kind] = std::filesystem::file_size(file.file("saved"));
  }
  // 1 byte a value and 5 a row are left of 3 and 7; pages are as full as the fullest.
  EXPECT_LT(static_cast<double>(bytes[Optimizer::kAdam]),
            0.6 * static_cast<double>(bytes[Optimizer::kRowwiseAdagrad]));
}

TEST(Elastic, OverheadIsFiveBytesARowInEightBits) {
  const Options options = make_options("elastic", {.tables = 1}, 100000);
  EXPECT_EQ(plan_elastic(options).layout.overhead_bytes(), 5);
}

}  // namespace
}  // namespace taut::embedding
