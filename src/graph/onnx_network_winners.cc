// What our writer of ONNX files makes of winners and of 8 bits, found again.
#include <algorithm>
#include <cmath>
#include <utility>

#include "core/json_text.h"
#include "graph/onnx_network_maker.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

using sparsity::Score;
using sparsity::Unit;

std::vector<std::int64_t> integers_of(const OnnxStep& step, std::string_view name) {
  const auto found = step.attributes.find(name);
  return found == step.attributes.end() ? std::vector<std::int64_t>() : found->second->numbers;
}

bool has_integer(const OnnxStep& step, std::string_view name, std::int64_t value,
                 std::int64_t fallback) {
  const std::vector<std::int64_t> numbers = integers_of(step, name);
  return numbers.empty() ? value == fallback : numbers == std::vector<std::int64_t>{value};
}

// A rate at which so many of the units win.
double rate_of(std::int64_t count, std::int64_t units) {
  const double rate = static_cast<double>(count) / static_cast<double>(units);
  return sparsity::winner_count(units, rate) == count
             ? rate
             : (static_cast<double>(count) - 0.5) / static_cast<double>(units);
}

std::int64_t units_at(const Network& network, const Layer& layer) {
  const sparsity::WinnersOptions options = winners_at(network, layer);
  if (options.unit == Unit::kElement) return layer.out.size();
  return options.unit == Unit::kBlock ? layer.out.channels / options.block : layer.out.channels;
}

}  // namespace

// Scores of the values that are chosen from: their magnitudes, or a reduction over each unit.
bool OnnxNetworkMaker::match_scores(int scores, int chosen, OnnxWinners& found) const {
  const OnnxStep* step = trace_.made_by(scores);
  int reads = 0;
  if (is_op(step, "ReduceMax") || is_op(step, "ReduceMean")) {
    const bool largest = step->node->op == "ReduceMax";
    const std::vector<std::int64_t> axes = integers_of(*step, "axes");
    if (!has_integer(*step, "keepdims", 1, 1) || step->inputs.size() != 1) return false;
    found.within.push_back(trace_.maker(scores));
    found.unit = axes == std::vector<std::int64_t>{2} ? Unit::kBlock : Unit::kChannel;
    if (found.unit == Unit::kChannel && axes != std::vector<std::int64_t>{2, 3}) return false;
    scores = step->inputs[0];
    step = trace_.made_by(scores);
    const bool square =
        is_op(step, "Mul") && step->inputs.size() == 2 && step->inputs[0] == step->inputs[1];
    if (readers(scores) != 1 || (largest && square)) return false;
    found.score = largest  ? Score::kMaxMagnitude
                  : square ? Score::kMeanSquare
                           : Score::kMeanMagnitude;
    if (square) {
      reads = 2;
    }
  }
  if (reads == 0 && !is_op(step, "Abs")) return false;
  if (step->inputs[0] != chosen) return false;
  found.within.push_back(trace_.maker(scores));
  // Nobody else reads what has not been chosen yet.
  return readers(chosen) == std::max(1, reads) + 1;
}

// The unit and what the winners are chosen from, where units are elements or blocks behind a
// reshape.
bool OnnxNetworkMaker::match_units(int chosen, int result, OnnxWinners& found) const {
  const Dimensions& shape = trace_.value(chosen).shape;
  found.input = chosen;
  found.result = result;
  const bool reduced = found.unit == Unit::kChannel || found.unit == Unit::kBlock;
  const OnnxStep* before = trace_.made_by(chosen);
  const int after = readers(result) == 1 ? last_reader_[static_cast<std::size_t>(result)] : -1;
  const bool reshaped =
      (is_op(before, "Flatten") || is_op(before, "Reshape")) && after >= 0 &&
      is_op(&trace_.step(after), "Reshape") &&
      trace_.value(trace_.step(after).outputs[0]).shape == trace_.value(before->inputs[0]).shape;
  if (reshaped && found.unit != Unit::kChannel) {
    found.input = before->inputs[0];
    found.result = trace_.step(after).outputs[0];
    found.within.push_back(trace_.maker(chosen));
    found.within.push_back(trace_.maker(result));
    if (readers(found.input) != 1) return false;
  }
  const Dimensions& from = trace_.value(found.input).shape;
  if (from.size() != 2 && from.size() != 4) return false;
  if (found.unit == Unit::kBlock) {
    if (!reshaped || shape.size() != from.size() + 1 || shape[1] * shape[2] != from[1])
      return false;
    found.block = shape[2];
  } else if (!reduced) {
    if (reshaped && (shape.size() != 2 || from.size() != 4)) return false;
    // Maps of one position are features.
    const bool features = from.size() == 2 || from[2] * from[3] == 1;
    found.unit = reshaped ? Unit::kElement : features ? Unit::kNeuron : Unit::kPosition;
  } else if (from.size() != 4) {
    return false;
  }
  found.units = shape[1];
  return true;
}

