// Who wins: counts over batches, and what they come to.
#include <algorithm>
#include <cmath>

#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/sparsity/winners.h"

namespace taut::sparsity {
namespace {

template <typename Body>
double mean_over(const WinnerStatistics& statistics, Body&& body) {
  if (statistics.wins.empty() || statistics.trials == 0) return 0;
  double sum = 0;
  for (const std::int64_t wins : statistics.wins) {
    sum += body(static_cast<double>(wins) / static_cast<double>(statistics.trials));
  }
  return sum / static_cast<double>(statistics.wins.size());
}

template <typename Value>
bool is_nonzero(Value value) noexcept {
  if constexpr (sizeof(Value) == 2) {
    return (value & 0x7FFF) != 0;
  } else {
    return value != 0;
  }
}

template <typename Value>
void add(const WinnerSelector& selector, const Value* y, WinnerStatistics& statistics) {
  const Shape& shape = selector.shape();
  const auto channels = static_cast<std::size_t>(shape.channels);
  if (statistics.wins.empty()) statistics.wins.resize(channels);
  if (statistics.wins.size() != channels) {
    throw_invalid_argument("statistics.wins", concat(channels, " channels"),
                           concat(statistics.wins.size()));
  }
  const bool maps = selector.options().unit == Unit::kChannel;
  const std::int64_t run = selector.options().unit == Unit::kBlock ? selector.options().block : 1;
  const bool last = selector.layout() == Layout::kChannelsLast;
  const std::int64_t channel_stride = last ? 1 : shape.positions();
  const std::int64_t position_stride = last ? shape.channels : 1;
  for (std::int64_t example = 0; example < shape.batch; ++example, y += shape.example_size()) {
    for (std::int64_t c = 0; c < shape.channels; c += run) {
      std::int64_t wins = 0;
      for (std::int64_t p = 0; p < shape.positions(); ++p) {
        const Value* at = y + c * channel_stride + p * position_stride;
        bool won = false;
        for (std::int64_t i = 0; i < run; ++i) won = won || is_nonzero(at[i * channel_stride]);
        wins += won;
        if (maps && won) break;
      }
      for (std::int64_t i = c; i < c + run; ++i)
        statistics.wins[static_cast<std::size_t>(i)] += wins;
    }
  }
  statistics.trials += maps ? shape.batch : shape.batch * shape.positions();
}

}  // namespace

double WinnerStatistics::never() const noexcept {
  return mean_over(*this, [](double share) { return share == 0 ? 1.0 : 0.0; });
}

double WinnerStatistics::always() const noexcept {
  return mean_over(*this, [](double share) { return share == 1 ? 1.0 : 0.0; });
}

double WinnerStatistics::rate() const noexcept {
  return mean_over(*this, [](double share) { return share; });
}

double WinnerStatistics::entropy() const noexcept {
  const auto term = [](double share) { return share > 0 ? -share * std::log2(share) : 0.0; };
  return mean_over(*this, [&](double share) { return term(share) + term(1 - share); });
}

void add_winners(const WinnerSelector& selector, const float* y, WinnerStatistics& statistics) {
  add(selector, y, statistics);
}

void add_winners(const WinnerSelector& selector, const std::uint16_t* y,
                 WinnerStatistics& statistics) {
  add(selector, y, statistics);
}

}  // namespace taut::sparsity
