#include "plan_file.h"

#include <map>
#include <vector>

#include "core/json_text.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::parallel {
namespace {

LayerState splits_of(const nlohmann::json& layer, int levels, const std::string& where) {
  const auto names = json_member<std::vector<std::string>>(layer, "splits", where);
  if (std::ssize(names) != levels) {
    throw Error(ErrorKind::kData, concat("the plan is for ", names.size(), " levels, not ", levels),
                where, "plan for as many accelerators");
  }
  LayerState state(levels, Split::kBatch);
  for (int level = 0; level < levels; ++level) {
    state.set(level, parse_spelling<Split>(names[static_cast<std::size_t>(level)], ErrorKind::kData,
                                           "split", where));
  }
  if (layer.contains("gathers")) state.set_gathers(json_member<bool>(layer, "gathers", where));
  return state;
}

}  // namespace

nlohmann::json splits_json(const LayerState& state) {
  nlohmann::json splits = nlohmann::json::array();
  for (int level = 0; level < state.levels(); ++level) splits.push_back(to_string(state.at(level)));
  return splits;
}

nlohmann::json layers_json(const graph::Graph& graph, const Plan& plan) {
  TAUT_ASSERT(plan.states.size() == graph.nodes().size());
  nlohmann::json layers = nlohmann::json::array();
  for (std::size_t node = 0; node < plan.states.size(); ++node) {
    layers.push_back(
        {{"name", graph.nodes()[node].name}, {"splits", splits_json(plan.states[node])}});
    if (plan.states[node].gathers()) layers.back()["gathers"] = true;
  }
  return layers;
}

Plan read_plan(const std::string& path, const graph::Graph& graph, int levels) {
  const nlohmann::json json = read_json_object(path);
  const nlohmann::json& layers = json_at(json, "layers", path);
  if (!layers.is_array()) throw Error(ErrorKind::kFormat, "\"layers\" must be a list", path);
  std::map<std::string, LayerState> states;
  for (const nlohmann::json& layer : layers) {
    const auto name = json_member<std::string>(layer, "name", path);
    const std::string where = concat(path, ", layer ", one_line(name));
    if (!states.emplace(name, splits_of(layer, levels, where)).second) {
      throw Error(ErrorKind::kData, "the plan names it twice", where);
    }
  }
  Plan plan{.levels = levels, .states = {}};
  for (const graph::Node& node : graph.nodes()) {
    const auto found = states.find(node.name);
    if (found == states.end()) {
      throw Error(ErrorKind::kData, concat("the plan has no layer ", node.name), path,
                  "make a plan for this model");
    }
    plan.states.push_back(found->second);
    states.erase(found);
  }
  if (states.empty()) return plan;
  throw Error(
      ErrorKind::kData,
      concat("the plan has a layer that the model has not: ", one_line(states.begin()->first)),
      path, "make a plan for this model");
}

}  // namespace taut::parallel
