#include "graph/onnx_inputs.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

constexpr std::int64_t kLargestSize = std::int64_t{1} << 40;
constexpr std::size_t kMostNames = 1000;  // that an error could suggest

class InputSizes {
 public:
  InputSizes(const OnnxGraphBody& graph, const DimensionSizes& sizes, const std::string& source)
      : graph_(graph), sizes_(sizes), source_(source) {
    for (const OnnxTensor& tensor : graph.constants) constants_.insert(tensor.name);
    find_sequences();
    for (const OnnxInfo& input : graph.inputs) {
      for (std::size_t d = 0; d < input.dims.size(); ++d) {
        if (d != batch_axis(input)) inner_names_.insert(name_of(input.dims[d]));
      }
    }
    inner_names_.erase(std::string_view());
    find_batch_name();
  }

  OnnxInputs size() {
    for (const OnnxInfo& input : graph_.inputs) {
      if (!constants_.contains(input.name)) add(input);
    }
    const std::vector<std::string> known(names_.begin(), names_.end());
    for (const auto& [name, size] : sizes_) {
      if (used_.contains(name)) continue;
      throw Error(ErrorKind::kConfig, concat("no dimension without a size is called ", name),
                  source_,
                  known.empty() ? std::string("every dimension of the file has its size")
                                : suggest(name, known));
    }
    inputs_.batch = open_batch_ ? *open_batch_ : fixed_batch_.value_or(1);
    return std::move(inputs_);
  }

 private:
  /// Inputs that a recurrent layer reads with the positions in front.
  void find_sequences() {
    for (const OnnxNode& node : graph_.nodes) {
      const bool recurrent = node.op == "LSTM" || node.op == "GRU" || node.op == "RNN";
      if (!recurrent || !node.domain.empty() || node.inputs.empty()) continue;
      bool batch_first = false;
      for (const OnnxAttribute& attribute : node.attributes) {
        batch_first = batch_first || (attribute.name == "layout" &&
                                      attribute.numbers == std::vector<std::int64_t>{1});
      }
      if (!batch_first) sequences_.insert(node.inputs[0]);
    }
  }

  /// The name of the batch: of those that first dimensions have, one that no other dimension of the
  /// same input has; first those that no inner dimension of any input has, then those that occur
  /// most often, then the earliest.
  void find_batch_name() {
    std::map<std::string_view, int> times;
    std::vector<std::string_view> candidates;
    for (const OnnxInfo& input : graph_.inputs) {
      const std::size_t axis = batch_axis(input);
      if (axis >= input.dims.size() || input.dims[axis].size >= 1) continue;
      const std::string_view name = name_of(input.dims[axis]);
      bool alone = !name.empty() && input.dims.size() <= kMostRank;
      for (std::size_t d = 0; alone && d < input.dims.size(); ++d) {
        alone = d == axis || name_of(input.dims[d]) != name;
      }
      if (alone && times[name]++ == 0) candidates.push_back(name);
    }
    const auto better = [&](std::string_view a, std::string_view b) {
      const bool outer_a = !inner_names_.contains(a);
      const bool outer_b = !inner_names_.contains(b);
      return outer_a != outer_b ? outer_b : times[a] < times[b];
    };
    const auto best = std::max_element(candidates.begin(), candidates.end(), better);
    if (best != candidates.end()) inner_names_.erase(batch_name_ = *best);
  }

  /// Some exporters call every dimension that they do not know by a question mark.
  static std::string_view name_of(const OnnxDimension& dim) {
    return dim.name == "?" ? std::string_view() : dim.name;
  }

  std::size_t batch_axis(const OnnxInfo& input) const {
    return sequences_.contains(input.name) ? 1 : 0;
  }

  void add(const OnnxInfo& input) {
    OnnxValue& value = inputs_.values[input.name];
    value.type = input.type;
    if (!input.is_tensor) {
      value.trouble = std::make_shared<const Error>(
          ErrorKind::kUnsupported, concat("input ", input.name, " is not a tensor"), source_);
      return;
    }
    if (!input.has_shape) return add_unshaped(input, value);
    if (input.dims.size() > kMostRank) {
      throw Error(ErrorKind::kData, concat("input ", input.name, " has rank ", input.dims.size()),
                  source_);
    }
    for (std::size_t d = 0; d < input.dims.size(); ++d) {
      value.shape.push_back(size_of(input, d));
    }
    finish(input, value);
  }

