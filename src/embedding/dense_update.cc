#include "dense_update.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "embedding/dense_update.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/highway.h>

#include "row_kernels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace taut::embedding::HWY_NAMESPACE {

// The step of optimizers that have at most one number a row.
template <Storage kStorage>
HWY_INLINE void step_dense_row(const DenseStep& one, const DenseUpdate& update,
                               std::uint64_t* words) {
  const DenseRowFormat& format = *one.format;
  const RowOptimizer& optimizer = *update.optimizer;
  const int size = format.size();
  std::uint8_t* values = format.values(one.row);
  std::uint8_t none = 0;
  std::uint8_t& scale_code = is_scaled(kStorage) ? *format.scale_code(one.row) : none;
  HWY_ALIGN float regularized[kLongestRow];
  const float* slope = one.gradient;
  if (optimizer.l2() > 0) {
    const float scale = is_scaled(kStorage) ? ScaleCode::step(scale_code, kStorage) : 0.0f;
    for_vectors(size, [&](auto d, auto lanes, int i) HWY_ATTR {
      const auto held = decode<kStorage>(d, lanes, values, scale, i);
      const auto pull = hn::Mul(hn::Set(d, optimizer.l2()), held);
      lanes.store(hn::Add(lanes.load(d, one.gradient + i), pull), d, regularized + i);
    });
    slope = regularized;
  }
  float squares = 0;
  if (optimizer.kind() == Optimizer::kRowwiseAdagrad) {
    std::memcpy(&squares, one.row, sizeof(squares));
    squares += sum_of_squares(slope, size) / static_cast<float>(size);
    std::memcpy(one.row, &squares, sizeof(squares));
  }
  if constexpr (kStorage != Storage::kFloat32) {
    fill_words(row_random(update.seed, update.step, one.name).key(), (size + 3) / 4, words);
  }
  descend<kStorage>(values, scale_code, size, optimizer.common_rate(squares),
                    reinterpret_cast<const std::uint16_t*>(words),
                    [&](auto d, auto lanes, auto, int i)
                        HWY_ATTR { return lanes.load(d, slope + i); });
}

void step_dense_rows(std::span<const DenseStep> rows, const DenseUpdate& update) {
  HWY_ALIGN std::uint64_t words[words_for(kLongestRow)];
  for (const DenseStep& one : rows) {
    with_storage(one.format->storage(), [&]<Storage kStorage>() HWY_ATTR {
      step_dense_row<kStorage>(one, update, words);
    });
  }
}

}  // namespace taut::embedding::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::embedding {

HWY_EXPORT(step_dense_rows);

void step_rows(std::span<const DenseStep> rows, const DenseUpdate& update) noexcept {
  if (update.optimizer->value_state_values() == 0) {
    HWY_DYNAMIC_DISPATCH(step_dense_rows)(rows, update);
    return;
  }
  for (const DenseStep& one : rows) {
    RowRandom random = row_random(update.seed, update.step, one.name);
    one.format->update(one.row, one.gradient, *update.optimizer, update.step, random);
  }
}

}  // namespace taut::embedding
#endif  // HWY_ONCE
