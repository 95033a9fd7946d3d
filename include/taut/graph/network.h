#pragma once
// The one description of a network: what trains it, exports it, runs it, counts its work and plans
// it walks the same list of layers.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "taut/core/spelling.h"
#include "taut/graph/arithmetic.h"
#include "taut/sparsity/winners.h"

namespace taut::graph {

/// What a layer does. Shapes are of one example.
enum class Op {
  kConv,          ///< 2-D convolution, square kernel
  kLinear,        ///< fully connected, on features; on maps: on each position (a sequence's tokens)
  kBatchNorm,     ///< per channel, with kNormEpsilon
  kLayerNorm,     ///< over the channels of each position, with Layer::epsilon
  kSoftmax,       ///< over the channels of each position
  kRelu,          ///< max(x, 0)
  kRelu6,         ///< min(max(x, 0), 6)
  kPointwise,     ///< Layer::pointwise of each value
  kMaxPool,       ///< square window
  kMeanPool,      ///< square window: the mean of what of it lies on the image
  kUpsample,      ///< each position Layer::factor times beside and below itself
  kDepthToSpace,  ///< channels [factor, factor, fewer] of a position as factor x factor positions
  kGlobalMean,    ///< [channels, height, width] -> [channels, 1, 1]
  kFlatten,       ///< -> [channels * height * width, 1, 1]
  kAdd,           ///< sum of layers of one shape
  kArithmetic,    ///< Layer::arithmetic of two layers, each size of which is as large or 1
  kConstant,      ///< the weight of its values, for every example; reads no layer
  kConcat,        ///< channels of layers of one height and width, one after another
  kStack,         ///< rows of layers of one width and number of channels, one below another
  kRows,          ///< as many rows as its output has, from Layer::first on
  kReshape,       ///< its positions, in their order, with another height and width
  kAttention,     ///< core of attention, see Layer::heads
  kEmbedding,     ///< pooled rows of its tables, as many of each -> [dim, rows, 1]; reads no layer
  kInteraction,   ///< of vectors [dim, ...]: all pairwise dots, then the first `copied` vectors
  kFirstValues,   ///< sum over vectors [dim, vectors, 1] of their first coordinate -> [1, 1, 1]
};
constexpr auto spellings(std::type_identity<Op>) {
  return std::to_array<Spelling<Op>>({{"conv", Op::kConv},
                                      {"linear", Op::kLinear},
                                      {"batch_norm", Op::kBatchNorm},
                                      {"layer_norm", Op::kLayerNorm},
                                      {"channel_softmax", Op::kSoftmax},
                                      {"relu", Op::kRelu},
                                      {"relu6", Op::kRelu6},
                                      {"pointwise", Op::kPointwise},
                                      {"max_pool", Op::kMaxPool},
                                      {"mean_pool", Op::kMeanPool},
                                      {"upsample", Op::kUpsample},
                                      {"depth_to_space", Op::kDepthToSpace},
                                      {"global_mean", Op::kGlobalMean},
                                      {"flatten", Op::kFlatten},
                                      {"add", Op::kAdd},
                                      {"arithmetic", Op::kArithmetic},
                                      {"constant", Op::kConstant},
                                      {"concat", Op::kConcat},
                                      {"stack", Op::kStack},
                                      {"rows", Op::kRows},
                                      {"reshape", Op::kReshape},
                                      {"attention", Op::kAttention},
                                      {"embedding", Op::kEmbedding},
                                      {"interaction", Op::kInteraction},
                                      {"first_values", Op::kFirstValues}});
}

/// What is added to variances in batch normalizations.
inline constexpr double kNormEpsilon = 1e-5;

[[nodiscard]] constexpr std::string_view to_string(Op op) noexcept {
  return spelling_of(op);
}
[[nodiscard]] constexpr std::optional<Op> parse_op(std::string_view text) noexcept {
  return find_spelling<Op>(text);
}

/// Sizes of one example; features have height and width 1. A sequence of tokens is [channels =
/// width, height = tokens, width = 1].
struct Shape {
  std::int64_t channels = 0;
  std::int64_t height = 1;
  std::int64_t width = 1;

