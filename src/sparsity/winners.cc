#include "taut/sparsity/winners.h"

#include <algorithm>

#include "sparsity/winners_kernels.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::sparsity {
namespace {

bool by_position(Unit unit) noexcept {
  return unit == Unit::kPosition || unit == Unit::kBlock;
}

std::int64_t values_per_item(const Shape& shape, Unit unit) noexcept {
  return by_position(unit) ? shape.channels : shape.example_size();
}

template <typename Value>
void append_scores_of(const WinnerSelector& selector, const Value* x, std::vector<float>& scores) {
  const Shape& shape = selector.shape();
  const WinnersOptions& options = selector.options();
  std::int64_t added = shape.size();
  if (options.unit == Unit::kChannel) added = shape.batch * shape.channels;
  if (options.unit == Unit::kBlock) added = shape.size() / options.block;
  const std::size_t before = scores.size();
  scores.resize(before + static_cast<std::size_t>(added));
  run_scores(ForwardCall<Value>{.shape = shape,
                                .layout = selector.layout(),
                                .options = options,
                                .x = x,
                                .y = nullptr,
                                .begin = 0,
                                .end = selector.items()},
             scores.data() + before);
}

template <typename Value>
void forward_all(const WinnerSelector& selector, const Value* x, Value* y, ThreadPool& pool) {
  pool.parallel_for(selector.items(), selector.grain(), [&](std::int64_t begin, std::int64_t end) {
    selector.forward(x, y, begin, end);
  });
}

template <typename Value>
void backward_all(const WinnerSelector& selector, const Value* gradient, const Value* y,
                  Value* x_gradient, ThreadPool& pool) {
  pool.parallel_for(selector.items(), selector.grain(), [&](std::int64_t begin, std::int64_t end) {
    selector.backward(gradient, y, x_gradient, begin, end);
  });
}

}  // namespace

WinnerSelector::WinnerSelector(const Shape& shape, Layout layout, const WinnersOptions& options)
    : shape_(shape), layout_(layout), options_(options) {
  check_options(shape, options);
}

std::int64_t WinnerSelector::items() const noexcept {
  return by_position(options_.unit) ? shape_.batch * shape_.positions() : shape_.batch;
}

std::int64_t WinnerSelector::grain() const noexcept {
  constexpr std::int64_t kValuesOfATask = 16384;
  return std::max<std::int64_t>(1, kValuesOfATask / values_per_item(shape_, options_.unit));
}

void WinnerSelector::forward(const float* x, float* y, std::int64_t begin, std::int64_t end) const {
  run_forward(ForwardCall<float>{shape_, layout_, options_, x, y, begin, end});
}

void WinnerSelector::forward(const std::uint16_t* x, std::uint16_t* y, std::int64_t begin,
                             std::int64_t end) const {
  run_forward(ForwardCall<std::uint16_t>{shape_, layout_, options_, x, y, begin, end});
}

void WinnerSelector::backward(const float* gradient, const float* y, float* x_gradient,
                              std::int64_t begin, std::int64_t end) const {
  run_backward(BackwardCall<float>{shape_, layout_, options_, gradient, y, x_gradient, begin, end});
}

void WinnerSelector::backward(const std::uint16_t* gradient, const std::uint16_t* y,
                              std::uint16_t* x_gradient, std::int64_t begin,
                              std::int64_t end) const {
  run_backward(
      BackwardCall<std::uint16_t>{shape_, layout_, options_, gradient, y, x_gradient, begin, end});
}

void WinnerSelector::append_scores(const float* x, std::vector<float>& scores) const {
  append_scores_of(*this, x, scores);
}

void WinnerSelector::append_scores(const std::uint16_t* x, std::vector<float>& scores) const {
  append_scores_of(*this, x, scores);
}

void winners(const WinnerSelector& selector, const float* x, float* y, ThreadPool& pool) {
  forward_all(selector, x, y, pool);
}

void winners(const WinnerSelector& selector, const std::uint16_t* x, std::uint16_t* y,
             ThreadPool& pool) {
  forward_all(selector, x, y, pool);
}

void winners_backward(const WinnerSelector& selector, const float* gradient, const float* y,
                      float* x_gradient, ThreadPool& pool) {
  backward_all(selector, gradient, y, x_gradient, pool);
}

void winners_backward(const WinnerSelector& selector, const std::uint16_t* gradient,
                      const std::uint16_t* y, std::uint16_t* x_gradient, ThreadPool& pool) {
  backward_all(selector, gradient, y, x_gradient, pool);
}

float threshold_for_rate(std::span<float> scores, double rate) {
  if (scores.empty()) throw_invalid_argument("scores", "at least 1", "none");
  if (!(rate > 0 && rate <= 1)) throw_invalid_argument("rate", "above 0, at most 1", concat(rate));
  const std::int64_t k = winner_count(static_cast<std::int64_t>(scores.size()), rate);
  const auto at = scores.begin() + (k - 1);
  std::nth_element(scores.begin(), at, scores.end(), [](float a, float b) {
    return a > b || (a != a && b == b);  // NaN first: a strict order
  });
  return *at;
}

}  // namespace taut::sparsity
