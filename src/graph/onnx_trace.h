#pragma once
// What the reader of ONNX files walked, written down flat: functions and branches are entered, each
// value has a number of its own.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "graph/onnx_call.h"
#include "graph/onnx_file.h"
#include "graph/onnx_value.h"
#include "taut/core/error.h"

namespace taut::graph {

/// An operator that was walked.
struct OnnxStep {
  const OnnxNode* node = nullptr;
  OnnxAttributes attributes = {};
  std::vector<int> inputs = {};   ///< numbers of values; -1: left out, or not there
  std::vector<int> outputs = {};  ///< numbers of values
  std::int64_t operator_set = kNewestOperatorSet;
  std::string label = {};
  std::shared_ptr<const Error> trouble = {};  ///< why nothing is known of its outputs
  bool inherited = false;                     ///< the trouble is that of an input
};

/// Whether it is an operator of ONNX's own of this name whose outputs are known; a step that is not
/// there is none.
[[nodiscard]] bool is_op(const OnnxStep* step, std::string_view op);

/// Steps stand in the order in which they run. Texts and tensors are views of the file's bytes.
struct OnnxTrace {
  std::deque<OnnxValue> values;
  std::vector<int> makers;  ///< by value: the step that made it; -1: an input or a constant
  std::vector<OnnxStep> steps;
  std::vector<int> outputs;                ///< the model's: numbers of values
  std::map<std::string_view, int> inputs;  ///< the model's that are no constants

  bool is_full = false;  ///< steps are missing: nothing may be made of it

  /// Numbers the value and keeps a copy.
  void add_value(OnnxValue& value, int maker = -1);
  /// Numbers the outputs of a step. Above 2^18 steps the trace is full and takes no more.
  void add_step(OnnxStep step, std::vector<OnnxValue>& outputs);
  /// The same of an operator whose rule has run.
  void add_call(const OnnxNode& node, OnnxCall& call);

  [[nodiscard]] const OnnxValue& value(int number) const {
    return values[static_cast<std::size_t>(number)];
  }
  [[nodiscard]] int maker(int value) const { return makers[static_cast<std::size_t>(value)]; }
  [[nodiscard]] const OnnxStep& step(int number) const {
    return steps[static_cast<std::size_t>(number)];
  }
  /// The step that made the value; null for inputs and constants of the file.
  [[nodiscard]] const OnnxStep* made_by(int value) const {
    return value < 0 || maker(value) < 0 ? nullptr : &step(maker(value));
  }

  /// Steps on which an output depends.
  [[nodiscard]] std::vector<bool> needed() const;
};

/// Numbers in the constants that needed steps read as parameters, each constant once: weights,
/// biases, scales and shifts of normalizations, tables, in floating point or in the codes of a
/// quantized product. Not counted: single numbers without axes, statistics of batch normalizations,
/// scales and zero points of codes, and what says where or how large something is.
[[nodiscard]] std::int64_t parameter_total(const OnnxTrace& trace);

}  // namespace taut::graph
