// Backward: the gradient passes where a unit won, which y tells.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "sparsity/winners_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sparsity/winners_backward.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/highway.h>

#include "sparsity/keys-inl.h"

HWY_BEFORE_NAMESPACE();
namespace taut::sparsity::HWY_NAMESPACE {

// x_gradient = gradient where keys of y are not zero.
template <typename Value>
void pass_values(const Value* gradient, const Value* y, std::int64_t n, Value* x_gradient) {
  using Key = KeyOf<Value>;
  const hn::ScalableTag<Key> d;
  const hn::Repartition<Value, decltype(d)> values;
  std::int64_t i = 0;
  for (; i + lanes_of<Key>() <= n; i += lanes_of<Key>()) {
    const auto won = hn::Gt(load_key_vector(d, y + i), hn::Zero(d));
    const auto passed = hn::IfThenElseZero(won, hn::BitCast(d, hn::LoadU(values, gradient + i)));
    hn::StoreU(hn::BitCast(values, passed), values, x_gradient + i);
  }
  for (; i < n; ++i) x_gradient[i] = key_of(y[i]) != 0 ? gradient[i] : Value{0};
}

template <typename Value>
bool any_nonzero(const Value* y, std::int64_t n) {
  return std::any_of(y, y + n, [](Value value) { return key_of(value) != 0; });
}

template <typename Value>
void pass_run(bool won, const Value* gradient, std::int64_t n, Value* x_gradient) {
  if (won) {
    std::copy_n(gradient, n, x_gradient);
  } else {
    std::fill_n(x_gradient, n, Value{0});
  }
}

// won [width] = or of the keys of y [rows, width] over the rows.
template <typename Value>
void columns_won(const Value* y, std::int64_t rows, std::int64_t width, KeyOf<Value>* won) {
  std::fill_n(won, width, KeyOf<Value>{0});
  for (std::int64_t row = 0; row < rows; ++row, y += width) {
    for (std::int64_t c = 0; c < width; ++c) {
      won[c] = static_cast<KeyOf<Value>>(won[c] | key_of(y[c]));
    }
  }
}

template <typename Value>
void pass_columns(const Value* gradient, const KeyOf<Value>* won, std::int64_t rows,
                  std::int64_t width, Value* x_gradient) {
  for (std::int64_t row = 0; row < rows; ++row, gradient += width, x_gradient += width) {
    for (std::int64_t c = 0; c < width; ++c) x_gradient[c] = won[c] != 0 ? gradient[c] : Value{0};
  }
}

template <typename Value>
void backward_maps(const BackwardCall<Value>& call) {
  const std::int64_t channels = call.shape.channels;
  const std::int64_t positions = call.shape.positions();
  std::vector<KeyOf<Value>> won(static_cast<std::size_t>(channels));
  for (std::int64_t example = call.begin; example < call.end; ++example) {
    const std::int64_t first = example * call.shape.example_size();
    if (call.layout == Layout::kChannelsLast) {
      columns_won(call.y + first, positions, channels, won.data());
      pass_columns(call.gradient + first, won.data(), positions, channels, call.x_gradient + first);
      continue;
    }
    for (std::int64_t c = 0; c < channels; ++c) {
      const std::int64_t map = first + c * positions;
      pass_run(any_nonzero(call.y + map, positions), call.gradient + map, positions,
               call.x_gradient + map);
    }
  }
}

template <typename Value>
void backward_blocks(const BackwardCall<Value>& call) {
  const std::int64_t channels = call.shape.channels;
  const std::int64_t positions = call.shape.positions();
  const std::int64_t block = call.options.block;
  if (call.layout == Layout::kChannelsLast || positions == 1) {
    for (std::int64_t at = call.begin * channels; at < call.end * channels; at += block) {
      pass_run(any_nonzero(call.y + at, block), call.gradient + at, block, call.x_gradient + at);
    }
    return;
  }
  for (std::int64_t item = call.begin; item < call.end; ++item) {
    const std::int64_t first = item / positions * call.shape.example_size() + item % positions;
    for (std::int64_t c = 0; c < channels; c += block) {
      bool won = false;
      for (std::int64_t i = c; i < c + block; ++i) {
        won = won || key_of(call.y[first + i * positions]) != 0;
      }
      for (std::int64_t i = c; i < c + block; ++i) {
        const std::int64_t at = first + i * positions;
        call.x_gradient[at] = won ? call.gradient[at] : Value{0};
      }
    }
  }
}

template <typename Value>
void backward_positions(const BackwardCall<Value>& call) {
  const std::int64_t channels = call.shape.channels;
  const std::int64_t positions = call.shape.positions();
  if (call.layout == Layout::kChannelsLast || positions == 1) {
    const std::int64_t first = call.begin * channels;
    pass_values(call.gradient + first, call.y + first, (call.end - call.begin) * channels,
                call.x_gradient + first);
    return;
  }
  // Runs of positions inside one example.
  for (std::int64_t at = call.begin; at < call.end;) {
    const std::int64_t count = std::min(positions - at % positions, call.end - at);
    const std::int64_t first = at / positions * call.shape.example_size() + at % positions;
    for (std::int64_t c = 0; c < channels; ++c) {
      const std::int64_t from = first + c * positions;
      pass_values(call.gradient + from, call.y + from, count, call.x_gradient + from);
    }
    at += count;
  }
}

template <typename Value>
void backward(const BackwardCall<Value>& call) {
  const std::int64_t size = call.shape.example_size();
  switch (call.options.unit) {
    case Unit::kNeuron:
    case Unit::kElement:
      return pass_values(call.gradient + call.begin * size, call.y + call.begin * size,
                         (call.end - call.begin) * size, call.x_gradient + call.begin * size);
    case Unit::kChannel:
      return backward_maps(call);
    case Unit::kPosition:
      return backward_positions(call);
    case Unit::kBlock:
      return backward_blocks(call);
  }
}

void backward_float(const BackwardCall<float>& call) {
  backward(call);
}
void backward_bfloat16(const BackwardCall<std::uint16_t>& call) {
  backward(call);
}

}  // namespace taut::sparsity::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::sparsity {

HWY_EXPORT(backward_float);
HWY_EXPORT(backward_bfloat16);

void run_backward(const BackwardCall<float>& call) {
  HWY_DYNAMIC_DISPATCH(backward_float)(call);
}
void run_backward(const BackwardCall<std::uint16_t>& call) {
  HWY_DYNAMIC_DISPATCH(backward_bfloat16)(call);
}

}  // namespace taut::sparsity
#endif  // HWY_ONCE
