#include "taut/graph/recommender.h"

#include <array>
#include <numeric>
#include <string_view>

#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/graph/network_builder.h"

namespace taut::graph {
namespace {

template <typename Got>
[[noreturn]] void bad(std::string_view key, std::string_view wanted, const Got& got) {
  throw Error(ErrorKind::kConfig, concat("model.", key, " must be ", wanted, ", got ", got));
}

void check(const RecommenderShape& shape) {
  if (shape.kind != "dlrm" && shape.kind != "wide_deep") {
    bad("kind", "dlrm or wide_deep", shape.kind);
  }
  if (shape.interaction != "dots" && shape.interaction != "dots_vectors") {
    bad("interaction", "dots or dots_vectors", shape.interaction);
  }
  const std::int64_t columns = shape.dense + static_cast<std::int64_t>(shape.tables.size());
  if (shape.dense < 0 || columns < 1) {
    bad("inputs", "at least one dense or categorical column", columns);
  }
  if (shape.dim < 1) bad("dim", "at least 1", shape.dim);
  for (const auto* widths : {&shape.bottom, &shape.top}) {
    for (const std::int64_t width : *widths) {
      if (width < 1) bad(widths == &shape.top ? "top" : "bottom", "widths of at least 1", width);
    }
  }
}

// Linear layers with ReLU between them, behind the last too if relu_last; the last layer's number.
int chain(NetworkBuilder& net, const std::string& prefix, int x, std::vector<std::int64_t> widths,
          std::int64_t last, bool relu_last) {
  widths.push_back(last);
  for (std::size_t i = 0; i < widths.size(); ++i) {
    const std::string name = concat(prefix, ".", i);
    x = net.linear(name, x, widths[i]);
    if (relu_last || i + 1 < widths.size()) x = net.activation(name + "_relu", x);
  }
  return x;
}

// All tables' pooled rows, one each.
int embed(NetworkBuilder& net, const RecommenderShape& shape) {
  std::vector<int> numbers;
  for (Table table : shape.tables) {
    if (table.dim == 0) table.dim = shape.dim;
    if (table.dim != shape.dim) {
      throw_invalid_argument(concat("dim of table ", table.name), concat(shape.dim),
                             concat(table.dim));
    }
    numbers.push_back(net.table(std::move(table)));
  }
  return net.embedding("embedding", numbers);
}

void dlrm(NetworkBuilder& net, const RecommenderShape& shape) {
  std::vector<int> vectors;
  if (shape.dense > 0) {
    vectors.push_back(chain(net, "bottom", kNetworkInput, shape.bottom, shape.dim, true));
  }
  if (!shape.tables.empty()) vectors.push_back(embed(net, shape));
  const bool all = shape.interaction == "dots_vectors" || shape.dense == 0;
  const std::int64_t count =
      static_cast<std::int64_t>(shape.tables.size()) + (shape.dense > 0 ? 1 : 0);
  const int x = net.interaction("interact", vectors, all ? count : 1);
  chain(net, "top", x, shape.top, 1, false);
}

void wide_deep(NetworkBuilder& net, const RecommenderShape& shape) {
  std::vector<int> inputs;
  std::vector<int> terms(1);
  int embedded = kNetworkInput;
  if (shape.dense > 0) inputs.push_back(kNetworkInput);
  if (!shape.tables.empty()) {
    embedded = embed(net, shape);
    inputs.push_back(net.shape(embedded).is_map() ? net.flatten("rows", embedded) : embedded);
  }
  const int x = inputs.size() > 1 ? net.concat("inputs", inputs) : inputs.front();
  terms[0] = chain(net, "top", x, shape.top, 1, false);
  if (!shape.tables.empty()) terms.push_back(net.first_values("first", embedded));
  if (shape.dense > 0) terms.push_back(net.linear("wide", kNetworkInput, 1, /*bias=*/false));
  net.add("logit", terms);
}

}  // namespace

Network recommender_network(const RecommenderShape& shape) {
  check(shape);
  NetworkBuilder net(shape.kind, {.channels = shape.dense});
  if (shape.kind == "dlrm") {
    dlrm(net, shape);
  } else {
    wide_deep(net, shape);
  }
  return net.finish();
}

}  // namespace taut::graph
