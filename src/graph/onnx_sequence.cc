// Operators on sequences: recurrent layers, attention, spectra.
#include <algorithm>

#include "graph/onnx_rules.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

/// Matrices of each gate's weights: LSTM has four, GRU three, RNN one.
std::int64_t gates(std::string_view op) {
  return op == "LSTM" ? 4 : op == "GRU" ? 3 : 1;
}

[[noreturn]] void disagree(const OnnxCall& call, int a, int b) {
  call.fail(ErrorKind::kFormat, concat("shapes do not agree: ", dimensions_text(call.shape(a)),
                                       " and ", dimensions_text(call.shape(b))));
}

/// Heads, positions and width of a head of an operand of Attention.
struct HeadSizes {
  std::int64_t batch = 0;
  std::int64_t heads = 0;
  std::int64_t positions = 0;
  std::int64_t width = 0;
};

HeadSizes head_sizes(const OnnxCall& call, int input, const char* heads_attribute) {
  const Dimensions& shape = call.shape(input, 3);
  if (shape.size() == 4) return {shape[0], shape[1], shape[2], shape[3]};
  const std::int64_t heads = call.integer(heads_attribute, 0);
  if (shape.size() != 3 || heads < 1 || shape[2] % heads != 0) {
    call.fail(ErrorKind::kFormat,
              concat("input ", input, " of ", dimensions_text(shape), " in ", heads, " heads"));
  }
  return {shape[0], heads, shape[1], shape[2] / heads};
}

}  // namespace

void recurrent_rule(OnnxCall& call) {
  const Dimensions& in = call.shape(0, 3);
  const Dimensions& inner = call.shape(1, 3);
  const Dimensions& recurrent = call.shape(2, 3);
  const bool batch_first = call.integer("layout", 0) != 0;
  const std::int64_t directions = inner[0];
  const std::int64_t hidden = recurrent[2];
  const std::int64_t length = in[batch_first ? 1 : 0];
  const std::int64_t batch = in[batch_first ? 0 : 1];
  const std::int64_t rows = call.counted({gates(call.op()), hidden});
  const std::int64_t wanted = call.text("direction", "forward") == "bidirectional" ? 2 : 1;
  if (inner != Dimensions{wanted, rows, in[2]} || recurrent != Dimensions{wanted, rows, hidden}) {
    disagree(call, 1, 2);
  }
  const std::int32_t type = call.in(0).type;
  if (batch_first) {
    call.give(0, {batch, length, directions, hidden}, type);
    call.give(1, {batch, directions, hidden}, type);
    call.give(2, {batch, directions, hidden}, type);
  } else {
    call.give(0, {length, directions, batch, hidden}, type);
    call.give(1, {directions, batch, hidden}, type);
    call.give(2, {directions, batch, hidden}, type);
  }
  OnnxProduct product{.op = std::string(call.op())};
  std::transform(product.op.begin(), product.op.end(), product.op.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::int64_t words = *element_count(inner) + *element_count(recurrent);
  product.macs = product.input_macs = call.counted({words, length, batch});
  product.in_channels = in[2];
  product.out_channels = call.counted({directions, hidden});
  const int constants = call.in(1).constant + call.in(2).constant;
  if (constants == 2) product.weights = {1, 2};
  if (constants == 1) {
    call.fail(ErrorKind::kUnsupported, "one of its two weights is computed from the input");
  }
  call.product = std::move(product);
}

void attention_rule(OnnxCall& call) {
  const HeadSizes query = head_sizes(call, 0, "q_num_heads");
  const HeadSizes key = head_sizes(call, 1, "kv_num_heads");
  const HeadSizes value = head_sizes(call, 2, "kv_num_heads");
  if (query.batch != key.batch || query.width != key.width || key.positions != value.positions ||
      key.heads != value.heads || key.heads < 1 || query.heads % key.heads != 0) {
    disagree(call, 0, 1);
  }
  std::int64_t positions = key.positions;
  if (call.has(4)) positions += call.shape(4, 4)[2];
  const std::int32_t type = call.in(0).type;
  if (call.shape(0).size() == 4) {
    call.give(0, {query.batch, query.heads, query.positions, value.width}, type);
  } else {
    call.give(0, {query.batch, query.positions, call.counted({query.heads, value.width})}, type);
  }
  call.give(1, {key.batch, key.heads, positions, key.width}, type);
  call.give(2, {value.batch, value.heads, positions, value.width}, type);
  call.give(3, {query.batch, query.heads, query.positions, positions}, type);
  OnnxProduct product{.op = "attention"};
  product.macs = product.input_macs = call.counted(
      {query.batch, query.heads, query.positions, positions, query.width + value.width});
  call.product = std::move(product);
}

void stft_rule(OnnxCall& call) {
  const Dimensions& signal = call.shape(0, 2);
  const std::int64_t step = call.whole_one(1, "frame step");
  const std::int64_t length = call.has(3)   ? call.whole_one(3, "frame length")
                              : call.has(2) ? call.shape(2, 1)[0]
                                            : signal[1];
  if (step < 1 || length < 1 || length > signal[1]) {
    call.fail(ErrorKind::kFormat,
              concat("frames of ", length, " every ", step, " of a signal of ", signal[1]));
  }
  const std::int64_t bins = call.integer("onesided", 1) != 0 ? length / 2 + 1 : length;
  call.give(0, {signal[0], (signal[1] - length) / step + 1, bins, 2}, call.in(0).type);
}

void dft_rule(OnnxCall& call) {
  Dimensions shape = call.shape(0, 2);
  const bool axis_input = call.operator_set() >= 20;
  std::int64_t given = call.integer("axis", 1);
  if (axis_input) given = call.has(2) ? call.whole_one(2, "axis") : -2;
  const std::size_t axis = call.axis(given, shape.size());
  const bool onesided = call.integer("onesided", 0) != 0;
  const bool inverse = call.integer("inverse", 0) != 0;
  const std::int64_t whole = onesided && inverse ? 2 * (shape[axis] - 1) : shape[axis];
  const std::int64_t length = call.has(1) ? call.whole_one(1, "length") : whole;
  shape[axis] = onesided && !inverse ? length / 2 + 1 : length;
  shape.back() = onesided && inverse ? 1 : 2;
  call.give(0, std::move(shape), call.in(0).type);
}

}  // namespace taut::graph
