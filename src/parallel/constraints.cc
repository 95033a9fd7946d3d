// What users want or refuse of a plan.
#include <algorithm>
#include <charconv>
#include <optional>
#include <string>

#include "parallel/constraints.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/parallel/cost_model.h"

namespace taut::parallel {
namespace {

[[noreturn]] void throw_constraint(std::string_view text, std::string_view why) {
  throw Error(
      ErrorKind::kConfig, concat("constraint \"", text, "\": ", why), {},
      "write LAYER=TYPE, LAYER=TYPE@LEVEL or LAYER=TYPE TYPE ..., types I, II, III, C or R");
}

/// A level as written, from 1 on; as counted here, from 0.
int parse_level(std::string_view digits, std::string_view text) {
  int level = 0;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), level);
  if (failed != std::errc{} || end != digits.data() + digits.size() || level < 1 ||
      level > kMaxLevels) {
    throw_constraint(text, concat("no level ", digits));
  }
  return level - 1;
}

Split parse_split(std::string_view name, std::string_view text) {
  if (const std::optional<Split> split = find_spelling<Split>(name)) return *split;
  throw_constraint(text, concat("no type ", name));
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> found;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (end > 0) found.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return found;
}

}  // namespace

bool name_matches(std::string_view pattern, std::string_view name) {
  std::size_t p = 0;
  std::size_t n = 0;
  std::size_t star = std::string_view::npos;  // the last '*' met, and what it has taken so far
  std::size_t taken = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++taken;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::vector<Constraint> parse_constraint(std::string_view text, bool forbid) {
  const std::size_t equals = text.rfind('=');
  Constraint one{.forbid = forbid};
  std::string_view types = text;
  if (equals != std::string_view::npos) {
    one.layers = std::string(text.substr(0, equals));
    types = text.substr(equals + 1);
  } else if (!forbid) {
    throw_constraint(text, "it names no layer");
  }
  const std::vector<std::string_view> listed = words(types);
  if (one.layers.empty() || listed.empty()) throw_constraint(text, "it is empty");
  if (listed.size() > static_cast<std::size_t>(kMaxLevels)) {
    throw_constraint(text, "more types than levels");
  }
  std::vector<Constraint> constraints;
  for (std::size_t i = 0; i < listed.size(); ++i) {
    const std::size_t at = listed[i].find('@');
    one.split = parse_split(listed[i].substr(0, at), text);
    if (listed.size() > 1) {
      if (at != std::string_view::npos) throw_constraint(text, "levels beside a list of types");
      one.level = static_cast<int>(i);
    } else if (at != std::string_view::npos) {
      one.level = parse_level(listed[i].substr(at + 1), text);
    }
    constraints.push_back(one);
  }
  return constraints;
}

void CostModel::apply(const Constraint& constraint) {
  const std::string_view what = constraint.forbid ? "forbidden" : "fixed";
  if (constraint.level >= levels()) {
    throw_invalid_argument(concat(what, " split of ", constraint.layers, ": level"),
                           concat("in 1..", levels()), concat(constraint.level + 1));
  }
  bool any = false;
  for (int v = 0; v < graph_->size(); ++v) {
    if (!name_matches(constraint.layers, graph_->node(v).name)) continue;
    any = true;
    if (!constraint.forbid) {
      const std::vector<Split> known = known_splits(v);
      if (std::find(known.begin(), known.end(), constraint.split) == known.end()) {
        std::vector<std::string> names;
        for (const Split split : known) names.emplace_back(to_string(split));
        throw_invalid_argument(concat("split of layer ", graph_->node(v).name), join(names, ", "),
                               to_string(constraint.split));
      }
    }
    const std::uint8_t bit = split_bit(constraint.split);
    for (int level = 0; level < levels(); ++level) {
      if (constraint.level >= 0 && constraint.level != level) continue;
      std::uint8_t& allowed =
          allowed_[static_cast<std::size_t>(v)][static_cast<std::size_t>(level)];
      allowed &= constraint.forbid ? static_cast<std::uint8_t>(~bit) : bit;
    }
  }
  if (any) return;
  std::vector<std::string> names;
  for (const graph::Node& node : graph_->nodes()) names.push_back(node.name);
  throw Error(ErrorKind::kInvalidArgument,
              concat("a constraint is for ", constraint.layers, ", which no layer is called"),
              "model " + graph_->name(), suggest(constraint.layers, names));
}

}  // namespace taut::parallel
