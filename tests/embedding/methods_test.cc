// What holds for every method: same bits for any number of threads, exact resume, frozen = live,
// budgets, and bad input that changes nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "embedding/registry.h"
#include "support.h"
#include "support/error_matchers.h"

namespace taut::embedding {
namespace {

using testing::HasSubstr;

struct MethodCase {
  std::string name;
  std::string method;
  ValueType type = ValueType::kFloat32;
  std::int64_t budget_bytes = 300000;  // several shards
  Admission admission = Admission::kAuto;
  Keys keys = Keys::kTagged;
  double cold_share = 0.0;
  double decay = 1.0;
  bool bags = true;
  Optimizer optimizer = Optimizer::kRowwiseAdagrad;
};

void PrintTo(const MethodCase& one, std::ostream* stream) {
  *stream << one.name;
}

std::vector<MethodCase> cases() {
  std::vector<MethodCase> all;
  for (const std::string& method : methods()) {
    for (const ValueType type :
         {ValueType::kFloat32, ValueType::kBFloat16, ValueType::kFloat16, ValueType::kInt8}) {
      all.push_back(
          {.name = method + concat("_", spelling_of(type)), .method = method, .type = type});
    }
  }
  const ValueType mixed = ValueType::kMixed;
  all.push_back({.name = "elastic_mixed", .method = "elastic", .type = mixed});
  all.push_back({.name = "elastic_sampled",
                 .method = "elastic",
                 .type = mixed,
                 .admission = Admission::kSampled});
  all.push_back({.name = "elastic_sketch",
                 .method = "elastic",
                 .type = mixed,
                 .admission = Admission::kSketch});
  all.push_back(
      {.name = "elastic_exact_keys", .method = "elastic", .type = mixed, .keys = Keys::kExact});
  all.push_back({.name = "elastic_cold_pool",
                 .method = "elastic",
                 .type = mixed,
                 .budget_bytes = 20000,
                 .cold_share = 0.5});
  all.push_back({.name = "elastic_decay",
                 .method = "elastic",
                 .type = mixed,
                 .admission = Admission::kSketch,
                 .decay = 0.5});
  all.push_back({.name = "elastic_tiny",
                 .method = "elastic",
                 .type = mixed,
                 .budget_bytes = 900,
                 .bags = false});
  for (const Optimizer optimizer : {Optimizer::kAdagrad, Optimizer::kSgd, Optimizer::kAdam}) {
    for (const std::string& method : methods()) {
      all.push_back({.name = method + concat("_", spelling_of(optimizer)),
                     .method = method,
                     .type = method == "elastic" ? mixed : ValueType::kFloat32,
                     .optimizer = optimizer});
    }
  }
  all.push_back({.name = "elastic_adam_exact_keys",
                 .method = "elastic",
                 .type = mixed,
                 .budget_bytes = 40000,
                 .keys = Keys::kExact,
                 .cold_share = 0.25,
                 .optimizer = Optimizer::kAdam});
  return all;
}

class EveryMethod : public testing::TestWithParam<MethodCase> {
 protected:
  EveryMethod() { shape_.bags = GetParam().bags; }

  [[nodiscard]] Options options() const {
    Options options = make_options(GetParam().method, shape_, GetParam().budget_bytes);
    options.value_type = GetParam().type;
    options.admission = GetParam().admission;
    options.keys = GetParam().keys;
    options.cold_share = GetParam().cold_share;
    options.decay = GetParam().decay;
    options.period = 10;
    options.optimizer = GetParam().optimizer;
    if (options.optimizer == Optimizer::kAdam) options.learning_rate = 0.02;
    for (TableOptions& table : options.tables)
      table.distinct_ids = static_cast<std::int64_t>(shape_.ids);
    if (GetParam().method == "elastic") {  // not known: admission may change on the way
      for (TableOptions& table : options.tables) table.distinct_ids = 0;
    }
    return options;
  }
  [[nodiscard]] TestBatch probe() const { return make_batch(shape_, 77, 1); }
  [[nodiscard]] std::vector<float> read(const Embedding& embedding) const {
    return look_up(embedding, probe(), shape_.dim);
  }

