#include "taut/graph/graph.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

void require(const Node& node, std::string_view field, std::int64_t value, std::int64_t least) {
  if (value >= least) return;
  throw_invalid_argument(concat("node ", node.name, ": ", field), concat("at least ", least),
                         concat(value));
}

void join_into(Edge& both, const Edge& other) {
  if (both.density && other.density) {
    const auto words = static_cast<double>(both.words);
    const auto more = static_cast<double>(other.words);
    both.density = (*both.density * words + *other.density * more) / (words + more);
  } else {
    both.density.reset();
  }
  both.words += other.words;
  both.raw_words += other.raw_words;
}

template <typename Value>
std::int64_t total(std::span<const Node> nodes, Value value) {
  return std::accumulate(nodes.begin(), nodes.end(), std::int64_t{0},
                         [&](std::int64_t sum, const Node& node) { return sum + value(node); });
}

}  // namespace

Graph::Graph(std::string name, std::vector<Node> nodes, std::vector<Edge> edges,
             std::vector<GraphTable> tables)
    : name_(std::move(name)),
      nodes_(std::move(nodes)),
      edges_(std::move(edges)),
      tables_(std::move(tables)) {
  check_nodes();
  join_parallel_edges();
  sort_topologically();
  inputs_.assign(nodes_.size(), {});
  outputs_.assign(nodes_.size(), {});
  for (std::size_t e = 0; e < edges_.size(); ++e) {
    inputs_[edges_[e].to].push_back(static_cast<int>(e));
    outputs_[edges_[e].from].push_back(static_cast<int>(e));
  }
  check_sinks();
}

void Graph::check_nodes() const {
  if (nodes_.empty()) throw_invalid_argument("model " + name_, "at least one layer", "none");
  std::set<std::string_view> names;
  for (const Node& node : nodes_) {
    if (!names.insert(node.name).second) {
      throw Error(ErrorKind::kInvalidArgument, "two layers have the name " + node.name,
                  "model " + name_);
    }
    require(node, "in_channels", node.in_channels, 1);
    require(node, "out_channels", node.out_channels, 1);
    require(node, "channel_levels", node.channel_levels, 0);
    require(node, "positions", node.positions, 1);
    require(node, "kernel", node.kernel, 1);
    require(node, "weights", node.weights, node.kind == NodeKind::kWeighted ? 1 : 0);
    require(node, "in_words", node.in_words, node.kind == NodeKind::kWeighted ? 1 : 0);
    require(node, "out_words", node.out_words, node.kind == NodeKind::kBatchOnly ? 0 : 1);
    require(node, "raw_words", node.raw_words, node.out_words > 0 ? 1 : 0);
    require(node, "stored_words", node.stored_words, 0);
    require(node, "macs", node.macs, 0);
    require(node, "input_macs", node.input_macs, 0);
  }
  const int count = size();
  for (const Edge& edge : edges_) {
    for (const int end : {edge.from, edge.to}) {
      if (end < 0 || end >= count) {
        throw_invalid_argument("edge end", concat("a node index below ", count), concat(end));
      }
    }
    const std::string& reader = nodes_[edge.to].name;
    if (edge.from == edge.to) {
      throw Error(ErrorKind::kInvalidArgument, "layer " + reader + " reads its own output",
                  "model " + name_);
    }
    if (edge.words < 1 || edge.raw_words < 1) {
      throw_invalid_argument("words of " + nodes_[edge.from].name + " read by " + reader,
                             "at least 1", concat(std::min(edge.words, edge.raw_words)));
    }
    if (edge.density && !(*edge.density >= 0 && *edge.density <= 1)) {
      throw_invalid_argument("density of " + nodes_[edge.from].name + " read by " + reader,
                             "in [0, 1]", concat(*edge.density));
    }
  }
  for (const GraphTable& table : tables_) {
    if (table.rows < 1 || table.dim < 1) {
      throw_invalid_argument("table " + table.name, "at least 1 row and 1 column",
                             concat(table.rows, " x ", table.dim));
    }
    if (table.rows_read < 1 || table.bytes < 0) {
      throw_invalid_argument("table " + table.name, "at least 1 row read and no negative bytes",
                             concat(table.rows_read, " rows, ", table.bytes, " bytes"));
    }
    if (table.node < 0 || table.node >= count) {
      throw_invalid_argument("table " + table.name + ": node", concat("a node index below ", count),
                             concat(table.node));
    }
  }
}

