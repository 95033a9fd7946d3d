#pragma once
// Measures of quality in words, for whoever tells people of them.

#include <array>
#include <cmath>
#include <string>
#include <string_view>

#include "taut/core/text.h"

namespace taut::infer {

/// A measure as results name it, and as people do.
struct MeasureWords {
  std::string_view name;
  std::string_view words;
};

/// All of them, in the order in which they are told.
inline constexpr std::array<MeasureWords, 4> kMeasures = {
    {{"auc", "AUC"},
     {"top1", "top-1"},
     {"log_loss", "log loss"},
     {"normalized_entropy", "normalized entropy"}}};

/// "AUC 0.7021": four digits behind the point, as far as some thousand examples tell; "AUC not
/// defined" for what is no number. A name that is none of the measures stands for itself.
[[nodiscard]] inline std::string measure_text(std::string_view name, double value) {
  std::string_view words = name;
  for (const MeasureWords& measure : kMeasures) {
    if (measure.name == name) words = measure.words;
  }
  return concat(words, " ", std::isfinite(value) ? fixed_text(value, 4) : "not defined");
}

}  // namespace taut::infer