std::optional<OnnxWinners> OnnxNetworkMaker::match_winners(int number) const {
  const OnnxStep& where = trace_.step(number);
  const auto zero = [&](int value) { return is_constant(value) && one_number(value) == Number{0}; };
  if (where.inputs.size() != 3 || where.inputs[0] < 0 || where.inputs[1] < 0 ||
      !zero(where.inputs[2])) {
    return std::nullopt;
  }
  const OnnxStep* scatter = trace_.made_by(where.inputs[0]);
  if (!is_op(scatter, "ScatterElements") || scatter->inputs.size() != 3 ||
      !has_integer(*scatter, "axis", 1, 0) || scatter->attributes.contains("reduction")) {
    return std::nullopt;
  }
  const OnnxStep* less = trace_.made_by(scatter->inputs[0]);
  const OnnxStep* largest = trace_.made_by(scatter->inputs[1]);
  const OnnxStep* greater = trace_.made_by(scatter->inputs[2]);
  if (!is_op(less, "Less") || !is_op(largest, "TopK") || !is_op(greater, "Greater") ||
      less->inputs.size() != 2 || largest->inputs.size() != 2 || greater->inputs.size() != 2 ||
      largest->outputs.size() != 2) {
    return std::nullopt;
  }
  const int scores = largest->inputs[0];
  const std::optional<Number> count = one_number(largest->inputs[1]);
  const bool fits = less->inputs[0] == scores && zero(less->inputs[1]) && scores >= 0 &&
                    scatter->inputs[1] == largest->outputs[1] &&
                    greater->inputs[0] == largest->outputs[0] && zero(greater->inputs[1]) &&
                    has_integer(*largest, "axis", 1, -1) &&
                    has_integer(*largest, "largest", 1, 1) && count &&
                    is_constant(largest->inputs[1]) && readers(scores) == 2;
  if (!fits) return std::nullopt;
  for (const int value : {where.inputs[0], scatter->inputs[0], scatter->inputs[1],
                          scatter->inputs[2], greater->inputs[0]}) {
    if (readers(value) != 1) return std::nullopt;
  }
  OnnxWinners found;
  for (const int value :
       {where.inputs[0], scatter->inputs[0], scatter->inputs[1], scatter->inputs[2]}) {
    found.within.push_back(trace_.maker(value));
  }
  if (!match_scores(scores, where.inputs[1], found) ||
      !match_units(where.inputs[1], where.outputs[0], found)) {
    return std::nullopt;
  }
  found.count = static_cast<std::int64_t>(*count);
  if (found.count < 1 || found.count > found.units) return std::nullopt;
  return found;
}

void OnnxNetworkMaker::find_winners(const std::vector<bool>& needed) {
  for (std::size_t s = 0; s < trace_.steps.size(); ++s) {
    const auto number = static_cast<int>(s);
    if (!needed[s] || !is_op(&trace_.step(number), "Where")) continue;
    std::optional<OnnxWinners> found = match_winners(number);
    if (!found) continue;
    // A Reshape behind them belongs to them.
    for (int& within : found->within) {
      if (within == number) within = trace_.maker(found->result);
    }
    absorbed_.insert(found->within.begin(), found->within.end());
    winners_.emplace(number, std::move(*found));
  }
}

void OnnxNetworkMaker::winners(Node& node) {
  if (replaces_scores(node) || zeroes_nan(node)) return;
  const auto found = winners_.find(node.number);
  if (found == winners_.end()) refuse("no choice of winners as taut writes it");
  const OnnxWinners& won = found->second;
  const std::optional<OnnxOperand>& from = operands_[static_cast<std::size_t>(won.input)];
  if (!from) return;  // it hangs on a step that was refused
  const bool whole = from->padding.empty() && !from->clipped && !from->codes && !from->rounding;
  if (!whole || from->channel_axis != 1 || from->layer == kNetworkInput ||
      latest_[static_cast<std::size_t>(from->layer)] != won.input) {
    refuse("winners of values that are no layer's output");
  }
  for (const auto& [layer, other] : sites_) {
    const bool features = other.unit == Unit::kNeuron || won.unit == Unit::kNeuron;
    const bool blocks = other.unit == Unit::kBlock || won.unit == Unit::kBlock;
    if (features && !blocks) continue;
    if (other.unit != won.unit || other.score != won.score || other.block != won.block) {
      refuse("winners of another unit than elsewhere in the model");
    }
  }
  if (!sites_.emplace(from->layer, won).second) refuse("winners of winners");
  latest_[static_cast<std::size_t>(from->layer)] = won.result;
  operands_[static_cast<std::size_t>(won.result)] = from;
}

OnnxRounding OnnxNetworkMaker::rounding_of(const Node& node) const {
  const std::optional<Number> scale = one_number(input(node, 1));
  if (!scale || !is_constant(input(node, 1))) refuse("its scale is not one constant");
  OnnxRounding rounding{.scale = static_cast<float>(*scale), .is_unsigned = true};
  const int zero = input(node, 2);
  if (zero >= 0) {
    if (!is_constant(zero) || one_number(zero) != Number{0}) refuse("its zero point is not 0");
    const std::int32_t type = trace_.value(zero).type;
    if (type != kOnnxInt8 && type != kOnnxUint8) refuse("its codes are not of 8 bits");
    rounding.is_unsigned = type == kOnnxUint8;
  }
  return rounding;
}

