// Options of tables as Python hands them over.
#include "nn/table_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "support/error_matchers.h"
#include "taut/core/text.h"

namespace taut::nn {
namespace {

using taut::test::error_of;
using taut::test::IsError;

constexpr const char* kTables =
    R"("tables": [{"name": "user", "distinct_ids": 1000}, {"name": "item"}], "dim": 8)";

embedding::Options parsed(const std::string& more) {
  return parse_table_options(concat("{", kTables, more, "}"));
}

TEST(TableOptions, AreReadByTheNamesOfTheMembers) {
  const embedding::Options o = parsed(
      R"(, "method": "elastic", "budget": "100 KiB", "value_type": "bf16", "learning_rate": 0.5,
         "optimizer": "adam", "chunk": 4, "seed": 9, "gradient_clip": 2.5)");
  ASSERT_EQ(o.tables.size(), 2U);
  EXPECT_EQ(o.tables[0].name, "user");
  EXPECT_EQ(o.tables[0].distinct_ids, 1000);
  EXPECT_EQ(o.tables[1].distinct_ids, 0);
  EXPECT_EQ(o.dim, 8);
  EXPECT_EQ(o.method, "elastic");
  EXPECT_EQ(o.budget, Bytes{100 * 1024});
  EXPECT_EQ(o.value_type, embedding::ValueType::kBFloat16);
  EXPECT_EQ(o.optimizer, embedding::Optimizer::kAdam);
  EXPECT_EQ(o.learning_rate, 0.5);
  EXPECT_EQ(o.chunk, 4);
  EXPECT_EQ(o.seed, 9U);
  EXPECT_EQ(o.gradient_clip, 2.5);
}

TEST(TableOptions, WhatIsWrongIsNamed) {
  EXPECT_THAT(error_of([] { static_cast<void>(parsed(R"(, "learning_rte": 1)")); }),
              IsError(ErrorKind::kConfig, "learning_rate"));
  EXPECT_THAT(error_of([] { static_cast<void>(parsed(R"(, "chunk": "wide")")); }),
              IsError(ErrorKind::kConfig, "\"chunk\" has the wrong type"));
  for (const char* text : {"", "[]", "{", "3"}) {
    EXPECT_THAT(error_of([&] { static_cast<void>(parse_table_options(text)); }),
                IsError(ErrorKind::kConfig, "JSON object"))
        << text;
  }
}

// What Python hands over may be anything that it could write as JSON.
TEST(TableOptions, NumbersOutOfRangeDeepAndForeignTextAreTypedErrors) {
  for (const char* more : {R"(, "chunk": 4.7)", R"(, "chunk": 4294967300)", R"(, "chunk": true)",
                           R"(, "seed": -1)", R"(, "decay": true)", R"(, "method": 5)"}) {
    EXPECT_THAT(error_of([&] { static_cast<void>(parsed(more)); }),
                IsError(ErrorKind::kConfig, "has the wrong type"))
        << more;
  }
  for (const char* tables : {"[3]", "{\"a\": 1}", "[{}]", R"([{"name": 4}])", "7",
                             R"([{"name": "a", "distinct_ids": 1e3}])"}) {
    EXPECT_THAT(error_of([&] {
                  static_cast<void>(parse_table_options(concat("{\"tables\": ", tables, "}")));
                }),
                IsError(ErrorKind::kConfig, "option \"tables\" has the wrong type"))
        << tables;
  }
  const std::string deep = std::string(200000, '[') + std::string(200000, ']');
  for (const std::string& more :
       {", \"chunk\": " + deep, ", \"budget\": " + deep, std::string(", \"method\": \"\xff\"")}) {
    EXPECT_THAT(error_of([&] { static_cast<void>(parsed(more)); }),
                IsError(ErrorKind::kConfig, "JSON object"));
  }
}

TEST(TableOptions, AreWrittenSoThatTheyAreReadAgain) {
  const embedding::Options given = parsed(
      R"(, "budget": "100 KiB", "value_type": "bf16", "learning_rate": 0.1234567890123,
         "optimizer": "adam", "seed": 18446744073709551615, "cold_share": 0.25)");
  const std::string text = table_options_text(given);
  const embedding::Options read = parse_table_options(text);
  EXPECT_EQ(table_options_text(read), text);
  EXPECT_EQ(read.tables[0].distinct_ids, 1000);
  EXPECT_EQ(read.tables[1].name, "item");
  EXPECT_EQ(read.budget, given.budget);
  EXPECT_EQ(read.learning_rate, 0.1234567890123);
  EXPECT_EQ(read.seed, 18446744073709551615U);
  EXPECT_EQ(read.cold_share, 0.25);
  EXPECT_EQ(read.value_type, embedding::ValueType::kBFloat16);
}

}  // namespace
}  // namespace taut::nn
