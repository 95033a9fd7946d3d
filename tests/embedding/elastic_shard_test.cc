// A shard against a plain map from key to the values that were last read for it.
#include "embedding/elastic_shard.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "embedding/dense_rows.h"
#include "taut/core/random.h"

namespace taut::embedding {
namespace {

struct ShardCase {
  std::string name;
  Storage low;
  bool mixed;
  bool sketch;
  std::int64_t pages;
  Optimizer optimizer = Optimizer::kRowwiseAdagrad;
};

RowOptimizer make_optimizer(Optimizer kind) {
  Options options;
  options.optimizer = kind;
  options.learning_rate = kind == Optimizer::kAdam ? 0.01 : 0.4;
  options.initial_accumulator = 0.2;
  options.epsilon = 1e-8;
  return RowOptimizer(options);
}

void PrintTo(const ShardCase& one, std::ostream* stream) {
  *stream << one.name;
}

class ShardModel : public testing::TestWithParam<ShardCase> {
 protected:
  static constexpr int kDim = 16;
  static constexpr int kOperations = 31000;  // times 3 seeds and 11 cases: a million

  ShardModel()
      : layout_{.page_bytes = 1024,
                .chunk = 4,
                .chunks = 4,
                .low = GetParam().low,
                .high = GetParam().mixed ? Storage::kInt16 : GetParam().low,
                .mixed = GetParam().mixed,
                .exact = true,
                .value_state = GetParam().optimizer != Optimizer::kRowwiseAdagrad,
                .row_state = GetParam().optimizer == Optimizer::kAdam},
        optimizer_(make_optimizer(GetParam().optimizer)),
        rule_(layout_, 2.0, 64.0, 0.2) {
    sizes_.pages = GetParam().pages;
    sizes_.sketch_counters = GetParam().sketch ? 512 : 0;
    sizes_.registers = GetParam().sketch ? 64 : 0;
    sizes_.granule_bits = ShardSizes::bits_for(sizes_.pages);
    context_ = {.seed = 3,
                .step = 0,
                .sketch = GetParam().sketch,
                .optimizer = &optimizer_,
                .cold_learning_rate = 0.3f,
                .initial_accumulator = 0.2f,
                .epsilon = 1e-8f,
                .bound = 0.25f,
                .inflation = 1.0f,
                .rule = &rule_};
  }

  [[nodiscard]] std::vector<float> read(const ElasticShard& shard, std::uint64_t key) const {
    std::vector<float> values(kDim, 0.0f);
    shard.read(key, values.data());
    return values;
  }

  // A row keeps a prefix of what it held, to the precision that it has, and reads 0 behind it.
  void expect_prefix(const std::vector<float>& now, const std::vector<float>& before,
                     std::uint64_t key) const {
    float largest = 0;
    for (const float value : before) largest = std::max(largest, std::fabs(value));
    const float tolerance = layout_.mixed ? largest / 60.0f : 0.0f;  // one step of 8 bits
    bool ended = false;
    for (int chunk = 0; chunk < 4; ++chunk) {
      bool zero = true;
      for (int i = chunk * 4; i < chunk * 4 + 4; ++i)
        zero = zero && now[static_cast<std::size_t>(i)] == 0.0f;
      ended = ended || zero;
      for (int i = chunk * 4; i < chunk * 4 + 4; ++i) {
        const auto at = static_cast<std::size_t>(i);
        ASSERT_NEAR(now[at], ended ? 0.0f : before[at], tolerance)
            << "key " << key << " value " << i;
      }
    }
  }

  void run(std::uint64_t seed);

