// Layers that compute value by value, and means of windows, in whole networks.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "infer/engine_support.h"
#include "infer/small_network.h"

namespace taut::infer {
namespace {

using graph::Arithmetic;
using graph::Function;
using graph::Op;
using graph::Pointwise;
using graph::Shape;
using test_support::expect_plain;
using test_support::expect_same_bits;
using test_support::SmallNetwork;

constexpr int kInput = SmallNetwork::kNetworkInputLayer;

// Two residual blocks as MobileNetV3 and EfficientNet have them: expansion, depthwise convolution,
// squeeze and excitation, projection, each with its functions.
void add_excited_block(SmallNetwork& small, const Pointwise& activation, const Pointwise& gate) {
  const int start = small.conv(6, {1, 1, 0});
  small.conv(18, {1, 1, 0});
  small.same(Op::kBatchNorm);
  small.function(activation);
  small.conv(18, {3, 1, 1}, 18);
  small.same(Op::kBatchNorm);
  const int wide = small.function(activation);
  small.to(Op::kGlobalMean, {18, 1, 1}, {wide});
  small.conv(5, {1, 1, 0});
  small.function(activation);
  small.conv(18, {1, 1, 0});
  const int excited = small.combine(Arithmetic::kMultiply, wide, small.function(gate));
  small.same(Op::kBatchNorm, {small.conv(6, {1, 1, 0}, 1, true, excited)});
  small.same(Op::kAdd, {SmallNetwork::kLast, start});
}

TEST(ValueLayers, BlocksThatSqueezeAndExcite) {
  SmallNetwork small({.channels = 3, .height = 9, .width = 7});
  add_excited_block(small, {Function::kHardSwish, 1.0f / 6, 0.5f},
                    {Function::kHardSigmoid, 1.0f / 6, 0.5f});
  add_excited_block(small, {Function::kSilu, 1}, {Function::kSigmoid});
  expect_plain(small, 3e-5);  // fourteen layers deep
}

TEST(ValueLayers, EveryFunctionBehindAConvolutionAndByItself) {
  for (const auto& [name, function] : kSpellings<Function>) {
    SCOPED_TRACE(name);
    SmallNetwork small({.channels = 17, .height = 3, .width = 5});
    const Pointwise of = {function, 0.25f, 0.5f};
    const int joined = small.function(of, small.conv(35, {3, 1, 1}));
    const int pooled = small.pool({2, 2, 0}, joined);
    small.function(of, pooled);
    small.function(of, small.conv(7, {1, 1, 0}, 7, true, small.conv(7, {1, 1, 0})));
    expect_plain(small, 2e-5);
  }
}

TEST(ValueLayers, ArithmeticSpreadsSizesThatAreOne) {
  const std::vector<Shape> shapes = {{5, 4, 3}, {5, 1, 1}, {1, 4, 3}, {1, 1, 1},
                                     {5, 4, 1}, {1, 1, 3}, {5, 1, 3}};
  for (const auto& [name, how] : kSpellings<Arithmetic>) {
    for (const Shape& shape : shapes) {
      for (const bool first : {true, false}) {
        SCOPED_TRACE(testing::Message() << name << " with [" << shape.channels << ", "
                                        << shape.height << ", " << shape.width << "], " << first);
        SmallNetwork small({.channels = 5, .height = 4, .width = 3});
        const int constant = small.constant(shape);
        const int moving = small.function({Function::kClip, -0.5f, 2}, kInput);
        small.combine(how, first ? constant : moving, first ? moving : constant);
        expect_plain(small, 1e-6);
      }
    }
  }
}

TEST(ValueLayers, MeansOfWindowsLeaveOutWhatLiesBesideTheImage) {
  for (const graph::Window window : {graph::Window{3, 1, 1}, graph::Window{3, 2, 1},
                                     graph::Window{2, 2, 0, 1}, graph::Window{5, 3, 2}}) {
    SmallNetwork small({.channels = 37, .height = 8, .width = 5});
    small.pool(window, kInput, Op::kMeanPool);
    small.conv(3, {1, 1, 0});
    expect_plain(small, 1e-5);
  }
}

TEST(ValueLayers, GiveTheSameBitsForAnyThreadsAndBatch) {
  SmallNetwork small({.channels = 3, .height = 21, .width = 17});
  add_excited_block(small, {Function::kGelu}, {Function::kSigmoid});
  small.pool({3, 2, 1}, SmallNetwork::kLast, Op::kMeanPool);
  const int pooled = small.function({Function::kTanh});
  small.combine(Arithmetic::kSubtract, pooled, small.constant({1, 11, 9}));
  small.flatten();
  small.linear(4);
  constexpr std::int64_t kMany = 6;
  const std::vector<float> x = small.random_input(kMany);
  expect_same_bits(small.network, x, kMany);
}

TEST(ValueLayers, NormsOfChannelsAreOfEachPosition) {
  for (const std::int64_t channels : {1, 7, 16, 65}) {
    SmallNetwork small({.channels = 5, .height = 4, .width = 3});
    small.conv(channels, {1, 1, 0});
    small.layer_norm(channels == 1 ? 1e-3f : 1e-6f);
    small.function({Function::kGelu}, small.linear(9));
    expect_plain(small, 2e-5);
  }
}

TEST(ValueLayers, EnlargedMapsOfAnyFactor) {
  for (const std::int64_t factor : {1, 2, 3}) {
    SmallNetwork small({.channels = 3, .height = 4, .width = 5});
    small.conv(7 * factor * factor, {3, 1, 1});
    small.enlarge(Op::kDepthToSpace, factor);
    small.enlarge(Op::kUpsample, factor);
    small.conv(2, {3, 1, 1});
    expect_plain(small, 1e-5);
  }
}

// As recognition of text halves heights alone.
TEST(ValueLayers, StridesDownAndAcrossMayDiffer) {
  for (const graph::Window window : {graph::Window{3, 2, 1, 0, 1}, graph::Window{3, 1, 1, 0, 2},
                                     graph::Window{5, 3, 2, 1, 1}, graph::Window{1, 2, 0, 0, 1}}) {
    SmallNetwork small({.channels = 3, .height = 11, .width = 9});
    small.network.winners.unit = sparsity::Unit::kPosition;
    small.same(Op::kRelu, {small.conv(40, {3, 1, 1})});
    small.choose_winners(0.2);
    small.conv(70, window);
    small.same(Op::kRelu, {small.conv(70, window, 70)});
    small.conv(6, window, 2);
    expect_plain(small, 3e-5);
  }
  SmallNetwork first({.channels = 3, .height = 11, .width = 9});
  first.conv(9, {3, 2, 1, 0, 1});  // few channels: by columns
  first.pool({2, 1, 0, 0, 2});
  first.pool({2, 2, 0, 0, 1}, SmallNetwork::kLast, Op::kMeanPool);
  expect_plain(first, 2e-5);
}

TEST(ValueLayers, WinnersAreChosenBehindFunctions) {
  SmallNetwork small({.channels = 4, .height = 6, .width = 5});
  small.network.winners.unit = sparsity::Unit::kPosition;
  small.function({Function::kGelu}, small.conv(40, {3, 1, 1}));
  small.choose_winners(0.2);
  small.conv(6, {3, 1, 1});
  expect_plain(small, 2e-5);
}

}  // namespace
}  // namespace taut::infer
