#include "taut/nn/network.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <utility>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::nn {
namespace {

using graph::Window;

constexpr Window kHalving{.kernel = 2, .stride = 2};

// Appends layers; what each method returns is the number of its last layer.
class Builder {
 public:
  Builder(std::string_view name, const Shape& input, double width) : width_(width) {
    spec_.name = name;
    spec_.input = input;
  }

  [[nodiscard]] std::int64_t scaled(std::int64_t channels) const {
    if (width_ == 1.0) return channels;
    const double wanted = static_cast<double>(channels) * width_;
    return std::max<std::int64_t>(4, static_cast<std::int64_t>(std::lround(wanted / 4)) * 4);
  }
  [[nodiscard]] const Shape& shape(int layer) const {
    return layer == kNetworkInput ? spec_.input : spec_.layers[static_cast<std::size_t>(layer)].out;
  }

  int conv(int from, std::int64_t channels, Window window, std::int64_t groups = 1,
           bool bias = true) {
    Layer layer = windowed("conv", Op::kConv, from, window);
    layer.out.channels = channels;
    layer.groups = groups;
    layer.bias = bias;
    return add(std::move(layer));
  }
  int batch_norm(int from) { return add(alike("norm", Op::kBatchNorm, from)); }
  int relu(int from, Op kind = Op::kRelu) { return add(alike("relu", kind, from)); }
  int pool(int from, Window window) { return add(windowed("pool", Op::kMaxPool, from, window)); }
  int sum(int a, int b) {
    Layer layer = alike("add", Op::kAdd, a);
    layer.inputs.push_back(b);
    return add(std::move(layer));
  }
  int global_mean(int from) {
    Layer layer = alike("mean", Op::kGlobalMean, from);
    layer.out = {.channels = layer.in.channels};
    return add(std::move(layer));
  }
  // Fully connected on the flattened example.
  int linear(int from, std::int64_t outputs) {
    if (shape(from).height * shape(from).width > 1) {
      Layer flat = alike("flatten", Op::kFlatten, from);
      flat.out = {.channels = flat.in.size()};
      from = add(std::move(flat));
    }
    Layer layer = alike("fc", Op::kLinear, from);
    layer.out = {.channels = outputs};
    layer.bias = true;
    return add(std::move(layer));
  }

  int conv_norm(int from, std::int64_t channels, Window window, std::int64_t groups = 1) {
    return batch_norm(conv(from, channels, window, groups, /*bias=*/false));
  }
  int conv_relu(int from, std::int64_t channels, Window window) {
    return relu(conv(from, scaled(channels), window));
  }
  int conv_norm_relu(int from, std::int64_t channels, Window window) {
    return relu(conv_norm(from, scaled(channels), window));
  }

  Network finish() {
    const std::vector<int> sites = spec_.winner_sites();
    for (std::size_t i = 0; i < sites.size(); ++i) {
      spec_.layers[static_cast<std::size_t>(sites[i])].winner_site = static_cast<int>(i);
    }
    return std::move(spec_);
  }

 private:
  [[nodiscard]] Layer alike(const std::string& name, Op op, int from) const {
    Layer layer;
    layer.name = name;
    layer.op = op;
    layer.inputs = {from};
    layer.in = layer.out = shape(from);
    return layer;
  }

  [[nodiscard]] Layer windowed(const std::string& name, Op op, int from, Window window) const {
    Layer layer = alike(name, op, from);
    layer.window = window;
    const auto shrunk = [&](std::int64_t side) {
      if (side + 2 * window.padding < window.kernel) {
        throw Error(
            ErrorKind::kConfig,
            concat(spec_.name, " needs larger images than ", spec_.input.height, "x",
                   spec_.input.width, ": a window of ", window.kernel, " meets a side of ", side),
            "model.kind", "choose another network, or a larger data.size");
      }
      return graph::windowed_side(side, window);
    };
    layer.out.height = shrunk(layer.in.height);
    layer.out.width = shrunk(layer.in.width);
    return layer;
  }

  int add(Layer layer) {
    const auto same = std::count_if(spec_.layers.begin(), spec_.layers.end(),
                                    [&](const Layer& l) { return l.name.starts_with(layer.name); });
    layer.name += std::to_string(same + 1);
    spec_.layers.push_back(std::move(layer));
    return static_cast<int>(spec_.layers.size()) - 1;
  }

