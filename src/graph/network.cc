#include "taut/graph/network.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "graph/layer_rules.h"
#include "taut/core/checked.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

constexpr std::int64_t kLargestSide = 1 << 20;
constexpr std::int64_t kLargestExample = std::int64_t{1} << 34;

bool is_activation(Op op) {
  return op == Op::kRelu || op == Op::kRelu6;
}

bool sane(const Shape& shape) {
  const auto within = [](std::int64_t size, std::int64_t most) {
    return size >= 1 && size <= most;
  };
  return within(shape.channels, kLargestExample) && within(shape.height, kLargestSide) &&
         within(shape.width, kLargestSide) &&
         shape.channels <= kLargestExample / (shape.height * shape.width);
}

bool sane_window(const Layer& layer) {
  const Window& window = layer.window;
  const bool positive = window.kernel >= 1 && window.stride >= 1 && window.padding >= 0 &&
                        window.after >= 0 && window.across >= 0;
  return positive && window.across <= kLargestSide && window.kernel <= kLargestSide &&
         window.stride <= kLargestSide && window.padding < window.kernel &&
         window.after < window.kernel - window.padding &&
         std::min(layer.in.height, layer.in.width) + 2 * window.padding + window.after >=
             window.kernel;
}

bool sane_epsilon(const Layer& layer) {
  const bool positive = layer.epsilon > 0 && std::isfinite(layer.epsilon);
  return layer.op == Op::kLayerNorm ? positive : layer.epsilon == 0;
}

bool sane_function(const Layer& layer) {
  if (layer.op != Op::kArithmetic && layer.arithmetic != Arithmetic::kAdd) return false;
  const Pointwise& of = layer.pointwise;
  if (layer.op != Op::kPointwise) return of == Pointwise{};
  if (of.function == Function::kClip) return !std::isnan(of.alpha) && !std::isnan(of.beta);
  return std::isfinite(of.alpha) && std::isfinite(of.beta);
}

// Whether an op may read so many layers.
bool fits_inputs(Op op, std::size_t count) {
  switch (op) {
    case Op::kEmbedding:
    case Op::kConstant:
      return count == 0;
    case Op::kArithmetic:
      return count == 2;
    case Op::kAdd:
      return count >= 2;
    case Op::kAttention:
      return count == 1 || count == 3;
    case Op::kStack:
    case Op::kConcat:
    case Op::kInteraction:
      return count >= 1;
    default:
      return count == 1;
  }
}

// Whether what an input gives may stand beside the first one's.
bool fits_first(const Layer& layer, const Shape& input) {
  switch (layer.op) {
    case Op::kConcat:
      return input.height == layer.in.height && input.width == layer.in.width;
    case Op::kStack:
      return input.channels == layer.in.channels && input.width == layer.in.width;
    case Op::kInteraction:
      return input.channels == layer.in.channels;
    case Op::kAttention:  // wrong_attention() tells
    case Op::kArithmetic:
      return true;  // output_shape() tells
    default:
      return input == layer.in;
  }
}

std::optional<std::string> wrong_tables(const Network& network, const Layer& layer) {
  if ((layer.op == Op::kEmbedding) == layer.tables.empty()) return "another number of tables";
  for (const int table : layer.tables) {
    if (table < 0 || table >= static_cast<int>(network.tables.size())) {
      return "a table that is not there";
    }
    if (network.tables[static_cast<std::size_t>(table)].dim != layer.out.channels) {
      return "a table of another dimension";
    }
  }
  if (layer.op == Op::kEmbedding &&
      layer.out.height % static_cast<std::int64_t>(layer.tables.size()) != 0) {
    return "rows that its tables do not share evenly";
  }
  return std::nullopt;
}

