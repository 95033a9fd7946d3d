#include "taut/infer/engine.h"

#include <gtest/gtest.h>

#include <array>

#include "infer/blocked_kernels.h"
#include "infer/engine_support.h"
#include "infer/plain_pass.h"
#include "infer/small_network.h"
#include "support/error_matchers.h"
#include "taut/core/error.h"
#include "taut/infer/model.h"

namespace taut::infer {
namespace {

using graph::Op;
using graph::Shape;
using graph::Window;
using sparsity::Score;
using sparsity::Unit;
using test::error_of;
using test::IsError;
using test_support::expect_plain;
using test_support::kBatch;
using test_support::PlainPass;
using test_support::predicted;
using test_support::SmallNetwork;

// Tables whose row of id i holds 0.25 * (i + 1), 0.25 * (i + 2), ... plus the table's number.
class CountingTables final : public embedding::FrozenEmbedding {
 public:
  CountingTables(std::int64_t tables, int dim) : tables_(tables), dim_(dim) {}
  [[nodiscard]] int dim() const noexcept override { return dim_; }
  [[nodiscard]] std::int64_t tables() const noexcept override { return tables_; }
  void lookup(std::span<const embedding::JaggedIds> ids, std::int64_t batch,
              std::span<float> out) const override {
    auto to = out.begin();
    for (std::int64_t b = 0; b < batch; ++b) {
      for (std::size_t t = 0; t < ids.size(); ++t) {
        for (int k = 0; k < dim_; ++k) {
          *to++ = value(t, ids[t].ids[static_cast<std::size_t>(b)], k);
        }
      }
    }
  }
  void read_rows(std::size_t, std::span<const std::uint64_t>, embedding::Rows&) const override {}

  static float value(std::size_t table, std::uint64_t id, int k) {
    return 0.25f * static_cast<float>(id + 1 + static_cast<std::uint64_t>(k)) -
           static_cast<float>(table);
  }

