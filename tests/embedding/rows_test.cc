// Rows that are dumped from one collection and loaded into another.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <ostream>
#include <string>
#include <vector>

#include "support.h"

namespace taut::embedding {
namespace {

using testing::HasSubstr;

struct RowsCase {
  std::string name;
  std::string method;
  ValueType value_type;
  float step;  // relative rounding of the value type, of a row's largest value
  double beta = -1;
  Admission admission = Admission::kAuto;
  std::int64_t left_out_part = 12;  // at most one row in so many is left out of the same budget
  std::int64_t more_part = 6;       // and none of one that is larger by one part in so many
};

void PrintTo(const RowsCase& one, std::ostream* stream) {
  *stream << one.name;
}

class EveryMethodWithRows : public testing::TestWithParam<RowsCase> {
 protected:
  [[nodiscard]] Options options() const {
    Options options = make_options(GetParam().method, shape_, 60000);
    options.value_type = GetParam().value_type;
    options.keys = Keys::kExact;
    options.cold_share = 0;
    options.beta = GetParam().beta;
    options.admission = GetParam().admission;
    return options;
  }
  // Every id that make_batch() can give.
  [[nodiscard]] std::vector<std::uint64_t> all_ids() const {
    std::vector<std::uint64_t> ids(shape_.ids);
    std::iota(ids.begin(), ids.end(), std::uint64_t{0});
    for (std::uint64_t& id : ids) {
      if (id % 7 == 3) id |= std::uint64_t{1} << 63;
    }
    return ids;
  }
  template <typename Collection>
  [[nodiscard]] Rows dump(const Collection& collection) const {
    Rows rows;
    for (std::size_t t = 0; t < shape_.tables; ++t) collection.read_rows(t, all_ids(), rows);
    return rows;
  }
  [[nodiscard]] std::unique_ptr<Embedding> trained() const {
    auto embedding = make_ready(options(), 2, shape_);
    train(*embedding, shape_, 1, 0, 60);
    return embedding;
  }

  BatchShape shape_;
};

TEST_P(EveryMethodWithRows, HandsOutEveryResidentRowAsItIsLookedUp) {
  const auto embedding = trained();
  const Rows rows = dump(*embedding);
  ASSERT_GT(rows.size(), 100u);
  if (GetParam().method == "fiited") {  // counts chunks
    std::int64_t chunks = 0;
    for (const std::uint32_t mask : rows.masks) chunks += std::popcount(mask);
    EXPECT_EQ(chunks, embedding->statistics().resident_rows);
  } else {
    EXPECT_EQ(static_cast<std::int64_t>(rows.size()), embedding->statistics().resident_rows);
  }
  const auto dim = static_cast<std::size_t>(shape_.dim);
  const auto chunk = static_cast<std::size_t>(embedding->options().chunk);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    TestBatch one{.size = 1,
                  .ids = {{}, {}, {}},
                  .offsets = {{0, 0}, {0, 0}, {0, 0}},
                  .weights = {{}, {}, {}},
                  .gradient = {}};
    one.ids[rows.tables[i]] = {rows.ids[i]};
    one.offsets[rows.tables[i]] = {0, 1};
    const std::vector<float> out = look_up(*embedding, one, shape_.dim);
    for (std::size_t d = 0; d < dim; ++d) {
      ASSERT_EQ(out[rows.tables[i] * dim + d], rows.values[i * dim + d]) << i;
      if ((rows.masks[i] >> (d / chunk) & 1) == 0) {
        ASSERT_EQ(rows.values[i * dim + d], 0.0f);
      }
    }
    ASSERT_GE(rows.importances[i], 0.0f);
  }
}

TEST_P(EveryMethodWithRows, LoadedIntoAnotherGivesTheSameLookupsToRounding) {
  const auto embedding = trained();
  const Rows rows = dump(*embedding);
  {
    // Pages of the same size are full of the same rows, but not in the order they came to be, and
    // rows that had fallen below the line since they came are not worth holding again.
    auto same = make_ready(options(), 1, shape_);
    const LoadedRows loaded = same->load_rows(rows);
    EXPECT_LE(loaded.left_out, static_cast<std::int64_t>(rows.size()) / GetParam().left_out_part);
    EXPECT_EQ(loaded.held + loaded.left_out, static_cast<std::int64_t>(rows.size()));
  }
  Options more = options();
  const bool pages =
      GetParam().method == "elastic" || GetParam().method == "row" || GetParam().method == "cafe";
  if (pages) more.budget.count += more.budget.count / GetParam().more_part;
  auto other = make_ready(more, 1, shape_);
  const LoadedRows loaded = other->load_rows(rows);
  EXPECT_EQ(loaded.left_out, 0);
  EXPECT_EQ(loaded.held, static_cast<std::int64_t>(rows.size()));
  const Rows again = dump(*other);
  ASSERT_EQ(again.ids, rows.ids);
  ASSERT_EQ(again.tables, rows.tables);
  const auto dim = static_cast<std::size_t>(shape_.dim);
  std::size_t narrower = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    ASSERT_NEAR(again.importances[i], rows.importances[i], 0.03f * rows.importances[i]) << i;
    float largest = 0;
    for (std::size_t d = 0; d < dim; ++d) {
      largest = std::max(largest, std::fabs(rows.values[i * dim + d]));
    }
    if (again.masks[i] != rows.masks[i]) {
      ++narrower;  // its pages had room for less
      continue;
    }
    for (std::size_t d = 0; d < dim; ++d) {
      ASSERT_NEAR(again.values[i * dim + d], rows.values[i * dim + d], GetParam().step * largest)
          << i << " " << d;
    }
  }
  EXPECT_LE(narrower, rows.size() / 20);
  EXPECT_LE(other->peak_memory_bytes(),
            GetParam().method == "full" ? INT64_MAX : other->options().budget.count);
  train(*other, shape_, 1, 60, 70);  // goes on
}

