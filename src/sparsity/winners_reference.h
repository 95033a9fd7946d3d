#pragma once
// Winners in plain C++: what the kernels are tested against, and the path of double values.
// Magnitudes of T = float or double; scores are summed one after another in T.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "taut/sparsity/winners.h"

namespace taut::sparsity {

/// Where the values of a batch are, and which unit each belongs to.
class UnitMap {
 public:
  UnitMap(const Shape& shape, Layout layout, const WinnersOptions& options)
      : shape_(shape), layout_(layout), options_(options) {}

  /// Choices: examples, or positions of all examples. Each is among units() of span() values.
  [[nodiscard]] std::int64_t groups() const {
    return by_position() ? shape_.batch * shape_.positions() : shape_.batch;
  }
  [[nodiscard]] std::int64_t units() const {
    switch (options_.unit) {
      case Unit::kElement:
        return shape_.example_size();
      case Unit::kBlock:
        return shape_.channels / options_.block;
      default:
        return shape_.channels;
    }
  }
  [[nodiscard]] std::int64_t span() const {
    if (options_.unit == Unit::kChannel) return shape_.positions();
    return options_.unit == Unit::kBlock ? options_.block : 1;
  }
  /// Index in memory of value i of a unit of a group.
  [[nodiscard]] std::int64_t at(std::int64_t group, std::int64_t unit, std::int64_t i) const {
    const std::int64_t positions = shape_.positions();
    std::int64_t example = group;
    std::int64_t channel = unit;
    std::int64_t position = 0;
    if (by_position()) {
      example = group / positions;
      position = group % positions;
      channel = unit * span() + i;
    } else if (options_.unit == Unit::kChannel) {
      position = i;
    } else {
      channel = unit / positions;
      position = unit % positions;
    }
    return example * shape_.example_size() + (layout_ == Layout::kChannelsLast
                                                  ? position * shape_.channels + channel
                                                  : channel * positions + position);
  }

 private:
  [[nodiscard]] bool by_position() const {
    return options_.unit == Unit::kPosition || options_.unit == Unit::kBlock;
  }

  Shape shape_;
  Layout layout_;
  WinnersOptions options_;
};

template <typename T>
T score_reference(Score score, const std::vector<T>& magnitudes) {
  T sum = 0;
  for (const T magnitude : magnitudes) {
    if (score == Score::kMaxMagnitude) {
      sum = sum > magnitude || std::isnan(sum) ? sum : magnitude;
    } else {
      sum += score == Score::kMeanSquare ? magnitude * magnitude : magnitude;
    }
  }
  return score == Score::kMaxMagnitude ? sum : sum / static_cast<T>(magnitudes.size());
}

/// Which units of one group win, by a sort.
template <typename T>
std::vector<bool> choose_reference(const std::vector<T>& scores, const WinnersOptions& options) {
  std::vector<bool> wins(scores.size());
  if (options.select == Select::kThreshold) {
    for (std::size_t i = 0; i < scores.size(); ++i) {
      wins[i] = scores[i] != 0 && !(scores[i] < static_cast<T>(options.threshold));
    }
    return wins;
  }
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (std::isnan(scores[a]) || std::isnan(scores[b])) {
      return std::isnan(scores[a]) && !std::isnan(scores[b]);
    }
    return scores[a] > scores[b];
  });
  const auto k = static_cast<std::size_t>(
      winner_count(static_cast<std::int64_t>(scores.size()), options.rate));
  for (std::size_t i = 0; i < k; ++i) wins[order[i]] = scores[order[i]] != 0;
  return wins;
}

template <typename T>
void winners_reference(const UnitMap& map, const WinnersOptions& options, const T* x, T* y) {
  std::vector<T> scores(static_cast<std::size_t>(map.units()));
  std::vector<T> magnitudes(static_cast<std::size_t>(map.span()));
  for (std::int64_t group = 0; group < map.groups(); ++group) {
    for (std::int64_t unit = 0; unit < map.units(); ++unit) {
      for (std::int64_t i = 0; i < map.span(); ++i) {
        magnitudes[static_cast<std::size_t>(i)] = std::abs(x[map.at(group, unit, i)]);
      }
      scores[static_cast<std::size_t>(unit)] = score_reference(options.score, magnitudes);
    }
    const std::vector<bool> wins = choose_reference(scores, options);
    for (std::int64_t unit = 0; unit < map.units(); ++unit) {
      for (std::int64_t i = 0; i < map.span(); ++i) {
        const std::int64_t at = map.at(group, unit, i);
        y[at] = wins[static_cast<std::size_t>(unit)] ? x[at] : T{0};
      }
    }
  }
}

template <typename T>
void winners_backward_reference(const UnitMap& map, const T* gradient, const T* y, T* x_gradient) {
  for (std::int64_t group = 0; group < map.groups(); ++group) {
    for (std::int64_t unit = 0; unit < map.units(); ++unit) {
      bool won = false;
      for (std::int64_t i = 0; i < map.span(); ++i) won = won || y[map.at(group, unit, i)] != 0;
      for (std::int64_t i = 0; i < map.span(); ++i) {
        const std::int64_t at = map.at(group, unit, i);
        x_gradient[at] = won ? gradient[at] : T{0};
      }
    }
  }
}

}  // namespace taut::sparsity
