#pragma once
// Quality of a classifier, from logits and labels.

#include <cstdint>
#include <span>

namespace taut::infer {

/// Quality of a classifier of two classes on a set of examples.
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

/// Quality of a classifier of several classes, batch by batch.
/// Threads: one call at a time.
class ClassQuality {
 public:
  /// logits [labels.size(), classes]; labels in [0, classes). Among equal logits the lower class is
  /// the answer.
  void add(std::int64_t classes, std::span<const float> logits,
           std::span<const std::int64_t> labels);

  [[nodiscard]] std::int64_t examples() const noexcept { return examples_; }
  /// Share of examples whose label has the highest logit. NaN without examples.
  [[nodiscard]] double top1() const noexcept;
  /// Mean cross-entropy, in nats. NaN without examples.
  [[nodiscard]] double log_loss() const noexcept;

 private:
  std::int64_t examples_ = 0;
  std::int64_t correct_ = 0;
  double loss_ = 0;
};

}  // namespace taut::infer
