// Products of matrices: which operand is weights, and how often they are applied.
#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "graph/onnx_rules.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

[[noreturn]] void disagree(const OnnxCall& call, const Dimensions& a, const Dimensions& b) {
  call.fail(ErrorKind::kFormat,
            concat("shapes do not agree: ", dimensions_text(a), " by ", dimensions_text(b)));
}

/// The sizes of one product: of `common` sums each, rows x columns, batch times.
struct Sizes {
  std::int64_t rows = 1;
  std::int64_t common = 1;
  std::int64_t columns = 1;
  Dimensions left_batch;
  Dimensions right_batch;
};

/// How many different matrices of weights there are, and whether each meets values of its own.
struct Heads {
  std::int64_t count = 1;
  bool own_values = false;
};

Heads heads_of(const OnnxCall& call, const Dimensions& weights, const Dimensions& values) {
  Heads heads;
  heads.count = call.counted(weights);
  Dimensions met(weights.size(), 1);
  const std::size_t shared = std::min(weights.size(), values.size());
  std::copy(values.end() - static_cast<std::ptrdiff_t>(shared), values.end(),
            met.end() - static_cast<std::ptrdiff_t>(shared));
  heads.own_values = heads.count > 1;
  for (std::size_t d = 0; d < weights.size(); ++d) {
    heads.own_values = heads.own_values && (weights[d] == 1 || met[d] == weights[d]);
  }
  return heads;
}

/// Says what a product is to a planner: a layer if exactly one side is constant.
void give_product(OnnxCall& call, int left, int right, const Sizes& sizes) {
  OnnxProduct product{.op = "fc"};
  product.macs = call.counted({*element_count(call.outputs()[0].shape), sizes.common});
  product.input_macs = product.macs;
  const bool left_weights = call.in(left).constant && !call.in(right).constant;
  const bool right_weights = call.in(right).constant && !call.in(left).constant;
  if (left_weights || right_weights) {
    const Heads heads = left_weights ? heads_of(call, sizes.left_batch, sizes.right_batch)
                                     : heads_of(call, sizes.right_batch, sizes.left_batch);
    product.weights = {left_weights ? left : right};
    product.groups = heads.own_values ? heads.count : 1;
    product.in_channels = call.counted({product.groups, sizes.common});
    product.out_channels = call.counted({heads.count, left_weights ? sizes.rows : sizes.columns});
    if (product.groups > 1) product.op = "fc-grouped";
  }
  call.product = std::move(product);
}

/// An equation of Einsum: one text of indices for each operand and for the output. "..." stands
/// for capital letters from the alphabet's end, which are no indices of its own.
struct Equation {
  std::vector<std::string> operands;
  std::string output;
};

constexpr std::string_view kDots = "...";

/// A private index for the axis that is so many from the end of the dots.
char dots_index(std::size_t from_end) {
  return static_cast<char>(1 + from_end);
}

std::string with_dots(const OnnxCall& call, std::string indices, std::size_t axes) {
  const std::size_t at = indices.find(kDots);
  if (at == std::string::npos) return indices;
  if (axes > kMostRank) call.fail(ErrorKind::kFormat, "more axes than the operand has");
  std::string dots;
  for (std::size_t d = axes; d > 0; --d) dots += dots_index(d - 1);
  return indices.replace(at, kDots.size(), dots);
}

Equation parse_equation(const OnnxCall& call) {
  std::string text(call.text("equation", ""));
  std::erase(text, ' ');
  if (text.size() > 4096) call.fail(ErrorKind::kFormat, "an equation of more than 4096 letters");
  const std::size_t arrow = text.find("->");
  Equation equation;
  equation.operands = split(text.substr(0, arrow), ',');
  if (static_cast<int>(equation.operands.size()) != call.input_count()) {
    call.fail(ErrorKind::kFormat, concat("the equation has ", equation.operands.size(),
                                         " operands, the node ", call.input_count()));
  }
  std::size_t most_dots = 0;
  for (int i = 0; i < call.input_count(); ++i) {
    std::string& operand = equation.operands[static_cast<std::size_t>(i)];
    const bool dotted = operand.find(kDots) != std::string::npos;
    const std::size_t named = operand.size() - (dotted ? kDots.size() : 0);
    const std::size_t rank = call.shape(i).size();
    if (named > rank || (!dotted && named != rank)) {
      call.fail(ErrorKind::kFormat,
                concat("\"", operand, "\" for a tensor of ", dimensions_text(call.shape(i))));
    }
    if (dotted) most_dots = std::max(most_dots, rank - named);
    operand = with_dots(call, operand, rank - named);
  }
  if (arrow != std::string::npos) {
    equation.output = with_dots(call, text.substr(arrow + 2), most_dots);
    return equation;
  }
  // Without an output: the dots, then what occurs once, in alphabetical order.
  std::map<char, int> times;
  for (const std::string& operand : equation.operands) {
    for (const char index : operand) ++times[index];
  }
  for (std::size_t d = most_dots; d > 0; --d) equation.output += dots_index(d - 1);
  for (const auto& [index, count] : times) {
    if (count == 1 && index > static_cast<char>(kMostRank)) equation.output += index;
  }
  return equation;
}

using IndexSizes = std::map<char, std::int64_t>;

IndexSizes index_sizes(const OnnxCall& call, const Equation& equation) {
  IndexSizes sizes;
  for (int i = 0; i < call.input_count(); ++i) {
    const Dimensions& shape = call.shape(i);
    for (std::size_t d = 0; d < shape.size(); ++d) {
      std::int64_t& size =
          sizes.try_emplace(equation.operands[static_cast<std::size_t>(i)][d], 1).first->second;
      if (size != shape[d] && size != 1 && shape[d] != 1) {
        call.fail(ErrorKind::kFormat, concat("shapes do not agree: an index of ", size,
                                             " in another operand is ", shape[d]));
      }
      if (shape[d] != 1) size = shape[d];
    }
  }
  return sizes;
}

