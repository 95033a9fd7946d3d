#pragma once
// Quality of a classifier, from logits and labels.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace taut::infer {

/// Where log losses count a logit as no further from 0: so one score of exactly 0 or 1 costs at
/// most so many nats, and the mean stays a number.
inline constexpr double kMostLogit = 1e4;

/// Quality of a classifier of two classes on a set of examples. A logit that is NaN is left out.
struct Quality {
  std::int64_t examples = 0;
  double auc = 0;                 ///< exact; ties count one half; NaN when only one class is there
  double log_loss = 0;            ///< mean, in nats
  double normalized_entropy = 0;  ///< log loss over that of the base rate (He et al., ADKDD 2014)
  std::int64_t unscored = 0;      ///< examples left out: their logit is NaN
};

/// What is said where the AUC is not defined but the log loss is.
inline constexpr std::string_view kOneClass = "the AUC is not defined: all labels are of one class";

/// Area under the ROC curve, exact. labels 0 or 1; a score that is NaN is left out. NaN when a
/// class is missing.
[[nodiscard]] double area_under_curve(std::span<const float> scores, std::span<const float> labels);

/// All measures from logits (not probabilities) and labels of equal length.
[[nodiscard]] Quality measure_quality(std::span<const float> logits, std::span<const float> labels);

/// Binary cross-entropy of one logit, in nats, without overflow; see kMostLogit.
[[nodiscard]] double cross_entropy(double logit, double label);

/// Examples of a batch, for messages: what the i-th is called.
using NameExample = std::function<std::string(std::size_t)>;

/// Collects the examples without a score, because a logit of theirs is not a number, to name them.
/// Threads: one call at a time.
class UnscoredRows {
 public:
  /// logits [examples, outputs] of a batch; left_out[i] != 0: not looked at (empty: all are).
  void add(std::span<const float> logits, std::int64_t outputs,
           std::span<const std::uint8_t> left_out, const NameExample& name);
  [[nodiscard]] std::int64_t count() const noexcept { return count_; }
  /// Logs how many there are, and the first ten; nothing for none.
  void warn() const;

 private:
  static constexpr std::int64_t kNamed = 10;

  std::int64_t count_ = 0;
  std::vector<std::string> first_;
};

/// Quality of a classifier of two classes, batch by batch.
/// Threads: one call at a time.
class ClickQuality {
 public:
  /// left_out[i] != 0: the example does not count (empty: all do).
  void add(std::span<const float> logits, std::span<const float> labels,
           std::span<const std::uint8_t> left_out, const NameExample& name);
  [[nodiscard]] Quality measure() const { return measure_quality(logits_, labels_); }
  /// Those that measure() leaves out.
  [[nodiscard]] const UnscoredRows& unscored() const noexcept { return unscored_; }

 private:
  std::vector<float> logits_;
  std::vector<float> labels_;
  UnscoredRows unscored_;
};

/// Quality of a classifier of several classes, batch by batch.
/// Threads: one call at a time.
class ClassQuality {
 public:
  /// logits [labels.size(), classes]; labels in [0, classes). Among equal logits the lower class is
  /// the answer. An example with a logit that is NaN is left out.
  void add(std::int64_t classes, std::span<const float> logits,
           std::span<const std::int64_t> labels);

  [[nodiscard]] std::int64_t examples() const noexcept { return examples_; }
  /// Examples that were left out.
  [[nodiscard]] std::int64_t unscored() const noexcept { return unscored_; }
  /// Share of examples whose label has the highest logit. NaN without examples.
  [[nodiscard]] double top1() const noexcept;
  /// Mean cross-entropy, in nats; see kMostLogit. NaN without examples.
  [[nodiscard]] double log_loss() const noexcept;

 private:
  std::int64_t examples_ = 0;
  std::int64_t unscored_ = 0;
  std::int64_t correct_ = 0;
  double loss_ = 0;
};

}  // namespace taut::infer
