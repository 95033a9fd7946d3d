// Values whose axes were split or turned, and the attention that exporters write with them: scores
// of queries and keys, perhaps scaled and masked, their softmax, and what it weighs.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "graph/onnx_network_maker.h"

namespace taut::graph {

OnnxNetworkMaker::Refused OnnxNetworkMaker::turned_refusal(const OnnxOperand& operand) {
  if (operand.turned) return Refused(operand.turned->why, operand.turned->step);
  return Refused("a product of values that both depend on the input, which becomes no attention",
                 operand.scores->step);
}

OnnxView OnnxNetworkMaker::view_at(const Node& node, std::size_t place) const {
  const OnnxOperand& from = raw(node, place);
  if (from.turned) return from.turned->view;
  return view_of(trace_.value(input(node, place)).shape, from.channel_axis);
}

// A view of a layer as an output: the layer's own value where it is one again.
void OnnxNetworkMaker::give_view(const Node& node, int layer, OnnxTurned turned,
                                 std::size_t output) {
  const OnnxValue& made = trace_.value(node.step.outputs[output]);
  if (turned.view.dimensions() != made.shape) throw Refused(turned.why, turned.step);
  const Shape shape = network_.shape_of(layer);
  const std::optional<std::size_t> axis =
      turned.factor == 1 ? plain_axis(turned.view, shape.channels) : std::nullopt;
  if (axis && made.shape[0] == batch_) {
    const std::optional<Shape> wanted = shape_of(made.shape, *axis);
    if (wanted == shape) return give(node, {.layer = layer, .channel_axis = *axis}, output);
    if (wanted) {
      Layer other = reading(Op::kReshape, {layer});
      other.out = *wanted;
      const int number = append(node, std::move(other));
      return give(node, {.layer = number, .channel_axis = *axis}, output);
    }
  }
  operands_[static_cast<std::size_t>(made.id)] =
      OnnxOperand{.layer = layer, .turned = std::make_shared<const OnnxTurned>(std::move(turned))};
}

// Input 0 in another view; nothing where there is none. why: if nothing takes it so.
void OnnxNetworkMaker::turn(const Node& node, std::optional<OnnxView> view,
                            const std::string& why) {
  const OnnxOperand from = raw(node, 0);
  OnnxTurned made;
  if (from.turned) made = *from.turned;
  if (made.step < 0) {
    made.step = node.number;
    made.why = why;
  }
  if (!view) throw Refused(made.why, made.step);
  made.view = std::move(*view);
  give_view(node, from.layer, std::move(made));
}

// Scores whose examples and heads lie in other axes.
void OnnxNetworkMaker::turn_scores(const Node& node, const std::optional<OnnxView>& view) {
  OnnxScores scores = *raw(node, 0).scores;
  const auto last = [](const OnnxView& of, std::size_t back) {
    return of.axes[of.axes.size() - back];
  };
  const bool fits = view && view->axes.size() >= 3 && last(*view, 1) == last(scores.view, 1) &&
                    last(*view, 2) == last(scores.view, 2);
  if (!fits) refuse_turned(raw(node, 0));
  scores.view = *view;
  give_scores(node, std::move(scores));
}

// Another name of input 0.
void OnnxNetworkMaker::pass(const Node& node) {
  OnnxOperand from = raw(node, 0);
  if (!from.turned && !from.scores) return give(node, std::move(from));
  operands_[static_cast<std::size_t>(node.step.outputs[0])] = std::move(from);
}

void OnnxNetworkMaker::give_scores(const Node& node, OnnxScores scores) {
  const int layer = scores.query;
  if (scores.view.dimensions() != trace_.value(node.step.outputs[0]).shape) {
    throw Refused("scores that are spread to another shape", node.number);
  }
  operands_[static_cast<std::size_t>(node.step.outputs[0])] =
      OnnxOperand{.layer = layer, .scores = std::make_shared<const OnnxScores>(std::move(scores))};
}

// A product of two values that move: queries with keys, or weights with values.
void OnnxNetworkMaker::attention_product(const Node& node) {
  const OnnxOperand& left = raw(node, 0);
  const OnnxOperand& right = raw(node, 1);
  if (right.scores) refuse_turned(right);
  if (!right.turned) static_cast<void>(plain(node, 1));
  if (left.scores) return left.scores->weighed ? weigh(node) : refuse_turned(left);
  if (!left.turned) static_cast<void>(plain(node, 0));
  score(node);
}

void OnnxNetworkMaker::score(const Node& node) {
  const OnnxOperand& query = raw(node, 0);
  const OnnxOperand& key = raw(node, 1);
  OnnxView view = view_at(node, 0);
  const std::optional<OnnxHeads> queries = heads_of(view, false, batch_);
  const std::optional<OnnxHeads> keys = heads_of(view_at(node, 1), true, batch_);
  const std::size_t rank = view.axes.size();
  const bool alike = view_at(node, 1).axes.size() == rank;
  if (!queries || !keys || !alike || queries->heads != keys->heads ||
      queries->width != keys->width) {
    refuse("a product of values that both depend on the input, and not of queries and keys");
  }
  const auto factor = [](const OnnxOperand& of) { return of.turned ? of.turned->factor : 1.0; };
  view.axes[rank - 1] = view_at(node, 1).axes[rank - 1];
  view.first_channel = 0;
  give_scores(node, {.query = query.layer,
                     .key = key.layer,
                     .query_heads = *queries,
                     .key_heads = *keys,
                     .view = std::move(view),
                     .factor = factor(query) * factor(key),
                     .step = node.number});
}

// A softmax over the keys.
void OnnxNetworkMaker::soften(const Node& node) {
  OnnxScores scores = *raw(node, 0).scores;
  const std::size_t rank = scores.view.axes.size();
  const std::int64_t usual = node.step.operator_set < 13 ? 1 : -1;
  const bool last = node.call.axis(node.call.integer("axis", usual), rank) + 1 == rank;
  if (!last || scores.weighed) refuse_turned(raw(node, 0));
  scores.weighed = true;
  give_scores(node, std::move(scores));
}

// Weights times values: attention is whole.
void OnnxNetworkMaker::weigh(const Node& node) {
  const OnnxScores scores = *raw(node, 0).scores;
  const OnnxOperand from = raw(node, 1);
  const OnnxHeads& query = scores.query_heads;
  const OnnxHeads& key = scores.key_heads;
  const std::optional<OnnxHeads> value = heads_of(view_at(node, 1), false, batch_);
  if (!value || value->heads != query.heads || value->positions != key.positions ||
      (from.turned && from.turned->factor != 1)) {
    refuse("a product of values that both depend on the input, and not of weights and values");
  }
  const std::int64_t width = query.heads * query.width;
  const auto is_own = [&](int layer, const OnnxHeads& heads) {
    return heads.first_channel == 0 &&
           network_.shape_of(layer).channels == heads.heads * heads.width;
  };
  const bool together = scores.query == scores.key && scores.key == from.layer &&
                        network_.shape_of(from.layer).channels == 3 * width &&
                        value->width == query.width && query.first_channel == 0 &&
                        key.first_channel == width && value->first_channel == 2 * width;
  const bool apart =
      is_own(scores.query, query) && is_own(scores.key, key) && is_own(from.layer, *value);
  if (!together && !apart) {
    refuse(
        "its queries, keys and values are neither all that three layers give nor one behind "
        "another in one");
  }
  std::vector<int> read = {scores.query, scores.key, from.layer};
  if (together) read.resize(1);
  Layer layer = reading(Op::kAttention, std::move(read));
  layer.heads = query.heads;
  layer.scale = static_cast<float>(scores.factor);
  layer.masks = scores.masks;
  layer.mask_replaces = scores.replaces;
  layer.nan_is_zero = scores.nan_is_zero;
  LayerValues values;
  values.weight = scores.mask;
  const int number = append(node, std::move(layer), values);
  give_view(node, number,
            {.view = view_of_heads(
                 scores.view,
                 {.heads = query.heads, .positions = query.positions, .width = value->width}),
             .step = node.number,
             .why = "heads that are not put together again"});
}

// Of weights that a Where makes zeros of: it tells.
void OnnxNetworkMaker::is_nan(Node& node) {
  const int reader = only_reader(node.step.outputs[0]);
  const OnnxStep* where = reader < 0 ? nullptr : &trace_.step(reader);
  const bool known = is_op(where, "Where") && where->inputs[0] == node.step.outputs[0] &&
                     where->inputs[2] == input(node, 0);
  const std::shared_ptr<const OnnxScores> scores = raw(node, 0).scores;
  if (!known || !scores || !scores->weighed) refuse("no layer of a network");
  pass(node);
}

bool OnnxNetworkMaker::zeroes_nan(const Node& node) {
  const OnnxStep* test = trace_.made_by(input(node, 0));
  if (!is_op(test, "IsNaN") || test->inputs[0] != input(node, 2) ||
      one_number(input(node, 1)) != Number{0} || !raw(node, 2).scores) {
    return false;
  }
  OnnxScores scores = *raw(node, 2).scores;
  scores.nan_is_zero = true;
  give_scores(node, std::move(scores));
  return true;
}

// A turned value, or scores before their mask, times or by one number.
bool OnnxNetworkMaker::scales(const Node& node) {
  const std::string_view op = node.step.node->op;
  const std::optional<std::size_t> moving = moving_place(node);
  if ((op != "Mul" && op != "Div") || !moving || node.step.inputs.size() != 2) return false;
  OnnxOperand from = raw(node, *moving);
  if (!from.turned && !from.scores) return false;
  const int other = input(node, 1 - *moving);
  const bool single = element_count(trace_.value(other).shape) == 1;
  if (!single || (op == "Div" && *moving == 1) ||
      trace_.value(input(node, *moving)).shape != trace_.value(node.step.outputs[0]).shape) {
    refuse_turned(from);
  }
  const double number = constant(other)[0];
  const double factor = op == "Mul" ? number : 1 / number;
  const auto scaled_by = [&](double before) {
    const double made = before * factor;
    if (!std::isfinite(static_cast<float>(made)) || static_cast<float>(made) == 0) {
      refuse("a factor that is 0 or no number");
    }
    return made;
  };
  if (from.turned) {
    OnnxTurned made = *from.turned;
    made.factor = scaled_by(made.factor);
    give_view(node, from.layer, std::move(made));
    return true;
  }
  OnnxScores made = *from.scores;
  if (made.weighed || made.masks != 0) refuse_turned(from);
  made.factor = scaled_by(made.factor);
  give_scores(node, std::move(made));
  return true;
}

// Takes a constant into the mask, spread over heads where it is the same for all. value_of: what of
// a constant's number stands in the mask.
void OnnxNetworkMaker::mask_scores(const Node& node, OnnxScores scores, int mask, bool replaces,
                                   const std::function<float(float)>& value_of) {
  const Dimensions shape = scores.view.dimensions();
  const std::size_t rank = shape.size();
  Dimensions dims = trace_.value(mask).shape;
  if (dims.size() > rank) refuse("its mask has more axes than scores");
  dims.insert(dims.begin(), rank - dims.size(), 1);
  bool by_head = false;
  for (std::size_t axis = 0; axis < rank; ++axis) {
    if (dims[axis] != 1 && dims[axis] != shape[axis]) refuse("its mask is larger than scores");
    if (axis + 2 >= rank || dims[axis] == 1) continue;
    const std::vector<OnnxFactor>& parts = scores.view.axes[axis];
    const bool heads = parts.size() == 1 && parts[0].of == OnnxFactor::Of::kChannel;
    if (!heads) refuse("its mask differs by the example");
    by_head = true;
  }
  const bool fits = scores.masks == 0 || (!replaces && !scores.replaces);
  if (scores.weighed || !fits) refuse_turned(raw(node, is_constant(input(node, 0)) ? 1 : 0));
  const std::int64_t queries = shape[rank - 2];
  const std::int64_t keys = shape[rank - 1];
  const std::int64_t tables = by_head ? scores.query_heads.heads : scores.masks;
  const std::int64_t masks = std::max<std::int64_t>(1, tables);
  const std::span<const float> from = constant(mask);
  const std::span<float> to = values_.make(masks * queries * keys, node.step.label);
  // Axes of one entry are the same all along.
  const std::int64_t across = dims[rank - 1] == 1 ? 0 : 1;
  const std::int64_t down = dims[rank - 2] == 1 ? 0 : dims[rank - 1];
  const std::int64_t table = by_head ? dims[rank - 2] * dims[rank - 1] : 0;
  const auto own = static_cast<std::size_t>(queries * keys);
  for (std::size_t at = 0; at < to.size(); ++at) {
    const auto i = static_cast<std::int64_t>(at);
    const std::int64_t place =
        i / (queries * keys) * table + i / keys % queries * down + i % keys * across;
    to[at] = value_of(from[static_cast<std::size_t>(place)]);
    if (scores.masks > 0) to[at] += scores.mask[scores.masks == 1 ? at % own : at];
  }
  scores.mask = to;
  scores.masks = masks;
  scores.replaces = replaces;
  give_scores(node, std::move(scores));
}

// Scores and a constant that is added to them.
bool OnnxNetworkMaker::adds_mask(const Node& node) {
  const std::optional<std::size_t> moving = moving_place(node);
  if (!moving || node.step.inputs.size() != 2 || !raw(node, *moving).scores) return false;
  mask_scores(node, *raw(node, *moving).scores, input(node, 1 - *moving), false,
              [](float value) { return value; });
  return true;
}

// Scores where a constant says so, one number elsewhere.
bool OnnxNetworkMaker::replaces_scores(const Node& node) {
  const std::optional<std::size_t> moving = moving_place(node);
  if (!moving || *moving == 0 || node.step.inputs.size() != 3 || !raw(node, *moving).scores) {
    return false;
  }
  const std::span<const float> fill = constant(input(node, 3 - *moving));
  if (fill.size() != 1 || std::isnan(fill[0])) refuse("it does not replace scores by one number");
  const bool kept = *moving == 1;  // where the condition holds
  mask_scores(node, *raw(node, *moving).scores, input(node, 0), true, [&](float condition) {
    return (condition != 0) == kept ? std::numeric_limits<float>::quiet_NaN() : fill[0];
  });
  return true;
}

}  // namespace taut::graph
