#include "taut/graph/onnx_network.h"

#include <algorithm>
#include <utility>

#include "graph/layer_rules.h"
#include "graph/onnx_evaluator.h"
#include "graph/onnx_network_maker.h"
#include "graph/onnx_reader.h"
#include "taut/core/text.h"
#include "taut/graph/cost_graph.h"

namespace taut::graph {
namespace {

constexpr std::size_t kMostNamed = 100;
constexpr std::size_t kLongestMetadata = std::size_t{1} << 24;
constexpr const char* kInputOp = "input";
constexpr const char* kMend = "taut plan takes it; the engine does not";

std::string refusal_text(const std::vector<OnnxRefusal>& refused) {
  std::vector<std::string> named;
  for (const OnnxRefusal& one : refused) {
    if (named.size() == kMostNamed) break;
    named.push_back(one.op == kInputOp ? concat("input ", one.node, ": ", one.why)
                                       : concat("node ", one.node, " (", one.op, "): ", one.why));
  }
  if (refused.size() > kMostNamed) named.push_back(concat(refused.size() - kMostNamed, " more"));
  return join(named, "; ");
}

// A message of the evaluator without the node, which is named already, and without the file.
std::string bare_message(const OnnxStep& step, const std::string& source) {
  std::string text = step.trouble->what();
  const std::string prefix = concat("node ", step.label, " (", step.node->op, "): ");
  if (text.starts_with(prefix)) text = text.substr(prefix.size());
  return text.substr(0, text.find(", " + source));
}

}  // namespace

OnnxNotExpressed::OnnxNotExpressed(std::vector<OnnxRefusal> refused, const std::string& source)
    : Error(ErrorKind::kUnsupported, concat("a network has no layer for ", refusal_text(refused)),
            source, kMend),
      refused_(std::move(refused)) {}

std::string OnnxNotExpressed::bare() const {
  return concat("because of ", refusal_text(refused_));
}

OnnxNetworkMaker::OnnxNetworkMaker(const OnnxTrace& trace, std::int64_t batch,
                                   const std::string& folder, OnnxValues& values)
    : trace_(trace), batch_(batch), folder_(folder), values_(values) {}

void OnnxNetworkMaker::count_readers() {
  readers_.assign(trace_.values.size(), 0);
  last_reader_.assign(trace_.values.size(), -1);
  operands_.resize(trace_.values.size());
  const std::vector<bool> needed = trace_.needed();
  for (std::size_t s = 0; s < trace_.steps.size(); ++s) {
    if (!needed[s]) continue;
    for (const int value : trace_.steps[s].inputs) {
      if (value < 0) continue;
      ++readers_[static_cast<std::size_t>(value)];
      last_reader_[static_cast<std::size_t>(value)] = static_cast<int>(s);
    }
  }
  for (const int output : trace_.outputs) ++readers_[static_cast<std::size_t>(output)];
}

// Images lie channel-last where the first operator that moves them says so.
std::size_t OnnxNetworkMaker::input_channel_axis(int value) const {
  if (trace_.value(value).shape.size() == 3) return 2;
  if (trace_.value(value).shape.size() != 4) return 1;
  while (readers(value) == 1 && last_reader_[static_cast<std::size_t>(value)] >= 0) {
    const OnnxStep& step = trace_.step(last_reader_[static_cast<std::size_t>(value)]);
    if (step.node->op == "Transpose") {
      const auto found = step.attributes.find("perm");
      const std::vector<std::int64_t> to_planes = {0, 3, 1, 2};
      return found != step.attributes.end() && found->second->numbers == to_planes ? 3 : 1;
    }
    static const std::set<std::string_view> kBeside = {"Cast", "Identity", "Add",
                                                       "Sub",  "Mul",      "Div"};
    if (!kBeside.contains(step.node->op) || step.outputs.empty()) return 1;
    value = step.outputs[0];
  }
  return 1;
}

void OnnxNetworkMaker::find_input() {
  const auto refuse_input = [&](std::string_view name, std::string why) {
    refused_.push_back({-1, {std::string(name), kInputOp, std::move(why)}});
  };
  bool found = false;
  for (const auto& [name, value] : trace_.inputs) {
    if (readers(value) == 0) continue;
    const OnnxValue& of = trace_.value(value);
    if (of.trouble != nullptr) throw Error(*of.trouble);
    if (found) {
      refuse_input(name, "a network reads one input");
      continue;
    }
    found = true;
    const std::size_t axis = input_channel_axis(value);
    const std::optional<Shape> shape = shape_of(of.shape, axis);
    if (!shape || of.shape.size() > 4) {
      refuse_input(name, concat("a tensor of ", dimensions_text(of.shape),
                                " is neither images nor features nor tokens"));
      continue;
    }
    network_.input = *shape;
    input_ = {.name = std::string(name), .dimensions = of.shape, .channel_axis = axis};
    operands_[static_cast<std::size_t>(value)] = OnnxOperand{.channel_axis = axis};
  }
  if (!found) {
    throw Error(ErrorKind::kFormat, "no layer depends on the model's input", values_.source());
  }
}

void OnnxNetworkMaker::note(const OnnxStep& step, std::string why) {
  const auto number = static_cast<int>(&step - trace_.steps.data());
  refused_.push_back({number, {step.label, std::string(step.node->op), std::move(why)}});
}

// In the order of the file: a step may be blamed when one behind it is looked at.
std::vector<OnnxRefusal> OnnxNetworkMaker::all_refused() {
  std::stable_sort(refused_.begin(), refused_.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<OnnxRefusal> refused;
  for (auto& [number, one] : refused_) refused.push_back(std::move(one));
  return refused;
}

void OnnxNetworkMaker::note_trouble(const OnnxStep& step) {
  if (!step.inherited && step.trouble->kind() != ErrorKind::kUnsupported) {
    throw Error(*step.trouble);
  }
  if (!step.inherited) {
    note(step, bare_message(step, values_.source()));
  } else if (!step.node->domain.empty() || !handlers().contains(step.node->op)) {
    note(step, "no layer of a network");
  }
}

// Something in place of what a refused step gives, so that the steps behind it are looked at too.
void OnnxNetworkMaker::stand_in(const OnnxStep& step) {
  const OnnxValue& made = trace_.value(step.outputs[0]);
  const std::size_t axis = made.shape.size() == 3 ? 2 : 1;
  const std::optional<Shape> shape = shape_of(made.shape, axis);
  if (!shape || element_count(made.shape) == 0) return;
  Layer layer;
  layer.name = names_.name_for(step.label);
  layer.out = *shape;
  network_.layers.push_back(std::move(layer));
  network_.values.emplace_back();
  latest_.push_back(step.outputs[0]);
  operands_[static_cast<std::size_t>(made.id)] =
      OnnxOperand{.layer = static_cast<int>(network_.layers.size()) - 1, .channel_axis = axis};
}

OnnxCall OnnxNetworkMaker::call_of(const OnnxStep& step) {
  std::vector<const OnnxValue*> inputs;
  for (const int value : step.inputs) inputs.push_back(value < 0 ? nullptr : &trace_.value(value));
  return {*step.node, step.attributes,  std::move(inputs), step.operator_set,
          step.label, values_.source(), folder_,           budget_};
}

void OnnxNetworkMaker::run_known(int number, Handler handler) {
  const OnnxStep& step = trace_.step(number);
  Node node{step, number, call_of(step)};
  try {
    for (std::size_t i = 1; i < step.outputs.size() && step.node->op != "Split"; ++i) {
      if (readers(step.outputs[i]) > 0) refuse(concat("its output ", i, " is read"));
    }
    (this->*handler)(node);
    return;
  } catch (const Refused& refused) {
    const int blamed = refused.step < 0 ? number : refused.step;
    if (blamed == number || blamed_.insert(blamed).second) {
      note(trace_.step(blamed), refused.what());
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kUnsupported) throw;
    const std::string text = error.what();
    note(step, text.substr(0, text.find(", " + values_.source())));
  }
  stand_in(step);
}

void OnnxNetworkMaker::run(int number) {
  const OnnxStep& step = trace_.step(number);
  if (step.trouble != nullptr) return note_trouble(step);
  if (absorbed_.contains(number)) return;
  const auto constant = [&](int value) { return trace_.value(value).constant; };
  if (std::all_of(step.outputs.begin(), step.outputs.end(), constant)) return;
  const auto found = handlers().find(step.node->op);
  if (!step.node->domain.empty() || found == handlers().end()) {
    note(step, "no layer of a network");
    return stand_in(step);
  }
  // What hangs on a refused step that nothing stands in for is not looked at.
  if (is_ready(number)) run_known(number, found->second);
}

// Whether what a step reads is known.
bool OnnxNetworkMaker::is_ready(int number) const {
  if (winners_.contains(number)) return true;
  const auto known = [&](int value) {
    return value < 0 || is_constant(value) || operands_[static_cast<std::size_t>(value)];
  };
  const auto norm = norms_.find(number);
  if (norm != norms_.end()) return known(norm->second.input);
  const std::vector<int>& inputs = trace_.step(number).inputs;
  return std::all_of(inputs.begin(), inputs.end(), known);
}

// Sizes of one example; nothing where the value has none.
std::optional<Shape> OnnxNetworkMaker::shape_of(const Dimensions& dims, std::size_t channel_axis) {
  if (dims.size() < 2 || channel_axis >= dims.size()) return std::nullopt;
  std::vector<std::int64_t> sides;
  for (std::size_t d = 1; d < dims.size(); ++d) {
    if (d != channel_axis) sides.push_back(dims[d]);
  }
  Shape shape{.channels = dims[channel_axis]};
  if (!sides.empty()) shape.height = sides[0];
  for (std::size_t s = 1; s < sides.size(); ++s) shape.width *= sides[s];
  return shape;
}

Layer OnnxNetworkMaker::reading(Op op, std::vector<int> inputs) const {
  Layer layer;
  layer.op = op;
  layer.inputs = std::move(inputs);
  layer.in = layer.out = network_.shape_of(layer.inputs.front());
  return layer;
}

int OnnxNetworkMaker::append(const Node& node, Layer layer, const LayerValues& values) {
  const auto number = static_cast<int>(network_.layers.size());
  if (const std::optional<Shape> out = output_shape(network_, layer)) layer.out = *out;
  if (const auto wrong = wrong_in_layer(network_, number, layer)) {
    refuse(concat("it would be a layer with ", *wrong));
  }
  layer.name = names_.name_for(node.step.label);
  network_.layers.push_back(std::move(layer));
  network_.values.push_back(values);
  latest_.push_back(node.step.outputs[0]);
  return number;
}

// An output of the step. What the model says of its shape must be what the network makes of it.
void OnnxNetworkMaker::give(const Node& node, OnnxOperand operand, std::size_t output) {
  const OnnxValue& made = trace_.value(node.step.outputs[output]);
  const Shape& shape = network_.shape_of(operand.layer);
  const std::optional<Shape> wanted = shape_of(made.shape, operand.channel_axis);
  const bool fits = operand.padding.empty() ? wanted == shape : wanted.has_value();
  if (!fits || made.shape[0] != batch_) {
    refuse(concat("it gives ", dimensions_text(made.shape), ", the network ", shape_text(shape),
                  " for each of ", batch_, " examples"));
  }
  operands_[static_cast<std::size_t>(made.id)] = std::move(operand);
}

OnnxNetwork OnnxNetworkMaker::make(const std::string& name,
                                   std::map<std::string, std::string> metadata) {
  if (trace_.is_full) {
    throw Error(ErrorKind::kUnsupported, "a model of more than 2^18 operators", values_.source());
  }
  if (trace_.outputs.size() != 1) {
    throw Error(ErrorKind::kUnsupported,
                concat("the model has ", trace_.outputs.size(), " outputs, a network has one"),
                values_.source());
  }
  count_readers();
  network_.name = name;
  find_input();
  const std::vector<bool> needed = trace_.needed();
  find_winners(needed);
  find_norms(needed);
  for (std::size_t s = 0; s < trace_.steps.size(); ++s) {
    if (needed[s]) run(static_cast<int>(s));
  }
  const std::optional<OnnxOperand>& last = operands_[static_cast<std::size_t>(trace_.outputs[0])];
  if (last && (last->turned || last->scores)) {
    const Refused refused = turned_refusal(*last);
    if (blamed_.insert(refused.step).second) note(trace_.step(refused.step), refused.what());
  }
  if (!refused_.empty()) throw OnnxNotExpressed(all_refused(), values_.source());
  const bool whole = last && last->padding.empty() && !last->clipped && !last->codes &&
                     !last->rounding && last->layer == static_cast<int>(network_.layers.size()) - 1;
  if (!whole || network_.layers.empty()) {
    throw Error(ErrorKind::kUnsupported, "the output of the model is not that of a layer",
                values_.source());
  }
  finish_winners(metadata);
  if (const auto wrong = wrong_layer(network_)) {
    throw Error(ErrorKind::kUnsupported, concat("the model would be ", *wrong), values_.source());
  }
  return {.network = std::move(network_),
          .held = {},
          .metadata = std::move(metadata),
          .ending = ending_,
          .input = std::move(input_),
          .output = {.name = {},
                     .dimensions = trace_.value(trace_.outputs[0]).shape,
                     .channel_axis = last->channel_axis},
          .widened = widened_};
}

namespace {

// What the values of a network are views of.
struct Held {
  Held(const std::string& source, const std::string& folder) : values(source, folder) {}
  std::optional<MappedFile> file;
  OnnxValues values;
};

std::map<std::string, std::string> metadata_of(const OnnxModel& model) {
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : model.file.metadata) {
    if (value.size() <= kLongestMetadata) metadata[std::string(key)] = value;
  }
  return metadata;
}

OnnxNetwork read_held(const std::shared_ptr<Held>& held, std::string_view bytes,
                      const std::string& source, const DimensionSizes& sizes,
                      const std::string& folder) {
  OnnxModel model = open_onnx(bytes, source, sizes);
  const std::int64_t batch = model.inputs.batch;
  OnnxTrace trace;
  OnnxEvaluator(model.file, std::move(model.inputs), source, folder, &trace).walk();
  OnnxNetwork made =
      OnnxNetworkMaker(trace, batch, folder, held->values).make(model.name, metadata_of(model));
  made.output.name = model.file.graph.outputs[0].name;
  made.held = held;
  return made;
}

}  // namespace

OnnxNetwork read_onnx_network(const std::string& path, const DimensionSizes& sizes) {
  const std::string folder = onnx_folder(path);
  const auto held = std::make_shared<Held>(path, folder);
  held->file.emplace(path);
  return read_held(held, text_of(*held->file), path, sizes, folder);
}

OnnxNetwork parse_onnx_network(std::string_view bytes, const std::string& source,
                               const DimensionSizes& sizes) {
  return read_held(std::make_shared<Held>(source, ""), bytes, source, sizes, {});
}

namespace {

OnnxSummary summarize(std::string_view bytes, const std::string& source,
                      const DimensionSizes& sizes, const std::string& folder) {
  OnnxModel model = open_onnx(bytes, source, sizes);
  const std::int64_t batch = model.inputs.batch;
  OnnxTrace trace;
  OnnxSummary summary{
      OnnxEvaluator(model.file, std::move(model.inputs), source, folder, &trace).run(model.name)};
  if (trace.is_full) return summary;
  summary.parameters = parameter_total(trace);
  try {
    OnnxValues values(source, folder, OnnxContent::kSizes);
    OnnxNetwork made =
        OnnxNetworkMaker(trace, batch, folder, values).make(model.name, metadata_of(model));
    made.network.values.clear();
    if (!made.widened) summary.graph = cost_graph(made.network);
    summary.network = std::move(made.network);
  } catch (const Error&) {
    return summary;  // what is no network is planned as the nodes that the file has
  }
  return summary;
}

}  // namespace

OnnxSummary summarize_onnx(const std::string& path, const DimensionSizes& sizes) {
  const MappedFile file(path);
  return summarize(text_of(file), path, sizes, onnx_folder(path));
}

OnnxSummary summarize_onnx_bytes(std::string_view bytes, const std::string& source,
                                 const DimensionSizes& sizes) {
  return summarize(bytes, source, sizes, {});
}

}  // namespace taut::graph
