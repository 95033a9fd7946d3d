#pragma once
// The hidden model behind synthetic data: ids, dense values and the true probability of each row.

#include <cstdint>
#include <vector>

#include "rows.h"
#include "taut/core/random.h"
#include "taut/data/synth.h"
#include "zipf.h"

namespace taut::data {

/// Expected AUC of scoring rows by their own probabilities, from a histogram of probabilities with
/// 2^18 bins: pairs within a bin count as ties, an error below 1e-5. Any number of rows.
class ExpectedAuc {
 public:
  ExpectedAuc();
  void add(double probability);
  /// 0.5 while there is no pair to rank.
  [[nodiscard]] double value() const;

 private:
  std::vector<double> positive_;  // expected positives in a bin
  std::vector<double> negative_;
  double self_ = 0;  // expected pairs of a row with itself, which are none
};

/// Most numbers of a hidden vector.
inline constexpr int kMostFactors = 64;

/// One row.
struct PlantedRow {
  std::vector<float> dense;
  std::vector<std::vector<std::int64_t>> ids;  ///< one bag per column
};

/// Draws rows by their number alone. Threads: all const.
class PlantedModel {
 public:
  explicit PlantedModel(const SynthOptions& options);

  /// The inputs of row number `row`.
  void draw(std::uint64_t row, PlantedRow& into) const;
  /// Its true probability of label 1; row also says when it is.
  [[nodiscard]] double probability(std::uint64_t row, const PlantedRow& inputs) const;
  /// Its label, drawn from that probability.
  [[nodiscard]] bool label(std::uint64_t row, double probability) const;

 private:
  // Contributions to the logit before they are weighted.
  struct Parts {
    double bias = 0;
    double dots = 0;
    double dense = 0;
  };

  [[nodiscard]] Parts parts(double when, const PlantedRow& inputs) const;
  // Mean over the bag of the hidden numbers of its ids: bias first, then the vector.
  void pool(int column, const std::vector<std::int64_t>& bag, double angle, double* hidden) const;
  [[nodiscard]] double when(std::uint64_t row) const;
  void calibrate();

  SynthOptions options_;
  CounterRandom inputs_;
  CounterRandom hidden_;
  CounterRandom labels_;
  std::vector<Zipf> zipf_;  // one per column
  Parts weights_{1, 1, 1};
  double intercept_ = 0;
};

}  // namespace taut::data