void Graph::join_parallel_edges() {
  std::map<std::pair<int, int>, std::size_t> seen;
  std::vector<Edge> joined;
  for (const Edge& edge : edges_) {
    const auto [at, added] = seen.try_emplace({edge.from, edge.to}, joined.size());
    if (added) {
      joined.push_back(edge);
    } else {
      join_into(joined[at->second], edge);
    }
  }
  edges_ = std::move(joined);
}

void Graph::sort_topologically() {
  const std::size_t count = nodes_.size();
  std::vector<int> waiting(count, 0);
  std::vector<std::vector<int>> readers(count);
  for (const Edge& edge : edges_) {
    ++waiting[edge.to];
    readers[edge.from].push_back(edge.to);
  }
  std::set<int> ready;  // lowest index first: a sorted input keeps its order
  for (std::size_t v = 0; v < count; ++v) {
    if (waiting[v] == 0) ready.insert(static_cast<int>(v));
  }
  std::vector<int> place(count, -1);
  std::vector<Node> sorted;
  while (!ready.empty()) {
    const int v = *ready.begin();
    ready.erase(ready.begin());
    place[v] = static_cast<int>(sorted.size());
    sorted.push_back(nodes_[v]);
    for (const int reader : readers[v]) {
      if (--waiting[reader] == 0) ready.insert(reader);
    }
  }
  if (sorted.size() != count) {
    std::vector<std::string> left;
    for (std::size_t v = 0; v < count; ++v) {
      if (place[v] < 0) left.push_back(nodes_[v].name);
    }
    throw Error(ErrorKind::kInvalidArgument, "layers form a cycle: " + join(left, ", "),
                "model " + name_, "no layer may read what is computed from its own output");
  }
  nodes_ = std::move(sorted);
  for (Edge& edge : edges_) {
    edge.from = place[edge.from];
    edge.to = place[edge.to];
  }
  for (GraphTable& table : tables_) table.node = place[table.node];
  std::sort(edges_.begin(), edges_.end(), [](const Edge& a, const Edge& b) {
    return std::pair(a.to, a.from) < std::pair(b.to, b.from);
  });
}

void Graph::check_sinks() const {
  const int last = size() - 1;
  for (int v = 0; v < last; ++v) {
    if (!outputs_[v].empty()) continue;
    throw Error(ErrorKind::kInvalidArgument,
                "the branch that ends in " + nodes_[v].name + " never joins: nothing reads it",
                "model " + name_, "add a layer that reads it, or leave it out");
  }
}

bool Graph::is_chain() const noexcept {
  if (edges_.size() + 1 != nodes_.size()) return false;
  for (std::size_t e = 0; e < edges_.size(); ++e) {
    if (edges_[e].from != static_cast<int>(e) || edges_[e].to != static_cast<int>(e) + 1) {
      return false;
    }
  }
  return true;
}

std::int64_t Graph::weights() const noexcept {
  return total(nodes_, [](const Node& node) { return node.weights; });
}
std::int64_t Graph::macs() const noexcept {
  return total(nodes_, [](const Node& node) { return node.macs; });
}
std::int64_t Graph::input_macs() const noexcept {
  return total(nodes_, [](const Node& node) { return node.input_macs; });
}
std::int64_t Graph::table_words() const noexcept {
  std::int64_t words = 0;
  for (const GraphTable& table : tables_) words += table.rows * table.dim;
  return words;
}

}  // namespace taut::graph
