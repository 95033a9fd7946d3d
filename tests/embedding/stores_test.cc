// Random operations on whole collections of every method and value type: a million row accesses for
// each method. Whatever happens, the budget is kept, rows read as lookups say, and a checkpoint in
// the middle goes on to the same bits.
#include <gtest/gtest.h>

#include <array>
#include <ostream>
#include <string>
#include <vector>

#include "support.h"

namespace taut::embedding {
namespace {

constexpr std::array kValueTypes = {ValueType::kFloat32, ValueType::kBFloat16, ValueType::kFloat16,
                                    ValueType::kInt8, ValueType::kMixed};
constexpr std::array<std::uint64_t, 3> kSeeds = {1, 2, 3};
constexpr std::int64_t kAccesses = 1000000 / (kValueTypes.size() * kSeeds.size()) + 1;

struct StoreCase {
  std::string method;
  ValueType value_type;
};

void PrintTo(const StoreCase& one, std::ostream* stream) {
  *stream << one.method << "_" << spelling_of(one.value_type);
}

class Store : public testing::TestWithParam<StoreCase> {
 protected:
  [[nodiscard]] Options options(std::uint64_t seed) const {
    Options options = make_options(GetParam().method, shape_, 30000);
    options.value_type = GetParam().value_type;
    options.seed = seed;
    options.period = 5;
    options.decay = seed == 2 ? 0.8 : 1.0;
    options.keys = seed == 3 ? Keys::kExact : Keys::kTagged;
    options.cold_share = seed == 2 ? 0.25 : 0.0;
    options.optimizer = seed == 1   ? Optimizer::kRowwiseAdagrad
                        : seed == 2 ? Optimizer::kAdagrad
                                    : Optimizer::kAdam;
    if (seed == 3) options.learning_rate = 0.02;
    return options;
  }
  [[nodiscard]] bool has_rows() const {
    return GetParam().method != "hash" && GetParam().method != "qr";
  }
  [[nodiscard]] bool can_resize() const {
    return GetParam().method == "elastic" || GetParam().method == "row" ||
           GetParam().method == "cafe";
  }
  [[nodiscard]] TestBatch batch(std::uint64_t seed, std::uint64_t step) const {
    // What is popular drifts, so rows come and go.
    TestBatch made = make_batch(shape_, seed + step / 40, step);
    for (std::vector<std::uint64_t>& ids : made.ids) {
      for (std::uint64_t& id : ids) id += step / 40 * 300;
    }
    return made;
  }

  void run(std::uint64_t seed);
  void check(const Embedding& embedding, std::int64_t budget) const;
  // Rows of a batch's ids, handed out and put back: what is held stays held.
  void check_rows(Embedding& embedding, const TestBatch& batch) const;

  BatchShape shape_{.size = 48, .tables = 2, .dim = 8, .ids = 1500};
};

void Store::check(const Embedding& embedding, std::int64_t budget) const {
  const Statistics statistics = embedding.statistics();
  std::int64_t parts = 0;
  for (const auto& [name, bytes] : statistics.parts) {
    ASSERT_GE(bytes, 0) << name;
    parts += bytes;
  }
  ASSERT_EQ(parts, embedding.memory_bytes());
  if (GetParam().method != "full") {
    ASSERT_LE(embedding.memory_bytes(), budget);
  }
}

void Store::check_rows(Embedding& embedding, const TestBatch& batch) const {
  Rows rows;
  for (std::size_t t = 0; t < batch.ids.size(); ++t) embedding.read_rows(t, batch.ids[t], rows);
  for (const float value : rows.values) ASSERT_TRUE(std::isfinite(value));
  const LoadedRows loaded = embedding.load_rows(rows);
  ASSERT_EQ(loaded.held + loaded.left_out, static_cast<std::int64_t>(rows.size()));
  // They compete again for just the room that they left: a few rows of a full page may lose.
  ASSERT_LE(loaded.left_out, loaded.held) << "of " << rows.size();
}

void Store::run(std::uint64_t seed) {
  Options now = options(seed);
  auto embedding = make_ready(now, 2, shape_);
  const CounterRandom random(seed + 99);
  const test::TemporaryDirectory file;
  std::int64_t accesses = 0;
  for (std::uint64_t step = 0; accesses < kAccesses; ++step) {
    const TestBatch some = batch(seed, step);
    for (const std::vector<std::uint64_t>& ids : some.ids) {
      accesses += static_cast<std::int64_t>(ids.size());
    }
    const std::uint64_t what = random.below(2 * step, 100);
    if (what < 70) {
      embedding->update(some.tables(), some.size, some.gradient);
    } else if (what < 95) {
      for (const float value : look_up(*embedding, some, shape_.dim)) {
        ASSERT_TRUE(std::isfinite(value));
      }
    } else if (what < 97) {
      const std::vector<float> before = look_up(*embedding, some, shape_.dim);
      save_to(*embedding, file.file("saved"));
      auto restored = make_ready(now, 1, shape_);
      load_from(*restored, file.file("saved"));
      embedding = std::move(restored);
      ASSERT_EQ(look_up(*embedding, some, shape_.dim), before);
    } else if (what < 99) {
      if (has_rows()) check_rows(*embedding, some);
    } else if (can_resize()) {
      now.budget = Bytes{12000 + static_cast<std::int64_t>(random.below(2 * step + 1, 40000))};
      embedding->resize_budget(now.budget);
    }
    if (HasFatalFailure()) return;
    check(*embedding, now.budget.count);
    if (HasFatalFailure()) return;
  }
}

TEST_P(Store, HoldsWhatItShouldUnderRandomOperations) {
  for (const std::uint64_t seed : kSeeds) {
    SCOPED_TRACE(seed);
    run(seed);
    if (HasFatalFailure()) return;
  }
}

std::vector<StoreCase> store_cases() {
  std::vector<StoreCase> cases;
  for (const std::string& method : methods()) {
    for (const ValueType type : kValueTypes) cases.push_back({method, type});
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Methods, Store, testing::ValuesIn(store_cases()), [](const auto& one) {
  return concat(one.param.method, "_", spelling_of(one.param.value_type));
});

}  // namespace
}  // namespace taut::embedding
