#include "nn/slice_pass.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "nn/dense_kernels.h"
#include "nn/winners_tensor.h"
#include "taut/core/error.h"

namespace taut::nn {
namespace {

using at::Tensor;
using graph::kNetworkInput;
using graph::Layer;
using graph::Op;

std::size_t at_index(int layer) {
  return static_cast<std::size_t>(layer);
}

float* floats(const Tensor& t) {
  return static_cast<float*>(t.data_ptr());
}

// bf16 values as their bits.
std::uint16_t* bits(const Tensor& t) {
  return static_cast<std::uint16_t*>(t.data_ptr());
}

// Calls use(pointer): to floats, or to bf16 values as their bits.
template <typename Use>
void with_values(const Tensor& t, Use&& use) {
  if (t.scalar_type() == at::kFloat) {
    use(floats(t));
  } else {
    use(bits(t));
  }
}

// Rows of `columns` values that begin `stride` values apart, in the same type or the other.
template <typename From, typename To>
void copy_rows(std::int64_t rows, std::int64_t columns, const From* from, std::int64_t from_stride,
               To* to, std::int64_t to_stride) {
  for (std::int64_t r = 0; r < rows; ++r, from += from_stride, to += to_stride) {
    if constexpr (std::is_same_v<From, To>) {
      std::memcpy(to, from, static_cast<std::size_t>(columns) * sizeof(To));
    } else {
      convert(columns, from, to);
    }
  }
}

}  // namespace

SlicePass::SlicePass(const DensePlan& plan, SliceMemory& memory, const Slice& slice,
                     const RecommenderInput& input, std::span<float> vectors_gradient)
    : plan_(plan),
      memory_(memory),
      slice_(slice),
      dense_(input.dense.data() + slice.begin * plan.options.dense),
      vectors_(input.vectors.data() + slice.begin * plan.options.tables * plan.options.dim),
      pooled_(plan.options.tables * plan.options.dim),
      vectors_gradient_(
          vectors_gradient.empty() ? nullptr : vectors_gradient.data() + slice.begin * pooled_) {
  if (plan.options.dense == 0) return;
  if (plan.options.bf16) {
    input_ = part(memory_.input);
    convert(slice.size * plan.options.dense, dense_, bits(input_));
  } else {
    input_ =
        view_of(input.dense, slice.begin * plan.options.dense, {slice.size, plan.options.dense});
  }
}

Tensor SlicePass::read_by(const PlannedLinear& linear) const {
  const int from = plan_.read_by(linear);
  return from == kNetworkInput ? input_ : out(from);
}

void SlicePass::forward() {
  const auto count = static_cast<int>(plan_.program.network.layers.size());
  for (int i = 0; i < count; ++i) {
    switch (plan_.layer(i).op) {
      case Op::kLinear:
        linear_forward(*plan_.linear_of(at_index(i)));
        break;
      case Op::kEmbedding:
        if (!memory_.outputs[at_index(i)].defined()) break;
        with_values(out(i),
                    [&](auto* to) { copy_rows(1, slice_.size * pooled_, vectors_, 0, to, 0); });
        break;
      case Op::kConcat:
        concat_forward(i);
        break;
      case Op::kInteraction:
        interaction_forward(i);
        break;
      case Op::kFirstValues:
        first_values_forward(i);
        break;
      case Op::kAdd:
        add_forward(i);
        break;
      default:
        TAUT_ASSERT(plan_.source(i) != i);
    }
  }
}

void SlicePass::first_values_forward(int number) {
  float* to = floats(out(number));
  for (std::int64_t r = 0; r < slice_.size; ++r) {
    to[r] = 0;
    for (std::int64_t v = 0; v < pooled_; v += plan_.options.dim)
      to[r] += vectors_[r * pooled_ + v];
  }
}

void SlicePass::linear_forward(const PlannedLinear& linear) {
  const Tensor y = out(static_cast<int>(linear.layer));
  const Tensor x = read_by(linear);
  const float* bias = plan_.bias(linear);
  if (linear.is_head) {
    with_values(x, [&](const auto* values) {
      one_output(slice_.size, linear.inputs, values, floats(plan_.parameter(linear)),
                 bias == nullptr ? 0.0F : *bias, floats(y));
    });
    return;
  }
  const auto number = static_cast<std::size_t>(&linear - plan_.linears.data());
  multiply(plan_.products, x, plan_.weights[number].t(), y);
  with_values(y, [&](auto* values) {
    add_bias(slice_.size, linear.outputs, bias, linear.relu >= 0, values);
  });
  if (linear.relu < 0) return;
  const graph::Network& network = plan_.program.network;
  const sparsity::WinnersOptions chosen = graph::winners_at(network, plan_.layer(linear.relu));
  if (!all_win(chosen)) y.copy_(winners_forward(y, chosen));
}

void SlicePass::concat_forward(int number) {
  const Tensor to_all = out(number);
  const std::int64_t stride = to_all.size(1);
  std::int64_t column = 0;
  for (const int input : plan_.layer(number).inputs) {
    const int from = plan_.source(input);
    const bool is_input = from == kNetworkInput;
    TAUT_ASSERT(is_input || plan_.layer(from).op == Op::kEmbedding);
    const std::int64_t columns = is_input ? plan_.options.dense : pooled_;
    with_values(to_all, [&](auto* to) {
      copy_rows(slice_.size, columns, is_input ? dense_ : vectors_, columns, to + column, stride);
    });
    column += columns;
  }
}

// What an interaction reads of examples [begin, begin + rows) of the slice, and where its gradient
// goes, in fp32: of the pooled vectors in place, of another layer in place if that is fp32 too.
SlicePass::Interacted SlicePass::interacted(const Layer& layer, std::int64_t begin,
                                            std::int64_t rows) const {
  Interacted found;
  const std::int64_t dim = plan_.options.dim;
  for (const int from : layer.inputs) {
    const std::int64_t columns = plan_.layer(from).out.size();
    found.shape.vectors += columns / dim;
    const float* x = vectors_ + begin * pooled_;
    float* gradient_of_x =
        vectors_gradient_ == nullptr ? nullptr : vectors_gradient_ + begin * pooled_;
    if (plan_.layer(from).op != Op::kEmbedding) {
      TAUT_ASSERT(found.bottom == kNetworkInput);
      found.bottom = from;
      if (plan_.options.bf16) {
        convert(rows * columns, bits(out(from)) + begin * columns, floats(memory_.wide_bottom));
        x = floats(memory_.wide_bottom);
        gradient_of_x = floats(memory_.wide_bottom_gradient);
      } else {
        x = floats(out(from)) + begin * columns;
        gradient_of_x = floats(gradient(from)) + begin * columns;
      }
    }
    found.x.push_back({.values = x, .count = columns / dim, .stride = columns});
    found.gradient.push_back({.values = gradient_of_x, .count = columns / dim, .stride = columns});
  }
  found.shape.dim = dim;
  found.shape.copied = layer.copied;
  return found;
}

// Calls body(begin, rows) for the examples whose dots are made at once: in bf16 a few, so that what
// lies between the types stays in the cache.
template <typename Body>
void SlicePass::for_interacted(const Body& body) const {
  const std::int64_t step = plan_.options.bf16 ? DensePlan::kInteracted : slice_.size;
  for (std::int64_t begin = 0; begin < slice_.size; begin += step) {
    body(begin, std::min(step, slice_.size - begin));
  }
}

void SlicePass::interaction_forward(int number) {
  const Tensor to = out(number);
  for_interacted([&](std::int64_t begin, std::int64_t rows) {
    const Interacted at = interacted(plan_.layer(number), begin, rows);
    if (!plan_.options.bf16) {
      embedding::interact(at.shape, rows, at.x, floats(to));
      return;
    }
    embedding::interact(at.shape, rows, at.x, floats(memory_.wide_dots));
    convert(rows * at.shape.outputs(), floats(memory_.wide_dots),
            bits(to) + begin * at.shape.outputs());
  });
}

void SlicePass::add_forward(int number) {
  const Layer& layer = plan_.layer(number);
  float* sum = floats(out(number));
  for (std::size_t k = 0; k < layer.inputs.size(); ++k) {
    accumulate(slice_.size, floats(out(layer.inputs[k])), k > 0, sum);
  }
}

void SlicePass::compare(const float* labels, float* logits) {
  std::memcpy(logits, floats(memory_.outputs.back()),
              static_cast<std::size_t>(slice_.size) * sizeof(float));
  float* slope = floats(memory_.gradients.back());
  memory_.loss = 0;
  for (std::int64_t r = 0; r < slice_.size; ++r) {
    const float z = logits[r];
    const float small = std::exp(-std::abs(z));
    memory_.loss += static_cast<double>(std::max(z, 0.0F) - z * labels[r] + std::log1p(small));
    if (std::isnan(z)) memory_.loss = std::nan("");
    slope[r] = (z >= 0 ? 1 : small) / (1 + small) - labels[r];
  }
}

void SlicePass::backward() {
  for (auto i = static_cast<int>(plan_.program.network.layers.size()) - 1; i >= 0; --i) {
    switch (plan_.layer(i).op) {
      case Op::kLinear:
        linear_backward(*plan_.linear_of(at_index(i)));
        break;
      case Op::kEmbedding:
        if (!memory_.gradients[at_index(i)].defined()) break;
        with_values(gradient(i), [&](const auto* values) { give_vectors(values, pooled_); });
        break;
      case Op::kConcat:
        concat_backward(i);
        break;
      case Op::kInteraction:
        interaction_backward(i);
        break;
      case Op::kFirstValues:
        first_values_backward(i);
        break;
      case Op::kAdd:
        for (const int from : plan_.layer(i).inputs) gradient(from).copy_(gradient(i));
        break;
      default:
        break;
    }
  }
}

void SlicePass::linear_backward(const PlannedLinear& linear) {
  const auto number = static_cast<std::size_t>(&linear - plan_.linears.data());
  const Tensor x = read_by(linear);
  const Tensor slope = gradient(static_cast<int>(linear.layer));
  const int from = plan_.read_by(linear);
  const bool goes_on = from != kNetworkInput;
  float* bias_sum = floats(memory_.bias_sums[number]);
  if (linear.is_head) {
    mask_and_sum(slice_.size, 1, static_cast<const float*>(nullptr), floats(slope), bias_sum);
    with_values(x, [&](auto* values) {
      decltype(values) to = nullptr;
      if (goes_on) to = static_cast<decltype(values)>(gradient(from).data_ptr());
      one_output_backward(slice_.size, linear.inputs, values, floats(plan_.parameter(linear)),
                          floats(slope), to, floats(memory_.weight_sums[number]));
    });
    return;
  }
  with_values(slope, [&](auto* values) {
    using Value = std::remove_pointer_t<decltype(values)>;
    const auto* y = linear.relu < 0
                        ? nullptr
                        : static_cast<const Value*>(memory_.outputs[linear.layer].const_data_ptr());
    mask_and_sum(slice_.size, linear.outputs, y, values, bias_sum);
  });
  if (!goes_on) return;
  multiply(plan_.products, slope, plan_.weights[number], gradient(from));
}

void SlicePass::concat_backward(int number) {
  const Tensor slope = gradient(number);
  std::int64_t column = 0;
  for (const int input : plan_.layer(number).inputs) {
    const bool is_input = plan_.source(input) == kNetworkInput;
    if (!is_input) {
      with_values(slope, [&](const auto* from) { give_vectors(from + column, slope.size(1)); });
    }
    column += is_input ? plan_.options.dense : pooled_;
  }
}

void SlicePass::interaction_backward(int number) {
  const Tensor slope = gradient(number);
  TAUT_ASSERT(!given_);  // of a DLRM the interaction alone reads the pooled vectors
  for_interacted([&](std::int64_t begin, std::int64_t rows) {
    const Interacted at = interacted(plan_.layer(number), begin, rows);
    if (!plan_.options.bf16) {
      embedding::interact_backward(at.shape, rows, at.x, floats(slope), at.gradient);
      return;
    }
    convert(rows * at.shape.outputs(), bits(slope) + begin * at.shape.outputs(),
            floats(memory_.wide_dots));
    embedding::interact_backward(at.shape, rows, at.x, floats(memory_.wide_dots), at.gradient);
    if (at.bottom == kNetworkInput) return;
    const std::int64_t columns = plan_.layer(at.bottom).out.size();
    convert(rows * columns, floats(memory_.wide_bottom_gradient),
            bits(gradient(at.bottom)) + begin * columns);
  });
  given_ = true;
}

void SlicePass::first_values_backward(int number) {
  if (vectors_gradient_ == nullptr) return;
  if (!given_) std::fill(vectors_gradient_, vectors_gradient_ + slice_.size * pooled_, 0.0F);
  given_ = true;
  const float* slope = floats(gradient(number));
  for (std::int64_t r = 0; r < slice_.size; ++r) {
    for (std::int64_t v = 0; v < pooled_; v += plan_.options.dim) {
      vectors_gradient_[r * pooled_ + v] += slope[r];
    }
  }
}

template <typename T>
void SlicePass::give_vectors(const T* from, std::int64_t stride) {
  if (vectors_gradient_ == nullptr) return;
  for (std::int64_t r = 0; r < slice_.size; ++r) {
    accumulate(pooled_, from + r * stride, given_, vectors_gradient_ + r * pooled_);
  }
  given_ = true;
}

}  // namespace taut::nn
