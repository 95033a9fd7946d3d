#include "dense_rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace taut::embedding {
namespace {

constexpr int kLongestRow = 512;

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

float RowwiseAdagrad::step(float accumulated) const noexcept {
  return learning_rate / (std::sqrt(accumulated + initial_accumulator) + epsilon);
}

float mean_square(const float* gradient, int dim) noexcept {
  float sum = 0;
  for (int i = 0; i < dim; ++i) sum += gradient[i] * gradient[i];
  return sum / static_cast<float>(dim);
}

float initial_bound(int dim) noexcept {
  return 1.0f / std::sqrt(static_cast<float>(dim));
}

DenseRowFormat::DenseRowFormat(ValueType type, int dim, bool frozen) noexcept
    : storage_(dense_storage(type)),
      dim_(dim),
      scale_at_(frozen ? 0 : kStateBytes),
      values_at_(scale_at_ + (is_scaled(storage_) ? 1 : 0)) {}

float DenseRowFormat::scale(const std::uint8_t* row) const noexcept {
  return is_scaled(storage_) ? ScaleCode::step(row[scale_at_], storage_) : 0.0f;
}

void DenseRowFormat::write(std::uint8_t* row, const float* values,
                           RowRandom& random) const noexcept {
  if (is_scaled(storage_)) {
    float largest = 0;
    for (int i = 0; i < dim_; ++i) largest = std::max(largest, std::fabs(values[i]));
    row[scale_at_] = ScaleCode::fit(largest, row[scale_at_]);
  }
  write_values(storage_, values, scale(row), dim_, random, row + values_at_);
}

void DenseRowFormat::initialize(std::uint8_t* row, std::uint64_t seed,
                                std::uint64_t key) const noexcept {
  std::array<float, kLongestRow> values;
  initial_range(seed, key, 0, dim_, initial_bound(dim_), values.data());
  std::memset(row, 0, static_cast<std::size_t>(values_at_));
  RowRandom random = row_random(seed, 0, key);
  write(row, values.data(), random);
}

void DenseRowFormat::add(const std::uint8_t* row, float weight, float* out) const noexcept {
  add_values(storage_, row + values_at_, scale(row), dim_, weight, out);
}

void DenseRowFormat::update(std::uint8_t* row, const float* gradient,
                            const RowwiseAdagrad& optimizer, RowRandom& random) const noexcept {
  float accumulated;
  std::memcpy(&accumulated, row, sizeof(accumulated));
  accumulated += mean_square(gradient, dim_);
  std::memcpy(row, &accumulated, sizeof(accumulated));
  const float step = optimizer.step(accumulated);
  std::array<float, kLongestRow> values;
  read_values(storage_, row + values_at_, scale(row), dim_, values.data());
  for (int i = 0; i < dim_; ++i) values[static_cast<std::size_t>(i)] -= step * gradient[i];
  write(row, values.data(), random);
}

}  // namespace taut::embedding