// Heads, sizes that fit one another, and what only attention has.
std::optional<std::string> wrong_attention(const Network& network, const Layer& layer) {
  if (layer.op != Op::kAttention) {
    if (layer.heads != 1) return "a window, groups, heads or copies that its op does not have";
    const bool none =
        layer.scale == 0 && layer.masks == 0 && !layer.mask_replaces && !layer.nan_is_zero;
    return none ? std::nullopt : std::optional("a scale or mask that its op does not have");
  }
  if (layer.inputs.size() == 1 && layer.in.channels % 3 != 0) return "channels that are no three";
  const auto [query, key, value] = attention_shapes(network, layer);
  if (query.channels != key.channels || key.height * key.width != value.height * value.width) {
    return "queries, keys and values that do not fit";
  }
  if (layer.heads < 1 || layer.heads > query.channels || query.channels % layer.heads != 0 ||
      value.channels % layer.heads != 0) {
    return "heads that do not divide its channels";
  }
  if (!std::isfinite(layer.scale)) return "a scale that is no number";
  if (layer.masks != 0 && layer.masks != 1 && layer.masks != layer.heads) {
    return "another number of masks than of heads";
  }
  if (layer.masks == 0 && layer.mask_replaces) return "no mask to replace scores by";
  const std::int64_t queries = query.height * query.width;
  const std::int64_t keys = key.height * key.width;
  if (queries > kLargestExample / keys || queries * keys > kLargestExample / layer.heads) {
    return "more scores than can be counted";
  }
  return std::nullopt;
}

bool sane_rows(const Layer& layer) {
  if (layer.op != Op::kRows) return layer.first == 0;
  return layer.first >= 0 && layer.out.height >= 1 && layer.out.height <= layer.in.height &&
         layer.first <= layer.in.height - layer.out.height;
}

}  // namespace

AttentionShapes attention_shapes(const Network& network, const Layer& layer) {
  if (layer.inputs.size() == 3) {
    return {network.shape_of(layer.inputs[0]), network.shape_of(layer.inputs[1]),
            network.shape_of(layer.inputs[2])};
  }
  Shape part = layer.in;
  part.channels /= 3;
  return {part, part, part};
}

std::int64_t mask_count(const Network& network, const Layer& layer) {
  if (layer.masks == 0) return 0;
  const AttentionShapes read = attention_shapes(network, layer);
  return layer.masks * read.query.height * read.query.width * read.key.height * read.key.width;
}

std::optional<std::string> wrong_in_layer(const Network& network, int number, const Layer& layer) {
  if (!fits_inputs(layer.op, layer.inputs.size())) return "another number of inputs";
  for (const int input : layer.inputs) {
    if (input < kNetworkInput || input >= number) return "an input that is not before it";
    if (!sane(network.shape_of(input))) return "an input without values";
  }
  if (!layer.inputs.empty() && network.shape_of(layer.inputs.front()) != layer.in) {
    return "sizes that differ from its input's";
  }
  for (const int input : layer.inputs) {
    if (!fits_first(layer, network.shape_of(input))) return "sizes that differ from its input's";
  }
  if (const auto what = wrong_tables(network, layer)) return what;
  const bool window =
      layer.op == Op::kConv || layer.op == Op::kMaxPool || layer.op == Op::kMeanPool;
  if ((!window && layer.window != Window{}) || (layer.op != Op::kConv && layer.groups != 1) ||
      (layer.op != Op::kInteraction && layer.copied != 0)) {
    return "a window, groups, heads or copies that its op does not have";
  }
  if (const auto what = wrong_attention(network, layer)) return what;
  if (!sane_rows(layer)) return "rows that it does not read";
  if (!sane_function(layer)) return "a function or arithmetic that its op does not have";
  const bool enlarges = layer.op == Op::kUpsample || layer.op == Op::kDepthToSpace;
  if (!enlarges && layer.factor != 1) return "a factor that its op does not have";
  if (!sane_epsilon(layer)) return "an epsilon that its op does not have";
  if (window && !sane_window(layer)) return "a window that does not fit";
  if (layer.op == Op::kConv && (layer.groups < 1 || layer.in.channels % layer.groups != 0 ||
                                layer.out.channels < 1 || layer.out.channels % layer.groups != 0)) {
    return "groups that do not divide its channels";
  }
  const std::optional<Shape> expected = output_shape(network, layer);
  if (!sane(layer.out) || layer.out != expected) return "an output of wrong size";
  return std::nullopt;
}

