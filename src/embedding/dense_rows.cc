#include "dense_rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace taut::embedding {
namespace {

Storage dense_storage(ValueType type) noexcept {
  switch (type) {
    case ValueType::kBFloat16:
      return Storage::kBFloat16;
    case ValueType::kFloat16:
      return Storage::kFloat16;
    case ValueType::kInt8:
      return Storage::kInt8;
    case ValueType::kFloat32:
    case ValueType::kMixed:  // elastic's own; everywhere else: full precision
      break;
  }
  return Storage::kFloat32;
}

}  // namespace

float initial_bound(int dim) noexcept {
  return 1.0f / std::sqrt(static_cast<float>(dim));
}

DenseRowFormat::DenseRowFormat(const Options& options, int size) noexcept
    : storage_(dense_storage(options.value_type)),
      size_(size),
      sums_squares_(options.optimizer == Optimizer::kRowwiseAdagrad),
      scale_at_(4 * RowOptimizer(options).state_values(size)),
      values_at_(scale_at_ + (is_scaled(storage_) ? 1 : 0)) {}

DenseRowFormat::DenseRowFormat(ValueType type, int size) noexcept
    : storage_(dense_storage(type)),
      size_(size),
      sums_squares_(false),
      scale_at_(0),
      values_at_(is_scaled(storage_) ? 1 : 0) {}

void DenseRowFormat::write(std::uint8_t* row, const float* values,
                           RowRandom& random) const noexcept {
  if (is_scaled(storage_)) {
    row[scale_at_] = ScaleCode::fit(largest_magnitude(values, size_), row[scale_at_]);
  }
  write_values(storage_, values, scale(row), size_, random, row + values_at_);
}

void DenseRowFormat::write_start(std::uint8_t* row, const float* values,
                                 RowRandom& random) const noexcept {
  std::memset(row, 0, static_cast<std::size_t>(values_at_));
  write(row, values, random);
}

void DenseRowFormat::initialize(std::uint8_t* row, std::uint64_t seed, std::uint64_t key,
                                float bound) const noexcept {
  std::array<float, kLongestRow> values;
  initial_range(seed, key, 0, size_, bound, values.data());
  RowRandom random = row_random(seed, 0, key);
  write_start(row, values.data(), random);
}

float DenseRowFormat::importance(const std::uint8_t* row) const noexcept {
  float sum = NAN;
  if (sums_squares_) std::memcpy(&sum, row, sizeof(sum));
  return sum;
}

void DenseRowFormat::set_importance(std::uint8_t* row, float importance) const noexcept {
  if (sums_squares_ && !std::isnan(importance)) std::memcpy(row, &importance, sizeof(importance));
}

void DenseRowFormat::read(const std::uint8_t* row, float* out) const noexcept {
  read_values(storage_, row + values_at_, scale(row), size_, out);
}

void DenseRowFormat::update(std::uint8_t* row, const float* gradient, const RowOptimizer& optimizer,
                            std::int64_t step, RowRandom& random) const noexcept {
  std::array<float, kLongestRow + 1> state;
  std::array<float, kLongestRow> values;
  std::memcpy(state.data(), row, static_cast<std::size_t>(scale_at_));
  read(row, values.data());
  optimizer.apply(values.data(), state.data(), gradient, size_, step);
  std::memcpy(row, state.data(), static_cast<std::size_t>(scale_at_));
  write(row, values.data(), random);
}

}  // namespace taut::embedding
