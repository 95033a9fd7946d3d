#pragma once
// Quality of a classifier.

#include <cstdint>
#include <span>

namespace taut::train {

/// Quality on a set of examples.
struct Quality {
  std::int64_t examples = 0;
  double auc = 0;                 ///< exact; ties count one half; NaN when only one class is there
  double log_loss = 0;            ///< mean, in nats
  double normalized_entropy = 0;  ///< log loss over that of the base rate (He et al., ADKDD 2014)
};

/// Area under the ROC curve, exact. labels 0 or 1. NaN when a class is missing.
[[nodiscard]] double area_under_curve(std::span<const float> scores, std::span<const float> labels);

/// All measures from logits (not probabilities) and labels of equal length.
[[nodiscard]] Quality measure_quality(std::span<const float> logits, std::span<const float> labels);

/// Binary cross-entropy of one logit, in nats, without overflow.
[[nodiscard]] double cross_entropy(double logit, double label);

}  // namespace taut::train
