// Residual and depthwise-separable networks. ResNet: He et al. 2015 (stride in the 3x3 convolution
// of a bottleneck, in the first of a basic block); MobileNet: Howard et al. 2017, Sandler et al.
// 2018.
#include <array>
#include <string>
#include <vector>

#include "graph/zoo_parts.h"
#include "taut/core/text.h"
#include "taut/graph/model_builder.h"

namespace taut::graph {
namespace {

struct Stage {
  std::int64_t channels;
  int blocks;
  std::int64_t stride;
};

/// A projection where the shape changes, else the input itself.
Tensor shortcut(ModelBuilder& model, const std::string& block, const Tensor& in, const Tensor& out,
                std::int64_t stride) {
  if (in.shape == out.shape) return in;
  return model.conv(block + "_proj", in, out.shape.channels, {1, stride, 0});
}

Tensor basic_block(ModelBuilder& model, const std::string& name, const Tensor& in,
                   std::int64_t channels, std::int64_t stride) {
  Tensor x = model.conv(name + "_conv1", in, channels, {3, stride, 1});
  x = model.conv(name + "_conv2", x, channels, {3, 1, 1});
  const std::array<Tensor, 2> both = {x, shortcut(model, name, in, x, stride)};
  return model.add(name + "_add", both);
}

Tensor bottleneck(ModelBuilder& model, const std::string& name, const Tensor& in,
                  std::int64_t channels, std::int64_t stride) {
  Tensor x = model.conv(name + "_conv1", in, channels, {1, 1, 0});
  x = model.conv(name + "_conv2", x, channels, {3, stride, 1});
  x = model.conv(name + "_conv3", x, 4 * channels, {1, 1, 0});
  const std::array<Tensor, 2> both = {x, shortcut(model, name, in, x, stride)};
  return model.add(name + "_add", both);
}

template <typename Block>
Graph residual(ModelBuilder& model, Tensor x, const std::vector<Stage>& stages, Block block,
               std::int64_t classes) {
  for (std::size_t s = 0; s < stages.size(); ++s) {
    for (int b = 0; b < stages[s].blocks; ++b) {
      const std::int64_t stride = b == 0 ? stages[s].stride : 1;
      x = block(model, concat("stage", s + 1, "_", b + 1), x, stages[s].channels, stride);
    }
  }
  return model.finish(model.fc("fc", model.global_pool("pool", x), classes));
}

Tensor imagenet_stem(ModelBuilder& model) {
  return model.pooled(model.conv("conv1", model.input({3, 224, 224}), 64, {7, 2, 3}), {3, 2, 1});
}

}  // namespace

Graph resnet_18() {
  ModelBuilder model("resnet-18");
  const Tensor stem = imagenet_stem(model);
  return residual(model, stem, {{64, 2, 1}, {128, 2, 2}, {256, 2, 2}, {512, 2, 2}}, basic_block,
                  1000);
}

Graph resnet_20() {
  ModelBuilder model("resnet-20");
  const Tensor stem = model.conv("conv1", model.input({3, 32, 32}), 16, {3, 1, 1});
  return residual(model, stem, {{16, 3, 1}, {32, 3, 2}, {64, 3, 2}}, basic_block, 10);
}

Graph resnet_50() {
  ModelBuilder model("resnet-50");
  const Tensor stem = imagenet_stem(model);
  return residual(model, stem, {{64, 3, 1}, {128, 4, 2}, {256, 6, 2}, {512, 3, 2}}, bottleneck,
                  1000);
}

Graph mobilenet_v1() {
  ModelBuilder model("mobilenet-v1");
  Tensor x = model.conv("conv1", model.input({3, 224, 224}), 32, {3, 2, 1});
  const std::vector<Stage> stages = {{64, 1, 1},  {128, 1, 2},  {128, 1, 1},
                                     {256, 1, 2}, {256, 1, 1},  {512, 1, 2},
                                     {512, 5, 1}, {1024, 1, 2}, {1024, 1, 1}};
  int block = 1;
  for (const Stage& stage : stages) {
    for (int b = 0; b < stage.blocks; ++b, ++block) {
      const std::int64_t in = x.shape.channels;
      x = model.conv(concat("block", block, "_dw"), x, in, {3, stage.stride, 1}, in);
      x = model.conv(concat("block", block, "_pw"), x, stage.channels, {1, 1, 0});
    }
  }
  return model.finish(model.fc("fc", model.global_pool("pool", x), 1000));
}

Graph mobilenet_v2() {
  ModelBuilder model("mobilenet-v2");
  Tensor x = model.conv("conv1", model.input({3, 224, 224}), 32, {3, 2, 1});
  const std::vector<Stage> stages = {{16, 1, 1}, {24, 2, 2},  {32, 3, 2}, {64, 4, 2},
                                     {96, 3, 1}, {160, 3, 2}, {320, 1, 1}};
  int block = 1;
  for (const Stage& stage : stages) {
    for (int b = 0; b < stage.blocks; ++b, ++block) {
      const std::string name = concat("block", block);
      const std::int64_t stride = b == 0 ? stage.stride : 1;
      const Tensor in = x;
      const std::int64_t wide = in.shape.channels * (block == 1 ? 1 : 6);
      if (block > 1) x = model.conv(name + "_expand", x, wide, {1, 1, 0});
      x = model.conv(name + "_dw", x, wide, {3, stride, 1}, wide);
      x = model.conv(name + "_project", x, stage.channels, {1, 1, 0});
      if (x.shape == in.shape) x = model.add(name + "_add", std::array<Tensor, 2>{x, in});
    }
  }
  x = model.conv("conv_last", x, 1280, {1, 1, 0});
  return model.finish(model.fc("fc", model.global_pool("pool", x), 1000));
}

}  // namespace taut::graph