  Network spec_;
  double width_;
};

int hidden_layers(Builder& net, int x, std::initializer_list<std::int64_t> widths) {
  for (const std::int64_t width : widths) x = net.relu(net.linear(x, net.scaled(width)));
  return x;
}

int mlp(Builder& net) {
  return hidden_layers(net, kNetworkInput, {300, 100});
}

int sfc(Builder& net) {
  return hidden_layers(net, kNetworkInput, {8192, 8192, 8192});
}

int lenet(Builder& net) {
  int x = net.pool(net.conv_relu(kNetworkInput, 6, {5, 1, 2}), kHalving);
  x = net.pool(net.conv_relu(x, 16, {5}), kHalving);
  return hidden_layers(net, x, {120, 84});
}

int lenet_c(Builder& net) {
  int x = net.pool(net.conv_relu(kNetworkInput, 20, {5}), kHalving);
  x = net.pool(net.conv_relu(x, 50, {5}), kHalving);
  return hidden_layers(net, x, {500});
}

int sconv(Builder& net) {
  int x = net.conv_relu(kNetworkInput, 20, {5});
  x = net.pool(net.conv_relu(x, 50, {5}), kHalving);
  x = net.conv_relu(x, 50, {5});
  return net.pool(net.conv_relu(x, 10, {5}), kHalving);
}

int cifar_c(Builder& net) {
  int x = kNetworkInput;
  for (const std::int64_t channels : {32, 32, 64}) {
    x = net.pool(net.conv_relu(x, channels, {5, 1, 2}), kHalving);
  }
  return hidden_layers(net, x, {64});
}

int alexnet(Builder& net) {
  constexpr Window kPool{.kernel = 3, .stride = 2};
  int x = net.pool(net.conv_relu(kNetworkInput, 96, {11, 4, 2}), kPool);
  x = net.pool(net.conv_relu(x, 256, {5, 1, 2}), kPool);
  x = net.conv_relu(x, 384, {3, 1, 1});
  x = net.conv_relu(x, 384, {3, 1, 1});
  x = net.pool(net.conv_relu(x, 256, {3, 1, 1}), kPool);
  return hidden_layers(net, x, {4096, 4096});
}

// The network of docs/sparsity.md: five convolutions for images of 32 x 32.
int vgg_small(Builder& net) {
  int x = net.conv_norm_relu(kNetworkInput, 32, {3, 2, 1});
  x = net.pool(net.conv_norm_relu(x, 48, {3, 1, 1}), kHalving);
  x = net.conv_norm_relu(x, 64, {3, 1, 1});
  x = net.pool(net.conv_norm_relu(x, 96, {3, 1, 1}), kHalving);
  x = net.conv_norm_relu(x, 96, {3, 1, 1});
  return net.global_mean(x);
}

// Convolutions per block; the third of blocks 3 to 5 has kernel third.
int vgg(Builder& net, const std::array<int, 5>& blocks, std::int64_t third) {
  constexpr std::array<std::int64_t, 5> kChannels = {64, 128, 256, 512, 512};
  int x = kNetworkInput;
  for (std::size_t block = 0; block < blocks.size(); ++block) {
    for (int i = 1; i <= blocks[block]; ++i) {
      const std::int64_t kernel = i == 3 ? third : 3;
      x = net.conv_norm_relu(x, kChannels[block], {kernel, 1, kernel / 2});
    }
    x = net.pool(x, kHalving);
  }
  return hidden_layers(net, x, {4096, 4096});
}

struct Stage {
  std::int64_t channels;
  int blocks;
  std::int64_t stride;
};

int shortcut(Builder& net, int from, int like, std::int64_t stride) {
  if (net.shape(from) == net.shape(like)) return from;
  return net.conv_norm(from, net.shape(like).channels, {1, stride});
}

// He et al. 2015: two 3x3 convolutions, the first with the stride.
int basic_block(Builder& net, int from, std::int64_t channels, std::int64_t stride) {
  int x = net.conv_norm_relu(from, channels, {3, stride, 1});
  x = net.conv_norm(x, net.scaled(channels), {3, 1, 1});
  return net.relu(net.sum(x, shortcut(net, from, x, stride)));
}

// The stride in the 3x3 convolution.
int bottleneck(Builder& net, int from, std::int64_t channels, std::int64_t stride) {
  int x = net.conv_norm_relu(from, channels, {1});
  x = net.conv_norm_relu(x, channels, {3, stride, 1});
  x = net.conv_norm(x, net.scaled(4 * channels), {1});
  return net.relu(net.sum(x, shortcut(net, from, x, stride)));
}

template <typename Block>
int residual(Builder& net, int x, const std::vector<Stage>& stages, Block block) {
  for (const Stage& stage : stages) {
    for (int b = 0; b < stage.blocks; ++b) {
      x = block(net, x, stage.channels, b == 0 ? stage.stride : 1);
    }
  }
  return net.global_mean(x);
}

int imagenet_stem(Builder& net) {
  return net.pool(net.conv_norm_relu(kNetworkInput, 64, {7, 2, 3}), {3, 2, 1});
}

int resnet_18(Builder& net) {
  return residual(net, imagenet_stem(net), {{64, 2, 1}, {128, 2, 2}, {256, 2, 2}, {512, 2, 2}},
                  basic_block);
}

int resnet_20(Builder& net) {
  const int stem = net.conv_norm_relu(kNetworkInput, 16, {3, 1, 1});
  return residual(net, stem, {{16, 3, 1}, {32, 3, 2}, {64, 3, 2}}, basic_block);
}

int resnet_50(Builder& net) {
  return residual(net, imagenet_stem(net), {{64, 3, 1}, {128, 4, 2}, {256, 6, 2}, {512, 3, 2}},
                  bottleneck);
}

// Howard et al. 2017.
int mobilenet_v1(Builder& net) {
  constexpr std::array<Stage, 9> kStages = {{{64, 1, 1},
                                             {128, 1, 2},
                                             {128, 1, 1},
                                             {256, 1, 2},
                                             {256, 1, 1},
                                             {512, 1, 2},
                                             {512, 5, 1},
                                             {1024, 1, 2},
                                             {1024, 1, 1}}};
  int x = net.conv_norm_relu(kNetworkInput, 32, {3, 2, 1});
  for (const Stage& stage : kStages) {
    for (int b = 0; b < stage.blocks; ++b) {
      const std::int64_t channels = net.shape(x).channels;
      x = net.relu(net.conv_norm(x, channels, {3, stage.stride, 1}, channels));
      x = net.conv_norm_relu(x, stage.channels, {1});
    }
  }
  return net.global_mean(x);
}

int inverted_residual(Builder& net, int from, const Stage& stage, std::int64_t stride,
                      std::int64_t expansion) {
  const std::int64_t wide = net.shape(from).channels * expansion;
  int x = from;
  if (expansion > 1) x = net.relu(net.conv_norm(x, wide, {1}), Op::kRelu6);
  x = net.relu(net.conv_norm(x, wide, {3, stride, 1}, wide), Op::kRelu6);
  x = net.conv_norm(x, net.scaled(stage.channels), {1});
  return net.shape(x) == net.shape(from) ? net.sum(x, from) : x;
}

// Sandler et al. 2018.
int mobilenet_v2(Builder& net) {
  constexpr std::array<Stage, 7> kStages = {
      {{16, 1, 1}, {24, 2, 2}, {32, 3, 2}, {64, 4, 2}, {96, 3, 1}, {160, 3, 2}, {320, 1, 1}}};
  int x = net.relu(net.conv_norm(kNetworkInput, net.scaled(32), {3, 2, 1}), Op::kRelu6);
  for (std::size_t s = 0; s < kStages.size(); ++s) {
    for (int b = 0; b < kStages[s].blocks; ++b) {
      x = inverted_residual(net, x, kStages[s], b == 0 ? kStages[s].stride : 1, s == 0 ? 1 : 6);
    }
  }
  return net.global_mean(net.relu(net.conv_norm(x, net.scaled(1280), {1}), Op::kRelu6));
}

struct Entry {
  std::string name;
  std::function<int(Builder&)> hidden;  // all but the last linear layer
};

const std::vector<Entry>& entries() {
  static const std::vector<Entry> zoo = {
      {"mlp", mlp},
      {"sfc", sfc},
      {"lenet", lenet},
      {"lenet-c", lenet_c},
      {"sconv", sconv},
      {"cifar-c", cifar_c},
      {"alexnet", alexnet},
      {"vgg-small", vgg_small},
      {"vgg-a", [](Builder& net) { return vgg(net, {1, 1, 2, 2, 2}, 3); }},
      {"vgg-b", [](Builder& net) { return vgg(net, {2, 2, 2, 2, 2}, 3); }},
      {"vgg-c", [](Builder& net) { return vgg(net, {2, 2, 3, 3, 3}, 1); }},
      {"vgg-d", [](Builder& net) { return vgg(net, {2, 2, 3, 3, 3}, 3); }},
      {"vgg-e", [](Builder& net) { return vgg(net, {2, 2, 4, 4, 4}, 3); }},
      {"resnet-18", resnet_18},
      {"resnet-20", resnet_20},
      {"resnet-50", resnet_50},
      {"mobilenet-v1", mobilenet_v1},
      {"mobilenet-v2", mobilenet_v2},
  };
  return zoo;
}

}  // namespace

std::span<const std::string> network_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Entry& entry : entries()) all.push_back(entry.name);
    return all;
  }();
  return names;
}

Network make_network(std::string_view name, const Shape& input, std::int64_t classes,
                     double width) {
  const auto found = std::find_if(entries().begin(), entries().end(),
                                  [&](const Entry& entry) { return entry.name == name; });
  if (found == entries().end()) {
    throw Error(ErrorKind::kConfig, concat("unknown network \"", name, "\""), "model.kind",
                suggest(std::string(name), network_names()));
  }
  if (!(width > 0) || width > 16) {
    throw Error(ErrorKind::kConfig, concat("model.width must be in (0, 16], got ", width));
  }
  if (classes < 2 || input.channels < 1 || input.height < 1 || input.width < 1) {
    throw_invalid_argument(
        "images", "a size above 0 and at least 2 classes",
        concat(input.channels, "x", input.height, "x", input.width, " and ", classes));
  }
  Builder net(name, input, width);
  net.linear(found->hidden(net), classes);
  return net.finish();
}

}  // namespace taut::nn