  /// Without a shape in the file: as many dimensions as the caller sizes.
  void add_unshaped(const OnnxInfo& input, OnnxValue& value) {
    for (std::size_t d = 0; d < kMostRank; ++d) {
      const std::optional<std::int64_t> size = given(place_name(input, d));
      if (!size) break;
      value.shape.push_back(*size);
      note_batch(input, d, *size, true);
    }
    if (value.shape.empty()) {
      value.trouble = std::make_shared<const Error>(
          ErrorKind::kData, concat("input ", input.name, " has no shape in the file"), source_,
          concat("size its dimensions: ", place_name(input, 0), "=SIZE, ", place_name(input, 1),
                 "=SIZE ... (--dim)"));
      return;
    }
    finish(input, value);
  }

  void finish(const OnnxInfo& input, const OnnxValue& value) const {
    if (element_count(value.shape)) return;
    throw Error(ErrorKind::kData,
                concat("input ", input.name, " has more than 2^50 elements, ",
                       dimensions_text(value.shape)),
                source_);
  }

  static std::string place_name(const OnnxInfo& input, std::size_t d) {
    return concat(input.name, ".", d);
  }

  std::optional<std::int64_t> given(const std::string& name) {
    if (names_.size() < kMostNames) names_.insert(name);
    const auto found = sizes_.find(name);
    if (found == sizes_.end()) return std::nullopt;
    used_.insert(name);
    return found->second;
  }

  void note_batch(const OnnxInfo& input, std::size_t d, std::int64_t size, bool open) {
    if (d != batch_axis(input)) return;
    std::optional<std::int64_t>& batch = open ? open_batch_ : fixed_batch_;
    if (!batch) batch = size;
  }

  std::int64_t size_of(const OnnxInfo& input, std::size_t d) {
    const OnnxDimension& dim = input.dims[d];
    const std::string place = place_name(input, d);
    const std::string_view dim_name = name_of(dim);
    const bool is_batch = !dim_name.empty() && dim_name == batch_name_;
    const bool inner = !is_batch && (d != batch_axis(input) || inner_names_.contains(dim_name));
    std::optional<std::int64_t> size;
    const bool open = dim.size < 1;
    if (!open) {
      size = dim.size;
    } else {
      size = given(place);
      if (!dim_name.empty()) {
        const std::optional<std::int64_t> named = given(std::string(dim_name));
        if (!size) size = named;
      }
      if (!size && !inner) size = 1;
    }
    if (!size) {
      const std::string name = dim_name.empty() ? place : std::string(dim_name);
      throw Error(ErrorKind::kData,
                  concat("input ", input.name, " dimension ", d, " (",
                         dim_name.empty() ? "no name" : name, ") has no size"),
                  source_, concat("give it one: --dim ", name, "=SIZE"));
    }
    if (*size < 1 || *size > kLargestSize) {
      throw Error(
          ErrorKind::kData,
          concat("input ", input.name, " dimension ", d, " is ", *size, ", must be from 1 to 2^40"),
          source_);
    }
    note_batch(input, d, *size, open && !inner);
    return *size;
  }

  const OnnxGraphBody& graph_;
  const DimensionSizes& sizes_;
  const std::string& source_;
  OnnxInputs inputs_;
  std::set<std::string_view> constants_;
  std::set<std::string_view> sequences_;
  std::set<std::string_view> inner_names_;
  std::string_view batch_name_;
  std::set<std::string> names_;  ///< that sizes could be given by
  std::set<std::string> used_;
  std::optional<std::int64_t> open_batch_;
  std::optional<std::int64_t> fixed_batch_;
};

}  // namespace

OnnxInputs size_inputs(const OnnxGraphBody& graph, const DimensionSizes& sizes,
                       const std::string& source) {
  return InputSizes(graph, sizes, source).size();
}

}  // namespace taut::graph
