// The guessed schema and the config that taut init writes.

#include "taut/data/init.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <toml++/toml.h>
#include <filesystem>

#include "init_files.h"

namespace taut::data {
namespace {

using namespace testing;  // NOLINT: helpers of these tests
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int kRows = 2000;

class InitTest : public InitFiles {
 protected:
  InitTest() : InitFiles(kRows) {}

  static std::string few(int row) { return std::to_string(noise(row, 2) % 12); }
  static std::string many(int row) { return std::to_string(noise(row, 3) % 700); }
  static std::string fraction(int row) {
    return concat(static_cast<double>(noise(row, 4) % 1000) / 8);
  }
};

TEST_F(InitTest, GuessesRolesFromNamesAndValues) {
  const std::string path = write(
      "x.csv",
      {{"row", [](int row) { return std::to_string(row); }},
       {"click", label},
       {"when", [](int row) { return std::to_string(1700000000 + 3 * (row / 2)); }},
       {"price", many},
       {"temperature", fraction},
       {"weekday", few},
       {"user", many},
       {"d_clicks", few},
       {"c_score", few},
       {"city", [](int row) { return "city" + few(row); }},
       {"genres", [](int row) { return few(row) + "|" + many(row); }},
       {"stars", [](int row) { return label(row) == "1" ? "5" : concat(1 + noise(row, 5) % 3); }},
       {"comment", [](int row) { return concat("text ", noise(row, 6)); }},
       {"version", [](int) { return std::string("2"); }},
       {"is_mobile",
        [](int row) { return noise(row, 7) % 2 == 0 ? std::string("true") : "false"; }}});
  const SchemaGuess guess = guess_schema(path);
  EXPECT_EQ(guess.sampled_rows, kRows);
  EXPECT_EQ(guess.format, "csv");
  EXPECT_EQ(guess.schema.label, "click");
  EXPECT_EQ(guess.schema.time, "when");
  EXPECT_THAT(guess.schema.dense, ElementsAre("price", "temperature", "d_clicks"));
  EXPECT_THAT(guess.schema.categorical,
              ElementsAre("weekday", "user", "c_score", "city", "genres", "is_mobile"));
  EXPECT_THAT(column(guess, "row").reason, HasSubstr("another value in every row"));
  EXPECT_THAT(column(guess, "comment").reason, HasSubstr("another value in every row"));
  EXPECT_THAT(column(guess, "stars").reason, HasSubstr("gives the label away"));
  EXPECT_THAT(column(guess, "version").reason, HasSubstr("the same value in every row"));
  EXPECT_THAT(column(guess, "user").reason, HasSubstr("different values"));
}

TEST_F(InitTest, ReadsParquetTypes) {
  const std::string path = dir_.file("x.parquet");
  write_parquet(
      path, *make_table({{"y", arrow::boolean(), "[true, false, true]"},
                         {"ts", arrow::timestamp(arrow::TimeUnit::SECOND), "[9, 3, 5]"},
                         {"a", arrow::float32(), "[1, 2, 5]"},
                         {"b", arrow::utf8(), R"(["p", "q", null])"},
                         {"l", arrow::list(arrow::int32()), "[[1], [2, 3], []]"},
                         {"f", arrow::list(arrow::float32()), "[[1], [2, 3], []]"},
                         {"m", arrow::map(arrow::utf8(), arrow::int32()), "[null, null, null]"}}));
  const SchemaGuess guess = guess_schema(path);
  EXPECT_EQ(guess.schema.label, "y");
  EXPECT_EQ(guess.schema.time, "ts");
  EXPECT_THAT(guess.schema.dense, ElementsAre("a"));
  EXPECT_THAT(guess.schema.categorical, ElementsAre("b", "l"));
  EXPECT_THAT(column(guess, "f").reason, HasSubstr("not read"));
}

TEST_F(InitTest, TheNamedTimeGoesBeforeOneThatOnlyAscends) {
  const std::string path =
      write("x.csv", {{"session", [](int row) { return std::to_string(3 * row); }},
                      {"y", label},
                      {"timestamp", many}});
  const SchemaGuess guess = guess_schema(path);
  EXPECT_EQ(guess.schema.time, "timestamp");
  EXPECT_EQ(column(guess, "session").role, GuessedRole::kSkipped);
}

TEST_F(InitTest, ChoosesTheLogarithmForLongTails) {
  const auto tail = [](int row) { return row == 7 ? std::string("90000.5") : fraction(row); };
  EXPECT_EQ(guess_schema(write("a.csv", {{"y", label}, {"d_x", tail}})).scaling, ScalingKind::kLog);
  EXPECT_EQ(guess_schema(write("b.csv", {{"y", label}, {"d_x", fraction}})).scaling,
            ScalingKind::kStandard);
}

TEST_F(InitTest, DoesWhatItIsTold) {
  const std::string path =
      write("x.csv", {{"y", label},
                      {"bought", [](int row) { return std::to_string(noise(row, 9) % 2); }},
                      {"user", many},
                      {"weekday", few}});
  const SchemaGuess guess = guess_schema(path, {.format = "csv", .label = "bought", .skip = {"y"}});
  EXPECT_EQ(guess.schema.label, "bought");
  EXPECT_THAT(guess.schema.categorical, ElementsAre("user", "weekday"));
  const auto [kind, message] = error_of([&] { (void)guess_schema(path, {.label = "boght"}); });
  EXPECT_EQ(kind, ErrorKind::kNotFound);
  EXPECT_THAT(message, HasSubstr("did you mean bought?"));
  EXPECT_THAT(error_of([&] { (void)guess_schema(path, {.label = "user"}); }).second,
              HasSubstr("cannot be the label"));
}

TEST_F(InitTest, SaysWhatToDoWithoutALabel) {
  const auto coin = [](int row) { return std::to_string(noise(row, 9) % 2); };
  const auto none = error_of([&] { (void)guess_schema(write("a.csv", {{"user", many}})); });
  EXPECT_EQ(none.first, ErrorKind::kData);
  EXPECT_THAT(none.second, HasSubstr("name the column with --label"));
  const auto two =
      error_of([&] { (void)guess_schema(write("b.csv", {{"p", coin}, {"q", label}})); });
  EXPECT_THAT(two.second, HasSubstr("several columns could be the label: p, q"));
  EXPECT_EQ(guess_schema(write("c.csv", {{"p", coin}, {"user", many}})).schema.label, "p");
}

TEST_F(InitTest, WritesAConfigWithTheFilesBesideIt) {
  const std::string path =
      write("train.csv", {{"y", label}, {"a \"b\"", fraction}, {"user", many}});
  const SchemaGuess guess = guess_schema(path);
  const toml::table alone =
      toml::parse(starter_config(guess, std::filesystem::path(path).parent_path()));
  EXPECT_EQ(alone["data"]["train"].value<std::string>(), "train.csv[0%:80%]");
  EXPECT_EQ(alone["data"]["valid"].value<std::string>(), "train.csv[80%:90%]");
  EXPECT_EQ(alone["data"]["test"].value<std::string>(), "train.csv[90%:100%]");
  write_text(dir_.file("val.csv"), "");
  write_text(dir_.file("test.csv"), "");
  const toml::table config = toml::parse(starter_config(guess));
  EXPECT_EQ(config["data"]["train"].value<std::string>(), path);
  EXPECT_EQ(config["data"]["valid"].value<std::string>(), dir_.file("val.csv"));
  EXPECT_EQ(config["data"]["test"].value<std::string>(), dir_.file("test.csv"));
  EXPECT_EQ(config["data"]["label"].value<std::string>(), "y");
  EXPECT_EQ(config["data"]["dense"][0].value<std::string>(), "a \"b\"");
  EXPECT_EQ(config["data"]["categorical"][0].value<std::string>(), "user");
  EXPECT_EQ(config["model"]["kind"].value<std::string>(), "dlrm");
  EXPECT_EQ(config["embedding"]["method"].value<std::string>(), "elastic");
}

TEST_F(InitTest, TakesAllNumberedTrainingFiles) {
  const std::string path = write("train-0.csv", {{"y", label}, {"user", many}});
  write("train-1.csv", {{"y", label}, {"user", many}});
  const toml::table config = toml::parse(starter_config(guess_schema(path)));
  EXPECT_EQ(config["data"]["train"].value<std::string>(), dir_.file("train-*.csv") + "[0%:80%]");
}

TEST_F(InitTest, CommentsStayCommentsWhateverTheNames) {
  const std::string path = dir_.file("x.parquet");
  write_parquet(path, *make_table({{"y", arrow::int8(), "[1, 0]"},
                                   {"evil\n[data]\nlabel = 1", arrow::int32(), "[1, 2]"}}));
  const SchemaGuess guess = guess_schema(path);
  const toml::table config = toml::parse(starter_config(guess));
  EXPECT_EQ(config["data"]["label"].value<std::string>(), "y");
  EXPECT_EQ(config["data"]["categorical"][0].value<std::string>(), "evil\n[data]\nlabel = 1");
}

}  // namespace
}  // namespace taut::data
