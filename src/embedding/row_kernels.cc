#include "row_kernels.h"

#include <algorithm>
#include <array>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "embedding/row_kernels.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/highway.h>

#include "row_kernels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace taut::embedding::HWY_NAMESPACE {
void add_parts(std::span<const RowPart> parts) {
  for (const RowPart& part : parts) {
    with_storage(part.storage, [&]<Storage kStorage>() HWY_ATTR {
      add_values<kStorage>(part.values, part.scale, part.size, part.weight, part.out);
    });
  }
}

void add_gradients(std::span<const GradientPart> parts, int dim, const float* gradient,
                   float* sums) {
  const auto width = static_cast<std::size_t>(dim);
  for (const GradientPart& part : parts) {
    const float* from = gradient + part.output * width;
    float* to = sums + part.row * width;
    for_vectors(dim, [&](auto d, auto lanes, int i) HWY_ATTR {
      add_to(d, lanes, lanes.load(d, from + i), part.weight, to + i);
    });
  }
}

void read_values(Storage storage, const std::uint8_t* source, float scale, int size, float* out) {
  with_storage(storage, [&]<Storage kStorage>() HWY_ATTR {
    for_vectors(size, [&](auto d, auto lanes, int i) HWY_ATTR {
      lanes.store(decode<kStorage>(d, lanes, source, scale, i), d, out + i);
    });
  });
}

void read_products(const RowPart& first, const RowPart& second, float* out) {
  with_storage(first.storage, [&]<Storage kStorage>() HWY_ATTR {
    for_vectors(first.size, [&](auto d, auto lanes, int i) HWY_ATTR {
      const auto left = decode<kStorage>(d, lanes, first.values, first.scale, i);
      const auto right = decode<kStorage>(d, lanes, second.values, second.scale, i);
      lanes.store(hn::Mul(left, right), d, out + i);
    });
  });
}

float squares(const float* values, int size) {
  return sum_of_squares(values, size);
}

float magnitude(const float* values, int size) {
  return largest_magnitude(values, size);
}

void write_values(Storage storage, const float* values, float scale, int size,
                  const std::uint16_t* random, std::uint8_t* target) {
  const float inverse = is_scaled(storage) ? 1.0f / scale : 0.0f;
  with_storage(storage, [&]<Storage kStorage>() HWY_ATTR {
    for_vectors(size, [&](auto d, auto lanes, int i) HWY_ATTR {
      encode<kStorage>(d, lanes, lanes.load(d, values + i), inverse, random, target, i);
    });
  });
}

}  // namespace taut::embedding::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::embedding {
HWY_EXPORT(add_parts);
HWY_EXPORT(add_gradients);
HWY_EXPORT(squares);
HWY_EXPORT(magnitude);
HWY_EXPORT(read_values);
HWY_EXPORT(read_products);
HWY_EXPORT(write_values);

void add_parts(std::span<const RowPart> parts) noexcept {
  HWY_DYNAMIC_DISPATCH(add_parts)(parts);
}

void add_gradients(std::span<const GradientPart> parts, int dim, const float* gradient,
                   float* sums) noexcept {
  HWY_DYNAMIC_DISPATCH(add_gradients)(parts, dim, gradient, sums);
}

float mean_square(const float* gradient, int size) noexcept {
  return HWY_DYNAMIC_DISPATCH(squares)(gradient, size) / static_cast<float>(size);
}

float mean_square_reference(const float* gradient, int size) noexcept {
  std::array<float, 16> sums{};
  for (int i = 0; i < size; ++i) {
    sums[static_cast<std::size_t>(i % 16)] += gradient[i] * gradient[i];
  }
  for (std::size_t apart = 8; apart > 0; apart /= 2) {
    for (std::size_t i = 0; i < apart; ++i) sums[i] += sums[i + apart];
  }
  return sums[0] / static_cast<float>(size);
}

float largest_magnitude(const float* values, int size) noexcept {
  return HWY_DYNAMIC_DISPATCH(magnitude)(values, size);
}

void read_values(Storage storage, const std::uint8_t* source, float scale, int size,
                 float* out) noexcept {
  HWY_DYNAMIC_DISPATCH(read_values)(storage, source, scale, size, out);
}

void read_products(const RowPart& first, const RowPart& second, float* out) noexcept {
  HWY_DYNAMIC_DISPATCH(read_products)(first, second, out);
}

void write_values(Storage storage, const float* values, float scale, int size, RowRandom& random,
                  std::uint8_t* target) noexcept {
  std::array<std::uint16_t, kLongestRow> dice;
  if (storage != Storage::kFloat32) random.fill(dice.data(), size);
  HWY_DYNAMIC_DISPATCH(write_values)(storage, values, scale, size, dice.data(), target);
}

}  // namespace taut::embedding
#endif  // HWY_ONCE
