// The TOML form of a model: layers by name, in any order.
#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/toml_text.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/graph/model_file.h"
#include "taut/graph/network_builder.h"

namespace taut::graph {
namespace {

/// One [[layer]] as written.
struct LayerSpec {
  std::string name;
  std::string op;
  std::vector<std::string> from;  ///< empty: the model's input
  const toml::table* table = nullptr;
  int line = 0;
};

struct Operator {
  std::string name;
  std::vector<std::string> keys;  ///< besides name, op, from
};

const std::vector<Operator>& operators() {
  static const std::vector<Operator> known_operators = {
      {"conv", {"out", "kernel", "stride", "pad", "groups", "bias"}},
      {"fc", {"out", "bias"}},
      {"linear", {"out", "bias"}},
      {"pool", {"kernel", "stride", "pad"}},
      {"global-pool", {}},
      {"batch_norm", {}},
      {"relu", {}},
      {"relu6", {}},
      {"flatten", {}},
      {"add", {}},
      {"concat", {}},
      {"attention", {"heads"}},
      {"embedding", {"rows", "dim", "tokens"}},
      {"interaction", {"copied"}},
      {"first_values", {}},
  };
  return known_operators;
}

class TomlModel {
 public:
  TomlModel(std::string_view text, const std::string& source) : source_(source) {
    root_ = parse_toml(text, source);
  }

  Network build() {
    check_keys(root_, {"name", "input", "layer"}, "the model", 1);
    read_layers();
    NetworkBuilder net(root_["name"].value_or(source_), read_input());
    numbers_["input"] = kNetworkInput;
    const std::vector<const LayerSpec*> sorted = order();
    check_sinks();
    for (const LayerSpec* layer : sorted) {
      std::vector<int> from;
      for (const std::string& name : layer->from) from.push_back(numbers_.at(name));
      numbers_[layer->name] = add(net, *layer, from);
    }
    return net.finish();
  }

 private:
  [[noreturn]] void fail(const std::string& what, int line, const std::string& mend = {}) const {
    throw Error(ErrorKind::kConfig, what, concat(source_, " line ", line), mend);
  }

  void check_keys(const toml::table& table, const std::vector<std::string>& known,
                  const std::string& owner, int line) const {
    for (const auto& [key, value] : table) {
      const std::string name(key.str());
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        fail(concat("unknown key ", name, " of ", owner), line, suggest(name, known));
      }
    }
  }

  std::int64_t integer(const toml::table& table, const std::string& key,
                       std::optional<std::int64_t> fallback, const std::string& owner,
                       int line) const {
    const toml::node* node = table.get(key);
    if (node == nullptr) {
      if (fallback) return *fallback;
      fail(concat(owner, " needs ", key), line);
    }
    const std::optional<std::int64_t> value = node->value_exact<std::int64_t>();
    if (!value) fail(concat(owner, ": ", key, " must be a whole number"), line);
    return *value;
  }

  bool boolean(const LayerSpec& layer, const char* key, bool fallback) const {
    const toml::node* node = layer.table->get(key);
    if (node == nullptr) return fallback;
    const std::optional<bool> value = node->value_exact<bool>();
    if (!value) fail(concat("layer ", layer.name, ": ", key, " must be true or false"), layer.line);
    return *value;
  }

  Shape read_input() const {
    const toml::table* table = root_["input"].as_table();
    if (table == nullptr) {
      const bool tables = std::any_of(layers_.begin(), layers_.end(), [](const LayerSpec& layer) {
        return layer.op == "embedding";
      });
      if (tables && !root_.contains("input")) return {};
      fail("the table [input] is missing", 1, "give channels, height and width");
    }
    const int line = static_cast<int>(table->source().begin.line);
    check_keys(*table, {"channels", "height", "width", "features"}, "[input]", line);
    const bool features = table->contains("features");
    const Shape shape{integer(*table, features ? "features" : "channels", {}, "[input]", line),
                      integer(*table, "height", 1, "[input]", line),
                      integer(*table, "width", 1, "[input]", line)};
    if (shape.channels < 1) {
      throw_invalid_argument("layer input: channels", "at least 1", concat(shape.channels));
    }
    return shape;
  }

  void read_layers() {
    const toml::array* layers = root_["layer"].as_array();
    if (layers == nullptr || layers->empty()) fail("no [[layer]] in the model", 1);
    std::vector<std::string> op_names;
    for (const Operator& op : operators()) op_names.push_back(op.name);
    for (const toml::node& node : *layers) {
      const int line = static_cast<int>(node.source().begin.line);
      const toml::table* table = node.as_table();
      if (table == nullptr) fail("layer must be written as [[layer]]", line);
      LayerSpec layer{.name = (*table)["name"].value_or(concat("layer", layers_.size() + 1)),
                      .op = (*table)["op"].value_or(std::string()),
                      .from = {},
                      .table = table,
                      .line = line};
      const auto op = std::find(op_names.begin(), op_names.end(), layer.op);
      if (layer.op.empty()) fail(concat("layer ", layer.name, " needs op"), line);
      if (op == op_names.end()) {
        fail(concat("layer ", layer.name, ": unknown op ", layer.op), line,
             suggest(layer.op, op_names));
      }
      std::vector<std::string> keys = operators()[op - op_names.begin()].keys;
      keys.insert(keys.end(), {"name", "op", "from"});
      check_keys(*table, keys, "layer " + layer.name, line);
      layer.from = read_from(*table, layer);
      if (layer.name == "input" || !index_.try_emplace(layer.name, layers_.size()).second) {
        fail(concat("two layers have the name ", layer.name), line);
      }
      layers_.push_back(std::move(layer));
    }
    check_sources();
  }