void OnnxNetworkMaker::quantize(Node& node) {
  OnnxOperand from = operand(node, 0);
  if (!from.padding.empty() || from.codes || from.rounding) static_cast<void>(plain(node, 0));
  const OnnxRounding rounding = rounding_of(node);
  if (node.call.integer("output_dtype", 0) != 0) refuse("its codes are of a type of their own");
  const bool least = from.clipped && *from.clipped == 127.0f * rounding.scale;
  if (rounding.is_unsigned ? from.clipped.has_value() : !least) {
    refuse("its codes are not 0 .. 255, nor -127 .. 127 by a Clip before it");
  }
  from.clipped.reset();
  from.codes = rounding;
  give(node, std::move(from));
}

void OnnxNetworkMaker::dequantize(Node& node) {
  OnnxOperand from = operand(node, 0);
  if (!from.codes || rounding_of(node) != *from.codes) {
    refuse("it does not undo the QuantizeLinear that it reads");
  }
  from.rounding = std::exchange(from.codes, std::nullopt);
  give(node, std::move(from));
}

// The winners as our writer describes them beside the model, if that is what the model does.
bool OnnxNetworkMaker::take_described(const std::string& text) {
  Winners described;
  std::vector<double> densities;
  try {
    const nlohmann::json json = parse_json(text);
    described.unit = sparsity::parse_unit(json_member<std::string>(json, "unit", ""));
    described.score = sparsity::parse_score(json_member<std::string>(json, "score", ""));
    described.block = json_member<std::int64_t>(json, "block", "");
    described.rates = json_member<std::vector<double>>(json, "rates", "");
    if (json.contains("densities")) {
      densities = json_member<std::vector<double>>(json, "densities", "");
    }
  } catch (const Error&) {
    return false;
  }
  if (described.rates.empty() ? !sites_.empty() : described.rates.size() != network_.sites()) {
    return false;
  }
  const Winners before = std::exchange(network_.winners, described);
  bool same = described.block >= 1;
  for (std::size_t l = 0; same && l < network_.layers.size(); ++l) {
    const Layer& layer = network_.layers[l];
    if (layer.winner_site < 0 || described.rates.empty()) continue;
    const sparsity::WinnersOptions options = winners_at(network_, layer);
    const auto found = sites_.find(static_cast<int>(l));
    same = options.rate > 0 && options.rate <= 1 && (options.rate == 1) == (found == sites_.end());
    if (!same || found == sites_.end()) continue;
    const OnnxWinners& won = found->second;
    const bool reduced = won.unit == Unit::kChannel || won.unit == Unit::kBlock;
    same = options.unit == won.unit && (!reduced || options.score == won.score) &&
           (won.block == 0 || options.block == won.block) &&
           sparsity::winner_count(units_at(network_, layer), options.rate) == won.count;
  }
  const bool sound =
      densities.size() == network_.sites() &&
      std::all_of(densities.begin(), densities.end(), [](double d) { return d >= 0 && d <= 1; });
  if (same && sound) network_.densities = std::move(densities);
  if (!same) network_.winners = before;
  return same;
}

void OnnxNetworkMaker::finish_winners(const std::map<std::string, std::string>& metadata) {
  network_.number_sites();
  std::set<int> marked;
  for (const auto& [layer, won] : sites_) marked.insert(layer);
  for (std::size_t l = 0; l < network_.values.size(); ++l) {
    if (!network_.values[l].kept_maps.empty()) marked.insert(static_cast<int>(l));
  }
  const bool usual = std::all_of(marked.begin(), marked.end(), [&](int layer) {
    return network_.layers[static_cast<std::size_t>(layer)].winner_site >= 0;
  });
  if (!usual) {
    for (Layer& layer : network_.layers) layer.winner_site = -1;
    int site = 0;
    for (const int layer : marked) {
      network_.layers[static_cast<std::size_t>(layer)].winner_site = site++;
    }
  }
  const auto described = metadata.find("taut.winners");
  if (described != metadata.end() && take_described(described->second)) return;
  if (sites_.empty()) return;
  Winners& winners = network_.winners;
  winners.unit = sites_.begin()->second.unit;
  winners.rates.assign(network_.sites(), 1.0);
  for (const auto& [layer, won] : sites_) {
    // Features choose among neurons whatever the unit of maps is.
    if (won.unit != Unit::kNeuron) {
      winners.unit = won.unit;
      winners.score = won.score;
      if (won.block > 0) winners.block = won.block;
    }
    const Layer& site = network_.layers[static_cast<std::size_t>(layer)];
    winners.rates[static_cast<std::size_t>(site.winner_site)] = rate_of(won.count, won.units);
  }
}

}  // namespace taut::graph
