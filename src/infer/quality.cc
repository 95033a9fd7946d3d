#include "taut/infer/quality.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/log.h"
#include "taut/core/text.h"

namespace taut::infer {
namespace {

bool has_nan(std::span<const float> values) {
  return std::any_of(values.begin(), values.end(), [](float x) { return std::isnan(x); });
}

}  // namespace

double area_under_curve(std::span<const float> scores, std::span<const float> labels) {
  TAUT_ASSERT(scores.size() == labels.size());
  std::vector<std::pair<float, float>> ranked;
  ranked.reserve(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (!std::isnan(scores[i])) ranked.emplace_back(scores[i], labels[i]);
  }
  std::sort(ranked.begin(), ranked.end());
  double negatives = 0;
  double positives = 0;
  double pairs_won = 0;
  for (auto tie = ranked.begin(); tie != ranked.end();) {
    double tied_positives = 0;
    double tied_negatives = 0;
    const float score = tie->first;
    for (; tie != ranked.end() && tie->first == score; ++tie) {
      (tie->second > 0.5f ? tied_positives : tied_negatives) += 1;
    }
    pairs_won += tied_positives * (negatives + 0.5 * tied_negatives);
    negatives += tied_negatives;
    positives += tied_positives;
  }
  if (positives == 0 || negatives == 0) return std::numeric_limits<double>::quiet_NaN();
  return pairs_won / (positives * negatives);
}

double cross_entropy(double given, double label) {
  const double logit = std::clamp(given, -kMostLogit, kMostLogit);
  return std::max(logit, 0.0) - logit * label + std::log1p(std::exp(-std::abs(logit)));
}

Quality measure_quality(std::span<const float> logits, std::span<const float> labels) {
  TAUT_ASSERT(logits.size() == labels.size());
  Quality quality;
  if (labels.empty()) return quality;
  double loss = 0;
  double positives = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (std::isnan(logits[i])) {
      ++quality.unscored;
      continue;
    }
    ++quality.examples;
    loss += cross_entropy(logits[i], labels[i]);
    positives += labels[i];
  }
  const auto count = static_cast<double>(quality.examples);
  const double rate = positives / count;
  const double base = rate > 0 && rate < 1
                          ? -rate * std::log(rate) - (1 - rate) * std::log(1 - rate)
                          : std::numeric_limits<double>::quiet_NaN();
  quality.log_loss = loss / count;
  quality.normalized_entropy = quality.log_loss / base;
  quality.auc = area_under_curve(logits, labels);
  return quality;
}

void ClassQuality::add(std::int64_t classes, std::span<const float> logits,
                       std::span<const std::int64_t> labels) {
  const auto width = static_cast<std::size_t>(classes);
  TAUT_ASSERT(logits.size() == labels.size() * width);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::span<const float> row = logits.subspan(i * width, width);
    if (has_nan(row)) {
      ++unscored_;
      continue;
    }
    ++examples_;
    const auto label = static_cast<std::size_t>(labels[i]);
    const auto best = std::max_element(row.begin(), row.end());
    correct_ += static_cast<std::size_t>(best - row.begin()) == label ? 1 : 0;
    const auto below_best = [&](float x) {  // infinity is at no distance from itself
      return x == *best ? 0.0 : std::max(static_cast<double>(x) - *best, -2 * kMostLogit);
    };
    const double sum = std::accumulate(row.begin(), row.end(), 0.0, [&](double s, float x) {
      return s + std::exp(below_best(x));
    });
    loss_ += std::log(sum) - below_best(row[label]);
  }
}

void UnscoredRows::add(std::span<const float> logits, std::int64_t outputs,
                       std::span<const std::uint8_t> left_out, const NameExample& name) {
  const auto width = static_cast<std::size_t>(outputs);
  for (std::size_t i = 0; i * width < logits.size(); ++i) {
    if (!left_out.empty() && left_out[i] != 0) continue;
    if (has_nan(logits.subspan(i * width, width)) && count_++ < kNamed) first_.push_back(name(i));
  }
}

void UnscoredRows::warn() const {
  if (count_ == 0) return;
  log_warning(concat(count_, count_ == 1 ? " score is" : " scores are",
                     " not a number and left out (look for extreme values); the first:"));
  for (const std::string& row : first_) log_warning("  " + row);
}

void ClickQuality::add(std::span<const float> logits, std::span<const float> labels,
                       std::span<const std::uint8_t> left_out, const NameExample& name) {
  TAUT_ASSERT(logits.size() == labels.size());
  unscored_.add(logits, 1, left_out, name);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (!left_out.empty() && left_out[i] != 0) continue;
    logits_.push_back(logits[i]);
    labels_.push_back(labels[i]);
  }
}

double ClassQuality::top1() const noexcept {
  return static_cast<double>(correct_) / static_cast<double>(examples_);
}

double ClassQuality::log_loss() const noexcept {
  return loss_ / static_cast<double>(examples_);
}

}  // namespace taut::infer
