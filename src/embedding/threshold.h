#pragma once
// How wide a row should be: the closed form of the width rule, and the threshold that fits a
// budget.

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "page.h"
#include "taut/embedding/options.h"

namespace taut::embedding {

/// Counts of rows by importance code.
using ImportanceHistogram = std::array<std::int64_t, ImportanceCode::kCodes>;

/// The width rule (FIITED's idea that importance decides dimension, in closed form): the k-th chunk
/// of a row of importance G is worth G * k^-beta, so the row holds the largest k with
/// G * k^-beta >= tau * chunk_bytes. A row is worth being held from G >= tau * (chunk_bytes +
/// overhead_bytes) on, and 16-bit values from G >= ratio * tau * chunk_bytes on.
/// tau is kept as tau * chunk_bytes on the grid of ImportanceCode, so all answers are look-ups.
class WidthRule {
 public:
  WidthRule(const PageLayout& layout, double beta, double precision_ratio, double hysteresis);

  /// Code of tau * chunk_bytes; 0: nothing is scarce.
  [[nodiscard]] int threshold_code() const noexcept { return threshold_code_; }
  void set_threshold_code(int code) noexcept;
  /// tau * chunk_bytes.
  [[nodiscard]] float threshold() const noexcept { return ImportanceCode::value(threshold_code_); }
  /// The importance at which a row is just worth its first chunk and its overhead.
  [[nodiscard]] float entry_importance() const noexcept { return threshold() * entry_factor_; }
  [[nodiscard]] bool worth_holding(int importance_code) const noexcept {
    return ImportanceCode::value(importance_code) >= entry_importance();
  }

  /// What a row of this importance should hold, given what it holds (width 0: nothing yet); what is
  /// held counts more by the hysteresis.
  [[nodiscard]] TAUT_INLINE RowState wanted(int importance_code,
                                            const RowState& held) const noexcept {
    const auto i = static_cast<std::size_t>(importance_code);
    RowState state{
        .width = free_.width[i], .precise = free_.precise[i], .importance = importance_code};
    if (held.width > 0) {
      if (state.width < held.width) state.width = std::min<int>(held.width, kept_.width[i]);
      if (held.precise) state.precise = kept_.precise[i];
    }
    return state;
  }

  /// What a row of this importance should hold of `most`, which it could hold at most.
  [[nodiscard]] RowState within(const RowState& most) const noexcept;

  /// Worth per byte of what a row would lose or win last, on the scale of threshold():
  /// its k-th chunk (k = 1: with the row's overhead), or its second byte of precision.
  [[nodiscard]] float chunk_density(float importance, int k) const noexcept {
    return importance * chunk_worth_[static_cast<std::size_t>(k)];
  }
  [[nodiscard]] float precision_density(float importance) const noexcept {
    return importance * precision_worth_;
  }
  [[nodiscard]] float hysteresis_factor() const noexcept { return hold_factor_; }

  /// The smallest threshold code at which the rows of the histogram fit into bytes.
  [[nodiscard]] int solve(const ImportanceHistogram& rows, double bytes) const;
  /// Bytes that the rows of the histogram take at a threshold code.
  [[nodiscard]] double bytes_at(const ImportanceHistogram& rows, int threshold_code) const;

 private:
  // What a row of each code should hold, alone and with what is held counting more.
  struct Ideals {
    std::array<std::uint8_t, ImportanceCode::kCodes> width{};
    std::array<bool, ImportanceCode::kCodes> precise{};
  };
  [[nodiscard]] Ideals ideals(float factor) const noexcept;
  [[nodiscard]] int width_for(float ratio) const noexcept;
  [[nodiscard]] RowState ideal(float importance, float threshold) const noexcept;

  PageLayout layout_;
  float entry_factor_;
  float hold_factor_;
  float precision_ratio_;
  float precision_worth_;
  int threshold_code_ = 0;
  Ideals free_;  // at the threshold
  Ideals kept_;
  std::array<float, 34> chunk_worth_{};  // k^-beta, and less for k = 1; [0] unused
  std::array<float, 34> width_ratio_{};  // G / threshold from which width k is due: k^beta
};

}  // namespace taut::embedding