  [[nodiscard]] std::int64_t size() const noexcept { return channels * height * width; }
  /// Whether there is more than one position.
  [[nodiscard]] bool is_map() const noexcept { return height * width > 1; }
  bool operator==(const Shape&) const = default;
};

/// Window of a convolution or pool. Square; see windowed_shape().
struct Window {
  std::int64_t kernel = 1;
  std::int64_t stride = 1;
  std::int64_t padding = 0;  ///< on every side: zeros, or for a pool nothing
  std::int64_t after = 0;    ///< as much more below and to the right
  std::int64_t across = 0;   ///< stride from column to column; 0: `stride`, as from row to row
  bool operator==(const Window&) const = default;
};

/// The same window as it steps from column to column.
[[nodiscard]] constexpr Window along_width(Window window) noexcept {
  if (window.across != 0) window.stride = window.across;
  return window;
}

/// Height of what a window gives: floor((side + 2 * padding + after - kernel) / stride) + 1.
[[nodiscard]] constexpr std::int64_t windowed_side(std::int64_t side,
                                                   const Window& window) noexcept {
  return (side + 2 * window.padding + window.after - window.kernel) / window.stride + 1;
}

/// Sizes of what a window gives of `in`, with so many channels.
[[nodiscard]] constexpr Shape windowed_shape(const Shape& in, const Window& window,
                                             std::int64_t channels) noexcept {
  return {channels, windowed_side(in.height, window), windowed_side(in.width, along_width(window))};
}

/// An embedding table.
struct Table {
  std::string name;
  std::int64_t rows = 0;   ///< distinct ids; 0: not known yet
  std::int64_t dim = 0;    ///< values of a whole row
  std::int64_t bytes = 0;  ///< what the table really holds; 0: whole rows of 4 * dim bytes
};

/// One layer. Fields that its op does not have keep their defaults.
struct Layer {
  std::string name;
  Op op = Op::kRelu;
  std::vector<int> inputs;  ///< numbers of layers before it; kNetworkInput: the network's input
  Window window;            ///< of a convolution or pool
  std::int64_t groups = 1;  ///< of a convolution
  bool bias = false;        ///< of a convolution or linear layer
  /// Of attention: parts of equal width into which channels are cut. It reads one layer [3 * width,
  /// height, width] of queries, keys and values beside one another, or three of them, keys and
  /// values with as many positions as each other, queries with as many channels as keys. Each
  /// query's softmax over the keys weighs the values: [channels of values, height and width of
  /// queries].
  std::int64_t heads = 1;
  float scale = 0;  ///< of attention: what scores are multiplied by; 0: 1 / sqrt(width of a head)
  /// Of attention: how many tables [queries, keys] its mask has, for all heads or one for each; 0:
  /// none. They are added to scores, or with mask_replaces stand in place of them where they are no
  /// NaN.
  std::int64_t masks = 0;
  bool mask_replaces = false;
  bool nan_is_zero = false;  ///< of attention: where a query's softmax is no number, it is 0
  std::int64_t copied = 0;   ///< vectors that follow the dots of an interaction
  std::vector<int> tables;   ///< read by an embedding: numbers of Network::tables
  Pointwise pointwise = {};  ///< of a layer of this op
  std::int64_t factor = 1;   ///< of an upsampling, or of depth to space
  std::int64_t first = 0;    ///< of rows: the first that is taken
  float epsilon = 0;         ///< added to the variances of a layer norm
  Arithmetic arithmetic = Arithmetic::kAdd;  ///< the same
  Shape in;  ///< of its first input; of an embedding or a constant: that of its output
  Shape out;
  int winner_site = -1;  ///< number among the places where winners are chosen; -1: none
};
inline constexpr int kNetworkInput = -1;

/// How winners are chosen at the sites of a network.
struct Winners {
  /// For maps; features always choose among neurons (blocks of them, where the unit is block).
  sparsity::Unit unit = sparsity::Unit::kPosition;
  sparsity::Score score = sparsity::Score::kMeanMagnitude;
  std::int64_t block = 8;
  std::vector<double> rates;  ///< by site; 1: all win. Empty: a dense network
};

/// Numbers of one layer, as views of memory that somebody else owns; what the layer does not have
/// is empty.
struct LayerValues {
  /// weight_shape of the layer, the scale [channels] of a normalization, a constant [height, width,
  /// channels], or the mask of attention [masks, queries, keys].
  std::span<const float> weight;
  /// Instead of weight where the network computes in 8 bits: weight = code * scale of its output.
  std::span<const std::int8_t> codes;
  std::span<const float> code_scales;  ///< [outputs]
  std::span<const float> bias;         ///< [outputs]
  std::span<const float> mean;         ///< [channels] of a normalization
  std::span<const float> variance;     ///< [channels]
  float input_scale = 0;               ///< of the 8 bits that its input passes through; 0: none
  bool input_unsigned = false;         ///< codes 0 .. 255, else -127 .. 127
  /// At a site of winners: 1 for channels that stay, 0 for those pruned for all inputs alike;
  /// empty: all stay.
  std::span<const float> kept_maps;
};

/// A network: layers, the output of the last of which is the network's (logits), and what is known
/// about them. Threads: reading is free.
struct Network {
  std::string name;
  Shape input;                ///< images, features or tokens; channels 0: it reads tables alone
  std::vector<Layer> layers;  ///< each reads layers before it only
  std::vector<Table> tables = {};
  Winners winners = {};
  /// Measured share of values that are not zero behind each site; empty: not measured.
  std::vector<double> densities = {};
  std::vector<LayerValues> values = {};  ///< by layer; empty: a description alone