TEST_P(EveryMethodWithRows, AFrozenFormHandsOutTheSameRows) {
  const auto embedding = trained();
  const test::TemporaryDirectory path;
  SectionWriter writer(path.file("saved"), "package", 1);
  embedding->export_frozen(writer, "emb/");
  (void)writer.commit();
  const SectionReader file(path.file("saved"), "package", 1);
  const Rows live = dump(*embedding);
  const Rows frozen = dump(*open_frozen(file, "emb/"));
  EXPECT_EQ(frozen.ids, live.ids);
  EXPECT_EQ(frozen.masks, live.masks);
  EXPECT_EQ(frozen.values, live.values);
}

TEST_P(EveryMethodWithRows, TheSameRowsLoadToTheSameBitsForAnyNumberOfThreads) {
  const Rows rows = dump(*trained());
  const auto one = make_ready(options(), 1, shape_);
  const auto three = make_ready(options(), 3, shape_);
  one->load_rows(rows);
  three->load_rows(rows);
  EXPECT_EQ(dump(*one).values, dump(*three).values);
}

TEST_P(EveryMethodWithRows, BadRowsAreNamedAndChangeNothing) {
  const auto embedding = trained();
  const Rows good = dump(*embedding);
  const auto expect_bad = [&](const std::string& wanted, auto change) {
    Rows rows = good;
    change(rows);
    const auto [kind, text] = error_of([&] { embedding->load_rows(rows); });
    EXPECT_EQ(kind, ErrorKind::kInvalidArgument) << wanted;
    EXPECT_THAT(text, HasSubstr(wanted));
    ASSERT_EQ(dump(*embedding).values, good.values);
  };
  expect_bad("rows.values[3]", [](Rows& r) { r.values[3] = std::nanf(""); });
  expect_bad("rows.values", [](Rows& r) { r.values.pop_back(); });
  expect_bad("rows.tables", [](Rows& r) { r.tables.pop_back(); });
  expect_bad("rows.tables[2]", [](Rows& r) { r.tables[2] = 3; });
  expect_bad("rows.importances", [](Rows& r) { r.importances.pop_back(); });
  expect_bad("rows.importances[1]", [](Rows& r) { r.importances[1] = -1; });
  Rows rows;
  const auto [kind, text] = error_of([&] { embedding->read_rows(7, all_ids(), rows); });
  EXPECT_EQ(kind, ErrorKind::kInvalidArgument);
  EXPECT_THAT(text, HasSubstr("table must be below 3, got 7"));
}

