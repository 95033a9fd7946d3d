#include "taut/embedding/option_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string_view>

#include "embedding/state.h"
#include "support.h"

namespace taut::embedding {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Options, NamesComeBackFromTheirSpelling) {
  Options options;
  int enums = 0;
  visit_options(options, [&](const auto& option) {
    using T = OptionValue<decltype(option)>;
    if constexpr (Spelled<T>) {
      ++enums;
      std::set<T> values;
      for (const Spelling<T>& one : kSpellings<T>) {
        EXPECT_EQ(parse_option<T>(option.key, spelling_of(one.value)), one.value) << one.name;
        EXPECT_TRUE(values.insert(one.value).second) << one.name;
      }
    }
  });
  EXPECT_EQ(enums, 5);
}

TEST(Options, AMisspeltNameIsAnErrorWithTheNearestOne) {
  const auto [kind, text] =
      error_of([] { static_cast<void>(parse_option<ValueType>("value_type", "bf61")); });
  EXPECT_EQ(kind, ErrorKind::kConfig);
  EXPECT_EQ(text, "unknown value_type \"bf61\", embedding.value_type, did you mean bf16?");
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

TEST(Options, AnErrorSaysWhatIsWantedAndNamesTheOptionsThatItDependsOn) {
  Options options = make_options("elastic", {}, 1 << 20);
  options.chunk = 6;
  EXPECT_EQ(error_of([&] { check_options(options); }).second,
            "must be 0, or even, divide dim 16 and give at most 32 chunks, got 6, embedding.chunk");
  options.chunk = 0;
  options.reserve = 0.6;
  EXPECT_EQ(error_of([&] { check_options(options); }).second,
            "must be from 0 to 0.5, got 0.6, embedding.reserve");
}

// A member that is added to Options without an entry in the list does not compile here.
TEST(OptionList, HasEveryMemberOnce) {
  Options options;
  auto& [method, tables, dim, budget, value_type, admission, keys, cold_share, chunk, beta, decay,
         period, optimizer, learning_rate, initial_accumulator, epsilon, adam_beta1, adam_beta2,
         gradient_clip, l2, on_nan, seed, sketch_share, reserve, hysteresis, precision_ratio,
         cold_learning_rate] = options;
  const std::set<const void*> members = {&method,
                                         &tables,
                                         &dim,
                                         &budget,
                                         &value_type,
                                         &admission,
                                         &keys,
                                         &cold_share,
                                         &chunk,
                                         &beta,
                                         &decay,
                                         &period,
                                         &optimizer,
                                         &learning_rate,
                                         &initial_accumulator,
                                         &epsilon,
                                         &adam_beta1,
                                         &adam_beta2,
                                         &gradient_clip,
                                         &l2,
                                         &on_nan,
                                         &seed,
                                         &sketch_share,
                                         &reserve,
                                         &hysteresis,
                                         &precision_ratio,
                                         &cold_learning_rate};
  std::set<const void*> visited;
  visit_options(options, [&](const auto& option) {
    EXPECT_TRUE(visited.insert(&option.value).second) << option.key;
  });
  EXPECT_EQ(visited, members);
}

TEST(OptionList, SaysSomethingOfEachAndItsDefaultsAreInRange) {
  std::set<std::string_view> keys;
  const Options initial;
  visit_options(initial, [&](const auto& option) {
    EXPECT_TRUE(keys.insert(option.key).second) << option.key;
    EXPECT_GE(option.help.size(), 10) << option.key;
    EXPECT_EQ(option.good, option.key != "tables") << option.key;
  });
  for (const OptionFacts& fact : option_facts()) {
    EXPECT_NE(fact.range, "") << fact.key;
    EXPECT_EQ(fact.initial.empty(), fact.key == "tables" || fact.key == "budget") << fact.key;
  }
}

TEST(OptionList, WritesATableOfWhatUsersMayGive) {
  const std::string table = option_table();
  EXPECT_THAT(table, HasSubstr("| `on_nan` | fail | fail, skip | "));
  EXPECT_THAT(table, HasSubstr("| `epsilon` | 1e-08 | above 0 | "));
  EXPECT_THAT(table, HasSubstr("; configs: train.seed | Python |\n"));
  EXPECT_THAT(table, Not(HasSubstr("`tables`")));
}

// Checkpoints hold this text: another order or spelling is another format.
TEST(OptionList, WritesTheTextThatCheckpointsHoldWithAllDigits) {
  Options options;
  options.tables = {{.name = "user", .distinct_ids = 20}, {.name = "item", .distinct_ids = 0}};
  options.budget = Bytes{4096};
  options.seed = UINT64_MAX;
  EXPECT_EQ(describe(options),
            "method = elastic\n"
            "dim = 16\n"
            "tables = 2\n"
            "distinct_ids of user = 20\n"
            "distinct_ids of item = 0\n"
            "budget = 4096\n"
            "value_type = mixed\n"
            "admission = auto\n"
            "keys = tagged\n"
            "cold_share = -1\n"
            "chunk = 0\n"
            "beta = -1\n"
            "decay = 1\n"
            "period = 30\n"
            "optimizer = rowwise_adagrad\n"
            "learning_rate = 0.40000000000000002\n"
            "initial_accumulator = 0.20000000000000001\n"
            "epsilon = 1e-08\n"
            "adam_beta1 = 0.90000000000000002\n"
            "adam_beta2 = 0.999\n"
            "gradient_clip = 0\n"
            "l2 = 0\n"
            "on_nan = fail\n"
            "seed = 18446744073709551615\n"
            "sketch_share = 0.050000000000000003\n"
            "reserve = 0.029999999999999999\n"
            "hysteresis = 0.20000000000000001\n"
            "precision_ratio = 256\n"
            "cold_learning_rate = 0.29999999999999999\n");
}

TEST(Options, FullBytesAreFourDimPlusFourForEachDistinctId) {
  Options options = make_options("full", {}, 0);
  options.tables = {{.name = "a", .distinct_ids = 100}, {.name = "b", .distinct_ids = 23}};
  EXPECT_EQ(full_bytes(options).count, 123 * (4 * 16 + 4));
}

}  // namespace
}  // namespace taut::embedding
