// Attention, and what stands around it in transformers, in whole networks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "infer/engine_support.h"
#include "infer/small_network.h"

namespace taut::infer {
namespace {

using graph::Arithmetic;
using graph::Function;
using graph::Op;
using test_support::expect_plain;
using test_support::expect_same_bits;
using test_support::predicted;
using test_support::SmallNetwork;

constexpr int kInput = SmallNetwork::kNetworkInputLayer;
constexpr float kInfinite = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// A block as BERT, GPT and ViT have it, norms first.
void add_block(SmallNetwork& small, int from, std::int64_t heads,
               const std::vector<float>& mask = {}) {
  const std::int64_t width = small.network.shape_of(from).channels;
  small.layer_norm(1e-5f, from);
  small.linear(3 * width);
  small.attention(heads, {SmallNetwork::kLast}, mask);
  const int middle = small.same(Op::kAdd, {small.linear(width), from});
  small.layer_norm(1e-5f);
  small.function({Function::kGelu}, small.linear(2 * width));
  small.same(Op::kAdd, {small.linear(width), middle});
}

TEST(AttentionLayers, QueriesKeysAndValuesOfOneLayer) {
  for (const std::int64_t heads : {1, 3}) {
    for (const std::int64_t width : {1, 5, 16}) {
      for (const std::int64_t tokens : {1, 7, 50}) {
        SCOPED_TRACE(testing::Message() << heads << " heads of " << width << ", " << tokens);
        SmallNetwork small({.channels = 3 * heads * width, .height = tokens});
        small.attention(heads, {kInput});
        expect_plain(small, 1e-5);
      }
    }
  }
}

TEST(AttentionLayers, QueriesOfOtherPositionsAndValuesOfAnotherWidth) {
  SmallNetwork small({.channels = 6, .height = 5, .width = 3});
  const int query = small.linear(8, true, small.rows(1, 2, kInput));
  const int key = small.linear(8, true, kInput);
  const int value = small.linear(12, true, kInput);
  small.attention(4, {query, key, value});
  expect_plain(small, 1e-5);
}

TEST(AttentionLayers, MasksForAllHeadsAndForEach) {
  constexpr std::int64_t kTokens = 9;
  constexpr std::int64_t kHeads = 2;
  for (const std::int64_t masks : {std::int64_t{1}, kHeads}) {
    for (const bool replaces : {false, true}) {
      SCOPED_TRACE(testing::Message() << masks << " masks, " << replaces);
      SmallNetwork small({.channels = 3 * kHeads * 5, .height = kTokens});
      std::vector<float> mask = small.numbers(static_cast<std::size_t>(masks * kTokens * kTokens));
      for (std::size_t i = 0; i < mask.size(); ++i) {
        const std::size_t row = i / kTokens % kTokens;
        if (i % kTokens > row) mask[i] = -kInfinite;
        if (replaces && i % kTokens < row) mask[i] = kNan;
      }
      small.attention(kHeads, {kInput}, mask, replaces);
      expect_plain(small, 1e-5);
    }
  }
}

TEST(AttentionLayers, BlocksBehindPatchesWithATokenOfTheClass) {
  SmallNetwork small({.channels = 3, .height = 12, .width = 8});
  const int patches = small.conv(24, {4, 4, 0});
  const int tokens = small.to(Op::kReshape, {24, 6, 1}, {patches});
  const int joined = small.stack({small.constant({24, 1, 1}), tokens});
  const int placed = small.combine(Arithmetic::kAdd, joined, small.constant({24, 7, 1}));
  add_block(small, placed, 4);
  add_block(small, static_cast<int>(small.network.layers.size()) - 1, 2);
  small.layer_norm(1e-6f);
  small.linear(5, true, small.rows(0, 1));
  expect_plain(small, 3e-5);  // twenty layers deep
}

TEST(AttentionLayers, SoftmaxOverChannelsInsideANetwork) {
  for (const std::int64_t channels : {1, 5, 16, 41}) {
    SmallNetwork small({.channels = 3, .height = 4, .width = 6});
    small.same(Op::kSoftmax, {small.conv(channels, {1, 1, 0})});
    small.to(Op::kReshape, {channels, 3, 8});
    small.conv(2, {3, 1, 1});
    expect_plain(small, 1e-5);
  }
}

TEST(AttentionLayers, GiveTheSameBitsForAnyThreadsAndBatch) {
  SmallNetwork small({.channels = 30, .height = 110});  // queries in pieces, where heads are few
  small.attention(1, {small.linear(60)});
  std::vector<float> mask(std::size_t{110} * 110, 0);
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (i % 110 > i / 110) mask[i] = -kInfinite;
  }
  add_block(small, small.linear(20), 5, mask);
  small.linear(3, true, small.rows(7, 100));
  constexpr std::int64_t kMany = 3;
  const std::vector<float> x = small.random_input(kMany);
  expect_same_bits(small.network, x, kMany);
}

// A weight of zero times what is no number is none: nothing behind a mask is left out.
TEST(AttentionLayers, WhatIsNoNumberIsPassedOnAsDefined) {
  SmallNetwork small({.channels = 6, .height = 3});
  const std::vector<float> later = {0, -kInfinite, -kInfinite, 0, 0, -kInfinite, 0, 0, 0};
  small.attention(1, {kInput}, later);
  const std::vector<float> x = small.random_input(1);
  for (const float odd : {kNan, kInfinite}) {
    std::vector<float> value = x;
    value[2 * 6 + 4] = odd;  // a value of the last token
    const std::vector<float> got = predicted(small.network, value, 1);
    EXPECT_TRUE(std::isnan(got[0])) << "of weight 0";
    EXPECT_TRUE(std::isfinite(got[1])) << "another channel";
    EXPECT_FALSE(std::isfinite(got[2 * 2]));
    std::vector<float> query = x;
    query[1 * 6 + 0] = odd;
    const std::vector<float> other = predicted(small.network, query, 1);
    EXPECT_TRUE(std::isfinite(other[0]) && std::isfinite(other[1])) << "another query's";
    EXPECT_TRUE(std::isnan(other[2]) && std::isnan(other[3]));
  }
}

TEST(AttentionLayers, AReplacedScoreMayBeNoNumber) {
  SmallNetwork small({.channels = 6, .height = 2});
  small.attention(1, {kInput}, {kNan, -kInfinite, kNan, kNan}, true);
  std::vector<float> x = small.random_input(1);
  x[6 + 2] = kNan;  // a key of the second token, which the first one does not see
  const std::vector<float> got = predicted(small.network, x, 1);
  EXPECT_EQ(got[0], x[4]);
  EXPECT_EQ(got[1], x[5]);
  EXPECT_TRUE(std::isnan(got[2]));
}

TEST(AttentionLayers, WeightsThatAreNoNumbersMayBeZero) {
  SmallNetwork small({.channels = 6, .height = 2});
  small.attention(1, {kInput}, {-kInfinite, -kInfinite, 0, 0});
  small.network.layers[0].nan_is_zero = true;
  expect_plain(small, 1e-5);
  const std::vector<float> x = small.random_input(1);
  const std::vector<float> got = predicted(small.network, x, 1);
  EXPECT_EQ(got[0], 0);
  EXPECT_EQ(got[1], 0);
  small.network.layers[0].nan_is_zero = false;
  EXPECT_TRUE(std::isnan(predicted(small.network, x, 1)[0]));
}

TEST(AttentionLayers, SizesThatDoNotFitAreNamed) {
  const auto wrong = [](const std::function<void(graph::Layer&)>& spoil) {
    SmallNetwork small({.channels = 12, .height = 4});
    small.attention(2, {kInput});
    spoil(small.network.layers[0]);
    return graph::wrong_layer(small.network).value_or("");
  };
  using testing::HasSubstr;
  EXPECT_EQ(wrong([](graph::Layer&) {}), "");
  EXPECT_THAT(wrong([](graph::Layer& l) { l.heads = 3; }), HasSubstr("heads that do not divide"));
  EXPECT_THAT(wrong([](graph::Layer& l) { l.heads = 0; }), HasSubstr("heads that do not divide"));
  EXPECT_THAT(wrong([](graph::Layer& l) { l.masks = 3; }), HasSubstr("number of masks"));
  EXPECT_THAT(wrong([](graph::Layer& l) { l.mask_replaces = true; }), HasSubstr("no mask"));
  EXPECT_THAT(wrong([](graph::Layer& l) { l.scale = kNan; }), HasSubstr("a scale"));
  EXPECT_THAT(wrong([](graph::Layer& l) { l.inputs.push_back(kInput); }),
              HasSubstr("another number of inputs"));
  EXPECT_THAT(wrong([](graph::Layer& l) { l.out.channels = 5; }), HasSubstr("wrong size"));
  EXPECT_THAT(wrong([](graph::Layer& l) { l.first = 1; }), HasSubstr("rows"));
  SmallNetwork rows({.channels = 2, .height = 4});
  rows.rows(1, 3, kInput);
  EXPECT_EQ(graph::wrong_layer(rows.network), std::nullopt);
  rows.network.layers[0].first = 2;
  EXPECT_THAT(graph::wrong_layer(rows.network).value_or(""), HasSubstr("rows"));
  SmallNetwork sides({.channels = 2, .height = 4});
  sides.to(Op::kReshape, {2, 3, 1}, {kInput});
  EXPECT_THAT(graph::wrong_layer(sides.network).value_or(""), HasSubstr("wrong size"));
}

}  // namespace
}  // namespace taut::infer
