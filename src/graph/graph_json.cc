#include "taut/graph/graph_json.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>
#include <vector>

#include "core/json_text.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

using Json = nlohmann::json;

// Visits the members that nodes, edges and tables keep as they are: one list for both directions.
template <typename AnyNode, typename Visit>
void visit_node(AnyNode& node, Visit&& visit) {
  visit("in_channels", node.in_channels);
  visit("out_channels", node.out_channels);
  visit("channel_levels", node.channel_levels);
  visit("positions", node.positions);
  visit("grouped", node.grouped);
  visit("kernel", node.kernel);
  visit("weights", node.weights);
  visit("in_words", node.in_words);
  visit("out_words", node.out_words);
  visit("raw_words", node.raw_words);
  visit("stored_words", node.stored_words);
  visit("macs", node.macs);
  visit("input_macs", node.input_macs);
}

template <typename AnyEdge, typename Visit>
void visit_edge(AnyEdge& edge, Visit&& visit) {
  visit("words", edge.words);
  visit("raw_words", edge.raw_words);
}

template <typename AnyTable, typename Visit>
void visit_table(AnyTable& table, Visit&& visit) {
  visit("rows", table.rows);
  visit("dim", table.dim);
  visit("bytes", table.bytes);
  visit("rows_read", table.rows_read);
}

/// Reads members of one object; what is left over at the end is unknown.
class MemberReader {
 public:
  MemberReader(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) throw Error(ErrorKind::kFormat, "not an object", where_);
  }

  template <typename T>
  T needed(const char* key) {
    known_.emplace_back(key);
    return json_member<T>(object_, key, where_);
  }

  template <typename T>
  void optional(const char* key, T& value) {
    known_.emplace_back(key);
    const auto found = object_.find(key);
    if (found == object_.end()) return;
    value = json_value<T>(*found, key, where_);
    if constexpr (std::same_as<T, std::int64_t>) {
      if (value < 0 || value > kMostJsonCount) {
        throw Error(ErrorKind::kFormat,
                    concat("\"", key, "\" must lie in 0..", kMostJsonCount, ", got ", value),
                    where_);
      }
    }
  }

  const Json& list(const char* key, std::size_t most) {
    known_.emplace_back(key);
    const Json& found = json_at(object_, key, where_);
    if (found.is_array() && found.size() <= most) return found;
    throw Error(ErrorKind::kFormat, concat("\"", key, "\" must be a list of at most ", most),
                where_);
  }

  void finish() const {
    for (const auto& [key, value] : object_.items()) {
      if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
      throw Error(ErrorKind::kFormat, concat("unknown member \"", one_line(key), "\""), where_,
                  suggest(key, known_));
    }
  }

  [[nodiscard]] const std::string& where() const noexcept { return where_; }

 private:
  const Json& object_;
  std::string where_;
  std::vector<std::string> known_;
};

class GraphReader {
 public:
  GraphReader(std::string_view text, const std::string& source)
      : source_(source), json_(parse_json(text, source)) {}

  Graph read() {
    MemberReader members(json_, source_);
    auto name = members.needed<std::string>("name");
    read_nodes(members.list("nodes", kMostJsonNodes));
    std::vector<Edge> edges = read_edges(members.list("edges", 4 * kMostJsonNodes));
    std::vector<GraphTable> tables;
    if (json_.contains("tables")) tables = read_tables(members.list("tables", kMostJsonNodes));
    members.finish();
    return {std::move(name), std::move(nodes_), std::move(edges), std::move(tables)};
  }

 private:
  void read_nodes(const Json& list) {
    for (const Json& one : list) {
      MemberReader members(one, concat(source_, ", node ", nodes_.size()));
      Node node;
      node.name = members.needed<std::string>("name");
      node.op = members.needed<std::string>("op");
      node.kind = kind(members);
      visit_node(node, [&](const char* key, auto& value) { members.optional(key, value); });
      members.finish();
      index_.try_emplace(node.name, static_cast<int>(nodes_.size()));
      nodes_.push_back(std::move(node));
    }
  }

  NodeKind kind(MemberReader& members) const {
    const auto name = members.needed<std::string>("kind");
    return parse_spelling<NodeKind>(one_line(name), ErrorKind::kFormat, "kind", members.where());
  }

  int end(MemberReader& members, const char* key) const {
    const auto name = members.needed<std::string>(key);
    const auto found = index_.find(name);
    if (found != index_.end()) return found->second;
    throw Error(ErrorKind::kFormat, concat("no node is called \"", one_line(name), "\""),
                members.where());
  }

  std::vector<Edge> read_edges(const Json& list) const {
    std::vector<Edge> edges;
    for (const Json& one : list) {
      MemberReader members(one, concat(source_, ", edge ", edges.size()));
      Edge edge;
      edge.from = end(members, "from");
      edge.to = end(members, "to");
      visit_edge(edge, [&](const char* key, auto& value) { members.optional(key, value); });
      if (one.contains("density")) edge.density = members.needed<double>("density");
      if (!one.contains("raw_words")) edge.raw_words = edge.words;
      members.finish();
      edges.push_back(edge);
    }
    return edges;
  }

  std::vector<GraphTable> read_tables(const Json& list) const {
    std::vector<GraphTable> tables;
    for (const Json& one : list) {
      MemberReader members(one, concat(source_, ", table ", tables.size()));
      GraphTable table;
      table.name = members.needed<std::string>("name");
      table.node = end(members, "node");
      visit_table(table, [&](const char* key, auto& value) { members.optional(key, value); });
      members.finish();
      if (table.dim > 0 && table.rows > kMostJsonCount / table.dim) {
        throw Error(ErrorKind::kFormat, "a table of more words than counts can tell",
                    members.where());
      }
      tables.push_back(std::move(table));
    }
    return tables;
  }

  const std::string& source_;
  Json json_;
  std::vector<Node> nodes_;
  std::map<std::string, int> index_;
};

}  // namespace

std::string graph_json(const Graph& graph) {
  Json nodes = Json::array();
  for (const Node& node : graph.nodes()) {
    Json json = {{"name", node.name}, {"op", node.op}, {"kind", to_string(node.kind)}};
    visit_node(node, [&](const char* key, const auto& value) { json[key] = value; });
    nodes.push_back(std::move(json));
  }
  Json edges = Json::array();
  for (const Edge& edge : graph.edges()) {
    Json json = {{"from", graph.node(edge.from).name}, {"to", graph.node(edge.to).name}};
    visit_edge(edge, [&](const char* key, const auto& value) { json[key] = value; });
    if (edge.density) json["density"] = *edge.density;
    edges.push_back(std::move(json));
  }
  Json tables = Json::array();
  for (const GraphTable& table : graph.tables()) {
    Json json = {{"name", table.name}, {"node", graph.node(table.node).name}};
    visit_table(table, [&](const char* key, const auto& value) { json[key] = value; });
    tables.push_back(std::move(json));
  }
  return json_text(
      {{"name", graph.name()}, {"nodes", nodes}, {"edges", edges}, {"tables", tables}});
}

Graph parse_graph_json(std::string_view text, const std::string& source) {
  return GraphReader(text, source).read();
}

}  // namespace taut::graph
