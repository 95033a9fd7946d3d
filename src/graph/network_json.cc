#include "taut/graph/network_json.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/json_text.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

using Json = nlohmann::json;

Json to_json(const Shape& shape) {
  return {{"channels", shape.channels}, {"height", shape.height}, {"width", shape.width}};
}

Shape shape_from(const Json& json) {
  return {.channels = json.at("channels").get<std::int64_t>(),
          .height = json.at("height").get<std::int64_t>(),
          .width = json.at("width").get<std::int64_t>()};
}

// Visits every plain member of a layer: one list for both directions.
template <typename AnyLayer, typename Visit>
void visit_members(AnyLayer& layer, Visit&& visit) {
  visit("name", layer.name);
  visit("inputs", layer.inputs);
  visit("kernel", layer.window.kernel);
  visit("stride", layer.window.stride);
  visit("padding", layer.window.padding);
  visit("groups", layer.groups);
  visit("bias", layer.bias);
  visit("heads", layer.heads);
  visit("copied", layer.copied);
  visit("tables", layer.tables);
  visit("winner_site", layer.winner_site);
}

Json to_json(const Layer& layer) {
  Json json = {{"op", to_string(layer.op)}, {"in", to_json(layer.in)}, {"out", to_json(layer.out)}};
  visit_members(layer, [&](const char* key, const auto& value) { json[key] = value; });
  // Networks that are trained here have none.
  if (layer.window.after != 0) json["after"] = layer.window.after;
  if (layer.window.across != 0) json["across"] = layer.window.across;
  if (layer.factor != 1) json["factor"] = layer.factor;
  if (layer.first != 0) json["first"] = layer.first;
  if (layer.scale != 0) json["scale"] = layer.scale;
  if (layer.masks != 0) json["masks"] = layer.masks;
  if (layer.mask_replaces) json["mask_replaces"] = true;
  if (layer.nan_is_zero) json["nan_is_zero"] = true;
  if (layer.op == Op::kLayerNorm) json["epsilon"] = layer.epsilon;
  if (layer.op == Op::kArithmetic) json["arithmetic"] = spelling_of(layer.arithmetic);
  if (layer.op == Op::kPointwise) {
    json["function"] = spelling_of(layer.pointwise.function);
    // JSON has no infinite numbers: a bound that is not there is none.
    if (std::isfinite(layer.pointwise.alpha)) json["alpha"] = layer.pointwise.alpha;
    if (std::isfinite(layer.pointwise.beta)) json["beta"] = layer.pointwise.beta;
  }
  return json;
}

template <typename Enum>
Enum spelled(const Json& json, const std::string& layer) {
  const auto name = json.get<std::string>();
  const auto found = find_spelling<Enum>(name);
  if (!found) throw Error(ErrorKind::kFormat, concat("unknown \"", name, "\" in ", layer));
  return *found;
}

Layer layer_from(const Json& json) {
  Layer layer;
  visit_members(layer, [&](const char* key, auto& value) { json.at(key).get_to(value); });
  if (json.contains("after")) json["after"].get_to(layer.window.after);
  if (json.contains("factor")) json["factor"].get_to(layer.factor);
  if (json.contains("across")) json["across"].get_to(layer.window.across);
  if (json.contains("first")) json["first"].get_to(layer.first);
  if (json.contains("scale")) json["scale"].get_to(layer.scale);
  if (json.contains("masks")) json["masks"].get_to(layer.masks);
  if (json.contains("mask_replaces")) json["mask_replaces"].get_to(layer.mask_replaces);
  if (json.contains("nan_is_zero")) json["nan_is_zero"].get_to(layer.nan_is_zero);
  const auto name = json.at("op").get<std::string>();
  const auto op = parse_op(name);
  if (!op) throw Error(ErrorKind::kFormat, concat("unknown op \"", name, "\" in ", layer.name));
  layer.op = *op;
  if (layer.op == Op::kLayerNorm) json.at("epsilon").get_to(layer.epsilon);
  if (layer.op == Op::kArithmetic) {
    layer.arithmetic = spelled<Arithmetic>(json.at("arithmetic"), layer.name);
  }
  if (layer.op == Op::kPointwise) {
    layer.pointwise = {.function = spelled<Function>(json.at("function"), layer.name),
                       .alpha = json.value("alpha", -INFINITY),
                       .beta = json.value("beta", INFINITY)};
  }
  layer.in = shape_from(json.at("in"));
  layer.out = shape_from(json.at("out"));
  return layer;
}

