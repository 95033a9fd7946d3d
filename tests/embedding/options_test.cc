#include "taut/embedding/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support.h"

namespace taut::embedding {
namespace {

using testing::HasSubstr;

TEST(Options, NamesComeBackFromTheirSpelling) {
  for (const auto type : {ValueType::kFloat32, ValueType::kBFloat16, ValueType::kFloat16,
                          ValueType::kInt8, ValueType::kMixed}) {
    EXPECT_EQ(parse_value_type(to_string(type)), type);
  }
  for (const auto admission : {Admission::kAuto, Admission::kSampled, Admission::kSketch}) {
    EXPECT_EQ(parse_admission(to_string(admission)), admission);
  }
  for (const auto optimizer :
       {Optimizer::kRowwiseAdagrad, Optimizer::kAdagrad, Optimizer::kSgd, Optimizer::kAdam}) {
    EXPECT_EQ(parse_optimizer(to_string(optimizer)), optimizer);
  }
  for (const auto on_nan : {OnNan::kFail, OnNan::kSkip}) {
    EXPECT_EQ(parse_on_nan(to_string(on_nan)), on_nan);
  }
  for (const auto keys : {Keys::kTagged, Keys::kExact})
    EXPECT_EQ(parse_keys(to_string(keys)), keys);
}

TEST(Options, AMisspeltNameIsAnErrorWithTheNearestOne) {
  const auto [kind, text] = error_of([] { (void)parse_value_type("bf61"); });
  EXPECT_EQ(kind, ErrorKind::kConfig);
  EXPECT_THAT(text, HasSubstr("bf61"));
  EXPECT_THAT(text, HasSubstr("bf16"));
  Options options = make_options("elastik", {}, 1 << 20);
  const auto [method_kind, method_text] =
      error_of([&] { (void)make_embedding(options, threads(1)); });
  EXPECT_EQ(method_kind, ErrorKind::kConfig);
  EXPECT_THAT(method_text, HasSubstr("elastic"));
}

TEST(Options, ValuesOutOfRangeAreErrorsThatNameTheKeyAndTheValue) {
  const auto expect_bad = [](const std::string& key, const std::string& got, auto change) {
    Options options = make_options("elastic", {}, 1 << 20);
    change(options);
    const auto [kind, text] = error_of([&] { (void)make_embedding(options, threads(1)); });
    EXPECT_EQ(kind, ErrorKind::kConfig) << key;
    EXPECT_THAT(text, HasSubstr("embedding." + key));
    EXPECT_THAT(text, HasSubstr(got));
  };
  expect_bad("dim", "18", [](Options& o) { o.dim = 18; });
  expect_bad("dim", "516", [](Options& o) { o.dim = 516; });
  expect_bad("chunk", "5", [](Options& o) { o.chunk = 5; });
  expect_bad("chunk", "2", [](Options& o) { o.dim = 512, o.chunk = 2; });
  expect_bad("tables", "0", [](Options& o) { o.tables.clear(); });
  expect_bad("cold_share", "0.95", [](Options& o) { o.cold_share = 0.95; });
  expect_bad("beta", "17", [](Options& o) { o.beta = 17; });
  expect_bad("beta", "nan", [](Options& o) { o.beta = NAN; });
  expect_bad("decay", "0", [](Options& o) { o.decay = 0; });
  expect_bad("decay", "1.5", [](Options& o) { o.decay = 1.5; });
  expect_bad("period", "0", [](Options& o) { o.period = 0; });
  expect_bad("learning_rate", "nan", [](Options& o) { o.learning_rate = NAN; });
  expect_bad("reserve", "0.6", [](Options& o) { o.reserve = 0.6; });
  expect_bad("distinct_ids of table1", "-3", [](Options& o) { o.tables[1].distinct_ids = -3; });
}

TEST(Options, FullBytesAreFourDimPlusFourForEachDistinctId) {
  Options options = make_options("full", {}, 0);
  options.tables = {{.name = "a", .distinct_ids = 100}, {.name = "b", .distinct_ids = 23}};
  EXPECT_EQ(full_bytes(options).count, 123 * (4 * 16 + 4));
}

}  // namespace
}  // namespace taut::embedding