  PageLayout layout_;
  RowOptimizer optimizer_;
  WidthRule rule_;
  ShardSizes sizes_;
  StepContext context_;
};

void ShardModel::run(std::uint64_t seed) {
  MemoryCounter counter;
  ElasticShard shard(sizes_, &layout_, &counter, 1);
  const CounterRandom random(seed);
  std::uint64_t draw = 0;
  std::map<std::uint64_t, std::vector<float>> model;
  const std::int64_t bytes = counter.bytes();
  bool switched = false;
  for (int operation = 0; operation < kOperations; ++operation) {
    context_.step = 1 + operation / 50;
    if (operation % 500 == 499) {
      ImportanceHistogram rows{};
      const std::int64_t pages = shard.sample(rows, 1000, 0);
      rule_.set_threshold_code(rule_.solve(rows, 0.97 * static_cast<double>(pages * 1020)));
    }
    if (GetParam().sketch && operation == kOperations / 3 * 2) {
      std::vector<std::uint8_t> scratch(static_cast<std::size_t>(layout_.page_bytes));
      shard.drop_sketch(context_, scratch);
      context_.sketch = false;
      switched = true;
      ASSERT_GE(shard.sizes().pages, sizes_.pages);
      for (auto& [key, before] : model) {
        const std::vector<float> now = read(shard, key);
        expect_prefix(now, before, key);
        before = now;
      }
    }
    const double u = random.uniform(draw++);
    const std::uint64_t key = mix64(static_cast<std::uint64_t>(800 * u * u));
    std::vector<float> gradient(kDim);
    for (float& g : gradient) g = static_cast<float>(random.normal(draw++)) * 0.4f;
    expect_prefix(read(shard, key), model.contains(key) ? model[key] : std::vector<float>(kDim),
                  key);
    shard.update(key, gradient.data(), context_);
    model[key] = read(shard, key);
    if (operation % 100 != 0) continue;
    for (auto& [other, before] : model) {
      const std::vector<float> now = read(shard, other);
      expect_prefix(now, before, other);
      before = now;
    }
    for (std::int64_t page = 0; page < shard.sizes().pages; ++page) {
      ASSERT_TRUE(shard.page(page).valid());
    }
    ASSERT_EQ(counter.bytes(), bytes);
  }
  EXPECT_EQ(counter.peak_bytes(), bytes);
  EXPECT_EQ(switched, GetParam().sketch);
  EXPECT_GT(shard.counts().admitted, 100);
  EXPECT_GT(shard.counts().evicted, 50);
}

TEST_P(ShardModel, RowsReadAsTheyWereWrittenUntilTheyAreGivenUp) {
  const StepContext fresh = context_;
  for (const std::uint64_t seed : {17, 18, 19}) {
    SCOPED_TRACE(seed);
    context_ = fresh;
    rule_.set_threshold_code(0);
    run(seed);
    if (HasFatalFailure()) return;
  }
}

constexpr Optimizer kAdagrad = Optimizer::kAdagrad;
constexpr Optimizer kAdam = Optimizer::kAdam;

INSTANTIATE_TEST_SUITE_P(
    Types, ShardModel,
    testing::Values(ShardCase{"fp32", Storage::kFloat32, false, false, 7},
                    ShardCase{"fp32_sketch", Storage::kFloat32, false, true, 7},
                    ShardCase{"bf16", Storage::kBFloat16, false, false, 5},
                    ShardCase{"fp16_sketch", Storage::kFloat16, false, true, 5},
                    ShardCase{"int8", Storage::kInt8, false, false, 4},
                    ShardCase{"mixed_sketch", Storage::kInt8, true, true, 4},
                    ShardCase{"mixed_one_page", Storage::kInt8, true, false, 1},
                    ShardCase{"fp32_adagrad", Storage::kFloat32, false, false, 7, kAdagrad},
                    ShardCase{"fp32_adam_sketch", Storage::kFloat32, false, true, 7, kAdam},
                    ShardCase{"mixed_adagrad_sketch", Storage::kInt8, true, true, 6, kAdagrad},
                    ShardCase{"mixed_adam", Storage::kInt8, true, false, 6, kAdam}),
    [](const auto& one) { return one.param.name; });

class ShardAlone : public testing::Test {
 protected:
  PageLayout layout_{.page_bytes = 512,
                     .chunk = 4,
                     .chunks = 4,
                     .low = Storage::kInt8,
                     .high = Storage::kInt16,
                     .mixed = true,
                     .exact = false};
  [[nodiscard]] StepContext context_of(const WidthRule& rule) const {
    return {.seed = 1,
            .optimizer = &optimizer_,
            .initial_accumulator = 0.2f,
            .epsilon = 1e-8f,
            .bound = 0.25f,
            .rule = &rule};
  }

