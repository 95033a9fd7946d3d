#include "graph/zoo_parts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "taut/core/text.h"

namespace taut::graph {

ImageParts::ImageParts(std::string name, const Shape& input, std::int64_t classes, double width,
                       bool normalised)
    : net_(std::move(name), input), classes_(classes), width_(width), normalised_(normalised) {}

std::int64_t ImageParts::scaled(std::int64_t channels) const {
  if (width_ == 1.0) return channels;
  const double wanted = static_cast<double>(channels) * width_;
  return std::max<std::int64_t>(4, static_cast<std::int64_t>(std::lround(wanted / 4)) * 4);
}

int ImageParts::conv(const std::string& name, int from, std::int64_t channels, const Window& window,
                     std::int64_t groups) {
  const int x = net_.conv(name, from, channels, window, groups, /*bias=*/!normalised_);
  return normalised_ ? net_.batch_norm(name + "_norm", x) : x;
}

int ImageParts::conv_relu(const std::string& name, int from, std::int64_t channels,
                          const Window& window, std::int64_t groups, Op activation) {
  return net_.activation(name + "_relu", conv(name, from, channels, window, groups), activation);
}

int ImageParts::relu(const std::string& name, int from) {
  return net_.activation(name + "_relu", from);
}

int ImageParts::norm_relu(const std::string& name, int from) {
  return relu(name, normalised_ ? net_.batch_norm(name + "_norm", from) : from);
}

int ImageParts::pool(int from, const Window& window) {
  return net_.max_pool(concat("pool", ++pools_), from, window);
}

int ImageParts::add(const std::string& name, int a, int b) {
  return net_.add(name, std::array<int, 2>{a, b});
}

int ImageParts::global_mean(int from) {
  return net_.global_mean("pool", from);
}

int ImageParts::hidden(const std::string& name, int from, std::int64_t features) {
  return relu(name, net_.fully_connected(name, from, scaled(features)));
}

int ImageParts::classify(const std::string& name, int from) {
  return net_.fully_connected(name, from, classes_);
}

}  // namespace taut::graph
