#include "taut/graph/image_layers.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "taut/core/text.h"

namespace taut::graph {
namespace {

constexpr std::int64_t kLargestSide = 1 << 20;
constexpr std::int64_t kLargestExample = std::int64_t{1} << 34;

constexpr std::array kOps = {
    std::pair{Op::kConv, std::string_view("conv")},
    std::pair{Op::kLinear, std::string_view("linear")},
    std::pair{Op::kBatchNorm, std::string_view("batch_norm")},
    std::pair{Op::kRelu, std::string_view("relu")},
    std::pair{Op::kRelu6, std::string_view("relu6")},
    std::pair{Op::kMaxPool, std::string_view("max_pool")},
    std::pair{Op::kGlobalMean, std::string_view("global_mean")},
    std::pair{Op::kFlatten, std::string_view("flatten")},
    std::pair{Op::kAdd, std::string_view("add")},
};

bool is_activation(Op op) {
  return op == Op::kRelu || op == Op::kRelu6;
}

bool sane(const ImageShape& shape) {
  const auto within = [](std::int64_t size, std::int64_t most) {
    return size >= 1 && size <= most;
  };
  return within(shape.channels, kLargestExample) && within(shape.height, kLargestSide) &&
         within(shape.width, kLargestSide) &&
         shape.channels <= kLargestExample / (shape.height * shape.width);
}

bool sane_window(const Layer& layer) {
  const bool positive = layer.kernel >= 1 && layer.stride >= 1 && layer.padding >= 0;
  return positive && layer.kernel <= kLargestSide && layer.stride <= kLargestSide &&
         layer.padding < layer.kernel &&
         std::min(layer.in.height, layer.in.width) + 2 * layer.padding >= layer.kernel;
}

// What a layer gives, from what it reads; channels of convolutions and linear layers are its own.
ImageShape expected_shape(const Layer& layer) {
  ImageShape out = layer.in;
  const auto side = [&](std::int64_t size) {
    return windowed_side(size, layer.kernel, layer.stride, layer.padding);
  };
  switch (layer.op) {
    case Op::kConv:
      return {layer.out.channels, side(layer.in.height), side(layer.in.width)};
    case Op::kMaxPool:
      return {layer.in.channels, side(layer.in.height), side(layer.in.width)};
    case Op::kLinear:
      return {.channels = layer.out.channels};
    case Op::kGlobalMean:
      return {.channels = layer.in.channels};
    case Op::kFlatten:
      return {.channels = layer.in.size()};
    case Op::kBatchNorm:
    case Op::kRelu:
    case Op::kRelu6:
    case Op::kAdd:
      break;
  }
  return out;
}

const ImageShape& shape_of(const NetworkSpec& network, int layer) {
  return layer == kNetworkInput ? network.input
                                : network.layers[static_cast<std::size_t>(layer)].out;
}

std::optional<std::string> wrong(const NetworkSpec& network, int number, const Layer& layer) {
  if (layer.inputs.size() != (layer.op == Op::kAdd ? 2u : 1u)) return "another number of inputs";
  for (const int input : layer.inputs) {
    if (input < kNetworkInput || input >= number) return "an input that is not before it";
    if (shape_of(network, input) != layer.in) return "sizes that differ from its input's";
  }
  const bool window = layer.op == Op::kConv || layer.op == Op::kMaxPool;
  if (window && !sane_window(layer)) return "a window that does not fit";
  if (layer.op == Op::kConv && (layer.groups < 1 || layer.in.channels % layer.groups != 0 ||
                                layer.out.channels < 1 || layer.out.channels % layer.groups != 0)) {
    return "groups that do not divide its channels";
  }
  if (layer.op == Op::kLinear && layer.in.is_map()) return "maps where it wants features";
  if (!sane(layer.out) || layer.out != expected_shape(layer)) return "an output of wrong size";
  return std::nullopt;
}

}  // namespace

std::string_view to_string(Op op) noexcept {
  const auto* found =
      std::find_if(kOps.begin(), kOps.end(), [&](const auto& one) { return one.first == op; });
  return found == kOps.end() ? std::string_view() : found->second;
}

std::optional<Op> parse_op(std::string_view text) noexcept {
  const auto* found =
      std::find_if(kOps.begin(), kOps.end(), [&](const auto& one) { return one.second == text; });
  if (found == kOps.end()) return std::nullopt;
  return found->first;
}

std::vector<int> NetworkSpec::winner_sites() const {
  std::vector<int> sites;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (!is_activation(layers[i].op)) continue;
    const bool pooled = i + 1 < layers.size() && layers[i + 1].op == Op::kMaxPool &&
                        layers[i + 1].inputs.front() == static_cast<int>(i);
    sites.push_back(static_cast<int>(pooled ? i + 1 : i));
  }
  return sites;
}

std::vector<std::int64_t> weight_shape(const Layer& layer) {
  if (layer.op == Op::kConv) {
    return {layer.out.channels, layer.in.channels / layer.groups, layer.kernel, layer.kernel};
  }
  if (layer.op == Op::kLinear) return {layer.out.channels, layer.in.channels};
  return {};
}

double multiply_adds(const Layer& layer, double density) {
  double work = static_cast<double>(layer.out.height * layer.out.width);
  const std::vector<std::int64_t> shape = weight_shape(layer);
  if (shape.empty()) return 0;
  for (const std::int64_t size : shape) work *= static_cast<double>(size);
  return work * density;
}

int site_read_by(const NetworkSpec& network, const Layer& layer) {
  int from = layer.inputs.front();
  while (from != kNetworkInput) {
    const Layer& source = network.layers[static_cast<std::size_t>(from)];
    if (source.winner_site >= 0) return source.winner_site;
    const bool passes =
        source.op == Op::kMaxPool || source.op == Op::kGlobalMean || source.op == Op::kFlatten;
    if (!passes) return -1;
    from = source.inputs.front();
  }
  return -1;
}

std::optional<std::string> wrong_layer(const NetworkSpec& network) {
  if (network.layers.empty()) return "a network without layers";
  if (!sane(network.input)) return "an input of wrong size";
  std::set<std::string> names;
  int sites = 0;
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const Layer& layer = network.layers[i];
    const auto named = [&](const std::string& what) {
      return concat("layer ", i, " (\"", layer.name, "\") with ", what);
    };
    if (layer.name.empty() || !names.insert(layer.name).second) return named("no name of its own");
    if (const auto what = wrong(network, static_cast<int>(i), layer)) return named(*what);
    if (layer.winner_site >= 0 && layer.winner_site != sites++) return named("a site out of order");
  }
  return std::nullopt;
}

}  // namespace taut::graph
