// Image networks of the zoo against published sizes.
#include "taut/graph/network.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "support/error_matchers.h"
#include "taut/graph/zoo.h"

namespace taut::graph {
namespace {

using test::error_of;
using test::IsError;

Network made(std::string_view name, const Shape& input, std::int64_t classes, double width = 1) {
  return make_network(name, {.input = input, .classes = classes, .width = width});
}

std::int64_t weights_and_biases(const Network& spec) {
  std::int64_t count = 0;
  for (const Layer& layer : spec.layers) count += parameter_count(layer);
  return count;
}

double work(const Network& spec) {
  double sum = 0;
  for (const Layer& layer : spec.layers) sum += multiply_adds(layer);
  return sum;
}

struct Published {
  const char* name;
  std::int64_t classes;
  Shape input;
  std::int64_t parameters;
};

class ZooSizes : public testing::TestWithParam<Published> {};

// As their papers and public implementations count them; VGG with normalization has no biases in
// its convolutions, ResNet-20 a projection where the shape changes.
TEST_P(ZooSizes, ParametersAreThePublishedOnes) {
  const Published& known = GetParam();
  const Network spec = made(known.name, known.input, known.classes);
  EXPECT_EQ(weights_and_biases(spec), known.parameters);
  EXPECT_EQ(spec.layers.back().out.channels, known.classes);
}

constexpr Shape kImageNet{3, 224, 224};
constexpr Shape kDigits{1, 28, 28};
constexpr Shape kSmall{3, 32, 32};
INSTANTIATE_TEST_SUITE_P(Networks, ZooSizes,
                         testing::Values(Published{"mlp", 10, kDigits, 266610},
                                         Published{"lenet", 10, kDigits, 61706},
                                         Published{"lenet-c", 10, kDigits, 431080},
                                         Published{"resnet-18", 1000, kImageNet, 11689512},
                                         Published{"resnet-20", 10, kSmall, 272474},
                                         Published{"resnet-50", 1000, kImageNet, 25557032},
                                         Published{"densenet-121", 1000, kImageNet, 7978856},
                                         Published{"mobilenet-v1", 1000, kImageNet, 4231976},
                                         Published{"mobilenet-v2", 1000, kImageNet, 3504872},
                                         Published{"vgg-d", 1000, kImageNet, 138361768}),
                         [](const auto& tested) {
                           std::string name = tested.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(Network, MultiplyAddsAreThePublishedOnes) {
  EXPECT_NEAR(work(made("resnet-18", kImageNet, 1000)), 1.814e9, 1e6);
  EXPECT_NEAR(work(made("resnet-50", kImageNet, 1000)), 4.089e9, 1e6);
  EXPECT_NEAR(work(made("densenet-121", kImageNet, 1000)), 2.834e9, 1e6);
  EXPECT_NEAR(work(made("mobilenet-v2", kImageNet, 1000)), 0.3008e9, 1e6);
}

TEST(Network, EveryNameMakesANetworkWhoseLayersReadWhatIsBeforeThem) {
  for (const std::string& name : image_network_names()) {
    const Shape input = name.starts_with("alexnet") ? kImageNet : Shape{3, 64, 64};
    const Network spec = made(name, input, 10);
    for (std::size_t i = 0; i < spec.layers.size(); ++i) {
      for (const int from : spec.layers[i].inputs) {
        EXPECT_GE(from, kNetworkInput) << name;
        EXPECT_LT(from, static_cast<int>(i)) << name;
      }
    }
  }
}

TEST(Network, WinnersAreChosenBehindAPoolThatFollowsAnActivation) {
  const Network spec = made("vgg-small", kSmall, 10);
  std::vector<std::string> names;
  for (const int site : spec.winner_sites()) {
    names.push_back(spec.layers[static_cast<std::size_t>(site)].name);
  }
  EXPECT_EQ(names,
            (std::vector<std::string>{"conv1_relu", "pool1", "conv3_relu", "pool2", "conv5_relu"}));
}

TEST(Network, WidthScalesHiddenChannelsAlone) {
  const Network spec = made("vgg-small", kSmall, 10, 0.5);
  EXPECT_EQ(spec.layers.front().out.channels, 16);
  EXPECT_EQ(spec.layers.back().out.channels, 10);
}

TEST(Network, UnknownNamesAndSmallImagesAreNamed) {
  EXPECT_THAT(error_of([] { static_cast<void>(made("vgg-smal", kSmall, 10)); }),
              IsError(ErrorKind::kConfig, "vgg-small"));
  EXPECT_THAT(error_of([] { static_cast<void>(made("alexnet", kSmall, 10)); }),
              IsError(ErrorKind::kConfig, "32x32"));
  EXPECT_THAT(error_of([] { static_cast<void>(made("mlp", kDigits, 10, 0.0)); }),
              IsError(ErrorKind::kConfig, "model.width"));
}

TEST(Network, ParametersBeyondWhatCanBeCountedAreTheMostThatCan) {
  constexpr std::int64_t kWide = std::int64_t{1} << 34;
  Layer layer;
  layer.op = Op::kLinear;
  layer.in.channels = kWide;
  layer.out.channels = kWide;
  EXPECT_EQ(parameter_count(layer), std::numeric_limits<std::int64_t>::max());
  layer.bias = true;
  EXPECT_EQ(parameter_count(layer), std::numeric_limits<std::int64_t>::max());
  layer.in.channels = 2;
  EXPECT_EQ(parameter_count(layer), 3 * kWide);
}

}  // namespace
}  // namespace taut::graph
