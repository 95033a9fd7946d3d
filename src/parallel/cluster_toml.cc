// The cluster file: an array as TOML.
#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "core/toml_text.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/core/units.h"
#include "taut/parallel/cluster.h"
#include "taut/parallel/split.h"

namespace taut::parallel {
namespace {

class ClusterFile {
 public:
  ClusterFile(std::string_view text, const std::string& source) : source_(source) {
    root_ = parse_toml(text, source);
  }

  /// Puts "key=value", "accelerator.key=value" or "level.N.key=value" over the file.
  void set(const std::string& setting) {
    const std::size_t equals = setting.find('=');
    const std::vector<std::string> path = split(setting.substr(0, equals), '.');
    toml::table* table = &root_;
    if (equals != std::string::npos && path.size() == 2 && path[0] == "accelerator") {
      table = root_.emplace<toml::table>("accelerator").first->second.as_table();
    } else if (equals != std::string::npos && path.size() == 3 && path[0] == "level") {
      toml::array* levels = root_["level"].as_array();
      const std::size_t index = std::strtoul(path[1].c_str(), nullptr, 10);
      table = levels != nullptr && index >= 1 && index <= levels->size()
                  ? levels->get(index - 1)->as_table()
                  : nullptr;
    } else if (equals == std::string::npos || path.size() != 1) {
      table = nullptr;
    }
    if (table == nullptr) {
      throw Error(ErrorKind::kConfig, "cannot set " + setting, source_,
                  "write key=value, accelerator.key=value or level.N.key=value");
    }
    const toml::table parsed = parse_toml_value(setting.substr(equals + 1), source_);
    table->insert_or_assign(path.back(), *parsed.get("value"));
  }

  Cluster read() {
    check_keys(root_, {"name", "accelerators", "macs", "accelerator", "level"}, "the cluster");
    Cluster cluster;
    cluster.name = root_["name"].value_or(source_);
    cluster.mac_count = mac_count();
    if (const toml::table* table = root_["accelerator"].as_table()) {
      cluster.accelerator = accelerator(*table);
    }
    read_levels(cluster);
    return cluster;
  }

 private:
  [[noreturn]] void fail(const std::string& what, int line, const std::string& mend = {}) const {
    throw Error(ErrorKind::kConfig, what, concat(source_, " line ", line), mend);
  }

  static int line_of(const toml::node& node) { return static_cast<int>(node.source().begin.line); }

  void check_keys(const toml::table& table, const std::vector<std::string>& known,
                  const std::string& owner) const {
    for (const auto& [key, value] : table) {
      const std::string name(key.str());
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        fail(concat("unknown key ", name, " of ", owner), line_of(value), suggest(name, known));
      }
    }
  }

  /// A number of at least `least`; nothing when the key is absent.
  std::optional<double> number(const toml::table& table, const std::string& key,
                               double least) const {
    const toml::node* node = table.get(key);
    if (node == nullptr) return std::nullopt;
    const std::optional<double> value = node->value<double>();
    if (!node->is_number() || !value || !(*value >= least) || !(*value < 1e300)) {
      fail(concat(key, " must be a number of at least ", least), line_of(*node));
    }
    return value;
  }

  MacCount mac_count() const {
    const toml::node* node = root_.get("macs");
    const std::string value = node == nullptr ? "output" : node->value_or(std::string());
    if (value == "output") return MacCount::kOutputSize;
    if (value == "input") return MacCount::kInputSize;
    fail("macs must be \"output\" or \"input\"", line_of(*node));
  }

  Accelerator accelerator(const toml::table& table) const {
    check_keys(table,
               {"macs_per_second", "memory", "dram_bytes_per_second", "adder_picojoules",
                "multiplier_picojoules", "sram_picojoules", "sram_accesses_per_mac",
                "dram_picojoules", "dram_words_per_sent_word"},
               "[accelerator]");
    Accelerator one;
    const auto set = [&](const char* key, double& field) {
      if (const auto value = number(table, key, 0)) field = *value;
    };
    if (const auto rate = number(table, "macs_per_second", 1)) one.macs_per_second = *rate;
    set("dram_bytes_per_second", one.dram_bytes_per_second);
    set("adder_picojoules", one.adder_picojoules);
    set("multiplier_picojoules", one.multiplier_picojoules);
    set("sram_picojoules", one.sram_picojoules);
    set("sram_accesses_per_mac", one.sram_accesses_per_mac);
    set("dram_picojoules", one.dram_picojoules);
    set("dram_words_per_sent_word", one.dram_words_per_sent_word);
    if (const toml::node* memory = table.get("memory")) {
      if (const auto text = memory->value_exact<std::string>()) {
        one.memory_bytes = static_cast<double>(parse_bytes(*text).count);
      } else {
        one.memory_bytes = *number(table, "memory", 1);
      }
    }
    return one;
  }

