// Random operations of all kinds on every method, beside a second collection that does the same
// with other threads and through checkpoints; full beside a plain map. TAUT_TABLE_OPERATIONS says
// how many operations each case does, 60 if it is not set.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support.h"
#include "support/memory_sections.h"

namespace taut::embedding {
namespace {

struct OperationCase {
  std::string method;
  ValueType type = ValueType::kFloat32;
  Optimizer optimizer = Optimizer::kRowwiseAdagrad;
  Keys keys = Keys::kTagged;

  [[nodiscard]] std::string name() const {
    return method + "_" + std::string(spelling_of(type)) + "_" +
           std::string(spelling_of(optimizer)) + (keys == Keys::kExact ? "_exact" : "");
  }
};

void PrintTo(const OperationCase& one, std::ostream* stream) {
  *stream << one.name();
}

std::vector<OperationCase> cases() {
  std::vector<OperationCase> all;
  for (const std::string& method : methods()) {
    for (const ValueType type : {ValueType::kFloat32, ValueType::kBFloat16, ValueType::kFloat16,
                                 ValueType::kInt8, ValueType::kMixed}) {
      if (type == ValueType::kMixed && method != "elastic") continue;
      for (const Optimizer optimizer :
           {Optimizer::kRowwiseAdagrad, Optimizer::kAdagrad, Optimizer::kSgd, Optimizer::kAdam}) {
        all.push_back({.method = method, .type = type, .optimizer = optimizer});
      }
    }
  }
  all.push_back({.method = "elastic", .type = ValueType::kMixed, .keys = Keys::kExact});
  all.push_back({.method = "cafe", .optimizer = Optimizer::kAdam, .keys = Keys::kExact});
  return all;
}

class RandomOperations : public testing::TestWithParam<OperationCase> {
 protected:
  static constexpr std::int64_t kBudget = 150000;  // two shards

  [[nodiscard]] Options options(std::int64_t budget) const {
    Options made = make_options(GetParam().method, shape_, budget);
    made.value_type = GetParam().type;
    made.optimizer = GetParam().optimizer;
    made.keys = GetParam().keys;
    made.learning_rate = made.optimizer == Optimizer::kAdam  ? 0.02
                         : made.optimizer == Optimizer::kSgd ? 0.05
                                                             : 0.4;
    made.period = 3;
    made.decay = 0.7;
    made.gradient_clip = 2;
    made.l2 = 0.001;
    for (TableOptions& table : made.tables) table.distinct_ids = 900;
    return made;
  }
  [[nodiscard]] bool resizes() const {
    return GetParam().method == "elastic" || GetParam().method == "row" ||
           GetParam().method == "cafe";
  }
  [[nodiscard]] bool has_rows() const {
    return GetParam().method != "hash" && GetParam().method != "qr";
  }
  void expect_within_budget(const Embedding& embedding) const {
    if (GetParam().method != "full") {
      ASSERT_LE(embedding.memory_bytes(), embedding.options().budget.count);
    }
    std::int64_t sum = 0;
    for (const auto& [name, bytes] : embedding.statistics().parts) {
      ASSERT_GE(bytes, 0) << name;
      sum += bytes;
    }
    ASSERT_EQ(sum, embedding.memory_bytes());
  }

