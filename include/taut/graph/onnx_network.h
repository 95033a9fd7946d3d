#pragma once
// ONNX files as the one description of a network, with its values.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "taut/core/error.h"
#include "taut/graph/graph.h"
#include "taut/graph/model_file.h"
#include "taut/graph/network.h"

namespace taut::graph {

/// A node of an ONNX model that a Network has no layer for.
struct OnnxRefusal {
  std::string node;
  std::string op;
  std::string why;
};

/// Thrown for a sound model that a Network cannot express, kUnsupported. The message names the
/// first hundred nodes, refused() all of them, in the order of the file.
class OnnxNotExpressed : public Error {
 public:
  OnnxNotExpressed(std::vector<OnnxRefusal> refused, const std::string& source);
  [[nodiscard]] const std::vector<OnnxRefusal>& refused() const noexcept { return refused_; }
  /// The message without the file: "because of node a (Erf): ...; node b ...".
  [[nodiscard]] std::string bare() const;

 private:
  std::vector<OnnxRefusal> refused_;
};

/// The last operator of a model, where it makes probabilities of what a network gives.
enum class OnnxEnding { kNone, kSoftmax, kLogSoftmax, kSigmoid };

/// The input or output of a model, as the file has it.
struct OnnxBorder {
  std::string name;
  /// The first is the batch that the sizes were worked out with.
  std::vector<std::int64_t> dimensions = {};
  /// Where the channels lie among them: 1 for images as planes, the last for channel-last. What
  /// goes in or comes out of the network has them last, the others in their order.
  std::size_t channel_axis = 1;
};

/// A network that was read from an ONNX model.
struct OnnxNetwork {
  Network network;  ///< with values for every layer: views of what `held` owns
  /// The mapped files and the arrays that were made.
  std::shared_ptr<const void> held;
  /// metadata_props of the model, but for values above 16 MiB.
  std::map<std::string, std::string> metadata;
  /// A last Softmax, LogSoftmax (over the channels) or Sigmoid is left out: the network gives what
  /// it reads.
  OnnxEnding ending = OnnxEnding::kNone;
  OnnxBorder input;
  OnnxBorder output;
  /// A layer counts more weights or work than the model has there: a window with zeros beside its
  /// weights, a pool that became a convolution, a transposed convolution.
  bool widened = false;
};

/// Reads an ONNX model of one input [batch, channels, height, width] (or [batch, height, width,
/// channels] behind one Transpose), [batch, features] or [batch, tokens, channels], and one output,
/// as a network. What is no layer of its own: Identity, Dropout, casts of floats, reshapes that
/// move nothing, an Add of constants behind a product (its bias), other constants for each channel
/// (a normalization of mean 0), a Pad of zeros in front of a convolution, a mean over whole maps by
/// any name, a last Softmax. A convolution that is not square, is dilated or padded unevenly
/// becomes a square one with zeros beside its weights, an average pool a depthwise convolution. The
/// subgraphs of winners, 8 bits and pruned maps that infer::write_onnx makes are read back as such,
/// with the densities that it writes beside them.
/// A value times its sigmoid that nobody else reads is one function; constants that differ by
/// position become layers of their own; a transposed convolution becomes a product and depth to
/// space.
/// Scores of queries and keys, their scale, constant mask and softmax, and what they weigh are one
/// attention, whatever reshapes, transposes and splits lie between; a norm of channels may be
/// written out. sizes as for read_onnx(). Weights lie in the file or beside it; values are views of
/// these files where they lie aligned as floats, else copies, 1 GiB at most. Errors: those of
/// read_onnx(); OnnxNotExpressed; kData (a constant without values), kFormat (values that are not
/// as many as their shape says, a file outside of the model's folder), kNotFound (a file of values
/// that is not there). Threads: calls are independent.
[[nodiscard]] OnnxNetwork read_onnx_network(const std::string& path,
                                            const DimensionSizes& sizes = {});

/// The same from bytes in memory, which must live as long as the network.
[[nodiscard]] OnnxNetwork parse_onnx_network(std::string_view bytes, const std::string& source,
                                             const DimensionSizes& sizes = {});

/// What an ONNX model is to a planner, and how large.
struct OnnxSummary {
  /// That of the network, winners and all, where there is one and it is not widened; else what
  /// read_onnx() gives.
  Graph graph;
  /// As read_onnx_network() makes it, without values; nothing where it makes none.
  std::optional<Network> network = {};
  /// Numbers in its weights, biases, scales and shifts of normalizations and tables, each constant
  /// once; nothing for more than 2^18 operators.
  std::optional<std::int64_t> parameters = {};
};

/// Takes as long as read_onnx(), whatever the weights are: those beside the file need not be there,
/// large ones are not read. Errors: those of read_onnx().
[[nodiscard]] OnnxSummary summarize_onnx(const std::string& path, const DimensionSizes& sizes = {});

/// The same from bytes in memory; source names them in errors.
[[nodiscard]] OnnxSummary summarize_onnx_bytes(std::string_view bytes, const std::string& source,
                                               const DimensionSizes& sizes = {});

}  // namespace taut::graph