  void read_levels(Cluster& cluster) const {
    const toml::array* levels = root_["level"].as_array();
    if (levels == nullptr || levels->empty()) {
      fail("no [[level]] in the cluster", 1, "give one [[level]] or one for each halving");
    }
    for (const toml::node& node : *levels) {
      const toml::table* table = node.as_table();
      if (table == nullptr) fail("level must be written as [[level]]", line_of(node));
      add_level(*table, cluster);
    }
    const toml::node* accelerators = root_.get("accelerators");
    if (accelerators == nullptr) return;
    const std::optional<std::int64_t> count = accelerators->value_exact<std::int64_t>();
    if (!count) fail("accelerators must be a whole number", line_of(*accelerators));
    if (*count != cluster.accelerators()) {
      fail(concat("the levels make ", cluster.accelerators(), " accelerators, the file says ",
                  *count),
           line_of(*accelerators));
    }
  }

  void add_level(const toml::table& table, Cluster& cluster) const {
    check_keys(table,
               {"name", "halvings", "groups", "bytes_per_second", "link_bytes_per_second",
                "latency_seconds", "topology"},
               "[[level]]");
    const int line = line_of(table);
    const auto total = number(table, "bytes_per_second", 1);
    const auto link = number(table, "link_bytes_per_second", 1);
    if (total.has_value() == link.has_value()) {
      fail(
          "a level needs bytes_per_second (all its links) or link_bytes_per_second (one pair of "
          "groups), not both",
          line);
    }
    const double halvings = number(table, "halvings", 1).value_or(1);
    if (halvings != static_cast<int>(halvings) || cluster.depth() + halvings > 16) {
      fail("halvings must be a whole number, with at most 16 in all", line);
    }
    Level level;
    level.name = table["name"].value_or(concat("level", cluster.depth() + 1));
    level.latency_seconds = number(table, "latency_seconds", 0).value_or(0);
    level.topology = topology(table, line);
    level.groups = groups(table, level.topology, cluster.accelerators());
    const std::string name = level.name;
    for (int i = 0; i < static_cast<int>(halvings); ++i) {
      level.bytes_per_second = total ? *total : *link * cluster.accelerators();
      if (halvings > 1) level.name = concat(name, ".", i + 1);
      cluster.levels.push_back(level);
    }
  }

  /// How many groups a level joins.
  int groups(const toml::table& table, Topology topology, int above) const {
    const toml::node* node = table.get("groups");
    if (node == nullptr) return 2;
    const std::optional<std::int64_t> count = node->value_exact<std::int64_t>();
    const std::int64_t most = (std::int64_t{1} << kMaxLevels) / above;
    if (!count || *count < 2 || *count > most) {
      fail(concat("groups must be a whole number in 2..", most), line_of(*node));
    }
    if (*count != 2 && table.contains("halvings")) {
      fail("a level has halvings or groups, not both", line_of(*node));
    }
    if (*count != 2 && topology != Topology::kTree) {
      fail("rings and tori join two groups a level", line_of(*node));
    }
    return static_cast<int>(*count);
  }

  Topology topology(const toml::table& table, int line) const {
    const std::string name = table["topology"].value_or(std::string("tree"));
    if (const std::optional<Topology> known = find_spelling<Topology>(name)) return *known;
    fail(concat("unknown topology ", name), line,
         concat("known: ", join(spelling_names<Topology>(), ", ")));
  }

  std::string source_;
  toml::table root_;
};

}  // namespace

Cluster parse_cluster_toml(std::string_view text, const std::string& source,
                           const std::vector<std::string>& settings) {
  ClusterFile file(text, source);
  for (const std::string& setting : settings) file.set(setting);
  return file.read();
}

}  // namespace taut::parallel
