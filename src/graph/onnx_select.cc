// Operators that join tensors or give parts of them.
#include <algorithm>
#include <numeric>

#include "graph/onnx_rules.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

/// An index that may count from the end. Errors: kFormat outside of the axis.
std::int64_t place(const OnnxCall& call, Number index, std::int64_t size) {
  const Number at = index < 0 ? index + static_cast<Number>(size) : index;
  if (!(at >= 0 && at < static_cast<Number>(size))) {
    call.fail(ErrorKind::kFormat,
              concat("index ", static_cast<double>(index), " of an axis of ", size));
  }
  return static_cast<std::int64_t>(at);
}

/// What Slice takes of one axis.
struct Range {
  std::int64_t start = 0;
  std::int64_t step = 1;
  std::int64_t count = 0;
};

Range sliced(std::int64_t size, std::int64_t start, std::int64_t end, std::int64_t step) {
  const auto bounded = [&](std::int64_t at, std::int64_t low, std::int64_t high) {
    // Ends such as 2^63 - 1 and -2^63 mean as far as there is.
    return std::clamp(at < 0 && at >= -size ? at + size : at < -size ? low : at, low, high);
  };
  const bool forward = step > 0;
  Range range{.step = step};
  range.start = forward ? bounded(start, 0, size) : bounded(start, -1, size - 1);
  const std::int64_t last = forward ? bounded(end, 0, size) : bounded(end, -1, size - 1);
  const std::int64_t length = forward ? last - range.start : range.start - last;
  // The least step there is has no negative of its own.
  const std::uint64_t stride =
      forward ? static_cast<std::uint64_t>(step) : 0 - static_cast<std::uint64_t>(step);
  if (length > 0) {
    range.count = static_cast<std::int64_t>((static_cast<std::uint64_t>(length) - 1) / stride + 1);
  }
  return range;
}

std::vector<std::int64_t> slice_list(const OnnxCall& call, const char* attribute, int input) {
  if (auto list = call.integers(attribute)) return std::move(*list);
  return call.has(input) ? call.whole(input, attribute) : std::vector<std::int64_t>();
}

}  // namespace

void concat_rule(OnnxCall& call) {
  Dimensions shape = call.shape(0, 1);
  const std::size_t axis = call.axis(call.integer("axis", 1), shape.size());
  bool known = call.in(0).numbers != nullptr;
  for (int i = 1; i < call.input_count(); ++i) {
    Dimensions other = call.shape(i);
    known = known && call.in(i).numbers != nullptr;
    const bool fits = other.size() == shape.size();
    const std::int64_t more = fits ? other[axis] : 0;
    if (fits) other[axis] = shape[axis];
    if (other != shape) {
      call.fail(ErrorKind::kFormat,
                concat("shapes do not agree: ", dimensions_text(call.shape(0)), " and ",
                       dimensions_text(call.shape(i)), " on axis ", axis));
    }
    shape[axis] += more;
    if (shape[axis] > kLargestWords) call.fail(ErrorKind::kData, "more than 2^50 elements");
  }
  call.give(0, shape, call.in(0).type);
  if (!known || !call.can_know(shape, {})) return;
  std::vector<Number> numbers(static_cast<std::size_t>(*element_count(shape)));
  std::int64_t before = 0;
  for (int i = 0; i < call.input_count(); ++i) {
    const OnnxValue& part = call.in(i);
    for_each_index(part.shape, [&](std::span<const std::int64_t> index) {
      Dimensions to(index.begin(), index.end());
      to[axis] += before;
      numbers[static_cast<std::size_t>(element_at(shape, to))] =
          part.numbers->at(static_cast<std::size_t>(element_at(part.shape, index)));
    });
    before += part.shape[axis];
  }
  call.give_numbers(0, std::move(numbers));
}

