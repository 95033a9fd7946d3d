#include "graph/onnx_value.h"

#include <algorithm>
#include <limits>

#include "taut/core/text.h"

namespace taut::graph {

static_assert(std::numeric_limits<Number>::digits >= 64, "a Number holds every int64");

std::optional<std::int64_t> element_count(std::span<const std::int64_t> shape) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  std::int64_t count = 1;
  for (const std::int64_t size : shape) {
    if (__builtin_mul_overflow(count, size, &count) || count > kLargestWords) return std::nullopt;
  }
  return count;
}

std::string dimensions_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (std::size_t d = 0; d < shape.size(); ++d) text += concat(d > 0 ? ", " : "", shape[d]);
  return text + "]";
}

std::optional<Dimensions> broadcast_shape(std::span<const std::int64_t> a,
                                          std::span<const std::int64_t> b) {
  Dimensions out(std::max(a.size(), b.size()), 1);
  for (std::size_t d = 0; d < out.size(); ++d) {
    const std::int64_t left = d < a.size() ? a[a.size() - 1 - d] : 1;
    const std::int64_t right = d < b.size() ? b[b.size() - 1 - d] : 1;
    if (left != right && left != 1 && right != 1) return std::nullopt;
    out[out.size() - 1 - d] = left == 1 ? right : left;
  }
  return out;
}

void for_each_index(std::span<const std::int64_t> shape,
                    const std::function<void(std::span<const std::int64_t>)>& visit) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return;
  Dimensions index(shape.size(), 0);
  while (true) {
    visit(index);
    std::size_t d = shape.size();
    while (d > 0 && ++index[d - 1] == shape[d - 1]) index[--d] = 0;
    if (d == 0) return;
  }
}

std::int64_t element_at(std::span<const std::int64_t> shape, std::span<const std::int64_t> index) {
  const std::size_t skipped = index.size() - shape.size();
  std::int64_t at = 0;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    at = at * shape[d] + (shape[d] == 1 ? 0 : index[skipped + d]);
  }
  return at;
}

}  // namespace taut::graph
