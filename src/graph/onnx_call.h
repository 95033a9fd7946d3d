#pragma once
// One operator of an ONNX file while its outputs are worked out: what its rule reads and gives.

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/onnx_file.h"
#include "graph/onnx_value.h"
#include "taut/core/error.h"

namespace taut::graph {

/// What an operator that multiplies and adds is to a planner; counts of the whole tensors.
struct OnnxProduct {
  std::string op;  ///< "conv", "fc", "lstm" ...
  std::vector<int> weights =
      {};  ///< the operands that are constant weights; none: of activations alone
  std::int64_t macs = 0;
  std::int64_t input_macs = 0;
  std::int64_t in_channels = 1;
  std::int64_t out_channels = 1;
  std::int64_t groups = 1;
  std::int64_t kernel = 1;
};

/// How many known numbers may be read and made in all while one file is read: bounds its memory and
/// time. Without any left, numbers are not known.
struct NumberBudget {
  std::int64_t left = std::int64_t{1} << 23;
};

/// Attributes as a node sees them: those of functions' callers in place of references.
using OnnxAttributes = std::map<std::string_view, const OnnxAttribute*>;

class OnnxCall {
 public:
  /// Inputs that are left out are null. label and source name the node in errors.
  OnnxCall(const OnnxNode& node, OnnxAttributes attributes, std::vector<const OnnxValue*> inputs,
           std::int64_t operator_set, std::string label, const std::string& source,
           const std::string& folder, NumberBudget& budget);

  [[nodiscard]] std::string_view op() const noexcept { return node_->op; }
  [[nodiscard]] std::int64_t operator_set() const noexcept { return operator_set_; }
  [[nodiscard]] const std::string& label() const noexcept { return label_; }
  [[nodiscard]] const std::string& source() const noexcept { return source_; }
  [[nodiscard]] const std::string& folder() const noexcept { return folder_; }

  /// "node LABEL (OP): what".
  [[noreturn]] void fail(ErrorKind kind, const std::string& what,
                         const std::string& mend = {}) const;

  [[nodiscard]] const OnnxAttributes& attributes() const noexcept { return attributes_; }
  [[nodiscard]] const std::vector<const OnnxValue*>& inputs() const noexcept { return inputs_; }

  [[nodiscard]] int input_count() const noexcept { return static_cast<int>(inputs_.size()); }
  [[nodiscard]] bool has(int input) const noexcept {
    return input < input_count() && inputs_[input] != nullptr;
  }
  /// Errors: kFormat, if it is left out.
  [[nodiscard]] const OnnxValue& in(int input) const;
  [[nodiscard]] const Dimensions& shape(int input) const { return in(input).shape; }
  /// The same of at least so many axes. Errors: kFormat.
  [[nodiscard]] const Dimensions& shape(int input, std::size_t least_rank) const;

  /// The numbers of an input as integers. Errors: kUnsupported where they are not known.
  [[nodiscard]] std::vector<std::int64_t> whole(int input, std::string_view what) const;
  [[nodiscard]] std::int64_t whole_one(int input, std::string_view what) const;
  [[nodiscard]] std::vector<Number> numbers(int input, std::string_view what) const;

  [[nodiscard]] const OnnxAttribute* attribute(std::string_view name) const noexcept;
  [[nodiscard]] std::int64_t integer(std::string_view name, std::int64_t fallback) const;
  [[nodiscard]] std::optional<std::vector<std::int64_t>> integers(std::string_view name) const;
  [[nodiscard]] std::string_view text(std::string_view name, std::string_view fallback) const;
  /// The list, of count numbers of at least `least`; without one, count times that many.
  [[nodiscard]] std::vector<std::int64_t> sizes(std::string_view name, std::size_t count,
                                                std::int64_t fallback, std::int64_t least) const;

  /// The product of counts that are not negative. Errors: kData above 2^50.
  [[nodiscard]] std::int64_t counted(std::span<const std::int64_t> factors) const;
  [[nodiscard]] std::int64_t counted(std::initializer_list<std::int64_t> factors) const {
    return counted(std::span(factors.begin(), factors.size()));
  }

  /// An axis from 0 on; negative ones count from the end. Errors: kFormat outside of the rank.
  [[nodiscard]] std::size_t axis(std::int64_t axis, std::size_t rank) const;

  [[nodiscard]] int output_count() const noexcept { return static_cast<int>(outputs_.size()); }
  [[nodiscard]] std::vector<OnnxValue>& outputs() noexcept { return outputs_; }
  /// Sets an output, if the node has it. Errors: kData above 2^50 elements or rank 32.
  void give(int output, Dimensions shape, std::int32_t type);
  /// Sets an output's numbers as its type holds them; leaves them unknown if one does not fit.
  void give_numbers(int output, std::vector<Number> numbers);
  /// Whether numbers of so many elements are worth working out, given that those inputs are known.
  [[nodiscard]] bool can_know(std::span<const std::int64_t> shape,
                              std::initializer_list<int> inputs) const;

  /// Output 0 is input 0 with its elements elsewhere: source(index) is where one comes from.
  template <typename Source>
  void give_moved(int output, Dimensions shape, const Source& from) {
    const bool known = can_know(shape, {0});
    std::vector<Number> moved;
    if (known) {
      for_each_index(shape, [&](std::span<const std::int64_t> index) {
        moved.push_back(in(0).numbers->at(static_cast<std::size_t>(from(index))));
      });
    }
    give(output, std::move(shape), in(0).type);
    if (known) give_numbers(output, std::move(moved));
  }
  /// Output 0 is input 0 in another shape of as many elements.
  void give_reshaped(Dimensions shape);

  std::optional<OnnxProduct> product;  ///< set by the rules of products

 private:
  /// Takes so many numbers from the budget; false when it is used up.
  bool charge(std::int64_t count) const;

  const OnnxNode* node_;
  OnnxAttributes attributes_;
  std::vector<const OnnxValue*> inputs_;
  std::int64_t operator_set_;
  std::string label_;
  const std::string& source_;
  const std::string& folder_;
  NumberBudget& budget_;
  std::vector<OnnxValue> outputs_;
};

/// Works out shapes, types and, where they are known, numbers of the outputs. Errors: kFormat and
/// kData (what does not fit), kUnsupported (a shape that depends on values).
using OnnxRule = void (*)(OnnxCall&);

}  // namespace taut::graph