void split_rule(OnnxCall& call) {
  const Dimensions& in = call.shape(0, 1);
  const std::size_t axis = call.axis(call.integer("axis", 0), in.size());
  std::vector<std::int64_t> parts = slice_list(call, "split", 1);
  const auto count = static_cast<std::int64_t>(call.output_count());
  if (parts.empty()) {
    // Equal parts, the last one smaller.
    const std::int64_t part = (in[axis] + count - 1) / std::max<std::int64_t>(count, 1);
    for (std::int64_t i = 0; i < count; ++i) {
      parts.push_back(std::clamp<std::int64_t>(in[axis] - i * part, 0, part));
    }
  }
  std::int64_t start = 0;
  bool fits = true;
  for (std::size_t i = 0; fits && i < parts.size(); ++i) {
    fits = parts[i] >= 0 && parts[i] <= in[axis] - start;
    if (!fits) break;
    Dimensions shape = in;
    shape[axis] = parts[i];
    const std::int64_t from = start;
    call.give_moved(static_cast<int>(i), std::move(shape),
                    [&](std::span<const std::int64_t> index) {
                      Dimensions source(index.begin(), index.end());
                      source[axis] += from;
                      return element_at(in, source);
                    });
    start += parts[i];
  }
  if (!fits || start != in[axis] || static_cast<std::int64_t>(parts.size()) != count) {
    call.fail(ErrorKind::kFormat, concat("parts of ", dimensions_text(parts), " of an axis of ",
                                         in[axis], " for ", count, " outputs"));
  }
}

namespace {

std::vector<Range> slice_ranges(const OnnxCall& call, const Dimensions& in) {
  const std::vector<std::int64_t> starts = slice_list(call, "starts", 1);
  const std::vector<std::int64_t> ends = slice_list(call, "ends", 2);
  std::vector<std::int64_t> axes = slice_list(call, "axes", 3);
  std::vector<std::int64_t> steps = slice_list(call, "steps", 4);
  if (axes.empty()) {
    axes.resize(starts.size());
    std::iota(axes.begin(), axes.end(), 0);
  }
  if (steps.empty()) steps.resize(starts.size(), 1);
  if (ends.size() != starts.size() || axes.size() != starts.size() ||
      steps.size() != starts.size()) {
    call.fail(ErrorKind::kFormat, concat(starts.size(), " starts, ", ends.size(), " ends, ",
                                         axes.size(), " axes, ", steps.size(), " steps"));
  }
  std::vector<Range> ranges;
  for (const std::int64_t size : in) ranges.push_back({.count = size});
  for (std::size_t i = 0; i < axes.size(); ++i) {
    if (steps[i] == 0) call.fail(ErrorKind::kFormat, "a step of 0");
    const std::size_t axis = call.axis(axes[i], in.size());
    ranges[axis] = sliced(in[axis], starts[i], ends[i], steps[i]);
  }
  return ranges;
}

}  // namespace

std::optional<Dimensions> slice_begin(const OnnxCall& call, const Dimensions& in) {
  Dimensions begin;
  for (const Range& range : slice_ranges(call, in)) {
    if (range.step != 1) return std::nullopt;
    begin.push_back(range.start);
  }
  return begin;
}

void slice_rule(OnnxCall& call) {
  const Dimensions& in = call.shape(0);
  const std::vector<Range> ranges = slice_ranges(call, in);
  Dimensions out;
  for (const Range& range : ranges) out.push_back(range.count);
  call.give_moved(0, std::move(out), [&](std::span<const std::int64_t> index) {
    std::int64_t at = 0;
    for (std::size_t d = 0; d < in.size(); ++d) {
      at = at * in[d] + ranges[d].start + index[d] * ranges[d].step;
    }
    return at;
  });
}

void gather_rule(OnnxCall& call) {
  const Dimensions& in = call.shape(0, 1);
  const OnnxValue& indices = call.in(1);
  const std::size_t axis = call.axis(call.integer("axis", 0), in.size());
  Dimensions out(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(axis));
  out.insert(out.end(), indices.shape.begin(), indices.shape.end());
  out.insert(out.end(), in.begin() + static_cast<std::ptrdiff_t>(axis) + 1, in.end());
  if (indices.numbers == nullptr || call.in(0).numbers == nullptr) {
    return call.give(0, std::move(out), call.in(0).type);
  }
  const std::size_t rank = indices.shape.size();
  call.give_moved(0, std::move(out), [&](std::span<const std::int64_t> index) {
    const auto chosen =
        static_cast<std::size_t>(element_at(indices.shape, index.subspan(axis, rank)));
    Dimensions source(index.begin(), index.begin() + static_cast<std::ptrdiff_t>(axis));
    source.push_back(place(call, indices.numbers->at(chosen), in[axis]));
    source.insert(source.end(), index.begin() + static_cast<std::ptrdiff_t>(axis + rank),
                  index.end());
    return element_at(in, source);
  });
}

