#pragma once
// Builds graphs from layers and shapes, so that words and operation counts are worked out once.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "taut/graph/graph.h"
#include "taut/graph/network.h"

namespace taut::graph {

/// What a layer gives, as the next one reads it.
struct Tensor {
  int node = -1;  ///< the producing node; -1: the model's input, which costs nothing
  Shape shape;
  std::int64_t raw_words = 0;          ///< words before pooling
  std::optional<double> density = {};  ///< share of values that are not zero; nothing: not known
};

/// Adds layers one by one. Every call checks its sizes and throws kInvalidArgument naming the
/// layer, the argument and the value. Weights have no bias, as in HyPar's counts (arXiv
/// 1901.02067). Not for sharing between threads.
class ModelBuilder {
 public:
  explicit ModelBuilder(std::string name);

  /// The model's input.
  [[nodiscard]] Tensor input(Shape shape) const;
  /// Convolution with square kernels; groups divides both channel counts.
  Tensor conv(const std::string& name, const Tensor& in, std::int64_t out_channels, Window window,
              std::int64_t groups = 1);
  /// Fully connected layer on the flattened sample.
  Tensor fc(const std::string& name, const Tensor& in, std::int64_t out);
  /// Fully connected layer on each position; out_parts limits the channel split (0: out).
  Tensor linear(const std::string& name, const Tensor& in, std::int64_t out,
                std::int64_t out_parts = 0);
  /// A max or average pool that belongs to the layer before it: no node, only a smaller tensor.
  [[nodiscard]] Tensor pooled(const Tensor& in, Window window) const;
  /// Global average pool as a node of its own.
  Tensor global_pool(const std::string& name, const Tensor& in);
  /// Sum of tensors of one shape.
  Tensor add(const std::string& name, std::span<const Tensor> operands);
  /// Value by value of operands that are spread to one shape.
  Tensor combine(const std::string& name, std::span<const Tensor> operands, const Shape& shape);
  /// Channels of the operands one after another.
  Tensor concatenate(const std::string& name, std::span<const Tensor> operands);
  /// Attention core on [3 width, tokens]: gives [width, tokens]; channels split by whole heads.
  Tensor attention(const std::string& name, const Tensor& qkv, std::int64_t heads);
  /// The same of queries, keys and values that are tensors of their own.
  Tensor attention(const std::string& name, std::span<const Tensor, 3> read, std::int64_t heads);
  /// A node that needs whole samples and gives a tensor of the shape: embedding, interaction.
  Tensor batch_only(const std::string& name, const std::string& op,
                    std::span<const Tensor> operands, Shape out);
  /// A table of which rows_read pooled rows of a sample enter at a batch-only node.
  void table(const Table& table, const Tensor& reader, std::int64_t rows_read = 1);
  /// Appends the loss behind the last tensor and checks the whole.
  [[nodiscard]] Graph finish(const Tensor& last);

 private:
  int append(Node node, std::span<const Tensor> operands);
  Tensor weighted(Node node, const Tensor& in, const Shape& out);

  std::string name_;
  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  std::vector<GraphTable> tables_;
};

}  // namespace taut::graph
