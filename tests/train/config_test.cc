#include "taut/train/config.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/train/recommender.h"

namespace taut::train {
namespace {

constexpr const char* kGood = R"(
[data]
train = ["a.parquet", "/abs/b.parquet"]
label = "y"
categorical = ["c"]
[embedding]
budget = "1/10"
dim = 32
value_type = "bf16"
[train]
checkpoint_every = "5m"
)";

RecommenderConfig parse(const std::string& text, const std::vector<std::string>& settings = {}) {
  return parse_recommender_config(text, "/base", "test.toml", settings);
}

std::string message_of(const std::string& text, const std::vector<std::string>& settings = {}) {
  try {
    parse(text, settings);
  } catch (const Error& failed) {
    EXPECT_EQ(exit_code(failed.kind()), 2);
    return failed.what();
  }
  return "no error";
}

TEST(Config, ReadsValuesAndMakesPathsAbsolute) {
  const RecommenderConfig config = parse(kGood);
  EXPECT_EQ(config.data.train, (std::vector<std::string>{"/base/a.parquet", "/abs/b.parquet"}));
  EXPECT_EQ(config.embedding.dim, 32);
  EXPECT_EQ(config.embedding.value_type, embedding::ValueType::kBFloat16);
  EXPECT_DOUBLE_EQ(std::get<Ratio>(config.budget).value, 0.1);
  EXPECT_DOUBLE_EQ(config.train.checkpoint_every.seconds, 300);
  EXPECT_EQ(config.train.checkpoint_every.steps, 0);
}

TEST(Config, ReadsBackWhatItWrites) {
  const RecommenderConfig config =
      parse(kGood, {"train.learning_rate=0.1", "embedding.budget=16MiB", "model.top=[7, 3]",
                    "train.checkpoint_every=250", "data.scaling=log", "model.winner_rate=0.3"});
  const std::string text = config.to_toml();
  const RecommenderConfig again = parse_recommender_config(text, "/elsewhere", "again.toml", {});
  EXPECT_EQ(again.to_toml(), text);
  EXPECT_EQ(std::get<Bytes>(again.budget).count, 16 << 20);
  EXPECT_EQ(again.model.top, (std::vector<std::int64_t>{7, 3}));
  EXPECT_EQ(again.train.checkpoint_every.steps, 250);
  EXPECT_EQ(again.model.winner_rate, 0.3);
}

TEST(Config, ReadsHowTheDenseHalfIsComputed) {
  EXPECT_FALSE(parse(kGood).model.bf16);
  EXPECT_EQ(parse(kGood).model.products, "auto");
  const RecommenderConfig config = parse(kGood, {"train.bf16=true", "train.products=onednn"});
  EXPECT_TRUE(config.model.bf16);
  EXPECT_EQ(config.model.products, "onednn");
  EXPECT_EQ(parse_recommender_config(config.to_toml(), "/", "again.toml", {}).to_toml(),
            config.to_toml());
  EXPECT_NE(message_of(kGood, {"train.bf16=1"}).find("train.bf16"), std::string::npos);
}

// At least eight pieces where that leaves each 32 examples, whatever the last one has.
TEST(Config, CutsBatchesByTheirSizeAlone) {
  constexpr BatchPiece kAuto;
  for (std::int64_t batch = 1; batch < 10'000; ++batch) {
    const std::int64_t piece = kAuto.of(batch);
    ASSERT_TRUE(piece >= std::min<std::int64_t>(32, batch) && piece <= 512) << batch;
    const std::int64_t pieces = (batch + piece - 1) / piece;
    if (batch > 4096) {
      ASSERT_EQ(piece, 512) << batch;
    } else if (batch > 224) {
      ASSERT_EQ(pieces, 8) << batch;
    } else {
      ASSERT_EQ(piece, std::min<std::int64_t>(32, batch)) << batch;
    }
  }
  EXPECT_EQ(kAuto.of(2048), 256);
  EXPECT_EQ(kAuto.of(2049), 257);
  EXPECT_EQ(kAuto.of(std::int64_t{1} << 24), 512);
  EXPECT_EQ(BatchPiece{.given = 700}.of(2048), 700);
  EXPECT_EQ(BatchPiece{.given = 700}.of(64), 64);
  EXPECT_EQ(BatchPiece{.given = 0}.of(2048), 0);
}

TEST(Config, ReadsWhatAPieceIs) {
  const auto piece_of = [](const std::vector<std::string>& settings) {
    return parse(kGood, settings).piece_size();
  };
  EXPECT_EQ(piece_of({}), 256);
  EXPECT_EQ(piece_of({"train.batch_size=1000"}), 125);
  EXPECT_EQ(piece_of({"train.piece=40"}), 40);
  EXPECT_EQ(piece_of({"train.piece=40", "train.piece=auto"}), 256);
  EXPECT_EQ(piece_of({"train.piece=0", "train.batch_size=64"}), 0);
  EXPECT_EQ(piece_of({"train.piece=9223372036854775807"}), 2048);
  EXPECT_EQ(message_of(kGood, {"train.piece=-1"}),
            "train.piece must be 0 or more examples, got -1, test.toml");
  for (const char* wrong : {"0.5", "true", "\"all\"", "[512]"}) {
    const std::string message = message_of(kGood, {concat("train.piece=", wrong)});
    EXPECT_NE(message.find("wanted examples (256) or \"auto\", got "), std::string::npos)
        << message;
    EXPECT_NE(message.find("--set train.piece"), std::string::npos) << message;
  }
}

// So that a run is resumed in its own pieces, or not at all.
TEST(Config, WritesThePieceThatItUses) {
  const RecommenderConfig config = parse(kGood, {"train.batch_size=1000"});
  EXPECT_FALSE(config.piece.given.has_value());
  EXPECT_NE(config.to_toml().find("\npiece = 125\n"), std::string::npos);
  const auto smaller = config.with(std::vector<std::string>{"train.batch_size=400"});
  EXPECT_NE(smaller->to_toml().find("\npiece = 50\n"), std::string::npos);
  EXPECT_NE(parse(kGood, {"train.piece=0"}).to_toml().find("\npiece = 0\n"), std::string::npos);
}

TEST(Config, LaterSettingsWin) {
  EXPECT_EQ(parse(kGood, {"train.epochs=2", "train.epochs=3"}).train.epochs, 3);
}

TEST(Config, ExpandsEnvironmentVariablesInPaths) {
  setenv("TAUT_TEST_DIR", "/data", 1);
  const RecommenderConfig config = parse(kGood, {"data.train=${TAUT_TEST_DIR}/x.parquet"});
  EXPECT_EQ(config.data.train, (std::vector<std::string>{"/data/x.parquet"}));
  unsetenv("TAUT_TEST_DIR");
  EXPECT_EQ(message_of(kGood, {"data.train=${TAUT_TEST_DIR}/x.parquet"}),
            "the environment variable TAUT_TEST_DIR is not set, --set data.train, run again with "
            "TAUT_TEST_DIR=DIRECTORY");
}

// A value stands as it is, even if it looks like a variable, its own name included.
TEST(Config, DoesNotExpandTheValuesOfVariables) {
  setenv("TAUT_TEST_DIR", "/data/${TAUT_TEST_DIR}", 1);
  setenv("TAUT_TEST_OTHER", "${TAUT_TEST_NONE}", 1);
  const RecommenderConfig config =
      parse(kGood, {"data.train=${TAUT_TEST_DIR}/${TAUT_TEST_OTHER}/x.parquet"});
  EXPECT_EQ(config.data.train,
            (std::vector<std::string>{"/data/${TAUT_TEST_DIR}/${TAUT_TEST_NONE}/x.parquet"}));
  unsetenv("TAUT_TEST_DIR");
  unsetenv("TAUT_TEST_OTHER");
  EXPECT_EQ(message_of(kGood, {"data.train=${TAUT_TEST_DIR"}),
            "no closing brace in \"${TAUT_TEST_DIR\", --set data.train");
}

// Winners that never begin would leave a dense network without a word.
TEST(Config, RefusesWinnersThatBeginWithTheEnd) {
  EXPECT_EQ(message_of(kGood, {"model.winner_rate=0.5", "model.winner_from=1"}),
            "model.winner_from must be below train.epochs (1) for the winners of "
            "model.winner_rate to begin, got 1, test.toml");
  EXPECT_EQ(parse(kGood, {"model.winner_from=1"}).winners.from, 1);
  const std::vector<std::string> later = {"model.winner_rate=0.5", "model.winner_from=1",
                                          "train.epochs=2"};
  EXPECT_EQ(parse(kGood, later).winners.from, 1);
}

TEST(Config, IsReadByItsTask) {
  EXPECT_EQ(parse_config(kGood, "/base", "test.toml", {})->task(), "ctr");
  const auto images = parse_config("task = \"image\"\n[data]\ntrain = \"a\"\n", "/", "x.toml", {});
  EXPECT_EQ(images->task(), "image");
  EXPECT_EQ(images->train.epochs, 10);
  try {
    static_cast<void>(parse_config("\ntask = \"chess\"\n", "/", "x.toml", {}));
    FAIL();
  } catch (const Error& failed) {
    EXPECT_STREQ(failed.what(), "unknown task \"chess\", x.toml, line 2, use image or ctr");
  }
}

struct BadConfig {
  const char* name;
  const char* text;     // appended to the good config, or "" to use setting
  const char* setting;  // laid over it
  const char* message;  // part of the message
};

class BadConfigs : public testing::TestWithParam<BadConfig> {};

TEST_P(BadConfigs, AreNamedWithPlaceAndMend) {
  const BadConfig& bad = GetParam();
  std::vector<std::string> settings;
  if (*bad.setting != 0) settings.emplace_back(bad.setting);
  const std::string message = message_of(std::string(kGood) + bad.text, settings);
  EXPECT_NE(message.find(bad.message), std::string::npos) << message;
}

INSTANTIATE_TEST_SUITE_P(
    Config, BadConfigs,
    testing::Values(
        BadConfig{"UnknownKey", "epoch = 3\n", "",
                  "unknown key \"train.epoch\", test.toml, line 12, did you mean train.epochs?"},
        BadConfig{"UnknownSection", "[trian]\nepochs = 1\n", "",
                  "unknown key \"trian.epochs\", test.toml, line 13, did you mean train.epochs?"},
        BadConfig{"KeyOutsideSections", "", "epochs=3", "not a setting: \"epochs=3\""},
        BadConfig{"UnknownSetting", "", "train.lr=3", "unknown key \"train.lr\", --set"},
        BadConfig{"Syntax", "epochs = = 1\n", "", "test.toml, line 12"},
        BadConfig{"WrongType", "epochs = \"three\"\n", "",
                  "wanted a whole number, got \"three\", test.toml, line 12, train.epochs"},
        BadConfig{"Fraction", "", "train.epochs=1.5",
                  "wanted a whole number, got 1.5, --set train.epochs"},
        BadConfig{"ZeroEpochs", "", "train.epochs=0", "train.epochs must be at least 1, got 0"},
        BadConfig{"EpochsWithoutEnd", "", "train.epochs=9223372036854775807",
                  "train.epochs must be at most 16777216, got 9223372036854775807"},
        BadConfig{"NegativeBatch", "", "train.batch_size=-1",
                  "train.batch_size must be in 1..16777216"},
        BadConfig{"ZeroWinnerRate", "", "model.winner_rate=0",
                  "model.winner_rate must be in (0, 1], got 0"},
        BadConfig{"WinnerRateAboveOne", "", "model.winner_rate=1.5",
                  "model.winner_rate must be in (0, 1], got 1.5"},
        BadConfig{"WinnersFromBeforeTheStart", "", "model.winner_from=-1",
                  "model.winner_from must be 0 or more epochs, got -1"},
        BadConfig{"NegativeRamp", "", "model.winner_ramp=-0.5",
                  "model.winner_ramp must be 0 or more epochs, got -0.5"},
        BadConfig{
            "WinnersAfterTheEnd", "", "model.winner_ramp=1.5",
            "model.winner_from + model.winner_ramp must be at most train.epochs (1), got 1.5"},
        BadConfig{"WinnerRateInWords", "", "model.winner_rate=few",
                  "wanted a number, got \"few\", --set model.winner_rate"},
        BadConfig{"BadBudget", "", "embedding.budget=16XB", "not a size in bytes: \"16XB\""},
        BadConfig{"BudgetAboveOne", "", "embedding.budget=\"3/2\"", "not a ratio: \"3/2\""},
        BadConfig{"BadEnum", "", "embedding.value_type=fp31", "did you mean fp32?"},
        BadConfig{"BadTime", "", "train.checkpoint_every=5x", "wanted steps (1000) or a time"},
        BadConfig{"EarlyStopWithoutValid", "", "train.early_stop=2", "data.valid must be given"},
        BadConfig{"NoTrainFiles", "", "data.train=[]", "data.train must be at least one file"},
        BadConfig{"NoLabel", "", "data.label=\"\"", "data.label must be the name of a column"}),
    [](const testing::TestParamInfo<BadConfig>& bad) { return bad.param.name; });

TEST(Config, MissingFileIsNamed) {
  try {
    static_cast<void>(load_config("/nowhere/x.toml", {}));
    FAIL();
  } catch (const Error& failed) {
    EXPECT_EQ(failed.kind(), ErrorKind::kNotFound);
    EXPECT_NE(std::string(failed.what()).find("/nowhere/x.toml"), std::string::npos);
  }
}

}  // namespace
}  // namespace taut::train