  /// Layers after which winners are chosen: every activation, or the pool that follows it at once.
  [[nodiscard]] std::vector<int> winner_sites() const;
  /// How many layers have a site, by their winner_site.
  [[nodiscard]] std::size_t sites() const;
  /// Numbers winner_sites() into Layer::winner_site.
  void number_sites();
  /// Of what a layer reads: a layer's output, or the network's input.
  [[nodiscard]] const Shape& shape_of(int layer) const {
    return layer == kNetworkInput ? input : layers[static_cast<std::size_t>(layer)].out;
  }
};

/// Multiply-adds with weights of a layer for one example; density: the share of its inputs that are
/// not zero.
[[nodiscard]] double multiply_adds(const Layer& layer, double density = 1.0);

/// What attention reads: the shapes of queries, keys and values, each with the channels that it has
/// by itself.
struct AttentionShapes {
  Shape query;
  Shape key;
  Shape value;
};
/// Of a layer whose inputs are there.
[[nodiscard]] AttentionShapes attention_shapes(const Network& network, const Layer& layer);
/// Numbers in the mask of attention, 0 without one. Requires a layer that is sound.
[[nodiscard]] std::int64_t mask_count(const Network& network, const Layer& layer);

/// Values of weights (without bias) of a convolution or linear layer, empty for others:
/// [out, in / groups, kernel, kernel] or [out, in].
[[nodiscard]] std::vector<std::int64_t> weight_shape(const Layer& layer);

/// Weights and biases of a convolution or linear layer, scales and shifts of a normalization,
/// values of a constant; 0 for others.
[[nodiscard]] std::int64_t parameter_count(const Layer& layer);
/// Of all layers; 2^63 - 1 for more than can be counted.
[[nodiscard]] std::int64_t parameter_count(const Network& network);

/// The number of the site whose winners a layer reads, through pools, means and flattening; -1 when
/// it reads the input or something that was never chosen from.
[[nodiscard]] int site_read_by(const Network& network, const Layer& layer);

/// How winners are chosen behind a layer with a site, with its rate (1 where there are no rates):
/// features choose among neurons, unless the unit is block.
[[nodiscard]] sparsity::WinnersOptions winners_at(const Network& network, const Layer& layer);

/// What is wrong with a network that was read from a file, naming the layer: inputs that are not
/// before it, shapes that do not follow from its inputs, sizes out of range, names twice, sites
/// that are not numbered in order. Nothing for a sound one.
[[nodiscard]] std::optional<std::string> wrong_layer(const Network& network);

}  // namespace taut::graph
