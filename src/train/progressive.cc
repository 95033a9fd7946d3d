#include "train/progressive.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::train {
namespace {

constexpr std::int64_t kBins = 8192;
constexpr double kBinsPerUnit = 256;

std::size_t bin_of(double logit) {
  const double bin = std::floor(logit * kBinsPerUnit) + kBins / 2.0;
  return static_cast<std::size_t>(std::clamp(bin, 0.0, kBins - 1.0));
}

double entropy(double rate) {
  return rate > 0 && rate < 1 ? -rate * std::log(rate) - (1 - rate) * std::log(1 - rate)
                              : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

void ProgressiveQuality::add(std::span<const float> logits, std::span<const float> labels) {
  TAUT_ASSERT(logits.size() == labels.size());
  counts_.resize(2 * kBins);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (std::isnan(logits[i])) continue;
    const std::size_t row = labels[i] > 0.5f ? kBins : 0;
    ++counts_[row + bin_of(logits[i])];
    loss_ += cross_entropy(logits[i], labels[i]);
  }
}

Quality ProgressiveQuality::quality() const {
  double negatives = 0;
  double positives = 0;
  double pairs_won = 0;
  for (std::size_t bin = 0; bin < counts_.size() / 2; ++bin) {
    const auto tied_negatives = static_cast<double>(counts_[bin]);
    const auto tied_positives = static_cast<double>(counts_[kBins + bin]);
    pairs_won += tied_positives * (negatives + 0.5 * tied_negatives);
    negatives += tied_negatives;
    positives += tied_positives;
  }
  const double count = negatives + positives;
  return {.examples = static_cast<std::int64_t>(count),
          .auc = pairs_won / (positives * negatives),
          .log_loss = loss_ / count,
          .normalized_entropy = loss_ / count / entropy(positives / count)};
}

void ProgressiveQuality::save(SectionSink& file) const {
  file.add_array("progressive/counts", std::span<const std::int64_t>(counts_));
  file.add_array("progressive/loss", std::span<const double>(&loss_, 1));
}

void ProgressiveQuality::load(const SectionSource& file) {
  const std::span<const std::int64_t> counts = file.array<std::int64_t>("progressive/counts");
  const std::span<const double> loss = file.array<double>("progressive/loss");
  if ((!counts.empty() && counts.size() != 2 * kBins) || loss.size() != 1) {
    throw Error(ErrorKind::kFormat,
                concat("wanted 0 or ", 2 * kBins, " counts and 1 loss, got ", counts.size(),
                       " and ", loss.size()),
                "progressive");
  }
  counts_.assign(counts.begin(), counts.end());
  loss_ = loss.front();
}

}  // namespace taut::train