Network network_from(const Json& json) {
  Network network;
  json.at("name").get_to(network.name);
  network.input = shape_from(json.at("input"));
  for (const Json& layer : json.at("layers")) {
    network.layers.push_back(layer_from(layer));
    if (!layer.contains("input_scale")) continue;
    LayerValues& values = network.values.emplace_back();
    layer.at("input_scale").get_to(values.input_scale);
    layer.at("input_unsigned").get_to(values.input_unsigned);
  }
  for (const Json& table : json.at("tables")) {
    network.tables.push_back({.name = table.at("name").get<std::string>(),
                              .rows = table.at("rows").get<std::int64_t>(),
                              .dim = table.at("dim").get<std::int64_t>(),
                              .bytes = table.at("bytes").get<std::int64_t>()});
  }
  const Json& winners = json.at("winners");
  network.winners.unit = sparsity::parse_unit(winners.at("unit").get<std::string>());
  network.winners.score = sparsity::parse_score(winners.at("score").get<std::string>());
  winners.at("block").get_to(network.winners.block);
  winners.at("rates").get_to(network.winners.rates);
  json.at("densities").get_to(network.densities);
  return network;
}

}  // namespace

std::string network_json(const Network& network) {
  Json layers = Json::array();
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    Json layer = to_json(network.layers[i]);
    if (i < network.values.size()) {
      layer["input_scale"] = network.values[i].input_scale;
      layer["input_unsigned"] = network.values[i].input_unsigned;
    }
    layers.push_back(std::move(layer));
  }
  Json tables = Json::array();
  for (const Table& table : network.tables) {
    tables.push_back(
        {{"name", table.name}, {"rows", table.rows}, {"dim", table.dim}, {"bytes", table.bytes}});
  }
  const Winners& winners = network.winners;
  const Json json = {{"name", network.name},
                     {"input", to_json(network.input)},
                     {"layers", layers},
                     {"tables", tables},
                     {"winners",
                      {{"unit", to_string(winners.unit)},
                       {"score", to_string(winners.score)},
                       {"block", winners.block},
                       {"rates", winners.rates}}},
                     {"densities", network.densities}};
  return json.dump();
}

namespace {

// One share for each site, or none at all: rates above 0, densities from 0 on.
void check_shares(const Network& network, const std::vector<double>& shares, std::string_view one,
                  std::string_view many, bool zero_fits, const std::string& source) {
  if (shares.empty()) return;
  const std::size_t sites = network.sites();
  if (shares.size() != sites) {
    throw Error(ErrorKind::kFormat,
                concat("the network has ", shares.size(), " ", many, " for ", sites, " sites"),
                source);
  }
  for (const Layer& layer : network.layers) {
    if (layer.winner_site < 0) continue;
    const double share = shares[static_cast<std::size_t>(layer.winner_site)];
    if ((share > 0 || (share == 0 && zero_fits)) && share <= 1) continue;
    throw Error(ErrorKind::kFormat,
                concat("the network has ", one, " of ", share, " in layer ", layer.name), source);
  }
}

}  // namespace

Network parse_network_json(std::string_view text, const std::string& source) {
  constexpr const char* kOther = "not the description of a network: ";
  Json json;
  try {
    json = parse_json(text);
  } catch (const Error& failed) {
    throw Error(ErrorKind::kFormat, concat(kOther, failed.what()), source);
  }
  Network network;
  try {
    network = network_from(json);
  } catch (const Json::exception& failed) {
    throw Error(ErrorKind::kFormat, concat(kOther, failed.what()), source);
  } catch (const Error& failed) {
    throw Error(ErrorKind::kFormat, failed.what(), source);
  }
  if (const auto wrong = wrong_layer(network)) {
    throw Error(ErrorKind::kFormat, concat("the network has ", *wrong), source);
  }
  if (!network.values.empty() && network.values.size() != network.layers.size()) {
    throw Error(ErrorKind::kFormat, "the network has values for some layers alone", source);
  }
  check_shares(network, network.densities, "a density", "densities", /*zero_fits=*/true, source);
  check_shares(network, network.winners.rates, "a winner rate", "winner rates",
               /*zero_fits=*/false, source);
  return network;
}

}  // namespace taut::graph
