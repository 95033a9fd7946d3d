// Residual, densely connected and depthwise-separable networks. ResNet: He et al. 2015 (stride in
// the 3x3 convolution of a bottleneck, in the first of a basic block); DenseNet: Huang et al. 2017
// (max pools between its blocks in place of average pools, which the layers do not have);
// MobileNet: Howard et al. 2017, Sandler et al. 2018.
#include <string>
#include <vector>

#include "graph/zoo_parts.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

struct Stage {
  std::int64_t channels;
  int blocks;
  std::int64_t stride;
};

// Behind the two branches of a block: a projection where the shape changes, the sum, a ReLU.
int joined(ImageParts& parts, const std::string& block, int from, int x, std::int64_t stride) {
  const int shortcut =
      parts.shape(from) == parts.shape(x)
          ? from
          : parts.conv(block + "_proj", from, parts.shape(x).channels, {1, stride});
  return parts.relu(block, parts.add(block + "_add", x, shortcut));
}

int basic_block(ImageParts& parts, const std::string& name, int from, const Stage& stage,
                std::int64_t stride) {
  const std::int64_t channels = parts.scaled(stage.channels);
  int x = parts.conv_relu(name + "_conv1", from, channels, {3, stride, 1});
  x = parts.conv(name + "_conv2", x, channels, {3, 1, 1});
  return joined(parts, name, from, x, stride);
}

int bottleneck(ImageParts& parts, const std::string& name, int from, const Stage& stage,
               std::int64_t stride) {
  const std::int64_t channels = parts.scaled(stage.channels);
  int x = parts.conv_relu(name + "_conv1", from, channels, {1});
  x = parts.conv_relu(name + "_conv2", x, channels, {3, stride, 1});
  x = parts.conv(name + "_conv3", x, parts.scaled(4 * stage.channels), {1});
  return joined(parts, name, from, x, stride);
}

template <typename Block>
void residual(ImageParts& parts, int x, const std::vector<Stage>& stages, Block block) {
  for (std::size_t s = 0; s < stages.size(); ++s) {
    for (int b = 0; b < stages[s].blocks; ++b) {
      x = block(parts, concat("stage", s + 1, "_", b + 1), x, stages[s],
                b == 0 ? stages[s].stride : 1);
    }
  }
  parts.classify("fc", parts.global_mean(x));
}

int imagenet_stem(ImageParts& parts) {
  const int x = parts.conv_relu("conv1", kNetworkInput, parts.scaled(64), {7, 2, 3});
  return parts.pool(x, {3, 2, 1});
}

constexpr std::int64_t kGrowth = 32;

// A narrow and a wide convolution, which read all maps of the block that were made before.
int dense_layer(ImageParts& parts, const std::string& name, int from) {
  int x = parts.conv(name + "_conv1", parts.norm_relu(name, from), parts.scaled(4 * kGrowth), {1});
  x = parts.relu(name + "_conv1", x);
  return parts.net().conv(name + "_conv2", x, parts.scaled(kGrowth), {3, 1, 1}, 1,
                          /*bias=*/!parts.normalised());
}

int dense_block(ImageParts& parts, const std::string& name, int from, int layers) {
  std::vector<int> maps = {from};
  int x = from;
  for (int i = 1; i <= layers; ++i) {
    maps.push_back(dense_layer(parts, concat(name, "_", i), x));
    x = parts.net().concat(concat(name, "_", i, "_concat"), maps);
  }
  return x;
}

int inverted_residual(ImageParts& parts, const std::string& name, int from, const Stage& stage,
                      std::int64_t stride, std::int64_t expansion) {
  const std::int64_t wide = parts.shape(from).channels * expansion;
  int x = from;
  if (expansion > 1) x = parts.conv_relu(name + "_expand", x, wide, {1}, 1, Op::kRelu6);
  x = parts.conv_relu(name + "_dw", x, wide, {3, stride, 1}, wide, Op::kRelu6);
  x = parts.conv(name + "_project", x, parts.scaled(stage.channels), {1});
  return parts.shape(x) == parts.shape(from) ? parts.add(name + "_add", x, from) : x;
}

}  // namespace

void resnet_18(ImageParts& parts) {
  residual(parts, imagenet_stem(parts), {{64, 2, 1}, {128, 2, 2}, {256, 2, 2}, {512, 2, 2}},
           basic_block);
}

void resnet_20(ImageParts& parts) {
  const int stem = parts.conv_relu("conv1", kNetworkInput, parts.scaled(16), {3, 1, 1});
  residual(parts, stem, {{16, 3, 1}, {32, 3, 2}, {64, 3, 2}}, basic_block);
}

void resnet_50(ImageParts& parts) {
  residual(parts, imagenet_stem(parts), {{64, 3, 1}, {128, 4, 2}, {256, 6, 2}, {512, 3, 2}},
           bottleneck);
}

void densenet_121(ImageParts& parts) {
  const std::vector<int> blocks = {6, 12, 24, 16};
  int x = imagenet_stem(parts);
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    x = dense_block(parts, concat("block", b + 1), x, blocks[b]);
    if (b + 1 == blocks.size()) break;
    const std::string name = concat("transition", b + 1);
    x = parts.norm_relu(name, x);
    x = parts.net().conv(name, x, parts.shape(x).channels / 2, {1}, 1,
                         /*bias=*/!parts.normalised());
    x = parts.pool(x, kHalving);
  }
  parts.classify("fc", parts.global_mean(parts.norm_relu("last", x)));
}

void mobilenet_v1(ImageParts& parts) {
  const std::vector<Stage> stages = {{64, 1, 1},  {128, 1, 2},  {128, 1, 1},
                                     {256, 1, 2}, {256, 1, 1},  {512, 1, 2},
                                     {512, 5, 1}, {1024, 1, 2}, {1024, 1, 1}};
  int x = parts.conv_relu("conv1", kNetworkInput, parts.scaled(32), {3, 2, 1});
  int block = 1;
  for (const Stage& stage : stages) {
    for (int b = 0; b < stage.blocks; ++b, ++block) {
      const std::int64_t in = parts.shape(x).channels;
      x = parts.conv_relu(concat("block", block, "_dw"), x, in, {3, stage.stride, 1}, in);
      x = parts.conv_relu(concat("block", block, "_pw"), x, parts.scaled(stage.channels), {1});
    }
  }
  parts.classify("fc", parts.global_mean(x));
}

void mobilenet_v2(ImageParts& parts) {
  const std::vector<Stage> stages = {{16, 1, 1}, {24, 2, 2},  {32, 3, 2}, {64, 4, 2},
                                     {96, 3, 1}, {160, 3, 2}, {320, 1, 1}};
  int x = parts.conv_relu("conv1", kNetworkInput, parts.scaled(32), {3, 2, 1}, 1, Op::kRelu6);
  int block = 1;
  for (const Stage& stage : stages) {
    for (int b = 0; b < stage.blocks; ++b, ++block) {
      x = inverted_residual(parts, concat("block", block), x, stage, b == 0 ? stage.stride : 1,
                            block == 1 ? 1 : 6);
    }
  }
  x = parts.conv_relu("conv_last", x, parts.scaled(1280), {1}, 1, Op::kRelu6);
  parts.classify("fc", parts.global_mean(x));
}

}  // namespace taut::graph