  BatchShape shape_{.size = 20, .tables = 3, .dim = 16, .ids = 900, .bags = true};
};

// What is read of the live form, its copy and its frozen form has the same bits.
void expect_same(const Embedding& one, const Embedding& other, const TestBatch& probe) {
  const std::vector<float> values = look_up(one, probe, 16);
  for (const float value : values) ASSERT_TRUE(std::isfinite(value));
  ASSERT_EQ(look_up(other, probe, 16), values);
  test::MemorySections file;
  one.export_frozen(file, "f/");
  const auto frozen = open_frozen(file, "f/");
  ASSERT_EQ(frozen->tables(), 3);
  ASSERT_EQ(look_up(*frozen, probe, 16), values);
}

TEST_P(RandomOperations, KeepTwinsAlikeAndTheBudgetHeld) {
  const CounterRandom random = CounterRandom(11).with(GetParam().name().size());
  std::uint64_t counter = 0;
  const auto below = [&](std::uint64_t n) { return random.below(counter++, n); };
  auto one = make_ready(options(kBudget), 1, shape_);
  auto other = make_ready(options(kBudget), 3, shape_);
  const char* wanted = std::getenv("TAUT_TABLE_OPERATIONS");
  const std::uint64_t operations = wanted != nullptr ? std::stoull(wanted) : 60;
  for (std::uint64_t operation = 0; operation < operations; ++operation) {
    SCOPED_TRACE(operation);
    switch (below(8)) {
      case 0: {  // through a checkpoint into a collection of another number of threads
        test::MemorySections file;
        other->save(file, "t/");
        other = make_embedding(one->options(), threads(1 + static_cast<int>(below(4))));
        other->load(file, "t/");
        ASSERT_EQ(other->steps(), one->steps());
        break;
      }
      case 1: {
        if (!resizes()) break;
        const Bytes budget{static_cast<std::int64_t>(20000 + 64 * below(4000))};
        one->resize_budget(budget);
        other->resize_budget(budget);
        break;
      }
      case 2: {  // rows out and in again
        if (!has_rows()) break;
        std::vector<std::uint64_t> ids;
        for (std::uint64_t id = 0; id < 40; ++id) ids.push_back(below(200));
        Rows rows;
        one->read_rows(operation % 3, ids, rows);
        ASSERT_LE(rows.size(), ids.size());
        const LoadedRows first = one->load_rows(rows);
        const LoadedRows second = other->load_rows(rows);
        ASSERT_EQ(first.held + first.left_out, static_cast<std::int64_t>(rows.size()));
        ASSERT_EQ(first.held, second.held);
        break;
      }
      case 3: {  // a batch that is refused changes nothing
        TestBatch batch = make_batch(shape_, 3, operation);
        batch.gradient[below(batch.gradient.size())] = std::numeric_limits<float>::quiet_NaN();
        const auto update = [&] { one->update(batch.tables(), batch.size, batch.gradient); };
        ASSERT_EQ(error_of(update).first, ErrorKind::kInvalidArgument);
        break;
      }
      default: {
        const TestBatch batch = make_batch(shape_, 2, operation);
        one->update(batch.tables(), batch.size, batch.gradient);
        other->update(batch.tables(), batch.size, batch.gradient);
      }
    }
    expect_within_budget(*one);
    expect_within_budget(*other);
    if (operation % 5 == 0) expect_same(*one, *other, make_batch(shape_, 99, operation));
    if (HasFatalFailure()) return;
  }
  expect_same(*one, *other, make_batch(shape_, 99, 1000));
}

INSTANTIATE_TEST_SUITE_P(Methods, RandomOperations, testing::ValuesIn(cases()),
                         [](const auto& one) { return one.param.name(); });

// The published formulas, written down plainly in double.
class PlainOptimizer {
 public:
  explicit PlainOptimizer(const Options& options) : options_(options) {}

  struct Row {
    std::vector<double> values;
    std::vector<double> sums;
    std::vector<double> momentum;
    double square = 0;
  };

  void step(Row& row, std::vector<double> gradient, std::int64_t step) const {
    double norm = 0;
    for (const double g : gradient) norm += g * g;
    norm = std::sqrt(norm);
    const double clip = options_.gradient_clip;
    double mean = 0;
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      if (clip > 0 && norm > clip) gradient[i] *= clip / norm;
      mean += gradient[i] * gradient[i] / static_cast<double>(gradient.size());
    }
    const double rate = options_.learning_rate;
    if (options_.optimizer == Optimizer::kRowwiseAdagrad) row.square += mean;
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      switch (options_.optimizer) {
        case Optimizer::kSgd:
          row.values[i] -= rate * gradient[i];
          break;
        case Optimizer::kRowwiseAdagrad:
          row.values[i] -=
              rate * gradient[i] /
              (std::sqrt(row.square + options_.initial_accumulator) + options_.epsilon);
          break;
        case Optimizer::kAdagrad:
          row.sums[i] += gradient[i] * gradient[i];
          row.values[i] -=
              rate * gradient[i] /
              (std::sqrt(row.sums[i] + options_.initial_accumulator) + options_.epsilon);
          break;
        case Optimizer::kAdam: {
          const double b1 = options_.adam_beta1;
          const double b2 = options_.adam_beta2;
          if (i == 0) row.square = b2 * row.square + (1 - b2) * mean;
          row.momentum[i] = b1 * row.momentum[i] + (1 - b1) * gradient[i];
          const double t = static_cast<double>(step);
          row.values[i] -= rate * row.momentum[i] / (1 - std::pow(b1, t)) /
                           (std::sqrt(row.square / (1 - std::pow(b2, t))) + options_.epsilon);
          break;
        }
      }
    }
  }

