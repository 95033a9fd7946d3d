#pragma once
// Optimizer steps of many dense rows, in one loop for every instruction set.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dense_rows.h"
#include "optimizer.h"

namespace taut::embedding {

/// A row that takes a step.
struct DenseStep {
  std::uint8_t* row;
  const float* gradient;  ///< summed over the batch [format->size()]
  std::uint64_t name;     ///< of its random numbers
  const DenseRowFormat* format;
};

/// What all rows of an update have in common.
struct DenseUpdate {
  const RowOptimizer* optimizer;
  std::uint64_t seed;
  std::int64_t step;  ///< 1 for the first update of the collection
};

/// DenseRowFormat::update() of each row in turn, to the bit.
void step_rows(std::span<const DenseStep> rows, const DenseUpdate& update) noexcept;

/// Gathers rows, asks for their memory, and lets them take their steps in their order, some rows
/// later. Every row comes once.
class DenseUpdater {
 public:
  explicit DenseUpdater(const DenseUpdate& update) noexcept : update_(update) {}

  void add(const DenseStep& one) noexcept {
    one.format->prefetch(one.row);
    steps_[size_++] = one;
    if (size_ < steps_.size()) return;
    step_rows(std::span(steps_).first(kHalf), update_);
    std::copy(steps_.begin() + kHalf, steps_.end(), steps_.begin());
    size_ = kHalf;
  }
  void flush() noexcept {
    step_rows(std::span(steps_).first(size_), update_);
    size_ = 0;
  }

 private:
  static constexpr std::size_t kHalf = 16;  // rows whose memory is on its way

  DenseUpdate update_;
  std::array<DenseStep, 2 * kHalf> steps_;
  std::size_t size_ = 0;
};

}  // namespace taut::embedding
