#pragma once
// A model as a graph of layers: what a planner and a kernel benchmark need to know of it, no
// values.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "taut/core/spelling.h"

namespace taut::graph {

/// What a node lets a planner do with it.
enum class NodeKind {
  kWeighted,     ///< has weights: convolution, fully connected (sum over input channels)
  kElementwise,  ///< acts alike on all channels: addition, pooling, normalisation, attention core
  kBatchOnly,    ///< needs whole samples: loss, embedding, feature interaction
};

constexpr auto spellings(std::type_identity<NodeKind>) {
  return std::to_array<Spelling<NodeKind>>({{"weighted", NodeKind::kWeighted},
                                            {"elementwise", NodeKind::kElementwise},
                                            {"batch only", NodeKind::kBatchOnly}});
}
[[nodiscard]] constexpr std::string_view to_string(NodeKind kind) noexcept {
  return spelling_of(kind);
}

/// One layer. Counts are per sample unless said; words are 32 bit.
struct Node {
  std::string name;
  std::string op;  ///< "conv", "fc", "add", "attention", "loss" ...
  NodeKind kind = NodeKind::kWeighted;
  std::int64_t in_channels = 1;   ///< parts into which the input's channels can be cut
  std::int64_t out_channels = 1;  ///< parts into which the output's channels can be cut
  /// How often in a row the channels can be halved when input and output channels go together:
  /// element-wise nodes and grouped convolutions. Attention: by whole heads.
  int channel_levels = 0;
  /// Into how many parts a sample can be cut besides, where each of its positions is worked on
  /// alone: tokens of a sequence. Type I cuts samples first, then positions.
  std::int64_t positions = 1;
  bool grouped = false;           ///< weighted, each output channel reads its own group only
  std::int64_t kernel = 1;        ///< side of a convolution's window
  std::int64_t weights = 0;       ///< words of weights (not per sample)
  std::int64_t in_words = 0;      ///< input, all operands
  std::int64_t out_words = 0;     ///< output as the next layer reads it, after pooling
  std::int64_t raw_words = 0;     ///< output before pooling
  std::int64_t stored_words = 0;  ///< what forward keeps for backward
  std::int64_t macs = 0;  ///< multiply-adds of one forward pass, counted on the output's size
  /// Multiply-adds counted on the input's size (stride and padding ignored), as HyPar's figures
  /// need them (docs/parallel.md, "Figures"). Equal to macs where there is no window.
  std::int64_t input_macs = 0;
};

/// The output of one node read by another.
struct Edge {
  int from = 0;
  int to = 0;
  std::int64_t words = 0;      ///< per sample, as read
  std::int64_t raw_words = 0;  ///< per sample, before pooling: what partial sums are made of
  /// Share of the values read that are not zero; nothing: not known.
  std::optional<double> density = {};
};

/// An embedding table whose pooled rows enter the graph at a batch-only node. Held whole by one
/// accelerator; its rows travel by an all-to-all.
struct GraphTable {
  std::string name;
  int node = 0;  ///< the node that reads the pooled rows
  std::int64_t rows = 0;
  std::int64_t dim = 0;        ///< words of a row
  std::int64_t bytes = 0;      ///< what it really holds; 0: every row whole
  std::int64_t rows_read = 1;  ///< pooled rows of a sample
};

/// A checked, immutable model. Nodes are in an order in which every edge goes from a lower to a
/// higher index; the last node is the only one whose output nobody reads (the loss).
/// Threads: reading is free.
class Graph {
 public:
  /// Checks and sorts. Errors (kInvalidArgument, naming node and value): no nodes, a name twice, a
  /// size below its least (zero channels, words, MACs), a density outside [0, 1], an edge to itself
  /// or out of range, a cycle (its nodes named), a second node that nobody reads ("a branch that
  /// never joins"). Two edges between the same nodes are joined into one with the words of both,
  /// and their mean density where both are known.
  Graph(std::string name, std::vector<Node> nodes, std::vector<Edge> edges,
        std::vector<GraphTable> tables = {});

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] std::span<const Node> nodes() const noexcept { return nodes_; }
  [[nodiscard]] std::span<const Edge> edges() const noexcept { return edges_; }
  [[nodiscard]] std::span<const GraphTable> tables() const noexcept { return tables_; }
  [[nodiscard]] int size() const noexcept { return static_cast<int>(nodes_.size()); }
  [[nodiscard]] const Node& node(int index) const { return nodes_.at(index); }
  /// Indices of the edges into a node, in the order of their sources.
  [[nodiscard]] std::span<const int> inputs(int node) const { return inputs_.at(node); }
  /// Indices of the edges out of a node.
  [[nodiscard]] std::span<const int> outputs(int node) const { return outputs_.at(node); }
  /// Each node reads exactly the one before it.
  [[nodiscard]] bool is_chain() const noexcept;
  /// Words of all weights, without tables.
  [[nodiscard]] std::int64_t weights() const noexcept;
  /// Multiply-adds of one sample's forward pass.
  [[nodiscard]] std::int64_t macs() const noexcept;
  [[nodiscard]] std::int64_t input_macs() const noexcept;
  /// Words of all tables, every row whole.
  [[nodiscard]] std::int64_t table_words() const noexcept;

 private:
  void check_nodes() const;
  void sort_topologically();
  void join_parallel_edges();
  void check_sinks() const;

  std::string name_;
  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  std::vector<GraphTable> tables_;
  std::vector<std::vector<int>> inputs_;
  std::vector<std::vector<int>> outputs_;
};

}  // namespace taut::graph
