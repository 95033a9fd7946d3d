#pragma once
// Zipf-distributed integers by counter-based random numbers.

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "taut/core/random.h"

namespace taut::data {

/// P(k) ~ (k + 1)^-exponent for k in [0, n), exactly, in constant time for any n:
/// rejection-inversion (Hoermann, Derflinger 1996, "Rejection-inversion to generate variates from
/// monotone discrete distributions"). Threads: sampling is const.
class Zipf {
 public:
  Zipf(std::int64_t n, double exponent)
      : n_(static_cast<double>(n)),
        exponent_(exponent),
        lowest_(integral(1.5) - 1.0),
        highest_(integral(n_ + 0.5)),
        sure_(2.0 - inverse(integral(2.5) - std::pow(2.0, -exponent))) {}

  /// Takes counters first, first + 1, ... of the random numbers until one is accepted (1.1 on
  /// average).
  [[nodiscard]] std::int64_t sample(const CounterRandom& random, std::uint64_t first) const {
    for (std::uint64_t counter = first;; ++counter) {
      const double u = highest_ + random.uniform(counter) * (lowest_ - highest_);
      const double x = inverse(u);
      const double k = std::clamp(std::floor(x + 0.5), 1.0, n_);
      if (k - x <= sure_ || u >= integral(k + 0.5) - std::pow(k, -exponent_)) {
        return static_cast<std::int64_t>(k) - 1;
      }
    }
  }

 private:
  // Integral of t^-exponent from 1 to x, and its inverse; expm1 and log1p keep exponents near 1
  // exact.
  [[nodiscard]] double integral(double x) const {
    const double log_x = std::log(x);
    const double power = (1.0 - exponent_) * log_x;
    return std::abs(power) < 1e-8 ? log_x * (1.0 + power / 2)
                                  : std::expm1(power) / (1.0 - exponent_);
  }
  [[nodiscard]] double inverse(double value) const {
    const double power = (1.0 - exponent_) * value;
    if (std::abs(power) < 1e-8) return std::exp(value * (1.0 - power / 2));
    return std::exp(std::log1p(std::max(power, -1.0)) / (1.0 - exponent_));
  }

  double n_;
  double exponent_;
  double lowest_;
  double highest_;
  double sure_;
};

}  // namespace taut::data