std::vector<int> Network::winner_sites() const {
  std::vector<int> sites;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (!is_activation(layers[i].op)) continue;
    const bool pooled = i + 1 < layers.size() && layers[i + 1].op == Op::kMaxPool &&
                        !layers[i + 1].inputs.empty() &&
                        layers[i + 1].inputs.front() == static_cast<int>(i);
    sites.push_back(static_cast<int>(pooled ? i + 1 : i));
  }
  return sites;
}

std::size_t Network::sites() const {
  return static_cast<std::size_t>(std::count_if(layers.begin(), layers.end(),
                                                [](const Layer& l) { return l.winner_site >= 0; }));
}

void Network::number_sites() {
  int site = 0;
  for (const int layer : winner_sites()) {
    layers[static_cast<std::size_t>(layer)].winner_site = site++;
  }
}

std::vector<std::int64_t> weight_shape(const Layer& layer) {
  if (layer.op == Op::kConv) {
    return {layer.out.channels, layer.in.channels / layer.groups, layer.window.kernel,
            layer.window.kernel};
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

std::int64_t parameter_count(const Network& network) {
  std::int64_t count = 0;
  for (const Layer& layer : network.layers) {
    count = taut::checked_sum({count, parameter_count(layer)})
                .value_or(std::numeric_limits<std::int64_t>::max());
  }
  return count;
}

std::int64_t parameter_count(const Layer& layer) {
  if (layer.op == Op::kBatchNorm || layer.op == Op::kLayerNorm) return 2 * layer.out.channels;
  if (layer.op == Op::kConstant) return layer.out.size();
  const std::vector<std::int64_t> shape = weight_shape(layer);
  if (shape.empty()) return 0;
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  std::int64_t count = 1;
  for (const std::int64_t size : shape) {
    count = taut::checked_product({count, size}).value_or(kMost);
  }
  return taut::checked_sum({count, layer.bias ? layer.out.channels : 0}).value_or(kMost);
}

int site_read_by(const Network& network, const Layer& layer) {
  int from = layer.inputs.empty() ? kNetworkInput : layer.inputs.front();
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

sparsity::WinnersOptions winners_at(const Network& network, const Layer& layer) {
  const Winners& winners = network.winners;
  const bool as_given = layer.out.is_map() || winners.unit == sparsity::Unit::kBlock;
  return {.unit = as_given ? winners.unit : sparsity::Unit::kNeuron,
          .score = winners.score,
          .rate = winners.rates.empty()
                      ? 1.0
                      : winners.rates[static_cast<std::size_t>(layer.winner_site)],
          .block = winners.block};
}

std::optional<std::string> wrong_layer(const Network& network) {
  if (network.layers.empty()) return "a network without layers";
  const bool tables_alone = network.input.channels == 0 && !network.tables.empty();
  if (!tables_alone && !sane(network.input)) return "an input of wrong size";
  std::set<std::string> names;
  int sites = 0;
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const Layer& layer = network.layers[i];
    const auto named = [&](const std::string& what) {
      return concat("layer ", i, " (\"", layer.name, "\") with ", what);
    };
    if (layer.name.empty() || !names.insert(layer.name).second) return named("no name of its own");
    if (const auto what = wrong_in_layer(network, static_cast<int>(i), layer)) return named(*what);
    if (layer.winner_site >= 0 && layer.winner_site != sites++) return named("a site out of order");
  }
  return std::nullopt;
}

}  // namespace taut::graph