  BatchShape shape_;
};

TEST_P(EveryMethod, GivesTheSameBitsForAnyNumberOfThreads) {
  std::vector<float> expected;
  for (const int count : {1, 2, 3}) {
    const auto embedding = make_ready(options(), count, shape_);
    train(*embedding, shape_, 1, 0, 45);
    const std::vector<float> got = read(*embedding);
    if (count == 1) {
      expected = got;
    } else {
      EXPECT_EQ(got, expected) << count << " threads";
    }
  }
  EXPECT_NE(expected, std::vector<float>(expected.size(), 0.0f));
}

TEST_P(EveryMethod, ResumesToTheSameBits) {
  for (const int stop : {7, 10, 23}) {  // between and at rebalances
    const auto whole = make_ready(options(), 2, shape_);
    train(*whole, shape_, 1, 0, 50);
    const test::TemporaryDirectory file;
    {
      const auto first = make_ready(options(), 2, shape_);
      train(*first, shape_, 1, 0, stop);
      save_to(*first, file.file("saved"));
    }
    const auto resumed = make_ready(options(), 1, shape_);
    train(*resumed, shape_, 9, 0, 5);  // to be overwritten
    load_from(*resumed, file.file("saved"));
    EXPECT_EQ(resumed->steps(), stop);
    train(*resumed, shape_, 1, stop, 50);
    ASSERT_EQ(read(*resumed), read(*whole)) << "stopped at " << stop;
    EXPECT_EQ(resumed->statistics().resident_rows, whole->statistics().resident_rows);
    EXPECT_EQ(resumed->statistics().rows_by_width, whole->statistics().rows_by_width);
  }
}

TEST_P(EveryMethod, StepsAtTheRateThatIsSet) {
  Options slow = options();  // powers of two, so that rates in proportion are the same bits
  slow.learning_rate = 0.125;
  slow.cold_learning_rate = 0.0625;
  Options fast = options();
  fast.learning_rate = 0.5;
  fast.cold_learning_rate = 0.25;
  const auto wanted = make_ready(slow, 2, shape_);
  const auto scheduled = make_ready(fast, 2, shape_);
  EXPECT_EQ(scheduled->learning_rate(), 0.5);
  scheduled->set_learning_rate(0.125);
  EXPECT_EQ(scheduled->learning_rate(), 0.125);
  train(*wanted, shape_, 1, 0, 25);
  train(*scheduled, shape_, 1, 0, 25);
  EXPECT_EQ(read(*scheduled), read(*wanted));
  for (const double bad : {-0.1, std::nan(""), std::numeric_limits<double>::infinity()}) {
    EXPECT_THAT(test::error_of([&] { scheduled->set_learning_rate(bad); }),
                test::IsError(ErrorKind::kInvalidArgument, "learning_rate"));
  }
  const auto resumed = make_ready(fast, 1, shape_);  // what is saved does not depend on it
  const test::TemporaryDirectory file;
  save_to(*scheduled, file.file("saved"));
  load_from(*resumed, file.file("saved"));
  EXPECT_EQ(read(*resumed), read(*wanted));
}

TEST_P(EveryMethod, FrozenLookupsAreTheLiveOnes) {
  const auto embedding = make_ready(options(), 2, shape_);
  train(*embedding, shape_, 1, 0, 40);
  const test::TemporaryDirectory path;
  SectionWriter writer(path.file("saved"), "package", 1);
  embedding->export_frozen(writer, "emb/");
  (void)writer.commit();
  const SectionReader file(path.file("saved"), "package", 1);
  const auto frozen = open_frozen(file, "emb/");
  EXPECT_EQ(frozen->dim(), shape_.dim);
  EXPECT_EQ(frozen->tables(), static_cast<std::int64_t>(shape_.tables));
  EXPECT_EQ(look_up(*frozen, probe(), shape_.dim), read(*embedding));
}

// full takes what it needs.
class EveryBudgetedMethod : public EveryMethod {};

TEST_P(EveryBudgetedMethod, NeverHoldsMoreThanItsBudget) {
  for (const std::int64_t budget :
       {GetParam().budget_bytes, std::int64_t{4003}, std::int64_t{5000000}}) {
    Options limited = options();
    limited.budget = Bytes{budget};
    const auto embedding = make_ready(limited, 2, shape_);
    for (int step = 0; step < 60; ++step) {
      // What is popular changes all the time: rows come and go.
      const TestBatch batch = make_batch(shape_, static_cast<std::uint64_t>(step / 10),
                                         static_cast<std::uint64_t>(step));
      embedding->update(batch.tables(), batch.size, batch.gradient);
      ASSERT_LE(embedding->memory_bytes(), budget) << step;
      ASSERT_LE(embedding->peak_memory_bytes(), budget) << step;
    }
    if (!embedding->wants_counts() || budget < 1000000) {  // with counts: no more rows than ids
      EXPECT_GE(embedding->memory_bytes(), budget / 2) << "most of a budget is used";
    }
    std::int64_t parts = 0;
    for (const auto& [name, bytes] : embedding->statistics().parts) {
      EXPECT_GE(bytes, 0) << name;
      parts += bytes;
    }
    EXPECT_EQ(parts, embedding->memory_bytes());
  }
}

TEST_P(EveryBudgetedMethod, ABudgetTooSmallIsAnErrorThatNamesOneThatWorks) {
  Options limited = options();
  limited.budget = Bytes{8};
  const auto [kind, text] = error_of([&] { (void)make_ready(limited, 1, shape_); });
  EXPECT_EQ(kind, ErrorKind::kBudget);
  const std::size_t at = text.find("give at least ");
  ASSERT_NE(at, std::string::npos) << text;
  limited.budget = Bytes{std::stoll(text.substr(at + 14))};
  const auto embedding = make_ready(limited, 1, shape_);
  train(*embedding, shape_, 1, 0, 3);
  EXPECT_LE(embedding->peak_memory_bytes(), limited.budget.count);
}

TEST_P(EveryMethod, BadArgumentsAreNamedAndChangeNothing) {
  const auto embedding = make_ready(options(), 2, shape_);
  train(*embedding, shape_, 1, 0, 12);
  const std::vector<float> before = read(*embedding);
  const auto expect_bad = [&](const std::string& wanted, auto change) {
    TestBatch batch = make_batch(shape_, 3, 3);
    if (batch.offsets[0].empty()) {
      for (std::size_t t = 0; t < batch.ids.size(); ++t) {
        for (std::int64_t i = 0; i <= batch.size; ++i) batch.offsets[t].push_back(i);
      }
    }
    change(batch);
    const auto [kind, text] =
        error_of([&] { embedding->update(batch.tables(), batch.size, batch.gradient); });
    EXPECT_EQ(kind, ErrorKind::kInvalidArgument) << wanted;
    EXPECT_THAT(text, HasSubstr(wanted));
    EXPECT_EQ(embedding->steps(), 12);
    ASSERT_EQ(read(*embedding), before) << wanted;
  };
  expect_bad("gradient[5]", [](TestBatch& b) { b.gradient[5] = std::nanf(""); });
  expect_bad("inf",
             [](TestBatch& b) { b.gradient.back() = -std::numeric_limits<float>::infinity(); });
  expect_bad("gradient", [](TestBatch& b) { b.gradient.pop_back(); });
  expect_bad("tables[0].offsets[0]", [](TestBatch& b) { b.offsets[0][0] = -1; });
  expect_bad("tables[1].offsets[3]", [](TestBatch& b) { b.offsets[1][3] = -7; });
  expect_bad("tables[2].offsets", [](TestBatch& b) { b.offsets[2].pop_back(); });
  expect_bad("tables[2].offsets.back()", [](TestBatch& b) { b.offsets[2].back() += 100; });
  expect_bad("tables[0].weights", [](TestBatch& b) {
    b.weights[0].assign(1, 1.0f);
    b.ids[0].push_back(1);
  });
  expect_bad("tables", [](TestBatch& b) { b.ids.pop_back(), b.offsets.pop_back(); });
  expect_bad("batch", [](TestBatch& b) { b.size = -1; });
  TestBatch batch = probe();
  std::vector<float> small(7);
  const auto [kind, text] = error_of([&] { embedding->lookup(batch.tables(), batch.size, small); });
  EXPECT_EQ(kind, ErrorKind::kInvalidArgument);
  EXPECT_THAT(text, HasSubstr("out"));
}

TEST_P(EveryMethod, WithSkipABatchThatIsNotFiniteIsLeftOutAndCounted) {
  Options skipping = options();
  skipping.on_nan = OnNan::kSkip;
  const auto embedding = make_ready(skipping, 2, shape_);
  train(*embedding, shape_, 1, 0, 5);
  const std::vector<float> before = read(*embedding);
  TestBatch batch = make_batch(shape_, 3, 3);
  batch.gradient[7] = std::nanf("");
  embedding->update(batch.tables(), batch.size, batch.gradient);
  EXPECT_EQ(read(*embedding), before);
  EXPECT_EQ(embedding->steps(), 5);
  EXPECT_EQ(embedding->statistics().skipped_updates, 1);
  const test::TemporaryDirectory file;
  save_to(*embedding, file.file("saved"));
  const auto resumed = make_ready(skipping, 1, shape_);
  load_from(*resumed, file.file("saved"));
  EXPECT_EQ(resumed->statistics().skipped_updates, 1);
}

// The check sums side by side in blocks, with a rest behind them.
TEST_P(EveryMethod, AValueThatIsNotFiniteIsNamedWhereverItLies) {
  const auto embedding = make_ready(options(), 1, shape_);
  TestBatch batch = make_batch(shape_, 3, 3);
  const std::vector<float> before = read(*embedding);
  const float values[] = {std::nanf(""), INFINITY, -INFINITY};
  for (std::size_t i = 0; i < batch.gradient.size(); ++i) {
    const float kept = batch.gradient[i];
    batch.gradient[i] = values[i % 3];
    const auto [kind, text] =
        error_of([&] { embedding->update(batch.tables(), batch.size, batch.gradient); });
    EXPECT_EQ(kind, ErrorKind::kInvalidArgument);
    EXPECT_THAT(text, HasSubstr("gradient[" + std::to_string(i) + "] is "));
    batch.gradient[i] = kept;
  }
  EXPECT_EQ(read(*embedding), before);
}

// A batch of one bag with one id, in the first table.
TestBatch one_id(const BatchShape& shape, std::uint64_t id, const std::vector<float>& gradient) {
  TestBatch batch;
  batch.size = 1;
  for (std::size_t t = 0; t < shape.tables; ++t) {
    const std::int64_t count = t == 0 ? 1 : 0;
    batch.ids.emplace_back(static_cast<std::size_t>(count), id);
    batch.offsets.push_back({0, count});
    batch.weights.emplace_back();
  }
  batch.gradient.resize(shape.tables * static_cast<std::size_t>(shape.dim));
  std::copy(gradient.begin(), gradient.end(), batch.gradient.begin());
  return batch;
}

TEST_P(EveryMethod, AClippedGradientIsAShorterOneOfTheSameDirection) {
  constexpr double kClip = 0.5;
  constexpr std::uint64_t kId = 0;  // the most frequent one
  const CounterRandom random(21);
  std::vector<float> direction;  // of length 1
  double squares = 0;
  for (int k = 0; k < shape_.dim; ++k) {
    direction.push_back(static_cast<float>(random.normal(static_cast<std::uint64_t>(k))));
    squares += static_cast<double>(direction.back()) * static_cast<double>(direction.back());
  }
  for (float& d : direction) d /= static_cast<float>(std::sqrt(squares));
  const auto of_length = [&](double length) {
    std::vector<float> gradient = direction;
    for (float& g : gradient) g *= static_cast<float>(length);
    return gradient;
  };
  // Two steps, the first of them within the limit; what the row is afterwards.
  const auto trained = [&](double clip, double second) {
    Options o = options();
    o.gradient_clip = clip;
    o.initial_accumulator = 1.0;
    o.learning_rate = 0.5;
    const auto embedding = make_ready(o, 1, shape_);
    for (const double length : {0.2, second}) {
      const TestBatch batch = one_id(shape_, kId, of_length(length));
      embedding->update(batch.tables(), batch.size, batch.gradient);
    }
    return look_up(*embedding, one_id(shape_, kId, {}), shape_.dim);
  };
  const std::vector<float> clipped = trained(kClip, -1e6);
  const std::vector<float> shorter = trained(0, -kClip);
  const std::vector<float> as_it_is = trained(0, -1e6);
  const auto distance = [](const std::vector<float>& a, const std::vector<float>& b) {
    double most = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      most = std::max(most, static_cast<double>(std::fabs(a[i] - b[i])));
    }
    return most;
  };
  const double size = distance(clipped, std::vector<float>(clipped.size()));
  ASSERT_GT(size, 0);
  // Rounding of the scaled gradient may move a stored value by one step of its type.
  const double near = GetParam().type == ValueType::kFloat32 ? 1e-5 * size : 0.02 * size;
  EXPECT_LE(distance(clipped, shorter), near);
  EXPECT_GT(distance(as_it_is, shorter), 3 * near);
}

TEST_P(EveryMethod, AnEmptyBatchIsAStepThatTouchesNothing) {
  const auto embedding = make_ready(options(), 2, shape_);
  train(*embedding, shape_, 1, 0, 3);
  const std::vector<float> before = read(*embedding);
  TestBatch empty;
  empty.ids.resize(shape_.tables);
  empty.weights.resize(shape_.tables);
  empty.offsets.assign(shape_.tables, {0});
  embedding->update(empty.tables(), 0, {});
  EXPECT_EQ(embedding->steps(), 4);
  EXPECT_EQ(read(*embedding), before);
}

TEST_P(EveryMethod, ACheckpointThatDoesNotFitIsRefusedWhole) {
  const auto embedding = make_ready(options(), 1, shape_);
  train(*embedding, shape_, 1, 0, 12);
  const test::TemporaryDirectory file;
  save_to(*embedding, file.file("saved"));
  const auto expect_refused = [&](const std::string& wanted, auto change) {
    Options other = options();
    change(other);
    const auto target = make_ready(other, 1, shape_);
    train(*target, shape_, 2, 0, 4);
    const std::vector<float> before = read(*target);
    const auto [kind, text] = error_of([&] { load_from(*target, file.file("saved")); });
    EXPECT_EQ(kind, ErrorKind::kFormat) << wanted;
    EXPECT_THAT(text, HasSubstr(wanted));
    EXPECT_EQ(read(*target), before);
    EXPECT_EQ(target->steps(), 4);
  };
  expect_refused("seed", [](Options& o) { o.seed = 2; });
  expect_refused("budget", [](Options& o) { o.budget.count += 4096; });
  expect_refused("learning_rate", [](Options& o) { o.learning_rate = 0.1; });
}

TEST_P(EveryMethod, AFlippedBitAnywhereInACheckpointIsFound) {
  const auto embedding = make_ready(options(), 1, shape_);
  train(*embedding, shape_, 1, 0, 12);
  const std::vector<float> before = read(*embedding);
  const test::TemporaryDirectory file;
  save_to(*embedding, file.file("saved"));
  const std::string good = read_file(file.file("saved"));
  for (std::size_t part = 0; part < 40; ++part) {
    std::string bad = good;
    const std::size_t at = good.size() * part / 40 + 3;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    write_file(file.file("saved"), bad);
    const auto [kind, text] = error_of([&] { load_from(*embedding, file.file("saved")); });
    if (kind == ErrorKind::kInternal) {  // padding between sections: nothing was lost
      EXPECT_EQ(read(*embedding), before);
    } else {
      EXPECT_EQ(kind, ErrorKind::kFormat) << text;
      EXPECT_THAT(text, HasSubstr(file.file("saved")));
    }
    ASSERT_EQ(read(*embedding), before);
  }
}

std::vector<MethodCase> budgeted_cases() {
  std::vector<MethodCase> all = cases();
  std::erase_if(all, [](const MethodCase& one) { return one.method == "full"; });
  return all;
}

INSTANTIATE_TEST_SUITE_P(Methods, EveryBudgetedMethod, testing::ValuesIn(budgeted_cases()),
                         [](const auto& one) { return one.param.name; });
INSTANTIATE_TEST_SUITE_P(Methods, EveryMethod, testing::ValuesIn(cases()),
                         [](const auto& one) { return one.param.name; });

TEST(Methods, AnUnknownFrozenMethodIsNamed) {
  const test::TemporaryDirectory path;
  SectionWriter writer(path.file("saved"), "package", 1);
  writer.add("emb/method", "hsah");
  (void)writer.commit();
  const SectionReader file(path.file("saved"), "package", 1);
  const auto [kind, text] = error_of([&] { (void)open_frozen(file, "emb/"); });
  EXPECT_EQ(kind, ErrorKind::kFormat);
  EXPECT_THAT(text, HasSubstr("hsah"));
  EXPECT_THAT(text, HasSubstr("hash"));
}

}  // namespace
}  // namespace taut::embedding