INSTANTIATE_TEST_SUITE_P(
    Methods, EveryMethodWithRows,
    testing::Values(RowsCase{"full_fp32", "full", ValueType::kFloat32, 0.0f},
                    RowsCase{"full_int8", "full", ValueType::kInt8, 0.012f},
                    RowsCase{"md_fp32", "md", ValueType::kFloat32, 0.0f},
                    RowsCase{"frequency_bf16", "frequency", ValueType::kBFloat16, 0.0f},
                    RowsCase{"row_fp32", "row", ValueType::kFloat32, 0.0f},
                    RowsCase{"cafe_fp16", "cafe", ValueType::kFloat16, 0.0f},
                    RowsCase{"fiited_fp32", "fiited", ValueType::kFloat32, 0.0f},
                    RowsCase{"fiited_int8", "fiited", ValueType::kInt8, 0.012f},
                    RowsCase{"elastic_mixed", "elastic", ValueType::kMixed, 0.012f},
                    RowsCase{"elastic_bf16", "elastic", ValueType::kBFloat16, 0.0f},
                    RowsCase{"elastic_int8", "elastic", ValueType::kInt8, 0.012f}),
    [](const auto& one) { return one.param.name; });

// The settings that were the defaults when the narrower bounds were set.
constexpr double kFirstBeta = 2;

RowsCase as_first(const std::string& name, const std::string& method, ValueType type, float step) {
  return {.name = name,
          .method = method,
          .value_type = type,
          .step = step,
          .beta = kFirstBeta,
          .admission = Admission::kSketch,
          .left_out_part = 30,
          .more_part = 8};
}

INSTANTIATE_TEST_SUITE_P(
    AsFirst, EveryMethodWithRows,
    testing::Values(as_first("row_fp32", "row", ValueType::kFloat32, 0.0f),
                    as_first("cafe_fp16", "cafe", ValueType::kFloat16, 0.0f),
                    as_first("elastic_mixed", "elastic", ValueType::kMixed, 0.012f),
                    as_first("elastic_bf16", "elastic", ValueType::kBFloat16, 0.0f),
                    as_first("elastic_int8", "elastic", ValueType::kInt8, 0.012f)),
    [](const auto& one) { return one.param.name; });

TEST(Rows, OfMethodsThatShareThemAreAnErrorThatNamesTheMethod) {
  const BatchShape shape;
  for (const std::string method : {"hash", "qr"}) {
    const auto embedding = make_ready(make_options(method, shape, 60000), 1, shape);
    Rows rows;
    const std::vector<std::uint64_t> ids = {1, 2};
    for (const auto& [kind, text] : {error_of([&] { embedding->read_rows(0, ids, rows); }),
                                     error_of([&] { embedding->load_rows(rows); })}) {
      EXPECT_EQ(kind, ErrorKind::kUnsupported);
      EXPECT_THAT(text, HasSubstr(method));
    }
  }
}

class DenseWeight : public testing::Test {
 protected:
  static constexpr int kDim = 16;
  static constexpr std::size_t kRows = 3000;

  DenseWeight() {
    const CounterRandom random(5);
    for (std::size_t i = 0; i < weight_.size(); ++i) {
      const std::size_t row = i / kDim;  // later rows are larger
      weight_[i] = static_cast<float>(random.normal(i)) * static_cast<float>(row + 1) / kRows;
    }
    std::iota(ids_.begin(), ids_.end(), std::uint64_t{0});
  }

  BatchShape shape_{.tables = 1};
  std::vector<float> weight_ = std::vector<float>(kRows * kDim);
  std::vector<std::uint64_t> ids_ = std::vector<std::uint64_t>(kRows);
};