Dimensions sizes_of(const std::set<char>& indices, const IndexSizes& sizes) {
  Dimensions list;
  for (const char index : indices) list.push_back(sizes.at(index));
  return list;
}

std::set<char> common(const std::set<char>& a, const std::set<char>& b) {
  std::set<char> both;
  for (const char index : a) {
    if (b.contains(index)) both.insert(index);
  }
  return both;
}

std::set<char> without(std::set<char> a, const std::set<char>& b) {
  for (const char index : b) a.erase(index);
  return a;
}

/// Multiply-adds of operands that are joined from left to right, sums being taken as early as can
/// be. A join without a sum is an element-wise product.
std::int64_t joined_macs(const OnnxCall& call, const Equation& equation, const IndexSizes& sizes) {
  std::int64_t macs = 0;
  const auto set_of = [](const std::string& text) {
    return std::set<char>(text.begin(), text.end());
  };
  std::set<char> left = set_of(equation.operands[0]);
  for (std::size_t i = 1; i < equation.operands.size(); ++i) {
    const std::set<char> right = set_of(equation.operands[i]);
    std::set<char> needed = set_of(equation.output);
    for (std::size_t later = i + 1; later < equation.operands.size(); ++later) {
      needed.merge(set_of(equation.operands[later]));
    }
    std::set<char> all = left;
    all.insert(right.begin(), right.end());
    const std::set<char> summed = without(all, needed);
    if (!common(left, right).empty() && !summed.empty()) {
      macs += call.counted(sizes_of(all, sizes));
    }
    left = common(all, needed);
  }
  return macs;
}

}  // namespace

void matmul_rule(OnnxCall& call) {
  const int right = call.op() == "QLinearMatMul" ? 3 : 1;
  Dimensions a = call.shape(0, 1);
  Dimensions b = call.shape(right, 1);
  const bool row = a.size() == 1;
  const bool column = b.size() == 1;
  if (row) a.insert(a.begin(), 1);
  if (column) b.push_back(1);
  if (a.back() != b[b.size() - 2]) disagree(call, call.shape(0), call.shape(right));
  Sizes sizes{
      a[a.size() - 2], a.back(), b.back(), {a.begin(), a.end() - 2}, {b.begin(), b.end() - 2}};
  std::optional<Dimensions> out = broadcast_shape(sizes.left_batch, sizes.right_batch);
  if (!out) disagree(call, call.shape(0), call.shape(right));
  if (!row) out->push_back(sizes.rows);
  if (!column) out->push_back(sizes.columns);
  call.give(0, std::move(*out), call.op() == "MatMulInteger" ? kOnnxInt32 : call.in(0).type);
  give_product(call, 0, right, sizes);
}

void gemm_rule(OnnxCall& call) {
  const Dimensions& a = call.shape(0);
  const Dimensions& b = call.shape(1);
  if (a.size() != 2 || b.size() != 2) disagree(call, a, b);
  const std::size_t a_rows = call.integer("transA", 0) != 0 ? 1 : 0;
  const std::size_t b_rows = call.integer("transB", 0) != 0 ? 1 : 0;
  if (a[1 - a_rows] != b[b_rows]) disagree(call, a, b);
  const Sizes sizes{a[a_rows], a[1 - a_rows], b[1 - b_rows], {}, {}};
  call.give(0, {sizes.rows, sizes.columns}, call.in(0).type);
  give_product(call, 0, 1, sizes);
}

void einsum_rule(OnnxCall& call) {
  const Equation equation = parse_equation(call);
  const IndexSizes sizes = index_sizes(call, equation);
  Dimensions out;
  for (const char index : equation.output) {
    if (!sizes.contains(index)) {
      call.fail(ErrorKind::kFormat, "the equation's output has an index that no operand has");
    }
    out.push_back(sizes.at(index));
  }
  call.give(0, std::move(out), call.in(0).type);
  OnnxProduct product{.op = "fc"};
  product.macs = product.input_macs = joined_macs(call, equation, sizes);
  if (product.macs == 0) return;
  std::vector<int> constant;
  for (int i = 0; i < call.input_count(); ++i) {
    if (call.in(i).constant) constant.push_back(i);
  }
  if (call.input_count() == 2 && constant.size() == 1) {
    const std::string& mine = equation.operands[static_cast<std::size_t>(constant[0])];
    const std::string& other = equation.operands[static_cast<std::size_t>(1 - constant[0])];
    const std::set<char> weights(mine.begin(), mine.end());
    const std::set<char> values(other.begin(), other.end());
    const std::set<char> given(equation.output.begin(), equation.output.end());
    const std::set<char> heads = common(common(weights, values), given);
    product.weights = std::move(constant);
    product.groups = std::max<std::int64_t>(1, call.counted(sizes_of(heads, sizes)));
    product.in_channels = call.counted(sizes_of(common(weights, values), sizes));
    product.out_channels = call.counted(sizes_of(common(weights, given), sizes));
    if (product.groups > 1) product.op = "fc-grouped";
  } else if (!constant.empty() && static_cast<int>(constant.size()) < call.input_count()) {
    call.fail(ErrorKind::kUnsupported, "an Einsum of several operands, some of them weights",
              "write it as products of two");
  }
  call.product = std::move(product);
}

}  // namespace taut::graph