 private:
  Options options_;
};

class FullBesideAMap : public testing::TestWithParam<Optimizer> {};

TEST_P(FullBesideAMap, HoldsWhatTheFormulasSay) {
  const BatchShape shape{.size = 30, .tables = 3, .dim = 8, .ids = 150, .bags = true};
  for (const double clip : {0.0, 0.5}) {
    Options options = make_options("full", shape, 0);
    options.value_type = ValueType::kFloat32;
    options.optimizer = GetParam();
    options.learning_rate = 0.05;
    options.gradient_clip = clip;
    const auto embedding = make_embedding(options, threads(2));
    const PlainOptimizer plain(options);
    std::map<std::pair<std::size_t, std::uint64_t>, PlainOptimizer::Row> rows;
    const auto row_of = [&](std::size_t table, std::uint64_t id) -> PlainOptimizer::Row& {
      const auto [found, added] = rows.try_emplace({table, id});
      if (added) {  // its start is what a lookup of it alone gives
        TestBatch one{.size = 1,
                      .ids = {{}, {}, {}},
                      .offsets = {{0, 0}, {0, 0}, {0, 0}},
                      .weights = {{}, {}, {}},
                      .gradient = {}};
        one.ids[table] = {id};
        one.offsets[table] = {0, 1};
        const std::vector<float> out = look_up(*embedding, one, shape.dim);
        const auto start = out.begin() + static_cast<std::ptrdiff_t>(table) * shape.dim;
        found->second.values.assign(start, start + shape.dim);
        found->second.sums.assign(8, 0.0);
        found->second.momentum.assign(8, 0.0);
      }
      return found->second;
    };
    for (std::int64_t step = 1; step <= 25; ++step) {
      const TestBatch batch = make_batch(shape, 4, static_cast<std::uint64_t>(step));
      std::map<std::pair<std::size_t, std::uint64_t>, std::vector<double>> gradients;
      std::vector<double> expected(batch.gradient.size(), 0.0);
      for (std::size_t t = 0; t < 3; ++t) {
        for (std::size_t bag = 0; bag < 30; ++bag) {
          for (auto i = static_cast<std::size_t>(batch.offsets[t][bag]);
               i < static_cast<std::size_t>(batch.offsets[t][bag + 1]); ++i) {
            const std::uint64_t id = batch.ids[t][i];
            const double weight = batch.weights[t].empty() ? 1.0 : batch.weights[t][i];
            std::vector<double>& sum = gradients.try_emplace({t, id}, 8, 0.0).first->second;
            for (std::size_t d = 0; d < 8; ++d) {
              const std::size_t at = (bag * 3 + t) * 8 + d;
              expected[at] += weight * row_of(t, id).values[d];
              sum[d] += weight * batch.gradient[at];
            }
          }
        }
      }
      const std::vector<float> got = look_up(*embedding, batch, shape.dim);
      for (std::size_t i = 0; i < got.size(); ++i) {
        // fp32 beside double: some ten roundings of 2^-24 a step, of values up to about 2
        ASSERT_NEAR(got[i], expected[i], 1e-4) << "step " << step;
      }
      embedding->update(batch.tables(), batch.size, batch.gradient);
      for (const auto& [key, gradient] : gradients) {
        plain.step(row_of(key.first, key.second), gradient, step);
      }
    }
    EXPECT_EQ(embedding->statistics().resident_rows, static_cast<std::int64_t>(rows.size()));
  }
}

INSTANTIATE_TEST_SUITE_P(Optimizers, FullBesideAMap,
                         testing::Values(Optimizer::kRowwiseAdagrad, Optimizer::kAdagrad,
                                         Optimizer::kSgd, Optimizer::kAdam),
                         [](const auto& one) { return std::string(spelling_of(one.param)); });

}  // namespace
}  // namespace taut::embedding