  std::vector<std::string> read_from(const toml::table& table, const LayerSpec& layer) const {
    const toml::node* from = table.get("from");
    if (from == nullptr) {
      if (layer.op == "embedding") return {};
      return {layers_.empty() ? std::string("input") : layers_.back().name};
    }
    std::vector<std::string> names;
    if (const toml::array* list = from->as_array()) {
      for (const toml::node& item : *list) names.push_back(item.value_or(std::string()));
    } else {
      names.push_back(from->value_or(std::string()));
    }
    if (names.empty() || std::find(names.begin(), names.end(), "") != names.end()) {
      fail(concat("layer ", layer.name, ": from must be a name or a list of names"), layer.line);
    }
    if (layer.op == "embedding") {
      if (names == std::vector<std::string>{"input"}) return {};  // its ids
      fail(concat("layer ", layer.name, ": embedding reads ids, no layer"), layer.line,
           "leave out from");
    }
    return names;
  }

  void check_sources() const {
    std::vector<std::string> known = {"input"};
    for (const LayerSpec& layer : layers_) known.push_back(layer.name);
    for (const LayerSpec& layer : layers_) {
      for (const std::string& from : layer.from) {
        if (from != "input" && !index_.contains(from)) {
          fail(concat("layer ", layer.name, " reads ", from, ", which no layer is called"),
               layer.line, suggest(from, known));
        }
      }
      const bool many = layer.op == "add" || layer.op == "concat" || layer.op == "interaction";
      if (!many && layer.from.size() > 1) {
        fail(concat("layer ", layer.name, ": ", layer.op, " reads one layer, not ",
                    layer.from.size()),
             layer.line);
      }
    }
  }

  /// Layers after everything that they read; the order of the file where that leaves a choice.
  std::vector<const LayerSpec*> order() const {
    std::vector<const LayerSpec*> sorted;
    std::set<std::string> done = {"input"};
    std::vector<const LayerSpec*> left;
    for (const LayerSpec& layer : layers_) left.push_back(&layer);
    while (!left.empty()) {
      std::vector<const LayerSpec*> blocked;
      for (const LayerSpec* layer : left) {
        const bool ready =
            std::all_of(layer->from.begin(), layer->from.end(),
                        [&](const std::string& from) { return done.contains(from); });
        if (ready) {
          sorted.push_back(layer);
          done.insert(layer->name);
        } else {
          blocked.push_back(layer);
        }
      }
      if (blocked.size() == left.size()) {
        std::vector<std::string> names;
        for (const LayerSpec* layer : blocked) names.push_back(layer->name);
        fail("layers form a cycle: " + join(names, ", "), blocked.front()->line,
             "no layer may read what is computed from its own output");
      }
      left = std::move(blocked);
    }
    return sorted;
  }

  void check_sinks() const {
    std::set<std::string> read;
    for (const LayerSpec& layer : layers_) read.insert(layer.from.begin(), layer.from.end());
    std::vector<const LayerSpec*> ends;
    for (const LayerSpec& layer : layers_) {
      if (!read.contains(layer.name)) ends.push_back(&layer);
    }
    if (ends.size() > 1) {
      fail(concat("the branch that ends in ", ends[0]->name, " never joins: both it and ",
                  ends[1]->name, " are read by nobody"),
           ends[0]->line, "add a layer that reads both, or leave one out");
    }
  }

  int add(NetworkBuilder& net, const LayerSpec& layer, const std::vector<int>& from) const {
    const auto number = [&](const char* key, std::optional<std::int64_t> fallback = {}) {
      return integer(*layer.table, key, fallback, "layer " + layer.name, layer.line);
    };
    const std::string& name = layer.name;
    const std::string& op = layer.op;
    if (op == "conv") {
      return net.conv(name, from[0], number("out"),
                      {number("kernel"), number("stride", 1), number("pad", 0)},
                      number("groups", 1), boolean(layer, "bias", true));
    }
    if (op == "fc") {
      return net.fully_connected(name, from[0], number("out"), boolean(layer, "bias", true));
    }
    if (op == "linear") {
      return net.linear(name, from[0], number("out"), boolean(layer, "bias", true));
    }
    if (op == "pool") {
      const std::int64_t kernel = number("kernel");
      return net.max_pool(name, from[0], {kernel, number("stride", kernel), number("pad", 0)});
    }
    if (op == "global-pool") return net.global_mean(name, from[0]);
    if (op == "batch_norm") return net.batch_norm(name, from[0]);
    if (op == "relu") return net.activation(name, from[0]);
    if (op == "relu6") return net.activation(name, from[0], Op::kRelu6);
    if (op == "flatten") return net.flatten(name, from[0]);
    if (op == "add") return net.add(name, from);
    if (op == "concat") return net.concat(name, from);
    if (op == "attention") return net.attention(name, from[0], number("heads"));
    if (op == "interaction") return net.interaction(name, from, number("copied", 0));
    if (op == "first_values") return net.first_values(name, from[0]);
    const int table = net.table({.name = name, .rows = number("rows"), .dim = number("dim")});
    return net.embedding(name, {&table, 1}, number("tokens", 1));
  }

  std::string source_;
  toml::table root_;
  std::vector<LayerSpec> layers_;
  std::map<std::string, std::size_t> index_;
  std::map<std::string, int> numbers_;  ///< of layers that were made
};

}  // namespace

Network parse_model_toml(std::string_view text, const std::string& source) {
  return TomlModel(text, source).build();
}

}  // namespace taut::graph
