// The LibTorch face of sparsity: winners, pruned weights and 8-bit rounding in networks.
#include "taut/nn/winners.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <string>
#include <vector>

#include "support/error_matchers.h"
#include "taut/nn/prune.h"
#include "taut/nn/quantize.h"

namespace taut::nn {
namespace {

using sparsity::Unit;
using sparsity::WinnersOptions;
using taut::test::error_of;
using taut::test::IsError;
using torch::Tensor;

Tensor random_tensor(at::IntArrayRef shape, std::uint64_t seed) {
  at::Generator random = at::make_generator<at::CPUGeneratorImpl>(seed);
  return torch::randn(shape, random);
}

Tensor by_topk(const Tensor& x, std::int64_t k) {
  const Tensor chosen = std::get<1>(x.abs().topk(k, 1));
  return torch::zeros_like(x).scatter(1, chosen, x.gather(1, chosen));
}

TEST(WinnersTensor, AreThoseOfTopkInBothMemoryFormats) {
  const Tensor flat = random_tensor({4, 50}, 1);
  EXPECT_TRUE(torch::equal(winners(flat, {.unit = Unit::kNeuron, .rate = 0.3}), by_topk(flat, 15)));
  for (const auto format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    const Tensor x = random_tensor({2, 20, 5, 7}, 2).contiguous(format);
    const Tensor y = winners(x, {.unit = Unit::kPosition, .rate = 0.3});
    EXPECT_TRUE(torch::equal(y, by_topk(x, 6)));
    EXPECT_EQ(y.strides(), x.strides());
  }
}

TEST(WinnersTensor, TheGradientPassesWinnersOnly) {
  for (const auto type : {torch::kFloat, torch::kBFloat16}) {
    const Tensor x = random_tensor({3, 16, 4, 4}, 3).to(type).requires_grad_();
    const Tensor y = winners(x, {.unit = Unit::kElement, .rate = 0.25});
    const Tensor gradient = random_tensor({3, 16, 4, 4}, 4).to(type);
    y.backward(gradient);
    EXPECT_TRUE(
        torch::equal(x.grad(), torch::where(y != 0, gradient, torch::zeros_like(gradient))));
  }
}

TEST(WinnersTensor, RateOneIsTheTensorItself) {
  const Tensor x = random_tensor({2, 8}, 5);
  EXPECT_TRUE(winners(x, {.unit = Unit::kNeuron, .rate = 1}).is_same(x));
}

TEST(WinnersTensor, BadShapesAndTypesAreNamed) {
  const Tensor maps = torch::zeros({2, 6, 3, 3});
  const auto bad = [&](const Tensor& x, const WinnersOptions& options, const std::string& message) {
    EXPECT_THAT(error_of([&] { static_cast<void>(winners(x, options)); }),
                IsError(ErrorKind::kInvalidArgument, message));
  };
  bad(maps, {.unit = Unit::kNeuron, .rate = 0.5},
      "x for unit neuron must be [batch, features], got Float[2, 6, 3, 3]");
  bad(maps[0][0], {.unit = Unit::kChannel, .rate = 0.5}, "x for unit channel");
  bad(maps, {.unit = Unit::kBlock, .rate = 0.5, .block = 4},
      "block must be a divisor of the 6 channels, got 4");
  bad(maps.to(torch::kInt), {.unit = Unit::kElement, .rate = 0.5},
      "x must be float32, bfloat16 or float64, got Int");
  bad(maps, {.unit = Unit::kElement, .rate = 0}, "rate must be above 0, at most 1, got 0");
}

TEST(WinnersTakeAll, ChangesItsRateAndCountsWhoWins) {
  WinnersTakeAll layer(WinnersOptions{.unit = Unit::kNeuron, .rate = 0.5});
  const Tensor x = torch::tensor({{9.0f, 1.0f, 2.0f, 0.0f}, {9.0f, 2.0f, 1.0f, 0.0f}});
  layer->track(true);
  static_cast<void>(layer->forward(x));
  EXPECT_EQ(layer->statistics().wins, (std::vector<std::int64_t>{2, 1, 1, 0}));
  EXPECT_DOUBLE_EQ(layer->statistics().never(), 0.25);
  layer->track(false);
  layer->set_rate(0.25);
  EXPECT_EQ((layer->forward(x) != 0).sum().item<std::int64_t>(), 2);
  EXPECT_EQ(layer->statistics().trials, 2);
  EXPECT_THAT(error_of([&] { layer->set_rate(1.5); }),
              IsError(ErrorKind::kInvalidArgument, "rate must be above 0, at most 1, got 1.5"));
  EXPECT_EQ(layer->options().rate, 0.25);
  EXPECT_THAT(error_of([] { WinnersTakeAll(WinnersOptions{.rate = 0}); }),
              IsError(ErrorKind::kInvalidArgument, "got 0"));
}

TEST(WinnersTakeAll, ACalibratedThresholdMeetsTheRateOnAverage) {
  for (const Unit unit : {Unit::kChannel, Unit::kPosition, Unit::kElement, Unit::kBlock}) {
    WinnersTakeAll layer(WinnersOptions{.unit = unit, .rate = 0.3});
    const Tensor x = random_tensor({32, 24, 4, 4}, 6).contiguous(at::MemoryFormat::ChannelsLast);
    layer->observe(true);
    EXPECT_TRUE(layer->forward(x).is_same(x));
    layer->calibrate();
    layer->track(true);
    static_cast<void>(layer->forward(x));
    EXPECT_NEAR(layer->statistics().rate(), 0.3, 0.002) << to_string(unit);
  }
}

TEST(PrunedWeights, StayZeroThroughTraining) {
  torch::nn::Linear linear(20, 10);
  torch::nn::Conv2d conv(torch::nn::Conv2dOptions(4, 6, 3));
  conv->weight.set_data(conv->weight.contiguous(at::MemoryFormat::ChannelsLast));
  PrunedWeights pruned({{"linear", linear->weight}, {"conv", conv->weight}});
  EXPECT_EQ(pruned.share(), 0);
  pruned.prune({.prune = sparsity::Prune::kGlobal, .share = 0.75});
  EXPECT_DOUBLE_EQ(pruned.share(), 0.75);  // of 200 + 216 values
  torch::optim::SGD optimizer({linear->weight, conv->weight},
                              torch::optim::SGDOptions(0.1).momentum(0.9));
  for (std::uint64_t step = 0; step < 3; ++step) {
    const Tensor loss = linear(random_tensor({8, 20}, step)).square().sum() +
                        conv(random_tensor({2, 4, 5, 5}, step)).square().sum();
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    pruned.apply();
  }
  const auto zeros = (linear->weight == 0).sum() + (conv->weight == 0).sum();
  EXPECT_EQ(zeros.item<std::int64_t>(), 312);

  PrunedWeights other({{"linear", linear->weight}});
  EXPECT_THAT(error_of([&] { other.set_masks(pruned.masks()); }),
              IsError(ErrorKind::kInvalidArgument, "masks must be 1 tensors, got 2"));
  EXPECT_THAT(error_of([&] { other.set_masks({torch::ones({2, 2})}); }),
              IsError(ErrorKind::kInvalidArgument, "mask of linear must be [10, 20], got [2, 2]"));
  EXPECT_THAT(error_of([&] { PrunedWeights({{"bias", linear->bias}}); }),
              IsError(ErrorKind::kInvalidArgument, "weight bias must be float32"));
}

TEST(PrunedWeights, TwoOfFourGoesAlongTheInputsOfAConvolution) {
  torch::nn::Conv2d conv(torch::nn::Conv2dOptions(8, 6, 3));
  PrunedWeights pruned({{"conv", conv->weight}});
  pruned.prune({.prune = sparsity::Prune::kNOfM});
  const Tensor groups = (conv->weight != 0).reshape({6, 2, 4, 3, 3}).sum(2);
  EXPECT_TRUE((groups == 2).all().item<bool>());
}

TEST(FakeQuantize, RoundsAsTheBytesDoAndPassesTheGradientInsideItsRange) {
  const Tensor x = (random_tensor({1000}, 7) * 2).requires_grad_();
  const double scale = 0.02;
  const Tensor y = fake_quantize(x, scale, sparsity::Codes::kSigned);
  std::vector<std::int8_t> bytes(1000);
  const Tensor values = x.detach();
  sparsity::quantize({values.const_data_ptr<float>(), 1000}, 0.02f, bytes);
  for (std::int64_t i = 0; i < 1000; ++i) {
    ASSERT_EQ(y[i].item<float>(), static_cast<float>(bytes[static_cast<std::size_t>(i)]) * 0.02f);
  }
  y.sum().backward();
  const Tensor inside = (values / scale).round().abs() <= 127;
  EXPECT_TRUE(torch::equal(x.grad(), inside.to(torch::kFloat)));
  EXPECT_GT((inside == 0).sum().item<std::int64_t>(), 0);
  EXPECT_EQ(fake_quantize(x.to(torch::kBFloat16), scale, sparsity::Codes::kUnsigned).scalar_type(),
            torch::kBFloat16);
}

TEST(FakeQuantize, WeightsHaveAScaleForEachOutput) {
  const Tensor weight = random_tensor({6, 4, 3, 3}, 8).requires_grad_();
  const Tensor rounded = fake_quantize_weight(weight);
  const Tensor values = weight.detach();
  const sparsity::QuantizedWeight bytes = sparsity::quantize_weight(
      {values.const_data_ptr<float>(), static_cast<std::size_t>(values.numel())}, 6);
  const Tensor flat = rounded.detach().flatten();
  for (std::int64_t i = 0; i < flat.numel(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    ASSERT_EQ(flat[i].item<float>(), static_cast<float>(bytes.codes[at]) * bytes.scales[at / 36]);
  }
  rounded.sum().backward();
  EXPECT_TRUE(torch::equal(weight.grad(), torch::ones_like(weight)));
}

TEST(ActivationQuantizer, ObservesThenRounds) {
  ActivationQuantizer layer(sparsity::Calibration::kMinMax, sparsity::Codes::kUnsigned);
  const Tensor x = random_tensor({100}, 9).relu();
  EXPECT_TRUE(layer->forward(x).is_same(x));
  EXPECT_THAT(error_of([&] { layer->calibrate(); }),
              IsError(ErrorKind::kInvalidArgument, "observed values must be at least 1, got none"));
  layer->observe();
  EXPECT_TRUE(layer->forward(x).is_same(x));
  layer->calibrate();
  EXPECT_FLOAT_EQ(static_cast<float>(layer->scale()), x.max().item<float>() / 255);
  const Tensor y = layer->forward(x);
  EXPECT_LE((y - x).abs().max().item<double>(), 0.5001 * layer->scale());
  EXPECT_EQ(layer->named_buffers().size(), 1u);
  EXPECT_THAT(error_of([&] { static_cast<void>(fake_quantize(x, 0, sparsity::Codes::kSigned)); }),
              IsError(ErrorKind::kInvalidArgument, "scale must be finite and above 0, got 0"));
}

}  // namespace
}  // namespace taut::nn