void gather_elements_rule(OnnxCall& call) {
  const Dimensions& in = call.shape(0, 1);
  const OnnxValue& indices = call.in(1);
  const std::size_t axis = call.axis(call.integer("axis", 0), in.size());
  if (indices.shape.size() != in.size()) {
    call.fail(ErrorKind::kFormat,
              concat("indices ", dimensions_text(indices.shape), " of ", dimensions_text(in)));
  }
  for (std::size_t d = 0; d < in.size(); ++d) {
    if (d == axis || indices.shape[d] <= in[d]) continue;
    call.fail(ErrorKind::kFormat,
              concat("indices ", dimensions_text(indices.shape), " of ", dimensions_text(in)));
  }
  if (indices.numbers == nullptr || call.in(0).numbers == nullptr) {
    return call.give(0, indices.shape, call.in(0).type);
  }
  call.give_moved(0, indices.shape, [&](std::span<const std::int64_t> index) {
    Dimensions source(index.begin(), index.end());
    const auto chosen = static_cast<std::size_t>(element_at(indices.shape, index));
    source[axis] = place(call, indices.numbers->at(chosen), in[axis]);
    return element_at(in, source);
  });
}

void gather_nd_rule(OnnxCall& call) {
  const Dimensions& in = call.shape(0, 1);
  const Dimensions& indices = call.shape(1, 1);
  const std::int64_t batches = call.integer("batch_dims", 0);
  const std::int64_t taken = indices.back();
  const auto rank = static_cast<std::int64_t>(in.size());
  if (batches < 0 || taken < 1 || taken > rank || batches > rank - taken ||
      batches >= static_cast<std::int64_t>(indices.size())) {
    call.fail(ErrorKind::kFormat, concat("indices ", dimensions_text(indices), " of ",
                                         dimensions_text(in), ", batch_dims ", batches));
  }
  Dimensions out(indices.begin(), indices.end() - 1);
  out.insert(out.end(), in.begin() + batches + taken, in.end());
  call.give(0, std::move(out), call.in(0).type);
}

void scatter_nd_rule(OnnxCall& call) {
  const OnnxValue& in = call.in(0);
  const OnnxValue& indices = call.in(1);
  call.give(0, in.shape, in.type);
  // Single elements, as exporters write `shape[i] = n`.
  const bool single = in.shape.size() == 1 && indices.shape.size() == 2 && indices.shape[1] == 1;
  const OnnxValue& updates = call.in(2);
  if (!single || !call.can_know(in.shape, {0, 1, 2}) ||
      updates.numbers->size() != indices.numbers->size() ||
      call.text("reduction", "none") != "none") {
    return;
  }
  std::vector<Number> numbers = *in.numbers;
  for (std::size_t i = 0; i < indices.numbers->size(); ++i) {
    numbers.at(static_cast<std::size_t>(place(call, (*indices.numbers)[i], in.shape[0]))) =
        (*updates.numbers)[i];
  }
  call.give_numbers(0, std::move(numbers));
}

void compress_rule(OnnxCall& call) {
  const std::vector<Number> chosen = call.numbers(1, "shape");
  const auto count = static_cast<std::int64_t>(
      std::count_if(chosen.begin(), chosen.end(), [](Number one) { return one != 0; }));
  Dimensions shape = call.shape(0);
  if (call.attribute("axis") != nullptr) {
    const std::size_t axis = call.axis(call.integer("axis", 0), shape.size());
    shape[axis] = std::min(count, shape[axis]);
  } else {
    shape = {std::min(count, *element_count(shape))};
  }
  call.give(0, std::move(shape), call.in(0).type);
}

}  // namespace taut::graph
