// What taut init notices in data that is not clean, and what it writes because of it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <toml++/toml.h>

#include "init_files.h"

namespace taut::data {
namespace {

using namespace testing;  // NOLINT: helpers of these tests
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class CarefulInit : public InitFiles {
 protected:
  CarefulInit() : InitFiles(4000) {}

  static std::string user(int row) { return std::to_string(noise(row, 3) % 300); }
  static std::string price(int row) { return concat(static_cast<double>(noise(row, 4) % 999) / 8); }

  /// The price column with other cells in some rows.
  static Column price_but(const std::string& cell, int every) {
    return {"price", [=](int row) { return row % every == 7 ? cell : price(row); }};
  }

  static toml::table config_of(const SchemaGuess& guess) {
    return toml::parse(starter_config(guess));
  }
};

TEST_F(CarefulInit, AStrayCellLeavesAColumnDenseAndItsRowIsSkipped) {
  const std::string path =
      write("train.csv", {{"label", label}, {"user", user}, price_but("oops", 4000)});
  const SchemaGuess guess = guess_schema(path);
  EXPECT_THAT(guess.schema.dense, ElementsAre("price"));
  EXPECT_THAT(column(guess, "price").reason, HasSubstr("1 cell is no number, in row 8: \"oops\""));
  EXPECT_THAT(guess.warnings, Contains(HasSubstr("column price: 1 cell is no number")));
  EXPECT_EQ(config_of(guess)["data"]["on_bad_row"].value<std::string>(), "skip");
}

TEST_F(CarefulInit, CleanDataHasNoWarnings) {
  const SchemaGuess guess =
      guess_schema(write("train.csv", {{"label", label}, {"user", user}, {"price", price}}));
  EXPECT_THAT(guess.warnings, IsEmpty());
  EXPECT_EQ(config_of(guess)["data"]["on_bad_row"].value<std::string>(), "fail");
}

// Few or many of them: the config says what stands there, and no row is lost.
TEST_F(CarefulInit, MarksBetweenThousandsAreFound) {
  for (const auto& [cell, mark] :
       {std::pair{"\"1,234.5\"", ","}, {"1'234.5", "'"}, {"1_234.5", "_"}}) {
    for (const int every : {8, 1000}) {
      const std::string path =
          write("train.csv", {{"label", label}, {"user", user}, price_but(cell, every)});
      const SchemaGuess guess = guess_schema(path);
      EXPECT_THAT(guess.schema.dense, ElementsAre("price")) << cell;
      EXPECT_EQ(guess.text.thousands, mark);
      EXPECT_THAT(guess.warnings, IsEmpty());
      const toml::table config = config_of(guess);
      EXPECT_EQ(config["data"]["thousands"].value<std::string>(), mark);
      EXPECT_EQ(config["data"]["on_bad_row"].value<std::string>(), "fail");
      ReaderOptions options;
      options.files = {path};
      options.schema = guess.schema;
      set_text_options(guess.text, "", options);
      const Batch batch = read_all(options);
      EXPECT_EQ(batch.dense[7], 1234.5F);
      EXPECT_EQ(batch.size, 4000);
    }
  }
}

TEST_F(CarefulInit, ThousandsThatCannotBeToldAreTheReason) {
  const SchemaGuess spaces =
      guess_schema(write("spaces.csv", {{"label", label}, {"user", user}, price_but("1 234", 8)}));
  EXPECT_EQ(column(spaces, "price").role, GuessedRole::kSkipped);
  EXPECT_THAT(column(spaces, "price").reason,
              HasSubstr("500 cells have marks between thousands, the first in row 8: \"1 234\""));
  EXPECT_THAT(column(spaces, "price").reason, HasSubstr("or set data.thousands"));
  const std::string path =
      write("both.csv", {{"label", label}, {"user", user}, {"price", [](int row) {
                                                              return row % 9 == 0   ? "1'234"
                                                                     : row % 9 == 1 ? "\"5,678\""
                                                                                    : price(row);
                                                            }}});
  EXPECT_EQ(guess_schema(path).text.thousands, "");
  EXPECT_EQ(column(guess_schema(path), "price").role, GuessedRole::kSkipped);
  const SchemaGuess told = guess_schema(dir_.file("spaces.csv"), {.text = {.thousands = "space"}});
  EXPECT_THAT(told.schema.dense, ElementsAre("price"));
  EXPECT_EQ(config_of(told)["data"]["thousands"].value<std::string>(), "space");
}

TEST_F(CarefulInit, TextsAreNoNumbersWithStrays) {
  const SchemaGuess guess =
      guess_schema(write("train.csv", {{"label", label}, {"word", [](int row) {
                                                            return row % 3 == 0 ? std::string("7")
                                                                                : "w" + user(row);
                                                          }}}));
  EXPECT_THAT(guess.schema.categorical, ElementsAre("word"));
  EXPECT_THAT(guess.warnings, IsEmpty());
}

// Bought only where it was clicked; an amount that is there only then; seconds that are not 0.
TEST_F(CarefulInit, SecondOutcomesAreLeftOutWithAWarning) {
  const auto bought = [](int row) { return label(row) == "1" && noise(row, 8) % 4 == 0; };
  const std::string path = write(
      "train.csv", {{"click", label},
                    {"user", user},
                    {"conversion", [=](int row) { return std::string(bought(row) ? "1" : "0"); }},
                    {"paid", [=](int row) { return bought(row) ? price(row) : ""; }},
                    {"dwell", [=](int row) { return bought(row) ? "1" + price(row) : "0"; }},
                    {"price", price}});
  const SchemaGuess guess = guess_schema(path);
  EXPECT_EQ(guess.schema.label, "click");
  EXPECT_THAT(guess.schema.categorical, ElementsAre("user"));
  EXPECT_THAT(guess.schema.dense, ElementsAre("price"));
  EXPECT_THAT(column(guess, "conversion").reason,
              HasSubstr("known only after the fact: the value 1 goes with label 1"));
  for (const char* name : {"conversion", "paid", "dwell"}) {
    EXPECT_THAT(guess.warnings, Contains(HasSubstr(concat("column ", name, " is left out"))));
    EXPECT_TRUE(column(guess, name).tells_label);
  }
}

// The other way round: no conversion without a click.
TEST_F(CarefulInit, TheOutcomeThatComesFirstIsLeftOutToo) {
  const auto converted = [](int row) { return label(row) == "1" && noise(row, 8) % 3 == 0; };
  const std::string path = write(
      "train.csv", {{"clicked", label},
                    {"buys", [=](int row) { return std::string(converted(row) ? "1" : "0"); }},
                    {"user", user}});
  const SchemaGuess guess = guess_schema(path, {.label = "buys"});
  EXPECT_EQ(column(guess, "clicked").role, GuessedRole::kSkipped);
  EXPECT_THAT(column(guess, "clicked").reason, HasSubstr("the value 0 goes with label 0"));
}

TEST_F(CarefulInit, ChanceAndStrongInputsAreNoOutcomes) {
  const auto likely = [](int row) {  // tells much, and not all
    return std::string(label(row) == "1" && noise(row, 5) % 50 != 0 ? "1" : "0");
  };
  const auto rare = [](int row) { return std::string(row == 77 || row == 78 ? "1" : "0"); };
  const auto strong = [=](int row) { return noise(row, 6) % 10 == 0 ? "1" : likely(row); };
  const SchemaGuess guess = guess_schema(
      write("train.csv", {{"label", label}, {"rare", rare}, {"strong", strong}, {"user", user}}));
  EXPECT_THAT(guess.schema.categorical, ElementsAre("rare", "strong", "user"));
  for (const ColumnGuess& guessed : guess.columns) EXPECT_FALSE(guessed.tells_label);
}

TEST_F(CarefulInit, CriteosFormatSaysWhatIsDense) {
  std::string text;
  for (int row = 0; row < 1500; ++row) {
    text += label(row);
    for (int c = 1; c <= 13; ++c) text += "\t" + std::to_string(noise(row, 10 + c) % 20);
    for (int c = 1; c <= 26; ++c) text += concat("\t", std::hex, noise(row, 40 + c) % 50);
    text += "\n";
  }
  write_text(dir_.file("train.txt"), text);
  const SchemaGuess guess = guess_schema(dir_.file("train.txt"), {.format = "criteo"});
  EXPECT_EQ(guess.schema.label, "label");
  EXPECT_EQ(guess.schema.dense, criteo_schema().dense);
  EXPECT_EQ(guess.schema.categorical, criteo_schema().categorical);
}

TEST_F(CarefulInit, FilesBesideAreUsedOnlyWithTheirColumns) {
  const std::string path = write("train.csv", {{"label", label}, {"user", user}, {"price", price}});
  write("test.csv", {{"user", user}, {"price", price}}, 50);
  write("valid.csv", {{"label", label}, {"user", user}}, 50);
  const std::string text = starter_config(guess_schema(path));
  const toml::table config = toml::parse(text);
  EXPECT_EQ(config["data"]["test"].value<std::string>(), path + "[90%:100%]") << "no other";
  EXPECT_EQ(config["data"]["valid"].value<std::string>(), path + "[80%:90%]");
  EXPECT_THAT(text, HasSubstr("test.csv\" # no label: for predict"));
  EXPECT_THAT(text, HasSubstr("valid.csv\" # no column \"price\""));
  // A column of labels that are all empty is none either.
  write("test.csv", {{"label", [](int) { return ""; }}, {"user", user}, {"price", price}}, 50);
  EXPECT_THAT(starter_config(guess_schema(path)), HasSubstr("# no label: for predict"));
}

TEST_F(CarefulInit, FewRowsGetSmallBatchesMorePassesAndWholeTables) {
  const auto settings = [&](int rows) {
    const SchemaGuess guess = guess_schema(
        write("train.csv", {{"label", label}, {"user", user}, {"price", price}}, rows));
    EXPECT_NEAR(static_cast<double>(guess.rows), rows, 0.01 * rows);
    return std::pair(config_of(guess), starter_config(guess));
  };
  const auto [small, text] = settings(3000);
  const auto batch = small["train"]["batch_size"].value<std::int64_t>();
  const auto epochs = small["train"]["epochs"].value<std::int64_t>();
  EXPECT_GE(2400 / *batch * *epochs, 200) << "steps";
  EXPECT_EQ(small["embedding"]["budget"].value<std::string>(), "1/1");
  EXPECT_THAT(text, HasSubstr("small, since train has 2400 rows"));
  EXPECT_TRUE(small["train"]["early_stop"]) << "a part of the rows is there to stop by";
  const auto [large, other] = settings(300000);
  EXPECT_EQ(large["train"]["batch_size"].value<std::int64_t>(), 2048);
  EXPECT_EQ(large["train"]["epochs"].value<std::int64_t>(), 1);
  EXPECT_THAT(other, Not(HasSubstr("few rows")));
}

}  // namespace
}  // namespace taut::data