 private:
  std::int64_t tables_;
  int dim_;
};

constexpr double kRounding = 1e-5;  // of sums of at most a few hundred floats

TEST(Engine, ConvolvesEveryWindowGroupAndOddSize) {
  struct Case {
    Shape in;
    std::int64_t channels;
    Window window;
    std::int64_t groups;
  };
  const std::vector<Case> cases = {
      {{.channels = 1, .height = 1, .width = 1}, 1, {1, 1, 0}, 1},
      {{.channels = 1, .height = 1, .width = 1}, 3, {3, 1, 1}, 1},
      {{.channels = 3, .height = 7, .width = 5}, 17, {3, 1, 1}, 1},
      {{.channels = 3, .height = 7, .width = 5}, 4, {3, 2, 1}, 1},
      {{.channels = 5, .height = 6, .width = 9}, 8, {1, 1, 0}, 1},
      {{.channels = 5, .height = 6, .width = 9}, 2, {1, 2, 0}, 1},
      {{.channels = 2, .height = 11, .width = 12}, 3, {5, 3, 4}, 1},
      {{.channels = 4, .height = 5, .width = 5}, 6, {3, 1, 1}, 2},
      {{.channels = 6, .height = 4, .width = 3}, 3, {2, 1, 1}, 3},
      {{.channels = 5, .height = 8, .width = 6}, 5, {3, 2, 1}, 5},  // depthwise
      {{.channels = 17, .height = 3, .width = 3}, 17, {3, 1, 2}, 17},
      {{.channels = 3, .height = 5, .width = 5}, 6, {3, 1, 1}, 3},  // two outputs a group
      {{.channels = 4, .height = 5, .width = 5}, 4, {1, 1, 0}, 2},
      {{.channels = 2, .height = 20, .width = 20}, 3, {20, 1, 0}, 1},
      {{.channels = 130, .height = 9, .width = 9}, 5, {3, 1, 1}, 1},  // several blocks of columns
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    for (const bool bias : {false, true}) {
      SCOPED_TRACE(testing::Message() << "case " << i << ", bias " << bias);
      SmallNetwork small(cases[i].in, i + 1);
      small.conv(cases[i].channels, cases[i].window, cases[i].groups, bias);
      expect_plain(small, kRounding);
    }
  }
}

TEST(Engine, ComputesLinearLayersOnFeaturesAndOnEachPosition) {
  for (const Shape& in : {Shape{.channels = 1}, Shape{.channels = 33},
                          Shape{.channels = 7, .height = 3, .width = 1}}) {
    for (const bool bias : {false, true}) {
      SmallNetwork small(in);
      small.linear(9, bias);
      expect_plain(small, kRounding);
    }
  }
}

TEST(Engine, NormalizesRectifiesAndAverages) {
  for (const Shape& in : {Shape{.channels = 1, .height = 1, .width = 1}, Shape{.channels = 6},
                          Shape{.channels = 5, .height = 3, .width = 7}}) {
    for (const Op op : {Op::kBatchNorm, Op::kRelu, Op::kRelu6}) {
      SCOPED_TRACE(to_string(op));
      SmallNetwork small(in);
      small.same(op);
      expect_plain(small, kRounding);
    }
    SmallNetwork small(in);
    small.to(Op::kGlobalMean, {.channels = in.channels});
    expect_plain(small, kRounding);
  }
}

TEST(Engine, ClipsAtSix) {
  SmallNetwork small({.channels = 3});
  small.same(Op::kRelu6);
  EXPECT_EQ(predicted(small.network, {-1, 5, 7}, 1), (std::vector<float>{0, 5, 6}));
}

TEST(Engine, TakesMaximaOfWindowsThatReachOverTheBorder) {
  for (const Window window : {Window{2, 2, 0}, Window{3, 2, 1}, Window{3, 1, 1}, Window{1, 2, 0},
                              Window{5, 5, 2}, Window{4, 3, 3}}) {
    SmallNetwork small({.channels = 3, .height = 7, .width = 6});
    small.pool(window);
    expect_plain(small, 0);
  }
  // Zeros beside the image must not win over negative values.
  SmallNetwork small({.channels = 1, .height = 1, .width = 1});
  small.pool({3, 1, 1});
  EXPECT_EQ(predicted(small.network, {-2}, 1), (std::vector<float>{-2}));
}

TEST(Engine, FlattensChannelByChannel) {
  SmallNetwork small({.channels = 3, .height = 2, .width = 4});
  small.flatten();
  small.linear(5);
  expect_plain(small, kRounding);
}

TEST(Engine, AddsAndJoinsLayersThatAreReadAgainLater) {
  SmallNetwork small({.channels = 4, .height = 5, .width = 3});
  const int a = small.conv(6, {3, 1, 1});
  const int b = small.same(Op::kRelu, {a});
  const int c = small.conv(6, {1, 1, 0}, 1, true, b);
  const int twice = small.same(Op::kAdd, {a, a, c});
  const int sum = small.same(Op::kAdd, {twice, b});
  const int joined = small.to(Op::kConcat, {.channels = 22, .height = 5, .width = 3},
                              {sum, SmallNetwork::kNetworkInputLayer, b, a});
  small.conv(3, {3, 2, 1}, 1, true, joined);
  small.same(Op::kAdd, {SmallNetwork::kLast, SmallNetwork::kLast});
  expect_plain(small, kRounding);
}

TEST(Engine, GivesTheOutputOfItsLastLayerThoughOthersReadNothingOfIt) {
  SmallNetwork small({.channels = 3});
  const int a = small.linear(4);
  small.linear(2, true, a);  // read by nobody
  small.same(Op::kRelu, {a});
  expect_plain(small, kRounding);
}

struct WinnersCase {
  Unit unit;
  Score score;
  double rate;
};

TEST(Engine, ChoosesTheWinnersOfEveryUnit) {
  for (const WinnersCase& one :
       std::vector<WinnersCase>{{Unit::kPosition, Score::kMeanMagnitude, 0.3},
                                {Unit::kPosition, Score::kMeanMagnitude, 1.0},
                                {Unit::kElement, Score::kMeanMagnitude, 0.1},
                                {Unit::kChannel, Score::kMeanMagnitude, 0.5},
                                {Unit::kChannel, Score::kMaxMagnitude, 0.25},
                                {Unit::kChannel, Score::kMeanSquare, 0.5},
                                {Unit::kBlock, Score::kMeanMagnitude, 0.34},
                                {Unit::kBlock, Score::kMeanSquare, 0.5}}) {
    SCOPED_TRACE(testing::Message() << to_string(one.unit) << " " << one.rate);
    SmallNetwork small({.channels = 2, .height = 5, .width = 4});
    small.use_whole_numbers();  // exact sums: the very same values must win, ties too
    small.network.winners.unit = one.unit;
    small.network.winners.score = one.score;
    small.network.winners.block = 4;
    small.conv(12, {3, 1, 1});
    small.same(Op::kRelu);
    small.choose_winners(one.rate);
    small.pool({2, 2, 0});
    small.flatten();
    small.linear(8);
    small.choose_winners(one.rate);  // features: neurons, or blocks of them
    expect_plain(small, 0);
  }
}

TEST(Engine, LeavesOutMapsThatArePrunedForAll) {
  SmallNetwork small({.channels = 2, .height = 3, .width = 3});
  small.use_whole_numbers();
  small.conv(4, {3, 1, 1});
  small.choose_winners(0.5);
  small.keep_maps({1, 0, 1, 0});
  expect_plain(small, 0);
}

TEST(Engine, RoundsToCodesAsTrainingDoes) {
  for (const bool is_unsigned : {false, true}) {
    for (const float scale : {0.5f, 0.013f}) {
      SmallNetwork small({.channels = 3, .height = 6, .width = 5});
      small.conv(4, {3, 1, 1});
      small.quantize(scale, is_unsigned);
      small.flatten();
      small.linear(6);
      small.quantize(scale, false);
      // A sum that falls on the border of two codes may round to the other in float: one step of
      // the second layer's inputs, which the values here do not meet.
      expect_plain(small, 2e-5);
    }
  }
  SmallNetwork halves({.channels = 1});
  halves.linear(1, false);
  halves.quantize(1.0f, false);
  const float weight = predicted(halves.network, {1}, 1)[0];
  EXPECT_EQ(predicted(halves.network, {0.5f}, 1)[0], 0);  // halves to even
  EXPECT_EQ(predicted(halves.network, {1.5f}, 1)[0], 2 * weight);
  EXPECT_EQ(predicted(halves.network, {-1e9f}, 1)[0], -127 * weight);
}

TEST(Engine, KeepsLargeLayersInCodesWithTheBitsOfTheirWeights) {
  constexpr std::int64_t kSide = 520;  // more weights than a core's cache holds
  SmallNetwork codes({.channels = kSide});
  codes.linear(kSide);
  codes.quantize(0.02f, false);
  SmallNetwork decoded({.channels = kSide});
  decoded.linear(kSide);
  const LayerValues& values = codes.network.values[0];
  std::vector<float> weight;
  for (std::size_t i = 0; i < values.codes.size(); ++i) {
    weight.push_back(static_cast<float>(values.codes[i]) * values.code_scales[i / kSide]);
  }
  decoded.network.values[0].weight = weight;
  decoded.network.values[0].bias = values.bias;
  decoded.network.values[0].input_scale = values.input_scale;
  for (const std::int64_t batch : {1, 3, 7}) {
    const std::vector<float> x = codes.random_input(batch);
    EXPECT_EQ(predicted(codes.network, x, batch, 2), predicted(decoded.network, x, batch));
  }
  const Engine engine(codes.network);
  ThreadPool pool(1);
  const std::vector<float> x = codes.random_input(1);
  // A byte a weight, of outputs in whole vectors.
  EXPECT_LE(engine.measure({.batch = 1, .values = x}, 1, pool).weight_bytes, kSide * (kSide + 64));
}

TEST(Engine, InfiniteScalesOfCodesReachZerosAsTheirWeightsDo) {
  SmallNetwork small({.channels = 520});
  small.linear(520);
  small.quantize(1.0f, false);
  std::vector<float> scales(520, 1.0f);
  scales[3] = INFINITY;
  small.network.values[0].code_scales = scales;
  const std::vector<float> got = predicted(small.network, std::vector<float>(520), 1);
  EXPECT_TRUE(std::isnan(got[3]));
  EXPECT_EQ(got[4], small.network.values[0].bias[4]);
}

TEST(Engine, RoundsWeightsOfLinearLayersToBfloatsWhenAskedTo) {
  SmallNetwork small({.channels = 3, .height = 4, .width = 5});
  small.conv(20, {3, 1, 1});
  small.same(Op::kRelu, {SmallNetwork::kLast});
  small.flatten();
  small.linear(37);
  small.linear(2);
  const std::vector<float> x = small.random_input(kBatch);
  const Engine engine(small.network, nullptr, {.weights = WeightType::kBfloat16});
  ThreadPool pool(2);
  std::vector<float> got(kBatch * 2);
  engine.predict({.batch = kBatch, .values = x}, got, pool);
  const std::vector<float> exact = predicted(small.network, x, kBatch);
  EXPECT_NE(got, exact);
  std::vector<std::vector<float>> rounded;
  for (graph::LayerValues& values : small.network.values) {
    if (values.weight.size() < 2 * 37) continue;
    if (&values == small.network.values.data()) continue;  // the convolution
    std::vector<float>& weight = rounded.emplace_back(values.weight.begin(), values.weight.end());
    for (float& w : weight) w = nearest_bfloat16(w);
    values.weight = weight;
  }
  ASSERT_EQ(rounded.size(), 2U);
  EXPECT_EQ(predicted(small.network, x, kBatch), got);
}

// A recommender of both kinds: everything that reads tables.
void add_recommender(SmallNetwork& small) {
  const int bottom = small.same(Op::kRelu, {small.linear(4)});
  small.choose_winners(0.5);
  const int rows = small.embedding(3, 4);
  const int dots = small.interaction({bottom, rows}, 2);
  const int flat = small.flatten(rows);
  const int joined = small.to(Op::kConcat, {.channels = 6 + 8 + 12}, {dots, flat});
  const int deep = small.linear(1, true, joined);
  const int first = small.to(Op::kFirstValues, {.channels = 1}, {rows});
  const int wide = small.linear(1, false, SmallNetwork::kNetworkInputLayer);
  small.same(Op::kAdd, {deep, first, wide});
}

TEST(Engine, ComputesRecommenders) {
  SmallNetwork small({.channels = 5});
  add_recommender(small);
  ASSERT_EQ(graph::wrong_layer(small.network), std::nullopt);
  const CountingTables tables(3, 4);
  const std::array<std::vector<std::uint64_t>, 3> columns = {
      {{1, 0, 4, 2, 2}, {3, 3, 0, 1, 8}, {7, 5, 2, 0, 1}}};
  std::vector<embedding::JaggedIds> ids;
  for (const auto& column : columns) ids.push_back({.ids = column, .offsets = {}, .weights = {}});
  const std::vector<float> x = small.random_input(kBatch);
  const std::vector<float> got = predicted(small.network, x, kBatch, 2, &tables, ids);
  for (std::size_t b = 0; b < kBatch; ++b) {
    std::vector<float> rows;
    for (std::size_t t = 0; t < 3; ++t) {
      for (int k = 0; k < 4; ++k) rows.push_back(CountingTables::value(t, columns[t][b], k));
    }
    EXPECT_NEAR(got[b], PlainPass(small.network, x.data() + b * 5, rows.data()).run()[0], 2e-5);
  }
  const auto no_ids = error_of([&] { predicted(small.network, x, kBatch, 1, &tables, {}); });
  EXPECT_THAT(no_ids, IsError(ErrorKind::kInvalidArgument, "size of ids must be 3, got 0"));
  EXPECT_THAT(error_of([&] { const Engine engine(small.network); }),
              IsError(ErrorKind::kInvalidArgument, "tables must be 3, got 0"));
}

TEST(Engine, ReadsTablesAloneWithoutOtherInput) {
  SmallNetwork small({.channels = 0});
  const int rows = small.embedding(2, 3);
  small.interaction({rows}, 2);
  small.linear(1);
  const CountingTables tables(2, 3);
  const std::vector<std::uint64_t> column = {4};
  const std::vector<embedding::JaggedIds> ids(2, {.ids = column, .offsets = {}, .weights = {}});
  const float got = predicted(small.network, {}, 1, 1, &tables, ids)[0];
  std::vector<float> pooled;
  for (std::size_t t = 0; t < 2; ++t) {
    for (int k = 0; k < 3; ++k) pooled.push_back(CountingTables::value(t, 4, k));
  }
  EXPECT_NEAR(got, PlainPass(small.network, nullptr, pooled.data()).run()[0], 1e-5);
}

TEST(Engine, GivesTheSameBitsForAnyThreadsAndAnyCutIntoBatches) {
  SmallNetwork small({.channels = 3, .height = 9, .width = 7});
  small.conv(8, {3, 2, 1});
  small.same(Op::kBatchNorm);
  small.same(Op::kRelu);
  small.choose_winners(0.4);
  small.conv(8, {3, 1, 1}, 8);
  small.flatten();
  small.linear(5);
  constexpr std::int64_t kMany = 700;  // several pieces
  const std::vector<float> x = small.random_input(kMany);
  const std::vector<float> wanted = predicted(small.network, x, kMany, 1);
  for (const int threads : {2, 3, 7}) {
    EXPECT_EQ(predicted(small.network, x, kMany, threads), wanted) << threads;
  }
  for (const std::int64_t cut : {1, 9, 256, 699}) {
    std::vector<float> got;
    const std::int64_t size = small.network.input.size();
    for (std::int64_t begin = 0; begin < kMany; begin += cut) {
      const std::int64_t end = std::min(kMany, begin + cut);
      const std::vector<float> part(x.begin() + begin * size, x.begin() + end * size);
      const std::vector<float> logits = predicted(small.network, part, end - begin, 2);
      got.insert(got.end(), logits.begin(), logits.end());
    }
    EXPECT_EQ(got, wanted) << cut;
  }
}

// Layers that are worth several threads: strips, blocks of outputs, rows of windows and examples.
TEST(Engine, GivesTheSameBitsHoweverLargeLayersAreSpread) {
  SmallNetwork small({.channels = 32, .height = 40, .width = 40});
  small.conv(160, {3, 1, 1});  // several strips
  small.same(Op::kRelu);
  small.choose_winners(0.4);
  small.conv(160, {5, 1, 2}, 160);
  small.conv(200, {3, 4, 1});  // one strip of several blocks
  small.same(Op::kRelu);
  small.flatten();
  small.linear(300);
  constexpr std::int64_t kMany = 4;
  const std::vector<float> x = small.random_input(kMany);
  const std::vector<float> wanted = predicted(small.network, x, kMany, 1);
  for (const int threads : {2, 5}) {
    EXPECT_EQ(predicted(small.network, x, kMany, threads), wanted) << threads;
  }
  const std::int64_t size = small.network.input.size();
  const std::vector<float> first(x.begin(), x.begin() + size);
  const std::vector<float> logits = predicted(small.network, first, 1, 3);
  EXPECT_TRUE(std::equal(logits.begin(), logits.end(), wanted.begin()));
}

TEST(Engine, NamesSizesThatDiffer) {
  SmallNetwork small({.channels = 3});
  small.linear(2);
  const Engine engine(small.network);
  ThreadPool pool(1);
  const std::vector<float> x(6);
  std::vector<float> logits(4);
  const auto failed = [&](const Inputs& inputs, std::span<float> out) {
    return error_of([&] { engine.predict(inputs, out, pool); });
  };
  EXPECT_THAT(failed({.batch = 3, .values = x}, logits),
              IsError(ErrorKind::kInvalidArgument, "size of values must be 9, got 6"));
  EXPECT_THAT(failed({.batch = 2, .values = x}, std::span(logits).first(3)),
              IsError(ErrorKind::kInvalidArgument, "size of logits must be 4, got 3"));
  EXPECT_THAT(failed({.batch = -1, .values = x}, logits),
              IsError(ErrorKind::kInvalidArgument, "batch must be 0 or more, got -1"));
  engine.predict({.batch = 0, .values = {}}, {}, pool);
}

TEST(Engine, RefusesWhatItCannotCompute) {
  SmallNetwork huge({.channels = 1, .height = 1 << 17, .width = 1 << 17});
  huge.same(Op::kRelu);
  EXPECT_THAT(error_of([&] { const Engine engine(huge.network); }),
              IsError(ErrorKind::kUnsupported, "results for one example"));
  // Windows as large as the image: the columns of a row alone would take 2^31 floats.
  SmallNetwork windows({.channels = 1, .height = 1 << 9, .width = 1 << 9});
  windows.conv(1, {1 << 9, 1, 1 << 8});
  windows.network.layers[0].out.width = 1 << 13;
  EXPECT_THAT(error_of([&] { const Engine engine(windows.network); }),
              IsError(ErrorKind::kUnsupported, "results for one example"));
}

TEST(Engine, PassesOnWhatIsNoNumber) {
  SmallNetwork small({.channels = 1, .height = 2, .width = 2});
  small.same(Op::kRelu);
  small.pool({2, 2, 0});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(predicted(small.network, {1, nan, 3, 2}, 1)[0]));
}

TEST(Probabilities, AreASigmoidOfOneLogitAndASoftmaxOfSeveral) {
  std::vector<float> one = {0, 100, -100, 2};
  to_probabilities(1, one);
  EXPECT_FLOAT_EQ(one[0], 0.5f);
  EXPECT_FLOAT_EQ(one[1], 1.0f);
  EXPECT_FLOAT_EQ(one[3], 1 / (1 + std::exp(-2.0f)));
  std::vector<float> several = {1, 2, 3, 1000, 1000, -1000};
  to_probabilities(3, several);
  EXPECT_FLOAT_EQ(several[0] + several[1] + several[2], 1);
  EXPECT_FLOAT_EQ(several[2] / several[1], std::exp(1.0f));
  EXPECT_EQ(several[3], 0.5f);
  EXPECT_EQ(several[5], 0);
}

}  // namespace
}  // namespace taut::infer