  RowOptimizer optimizer_ = make_optimizer(Optimizer::kRowwiseAdagrad);
};

TEST_F(ShardAlone, BothPagesOfAKeyAndItsTagsFollowFromEither) {
  for (const std::int64_t pages : {1, 2, 3, 100, 4096, 123457}) {
    ShardSizes sizes;
    sizes.pages = pages;
    sizes.granule_bits = ShardSizes::bits_for(pages);
    const ShardView view(nullptr, sizes, &layout_);
    for (std::uint64_t i = 0; i < 20000; ++i) {
      const Candidates where = view.candidates(mix64(i));
      for (const std::int64_t page : where.page) {
        ASSERT_GE(page, 0);
        ASSERT_LT(page, pages);
      }
      ASSERT_NE(where.tag[0], where.tag[1]);
    }
  }
}

TEST_F(ShardAlone, DistinctKeysAreEstimatedWithinAFifth) {
  ShardSizes sizes;
  sizes.pages = 4;
  sizes.registers = 256;  // standard error 6.5 %
  sizes.granule_bits = ShardSizes::bits_for(4);
  WidthRule rule(layout_, 2.0, 64.0, 0.2);
  const StepContext context = context_of(rule);
  for (const int count : {10, 100, 1000, 20000}) {
    ElasticShard shard(sizes, &layout_, nullptr, 1);
    const std::vector<float> gradient(16, 0.01f);
    for (int pass = 0; pass < 2; ++pass) {
      for (int i = 0; i < count; ++i) {
        shard.update(mix64(static_cast<std::uint64_t>(i)), gradient.data(), context);
      }
    }
    EXPECT_NEAR(shard.distinct_keys(), count, 0.2 * count);
  }
}

TEST_F(ShardAlone, SampledAdmissionLetsRowsInInProportionToTheirGradient) {
  ShardSizes sizes;
  sizes.pages = 4000;
  sizes.granule_bits = ShardSizes::bits_for(sizes.pages);
  WidthRule rule(layout_, 2.0, 64.0, 0.2);
  rule.set_threshold_code(ImportanceCode::floor(1.0f));
  const StepContext context = context_of(rule);
  for (const double share : {0.05, 0.3, 0.9}) {
    ElasticShard shard(sizes, &layout_, nullptr, 1);
    const std::vector<float> gradient(
        16, std::sqrt(static_cast<float>(share) * rule.entry_importance()));
    constexpr int kKeys = 20000;
    for (int i = 0; i < kKeys; ++i) {
      shard.update(mix64(static_cast<std::uint64_t>(i)), gradient.data(), context);
    }
    const double spread = std::sqrt(share * (1 - share) / kKeys);
    EXPECT_NEAR(static_cast<double>(shard.counts().admitted) / kKeys, share, 5 * spread);
  }
}

TEST_F(ShardAlone, AdagradSumsOfNewChunksStartWhereTheRowsImportanceSaysTheyWouldBe) {
  PageLayout layout = layout_;
  layout.value_state = true;
  ShardSizes sizes;
  sizes.pages = 1;
  sizes.granule_bits = ShardSizes::bits_for(1);
  WidthRule rule(layout, 2.0, 64.0, 0.2);
  const RowOptimizer optimizer = make_optimizer(Optimizer::kAdagrad);
  StepContext context{.seed = 1, .optimizer = &optimizer, .bound = 0.25f, .rule = &rule};
  ElasticShard shard(sizes, &layout, nullptr, 1);
  const std::vector<float> gradient(16, 1.0f);
  rule.set_threshold_code(ImportanceCode::floor(40.0f));
  for (; shard.counts().admitted == 0; ++context.step) {
    ASSERT_LT(context.step, 10000);
    shard.update(7, gradient.data(), context);
  }
  const auto held = [&] { return shard.page(0).state(0); };
  const auto sums = [&] {
    std::vector<float> values(static_cast<std::size_t>(held().width) * 4);
    read_values(PageLayout::kState, shard.page(0).value_states(0), 0.0f,
                static_cast<int>(values.size()), values.data());
    return values;
  };
  ASSERT_EQ(held().width, 1);
  const float entry = rule.entry_importance();
  for (const float sum : sums()) EXPECT_NEAR(sum, entry, 0.02f * entry);
  rule.set_threshold_code(ImportanceCode::floor(1.0f));
  for (int more = 0; more < 10; ++more, ++context.step) {
    shard.update(7, gradient.data(), context);
  }
  ASSERT_EQ(held().width, 4);
  const std::vector<float> now = sums();
  for (const float sum : now) EXPECT_NEAR(sum, entry + 10.0f, 0.25f * entry);
  EXPECT_NEAR(now.front(), entry + 10.0f, 0.05f * entry) << "exact but for rounding to bf16";
}

TEST_F(ShardAlone, DeflatingDividesImportances) {
  ShardSizes sizes;
  sizes.pages = 4;
  sizes.granule_bits = ShardSizes::bits_for(4);
  WidthRule rule(layout_, 2.0, 64.0, 0.2);
  const StepContext context = context_of(rule);
  ElasticShard shard(sizes, &layout_, nullptr, 1);
  const std::vector<float> gradient(16, 2.0f);
  shard.update(mix64(1), gradient.data(), context);
  const auto importance = [&] {
    ImportanceHistogram rows{};
    (void)shard.sample(rows, 4, 0);
    for (int code = 0; code < ImportanceCode::kCodes; ++code) {
      if (rows[static_cast<std::size_t>(code)] > 0) return ImportanceCode::value(code);
    }
    return -1.0f;
  };
  const float before = importance();
  shard.deflate(3);
  EXPECT_FLOAT_EQ(importance(), before / 8.0f);
}

}  // namespace
}  // namespace taut::embedding