TEST_F(DenseWeight, FitsWholeWhereThereIsRoom) {
  for (const std::string method : {"full", "row", "elastic"}) {
    Options options = make_options(method, shape_, 600000);
    options.value_type = ValueType::kFloat32;
    options.keys = Keys::kExact;
    const auto embedding = make_embedding(options, threads(2));
    const LoadedRows loaded = embedding->load_rows(rows_of_weight(weight_, kDim));
    EXPECT_EQ(loaded.held, static_cast<std::int64_t>(kRows)) << method;
    Rows rows;
    embedding->read_rows(0, ids_, rows);
    EXPECT_EQ(rows.values, weight_) << method;
  }
}

TEST_F(DenseWeight, OfTenTimesTheBudgetKeepsTheLargestRowsWithinIt) {
  const std::int64_t budget = kRows * (4 * kDim + 4) / 10;
  struct Kept {
    std::string method;
    double beta;
    double least;  // part of what the largest rows would hold
  };
  for (const auto& [method, beta, least] :
       {Kept{"elastic", -1, 0.25}, Kept{"elastic", kFirstBeta, 0.3}, Kept{"row", -1, 0},
        Kept{"fiited", -1, 0}}) {
    Options options = make_options(method, shape_, budget);
    options.keys = Keys::kExact;
    options.beta = beta;
    const auto embedding = make_embedding(options, threads(2));
    const LoadedRows loaded = embedding->load_rows(rows_of_weight(weight_, kDim));
    EXPECT_EQ(loaded.held + loaded.left_out, static_cast<std::int64_t>(kRows));
    EXPECT_GT(loaded.left_out, 0) << method;
    EXPECT_LE(embedding->peak_memory_bytes(), budget) << method;
    Rows rows;
    embedding->read_rows(0, ids_, rows);
    ASSERT_EQ(static_cast<std::int64_t>(rows.size()), loaded.held) << method;
    double kept_squares = 0;
    double best_squares = 0;
    for (const float value : rows.values) kept_squares += value * value;
    // What as many values of the largest rows, of one byte each, would hold.
    for (std::size_t i = weight_.size() - static_cast<std::size_t>(budget); i < weight_.size();
         ++i) {
      best_squares += weight_[i] * weight_[i];
    }
    EXPECT_GT(kept_squares, least * best_squares) << method << ", beta " << beta;
    const double mean_id =
        std::accumulate(rows.ids.begin(), rows.ids.end(), 0.0) / static_cast<double>(rows.size());
    EXPECT_GT(mean_id, 0.6 * kRows) << method;
  }
}

TEST_F(DenseWeight, OfEqualRowsTheFirstAreHeld) {
  std::fill(weight_.begin(), weight_.end(), 0.25f);
  Options options = make_options("row", shape_, 20000);
  options.keys = Keys::kExact;
  const auto embedding = make_embedding(options, threads(1));
  Rows given = rows_of_weight(weight_, kDim);
  const LoadedRows loaded = embedding->load_rows(given);
  EXPECT_GT(loaded.held, 150);
  Rows rows;
  embedding->read_rows(0, ids_, rows);
  EXPECT_LT(rows.ids.back(), 2 * rows.size());  // pages fill up unevenly
}

TEST_F(DenseWeight, ASecondLoadReplacesRowsAndKeepsOthers) {
  Options options = make_options("elastic", shape_, 600000);
  options.value_type = ValueType::kFloat32;
  options.keys = Keys::kExact;
  const auto embedding = make_embedding(options, threads(1));
  embedding->load_rows(rows_of_weight(weight_, kDim));
  const std::vector<float> twos(10 * kDim, 2.0f);
  EXPECT_EQ(embedding->load_rows(rows_of_weight(twos, kDim)).held, 10);
  Rows rows;
  embedding->read_rows(0, ids_, rows);
  std::copy(twos.begin(), twos.end(), weight_.begin());
  EXPECT_EQ(rows.values, weight_);
}

TEST_F(DenseWeight, OfAnotherLengthIsAnErrorThatNamesBothSizes) {
  weight_.pop_back();
  const auto [kind, text] = error_of([&] { (void)rows_of_weight(weight_, kDim); });
  EXPECT_EQ(kind, ErrorKind::kInvalidArgument);
  EXPECT_THAT(text, HasSubstr("16"));
  EXPECT_THAT(text, HasSubstr(std::to_string(weight_.size())));
}

}  // namespace
}  // namespace taut::embedding
