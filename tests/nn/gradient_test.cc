// Every autograd function of ours against differences of its forward pass.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>
#include <string>

#include "nn/interaction.h"
#include "nn/training_support.h"
#include "support/error_matchers.h"
#include "taut/nn/quantize.h"
#include "taut/nn/winners.h"

namespace taut::nn {
namespace {

using sparsity::Unit;
using taut::test::error_of;
using taut::test::IsError;

// The gradient of sum(weights * call(x)), by central differences in each coordinate.
Tensor by_differences(const std::function<Tensor(const Tensor&)>& call, const Tensor& x,
                      const Tensor& weights, double step) {
  const torch::NoGradGuard no_grad;
  Tensor gradient = torch::zeros(x.sizes(), torch::kDouble);
  Tensor flat = gradient.view(-1);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    const auto moved = [&](double by) {
      Tensor y = x.detach().clone();
      y.view(-1)[i] += by;
      return (call(y).to(torch::kDouble) * weights).sum().item<double>();
    };
    flat[i] = (moved(step) - moved(-step)) / (2 * step);
  }
  return gradient;
}

Tensor by_backward(const std::function<Tensor(const Tensor&)>& call, const Tensor& x,
                   const Tensor& weights) {
  const Tensor leaf = x.detach().clone().requires_grad_();
  return torch::autograd::grad({(call(leaf) * weights.to(x.scalar_type())).sum()}, {leaf})[0];
}

struct UnitCase {
  Unit unit;
  bool maps;
};

class WinnersGradient : public testing::TestWithParam<UnitCase> {};

TEST_P(WinnersGradient, IsThatOfTheForwardPassInDouble) {
  const auto [unit, maps] = GetParam();
  const Tensor x =
      (maps ? random_tensor({2, 8, 3, 2}, 1) : random_tensor({3, 16}, 1)).to(torch::kDouble);
  const sparsity::WinnersOptions options{.unit = unit, .rate = 0.5, .block = 4};
  const auto call = [&](const Tensor& t) { return winners(t, options); };
  const Tensor weights = torch::rand_like(x) + 0.5;
  // So small a step changes no winner of values that are drawn apart.
  const Tensor wanted = by_differences(call, x, weights, 1e-7);
  const Tensor got = by_backward(call, x, weights);
  EXPECT_TRUE(torch::allclose(got, wanted, 1e-6, 1e-6));
  const double share = (got != 0).to(torch::kDouble).mean().item<double>();
  EXPECT_NEAR(share, 0.5, 1e-9);
}

TEST_P(WinnersGradient, IsTheSameInFloatBf16AndDoubleWhereTheyChooseAlike) {
  const auto [unit, maps] = GetParam();
  // Few distinct magnitudes far apart: all types hold them exactly.
  const Tensor x =
      (maps ? torch::randperm(96).reshape({2, 8, 3, 2}) : torch::randperm(48).reshape({3, 16}))
          .to(torch::kDouble) +
      1;
  const sparsity::WinnersOptions options{.unit = unit, .rate = 0.25, .block = 4};
  const auto call = [&](const Tensor& t) { return winners(t, options); };
  const Tensor weights = torch::ones_like(x) * 2;
  const Tensor wanted = by_backward(call, x, weights);
  for (const auto type : {torch::kFloat, torch::kBFloat16}) {
    const Tensor got = by_backward(call, x.to(type), weights);
    EXPECT_EQ(got.scalar_type(), type);
    EXPECT_TRUE(torch::equal(got.to(torch::kDouble), wanted));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Units, WinnersGradient,
    testing::Values(UnitCase{Unit::kNeuron, false}, UnitCase{Unit::kElement, false},
                    UnitCase{Unit::kBlock, false}, UnitCase{Unit::kElement, true},
                    UnitCase{Unit::kChannel, true}, UnitCase{Unit::kPosition, true},
                    UnitCase{Unit::kBlock, true}),
    [](const testing::TestParamInfo<UnitCase>& one) {
      return std::string(to_string(one.param.unit)) + (one.param.maps ? "_maps" : "_features");
    });

TEST(InteractionGradient, IsThatOfTheForwardPass) {
  for (const std::int64_t copied : {0, 1, 5}) {
    const Tensor x = random_tensor({3, 5, 6}, 2);
    const auto call = [&](const Tensor& t) { return interaction(t, copied); };
    const Tensor weights = random_tensor({3, 10 + copied * 6}, 3).to(torch::kDouble);
    // Quadratic in x, so that wide differences are exact up to rounding of floats.
    const Tensor wanted = by_differences(call, x, weights, 0.5);
    EXPECT_TRUE(
        torch::allclose(by_backward(call, x, weights).to(torch::kDouble), wanted, 1e-4, 1e-4))
        << copied;
  }
}

TEST(InteractionGradient, OfATensorThatIsNotContiguousIsThatOfItsCopy) {
  const Tensor x = random_tensor({6, 5, 4}, 4);
  const Tensor turned = x.permute({1, 2, 0});  // [5, 4, 6]
  const auto call = [](const Tensor& t) { return interaction(t, 2); };
  const Tensor weights = random_tensor({5, 6 + 12}, 5);
  EXPECT_TRUE(torch::equal(call(turned), call(turned.contiguous())));
  EXPECT_TRUE(torch::equal(by_backward(call, turned, weights),
                           by_backward(call, turned.contiguous(), weights)));
}

TEST(InteractionGradient, MatchesProductsOfMatrices) {
  const Tensor x = random_tensor({4, 7, 9}, 6);
  const Tensor y = interaction(x, 7);
  const Tensor products = torch::bmm(x, x.transpose(1, 2));
  std::vector<Tensor> dots;
  for (std::int64_t i = 0; i < 7; ++i) {
    for (std::int64_t j = 0; j < i; ++j) dots.push_back(products.select(1, i).select(1, j));
  }
  EXPECT_TRUE(torch::allclose(y.narrow(1, 0, 21), torch::stack(dots, 1), 1e-5, 1e-5));
  EXPECT_TRUE(torch::equal(y.narrow(1, 21, 63), x.flatten(1)));
}

TEST(InteractionGradient, BadTensorsAreNamed) {
  const auto bad = [](const Tensor& x, std::int64_t copied) {
    return error_of([&] { static_cast<void>(interaction(x, copied)); });
  };
  EXPECT_THAT(bad(torch::zeros({2, 3}), 0), IsError(ErrorKind::kInvalidArgument, "vectors"));
  EXPECT_THAT(bad(torch::zeros({2, 3, 4}, torch::kDouble), 0),
              IsError(ErrorKind::kInvalidArgument, "Double"));
  EXPECT_THAT(bad(torch::zeros({2, 3, 4}), 4), IsError(ErrorKind::kInvalidArgument, "copied"));
}

TEST(FakeQuantizeGradient, PassesInsideTheRangeAndStopsOutside) {
  const double scale = 0.1;
  struct Range {
    sparsity::Codes codes;
    double least;
    double most;
  };
  for (const Range& range : {Range{sparsity::Codes::kSigned, -12.7, 12.7},
                             Range{sparsity::Codes::kUnsigned, 0.0, 25.5}}) {
    const Tensor x = torch::linspace(-30, 30, 241);
    const Tensor weights = torch::linspace(1, 2, 241);
    const auto call = [&](const Tensor& t) { return fake_quantize(t, scale, range.codes); };
    const Tensor got = by_backward(call, x, weights);
    // A margin of a code at the ends, which round to the last code inside.
    const Tensor inside = (x > range.least + scale) & (x < range.most - scale);
    const Tensor outside = (x < range.least - scale) | (x > range.most + scale);
    EXPECT_TRUE(torch::equal(got.masked_select(inside), weights.masked_select(inside)));
    EXPECT_EQ(got.masked_select(outside).count_nonzero().item<std::int64_t>(), 0);
    // As the derivative of what is rounded, smoothed over many codes.
    const Tensor y = call(x);
    EXPECT_LE((y - x).masked_select(inside).abs().max().item<double>(), scale / 2 + 1e-5);
    EXPECT_NEAR(y.min().item<double>(), range.least, 1e-5);
    EXPECT_NEAR(y.max().item<double>(), range.most, 1e-5);
  }
}

TEST(FakeQuantizeGradient, OfWeightsPassesUnchanged) {
  for (const auto& shape : {std::vector<std::int64_t>{4, 9}, {4, 3, 3, 3}}) {
    const Tensor weight = random_tensor(shape, 8);
    const Tensor weights = random_tensor(shape, 9);
    EXPECT_TRUE(torch::equal(
        by_backward([](const Tensor& t) { return fake_quantize_weight(t); }, weight, weights),
        weights));
    const Tensor rounded = fake_quantize_weight(weight);
    const Tensor scales = weight.flatten(1).abs().amax(1) / 127;
    const Tensor error = (rounded - weight).flatten(1).abs().amax(1);
    EXPECT_TRUE((error <= scales / 2 + 1e-6).all().item<bool>());
  }
}

}  // namespace
}  // namespace taut::nn
