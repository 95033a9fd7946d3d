#pragma once
// Quality of predictions made just before the model learnt from the same examples.

#include <cstdint>
#include <span>
#include <vector>

#include "taut/core/file.h"
#include "taut/train/metrics.h"

namespace taut::train {

/// Progressive validation (Blum, Kalai, Langford, COLT 1999) over a stream of any length in fixed
/// memory: examples are counted by label and logit, in bins of 1/256 from -16 to 16 (what lies
/// outside counts in the last bin), and examples of a bin tie. Threads: one call at a time.
class ProgressiveQuality {
 public:
  /// Counts a batch. Sizes must be equal.
  void add(std::span<const float> logits, std::span<const float> labels);

  /// The measures so far; AUC is NaN while a class is missing.
  [[nodiscard]] Quality quality() const;

  void save(SectionSink& file) const;
  /// Errors: kFormat for counts of another shape.
  void load(const SectionSource& file);

 private:
  std::vector<std::int64_t> counts_;  ///< [label, bin], empty before the first example
  double loss_ = 0;
};

}  // namespace taut::train
