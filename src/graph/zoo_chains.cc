// Networks for images without branches.
#include <array>
#include <initializer_list>
#include <string>

#include "graph/zoo_parts.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

// Hidden layers fc1, fc2 .. and the classes behind them.
void fully_connected(ImageParts& parts, int x, std::initializer_list<std::int64_t> hidden) {
  int layer = 1;
  for (const std::int64_t features : hidden) x = parts.hidden(concat("fc", layer++), x, features);
  parts.classify(concat("fc", layer), x);
}

int conv(ImageParts& parts, const std::string& name, int from, std::int64_t channels,
         const Window& window) {
  return parts.conv_relu(name, from, parts.scaled(channels), window);
}

// The pools of AccPar's network file, behind the second and third convolutions; the layers are
// those of AlexNet at any widths.
void alexnet_late_pools(ImageParts& parts, const std::array<std::int64_t, 5>& channels,
                        std::int64_t hidden) {
  constexpr Window kPool{.kernel = 3, .stride = 2};
  int x = conv(parts, "conv1", kNetworkInput, channels[0], {11, 4, 2});
  x = parts.pool(conv(parts, "conv2", x, channels[1], {5, 1, 2}), kPool);
  x = parts.pool(conv(parts, "conv3", x, channels[2], {3, 1, 1}), kPool);
  x = conv(parts, "conv4", x, channels[3], {3, 1, 1});
  x = parts.pool(conv(parts, "conv5", x, channels[4], {3, 1, 1}), kPool);
  fully_connected(parts, x, {hidden, hidden});
}

// Convolutions per block; the third of blocks 3 to 5 has kernel third (Simonyan and Zisserman
// 2014).
void vgg(ImageParts& parts, const std::array<int, 5>& convs, std::int64_t third) {
  constexpr std::array<std::int64_t, 5> kChannels = {64, 128, 256, 512, 512};
  int x = kNetworkInput;
  for (std::size_t block = 0; block < convs.size(); ++block) {
    for (int i = 1; i <= convs[block]; ++i) {
      const std::int64_t kernel = i == 3 ? third : 3;
      x = conv(parts, concat("conv", block + 1, "_", i), x, kChannels[block],
               {kernel, 1, kernel / 2});
    }
    x = parts.pool(x, kHalving);
  }
  fully_connected(parts, x, {4096, 4096});
}

}  // namespace

void mlp(ImageParts& parts) {
  fully_connected(parts, kNetworkInput, {300, 100});
}

void sfc(ImageParts& parts) {
  fully_connected(parts, kNetworkInput, {8192, 8192, 8192});
}

// HyPar's network without a fully connected layer: the last convolution's channels are the classes.
// Images larger than 28 x 28 leave it more than one position, of which the mean counts.
void sconv(ImageParts& parts) {
  int x = conv(parts, "conv1", kNetworkInput, 20, {5});
  x = parts.pool(conv(parts, "conv2", x, 50, {5}), kHalving);
  x = conv(parts, "conv3", x, 50, {5});
  x = parts.pool(parts.net().conv("conv4", x, parts.classes(), {5}), kHalving);
  if (parts.shape(x).is_map()) x = parts.global_mean(x);
  parts.net().flatten("classes", x);
}

void lenet_c(ImageParts& parts) {
  int x = parts.pool(conv(parts, "conv1", kNetworkInput, 20, {5}), kHalving);
  x = parts.pool(conv(parts, "conv2", x, 50, {5}), kHalving);
  fully_connected(parts, x, {500});
}

void lenet(ImageParts& parts) {
  int x = parts.pool(conv(parts, "conv1", kNetworkInput, 6, {5, 1, 2}), kHalving);
  x = parts.pool(conv(parts, "conv2", x, 16, {5}), kHalving);
  fully_connected(parts, x, {120, 84});
}

void cifar_c(ImageParts& parts) {
  int x = kNetworkInput;
  int layer = 1;
  for (const std::int64_t channels : {32, 32, 64}) {
    x = parts.pool(conv(parts, concat("conv", layer++), x, channels, {5, 1, 2}), kHalving);
  }
  fully_connected(parts, x, {64});
}

// Krizhevsky et al. 2012, both towers as one.
void alexnet(ImageParts& parts) {
  constexpr Window kPool{.kernel = 3, .stride = 2};
  int x = parts.pool(conv(parts, "conv1", kNetworkInput, 96, {11, 4, 2}), kPool);
  x = parts.pool(conv(parts, "conv2", x, 256, {5, 1, 2}), kPool);
  x = conv(parts, "conv3", x, 384, {3, 1, 1});
  x = conv(parts, "conv4", x, 384, {3, 1, 1});
  x = parts.pool(conv(parts, "conv5", x, 256, {3, 1, 1}), kPool);
  fully_connected(parts, x, {4096, 4096});
}

// One tower, which HyPar's published bytes fit (docs/parallel.md).
void alexnet_tower(ImageParts& parts) {
  alexnet_late_pools(parts, {48, 128, 192, 192, 128}, 2048);
}

void alexnet_accpar(ImageParts& parts) {
  alexnet_late_pools(parts, {96, 256, 384, 384, 256}, 4096);
}

// The network of docs/sparsity.md: five convolutions for images of 32 x 32.
void vgg_small(ImageParts& parts) {
  int x = conv(parts, "conv1", kNetworkInput, 32, {3, 2, 1});
  x = parts.pool(conv(parts, "conv2", x, 48, {3, 1, 1}), kHalving);
  x = conv(parts, "conv3", x, 64, {3, 1, 1});
  x = parts.pool(conv(parts, "conv4", x, 96, {3, 1, 1}), kHalving);
  x = conv(parts, "conv5", x, 96, {3, 1, 1});
  parts.classify("fc", parts.global_mean(x));
}

void vgg_a(ImageParts& parts) {
  vgg(parts, {1, 1, 2, 2, 2}, 3);
}

void vgg_b(ImageParts& parts) {
  vgg(parts, {2, 2, 2, 2, 2}, 3);
}

void vgg_c(ImageParts& parts) {
  vgg(parts, {2, 2, 3, 3, 3}, 1);
}

void vgg_d(ImageParts& parts) {
  vgg(parts, {2, 2, 3, 3, 3}, 3);
}

void vgg_e(ImageParts& parts) {
  vgg(parts, {2, 2, 4, 4, 4}, 3);
}

}  // namespace taut::graph
