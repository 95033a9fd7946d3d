#include "threshold.h"

#include <algorithm>
#include <cmath>

namespace taut::embedding {

WidthRule::WidthRule(const PageLayout& layout, double beta, double precision_ratio,
                     double hysteresis)
    : layout_(layout),
      entry_factor_(static_cast<float>(layout.chunk_bytes(false) + layout.overhead_bytes()) /
                    static_cast<float>(layout.chunk_bytes(false))),
      hold_factor_(static_cast<float>(1.0 + hysteresis)),
      precision_ratio_(static_cast<float>(precision_ratio)),
      precision_worth_(static_cast<float>(1.0 / precision_ratio)) {
  for (int k = 1; k <= layout.chunks; ++k) {
    const auto i = static_cast<std::size_t>(k);
    width_ratio_[i] = static_cast<float>(std::pow(k, beta));
    chunk_worth_[i] = 1.0f / width_ratio_[i];
  }
  chunk_worth_[1] = 1.0f / entry_factor_;
  set_threshold_code(0);
}

void WidthRule::set_threshold_code(int code) noexcept {
  threshold_code_ = code;
  free_ = ideals(1.0f);
  kept_ = ideals(hold_factor_);
}

WidthRule::Ideals WidthRule::ideals(float factor) const noexcept {
  Ideals all;
  for (int code = 0; code < ImportanceCode::kCodes; ++code) {
    const RowState state = ideal(ImportanceCode::value(code) * factor, threshold());
    const auto i = static_cast<std::size_t>(code);
    all.width[i] = static_cast<std::uint8_t>(state.width);
    all.precise[i] = state.precise;
  }
  return all;
}

int WidthRule::width_for(float ratio) const noexcept {
  int width = 1;
  while (width < layout_.chunks && ratio >= width_ratio_[static_cast<std::size_t>(width + 1)]) {
    ++width;
  }
  return width;
}

RowState WidthRule::ideal(float importance, float threshold) const noexcept {
  if (threshold <= 0) return layout_.widest();
  const float ratio = importance / threshold;
  return {.width = width_for(ratio), .precise = layout_.mixed && ratio >= precision_ratio_};
}

RowState WidthRule::within(const RowState& most) const noexcept {
  RowState state = wanted(most.importance, {});
  state.width = std::min(state.width, most.width);
  state.precise = state.precise && most.precise;
  return state;
}

double WidthRule::bytes_at(const ImportanceHistogram& rows, int threshold_code) const {
  const float line = ImportanceCode::value(threshold_code);
  const float entry = line * entry_factor_;
  double bytes = 0;
  for (int code = 0; code < ImportanceCode::kCodes; ++code) {
    const std::int64_t count = rows[static_cast<std::size_t>(code)];
    const float importance = ImportanceCode::value(code);
    if (count == 0 || importance < entry) continue;
    bytes += static_cast<double>(count) *
             (layout_.overhead_bytes() + layout_.value_bytes(ideal(importance, line)));
  }
  return bytes;
}

int WidthRule::solve(const ImportanceHistogram& rows, double bytes) const {
  int low = -1;  // too small, or below the grid
  int high = ImportanceCode::kCodes - 1;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (bytes_at(rows, middle) <= bytes ? high : low) = middle;
  }
  return high;
}

}  // namespace taut::embedding
