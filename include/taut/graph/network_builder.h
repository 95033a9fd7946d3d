#pragma once
// The one place where layers and their shapes are made.

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "taut/graph/network.h"

namespace taut::graph {

/// Appends layers to a network. Each call returns the number of the layer that it made; from names
/// the layers that it reads, kNetworkInput the network's input. An empty name, or one that is taken
/// already, is an error.
/// Errors of every call: kInvalidArgument naming the layer, the argument and the value.
/// Threads: not for sharing between threads.
class NetworkBuilder {
 public:
  /// input.channels 0: the network reads tables alone.
  NetworkBuilder(std::string name, const Shape& input);

  /// What a layer gives.
  [[nodiscard]] const Shape& shape(int layer) const;
  [[nodiscard]] const std::string& name() const noexcept { return network_.name; }
  /// Name of a layer that was made.
  [[nodiscard]] const std::string& name_of(int layer) const;

  /// Convolution with square kernels; groups divides both channel counts.
  int conv(const std::string& name, int from, std::int64_t channels, const Window& window,
           std::int64_t groups = 1, bool bias = true);
  /// Fully connected on features; on maps: on each position.
  int linear(const std::string& name, int from, std::int64_t outputs, bool bias = true);
  /// Fully connected on the whole example: maps are flattened first, by a layer of its own
  /// (name_flat).
  int fully_connected(const std::string& name, int from, std::int64_t outputs, bool bias = true);
  int batch_norm(const std::string& name, int from);
  /// kind: kRelu or kRelu6.
  int activation(const std::string& name, int from, Op kind = Op::kRelu);
  int max_pool(const std::string& name, int from, const Window& window);
  int global_mean(const std::string& name, int from);
  int flatten(const std::string& name, int from);
  /// Sum of two or more layers of one shape.
  int add(const std::string& name, std::span<const int> from);
  /// Channels of layers of one height and width, one after another.
  int concat(const std::string& name, std::span<const int> from);
  /// Core of attention on [3 * width, tokens]; heads divides width.
  int attention(const std::string& name, int from, std::int64_t heads);
  /// Pairwise dots of vectors [dim, ...] and the first `copied` of them.
  int interaction(const std::string& name, std::span<const int> from, std::int64_t copied);
  /// Sum of the vectors' first coordinates.
  int first_values(const std::string& name, int from);

  /// Adds a table and returns its number. rows 0: not known yet.
  int table(Table table);
  /// Rows of tables of one dimension: rows_read of each, pooled -> [dim, tables * rows_read, 1].
  int embedding(const std::string& name, std::span<const int> tables, std::int64_t rows_read = 1);

  /// The network, its sites of winners numbered; the last layer's output is its output. Errors:
  /// kInvalidArgument without a layer.
  [[nodiscard]] Network finish();

 private:
  [[nodiscard]] Layer reading(const std::string& name, Op op, std::span<const int> from) const;
  int append(Layer layer);

  Network network_;
  std::set<std::string> names_;
};

}  // namespace taut::graph
