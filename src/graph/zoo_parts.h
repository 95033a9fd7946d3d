#pragma once
// The parts of which image networks are made, and the networks of the zoo.

#include <cstdint>
#include <string>

#include "taut/graph/network_builder.h"

namespace taut::graph {

/// Adds layers of an image network under its options. What each method returns is the number of
/// the last layer that it made. A layer "x" with weights has "x_norm" and "x_relu" behind it.
class ImageParts {
 public:
  ImageParts(std::string name, const Shape& input, std::int64_t classes, double width,
             bool normalised);

  /// Channels times the width.
  [[nodiscard]] std::int64_t scaled(std::int64_t channels) const;
  [[nodiscard]] std::int64_t classes() const { return classes_; }
  [[nodiscard]] bool normalised() const { return normalised_; }
  [[nodiscard]] const Shape& shape(int layer) const { return net_.shape(layer); }
  [[nodiscard]] NetworkBuilder& net() { return net_; }

  /// With normalisation, where the network has it; channels as they are.
  int conv(const std::string& name, int from, std::int64_t channels, const Window& window,
           std::int64_t groups = 1);
  /// The same and an activation.
  int conv_relu(const std::string& name, int from, std::int64_t channels, const Window& window,
                std::int64_t groups = 1, Op activation = Op::kRelu);
  int relu(const std::string& name, int from);
  /// In front of a convolution: normalisation, where the network has it, and an activation.
  int norm_relu(const std::string& name, int from);
  /// Max pool, numbered.
  int pool(int from, const Window& window);
  int add(const std::string& name, int a, int b);
  int global_mean(int from);
  /// Fully connected with ReLU; features times the width.
  int hidden(const std::string& name, int from, std::int64_t features);
  /// The last layer.
  int classify(const std::string& name, int from);

 private:
  NetworkBuilder net_;
  std::int64_t classes_;
  double width_;
  bool normalised_;
  int pools_ = 0;
};

inline constexpr Window kHalving{.kernel = 2, .stride = 2};

// Chains.
void mlp(ImageParts& parts);
void sfc(ImageParts& parts);
void sconv(ImageParts& parts);
void lenet_c(ImageParts& parts);
void lenet(ImageParts& parts);
void cifar_c(ImageParts& parts);
void alexnet(ImageParts& parts);
void alexnet_tower(ImageParts& parts);
void alexnet_accpar(ImageParts& parts);
void vgg_small(ImageParts& parts);
void vgg_a(ImageParts& parts);
void vgg_b(ImageParts& parts);
void vgg_c(ImageParts& parts);
void vgg_d(ImageParts& parts);
void vgg_e(ImageParts& parts);

// Residual, densely connected and depthwise-separable networks.
void resnet_18(ImageParts& parts);
void resnet_20(ImageParts& parts);
void resnet_50(ImageParts& parts);
void densenet_121(ImageParts& parts);
void mobilenet_v1(ImageParts& parts);
void mobilenet_v2(ImageParts& parts);

// Networks that do not take images.
Network bert_base();
Network gpt2_small();
Network dlrm();

}  // namespace taut::graph
