#include "nn/winners_tensor.h"

#include <string>

#include "nn/intra_op.h"
#include "sparsity/winners_reference.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::nn {
namespace {

using at::Tensor;
using sparsity::Layout;
using sparsity::Unit;
using sparsity::WinnerSelector;

std::string sizes_of(const Tensor& x) {
  return concat(x.scalar_type(), x.sym_sizes());
}

Layout layout_of(const Tensor& x) {
  return x.is_contiguous() ? Layout::kChannelsFirst : Layout::kChannelsLast;
}

// bf16 values as their bits.
template <typename Value>
const Value* values_of(const Tensor& x) {
  return static_cast<const Value*>(x.const_data_ptr());
}
template <typename Value>
Value* mutable_values_of(const Tensor& x) {
  return static_cast<Value*>(x.mutable_data_ptr());
}

template <typename Value>
void forward(const WinnerSelector& selector, const Tensor& x, const Tensor& y) {
  const auto* from = values_of<Value>(x);
  auto* to = mutable_values_of<Value>(y);
  parallel_ranges(selector.items(), selector.grain(), [&](std::int64_t begin, std::int64_t end) {
    selector.forward(from, to, begin, end);
  });
}

template <typename Value>
void backward(const WinnerSelector& selector, const Tensor& gradient, const Tensor& y,
              const Tensor& x_gradient) {
  const auto* from = values_of<Value>(gradient);
  const auto* won = values_of<Value>(y);
  auto* to = mutable_values_of<Value>(x_gradient);
  parallel_ranges(selector.items(), selector.grain(), [&](std::int64_t begin, std::int64_t end) {
    selector.backward(from, won, to, begin, end);
  });
}

sparsity::UnitMap unit_map_of(const WinnerSelector& selector) {
  return {selector.shape(), selector.layout(), selector.options()};
}

}  // namespace

void check_winners_input(const Tensor& x, const sparsity::WinnersOptions& options) {
  const bool maps = options.unit == Unit::kChannel || options.unit == Unit::kPosition;
  const bool flat = options.unit == Unit::kNeuron;
  const bool good = x.dim() == 4 ? !flat : x.dim() == 2 && !maps;
  if (!good) {
    const char* wanted = maps   ? "[batch, channels, height, width]"
                         : flat ? "[batch, features]"
                                : "[batch, features] or [batch, channels, height, width]";
    throw_invalid_argument(concat("x for unit ", to_string(options.unit)), wanted, sizes_of(x));
  }
  const auto type = x.scalar_type();
  if (type != at::kFloat && type != at::kBFloat16 && type != at::kDouble) {
    throw_invalid_argument("x", "float32, bfloat16 or float64", sizes_of(x));
  }
}

Tensor in_known_layout(const Tensor& x) {
  const bool known =
      x.is_contiguous() || (x.dim() == 4 && x.is_contiguous(at::MemoryFormat::ChannelsLast));
  return known ? x : x.contiguous();
}

WinnerSelector selector_of(const Tensor& x, const sparsity::WinnersOptions& options) {
  sparsity::Shape shape{.batch = x.size(0), .channels = x.size(1)};
  if (x.dim() == 4) {
    shape.height = x.size(2);
    shape.width = x.size(3);
  }
  return {shape, layout_of(x), options};
}

Tensor winners_forward(const Tensor& x, const sparsity::WinnersOptions& options) {
  check_winners_input(x, options);
  const WinnerSelector selector = selector_of(x, options);
  Tensor y = at::empty_like(x);
  switch (x.scalar_type()) {
    case at::kFloat:
      forward<float>(selector, x, y);
      break;
    case at::kBFloat16:
      forward<std::uint16_t>(selector, x, y);
      break;
    default:
      sparsity::winners_reference(unit_map_of(selector), options, values_of<double>(x),
                                  mutable_values_of<double>(y));
  }
  return y;
}

Tensor winners_backward(const Tensor& gradient, const Tensor& y,
                        const sparsity::WinnersOptions& options) {
  check_winners_input(y, options);
  if (gradient.sizes() != y.sizes() || gradient.scalar_type() != y.scalar_type()) {
    throw_invalid_argument("gradient", sizes_of(y), sizes_of(gradient));
  }
  const WinnerSelector selector = selector_of(y, options);
  const bool first = selector.layout() == Layout::kChannelsFirst;
  const Tensor known =
      gradient.contiguous(first ? at::MemoryFormat::Contiguous : at::MemoryFormat::ChannelsLast);
  Tensor x_gradient = at::empty_like(y);
  switch (y.scalar_type()) {
    case at::kFloat:
      backward<float>(selector, known, y, x_gradient);
      break;
    case at::kBFloat16:
      backward<std::uint16_t>(selector, known, y, x_gradient);
      break;
    default:
      sparsity::winners_backward_reference(unit_map_of(selector), values_of<double>(known),
                                           values_of<double>(y),
                                           mutable_values_of<double>(x_gradient));
  }
  return x_gradient;
}

void add_winners(const at::Tensor& y, const sparsity::WinnersOptions& options,
                 sparsity::WinnerStatistics& statistics) {
  const at::Tensor values = in_known_layout(y.to(at::kFloat));
  sparsity::add_winners(selector_of(values, options), values.const_data_ptr<float>(), statistics);
}

}  // namespace taut::nn
