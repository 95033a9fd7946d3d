#pragma once
// Winners-take-all: keeps the activations of largest magnitude of each input, zero elsewhere
// (DASNet, arXiv 1909.06964, section 3; units finer than whole maps are ours).

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "taut/core/spelling.h"
#include "taut/core/thread_pool.h"

namespace taut::sparsity {

/// What wins or loses as a whole, and among how many (n).
enum class Unit {
  kNeuron,    ///< a feature of a linear layer; n = features
  kChannel,   ///< a whole map; n = channels
  kPosition,  ///< a channel at one spatial position; each position chooses among its n = channels
  kElement,   ///< one value; n = channels * height * width
  kBlock,     ///< `block` consecutive channels (or neurons) at one spatial position; each position
              ///< chooses among its n = channels / block
};
constexpr auto spellings(std::type_identity<Unit>) {
  return std::to_array<Spelling<Unit>>({{"neuron", Unit::kNeuron},
                                        {"channel", Unit::kChannel},
                                        {"position", Unit::kPosition},
                                        {"element", Unit::kElement},
                                        {"block", Unit::kBlock}});
}

/// What a unit of several values (channel, block) is ranked by; the others are ranked by |x|.
enum class Score {
  kMeanMagnitude,  ///< mean |x|
  kMaxMagnitude,   ///< max |x|
  kMeanSquare,     ///< mean x^2
};
constexpr auto spellings(std::type_identity<Score>) {
  return std::to_array<Spelling<Score>>({{"mean_magnitude", Score::kMeanMagnitude},
                                         {"max_magnitude", Score::kMaxMagnitude},
                                         {"mean_square", Score::kMeanSquare}});
}

/// How winners are told from losers.
enum class Select {
  kExact,      ///< the winner_count(n, rate) largest scores
  kThreshold,  ///< scores of at least `threshold`; how many varies with the input
};
constexpr auto spellings(std::type_identity<Select>) {
  return std::to_array<Spelling<Select>>(
      {{"exact", Select::kExact}, {"threshold", Select::kThreshold}});
}

/// By the tables above. parse_* throw kConfig with the nearest known name.
[[nodiscard]] std::string to_string(Unit unit);
[[nodiscard]] std::string to_string(Score score);
[[nodiscard]] std::string to_string(Select select);
[[nodiscard]] Unit parse_unit(const std::string& text);
[[nodiscard]] Score parse_score(const std::string& text);
[[nodiscard]] Select parse_select(const std::string& text);

struct WinnersOptions {
  Unit unit = Unit::kNeuron;
  Score score = Score::kMeanMagnitude;
  Select select = Select::kExact;
  /// Share of the units that win, in (0, 1]. Select::kThreshold does not read it.
  double rate = 1.0;
  /// Channels (or neurons) of a block: at least 1, divides channels. Only Unit::kBlock reads it.
  std::int64_t block = 8;
  /// Least score of a winner, 0 or more. Only Select::kThreshold reads it.
  float threshold = 0.0f;
};

/// Sizes of a batch of activations; features of a linear layer are channels with height and
/// width 1.
struct Shape {
  std::int64_t batch = 0;
  std::int64_t channels = 0;
  std::int64_t height = 1;
  std::int64_t width = 1;

  [[nodiscard]] std::int64_t positions() const noexcept { return height * width; }
  [[nodiscard]] std::int64_t example_size() const noexcept { return channels * height * width; }
  [[nodiscard]] std::int64_t size() const noexcept { return batch * example_size(); }
};

/// How a batch lies in memory. The choice of winners is the same in both.
enum class Layout {
  kChannelsFirst,  ///< [batch, channels, height, width]
  kChannelsLast,   ///< [batch, height, width, channels]
};

/// How many of n units win: max(1, ceil(rate * n)), where a product within 1e-9 (relative) above a
/// whole number counts as that number, so that 0.7 of 10 is 7. Requires n >= 1 and rate in (0, 1].
[[nodiscard]] std::int64_t winner_count(std::int64_t n, double rate) noexcept;

/// Throws kInvalidArgument naming the option, what is wanted and what was given: a rate that is not
/// in (0, 1] (NaN too), a threshold below 0 or NaN, a size below 0 (channels, height, width: below
/// 1), Unit::kNeuron with height or width above 1, a block that does not divide channels.
void check_options(const Shape& shape, const WinnersOptions& options);

/// Chooses winners in batches of one shape. Exact and the same everywhere:
/// - among equal scores the lower index wins; indices count as in Layout::kChannelsFirst;
/// - an exact zero (or a unit of score 0) never wins: it is as good as lost, so fewer than
///   winner_count units may win;
/// - NaN ranks above infinity, so it wins and is seen downstream.
/// A score is summed in interleaved partial sums (16 over a map, 8 over a block), in both layouts
/// and on every instruction set: same bits for any of these and any number of threads.
/// bf16 values are passed as their 16 bits. Selection is O(n).
/// Threads: all members may be called at once.
class WinnerSelector {
 public:
  /// Throws what check_options throws.
  WinnerSelector(const Shape& shape, Layout layout, const WinnersOptions& options);

  /// Independent pieces of work: examples, or positions of all examples (position, block).
  [[nodiscard]] std::int64_t items() const noexcept;
  /// Items that are worth a task of their own.
  [[nodiscard]] std::int64_t grain() const noexcept;

  /// y = x on winners, 0 elsewhere, for items [begin, end). x and y hold shape.size() values and
  /// may be the same array.
  void forward(const float* x, float* y, std::int64_t begin, std::int64_t end) const;
  void forward(const std::uint16_t* x, std::uint16_t* y, std::int64_t begin,
               std::int64_t end) const;

  /// x_gradient = gradient on winners, 0 elsewhere, for items [begin, end). y is what forward
  /// wrote: a unit won if any of its values in y is not zero.
  void backward(const float* gradient, const float* y, float* x_gradient, std::int64_t begin,
                std::int64_t end) const;
  void backward(const std::uint16_t* gradient, const std::uint16_t* y, std::uint16_t* x_gradient,
                std::int64_t begin, std::int64_t end) const;

  /// Appends the scores of all units of a batch, for threshold_for_rate.
  void append_scores(const float* x, std::vector<float>& scores) const;
  void append_scores(const std::uint16_t* x, std::vector<float>& scores) const;

  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }
  [[nodiscard]] Layout layout() const noexcept { return layout_; }
  [[nodiscard]] const WinnersOptions& options() const noexcept { return options_; }

 private:
  Shape shape_;
  Layout layout_;
  WinnersOptions options_;
};

/// All items of a batch on a pool; see WinnerSelector::forward and backward.
void winners(const WinnerSelector& selector, const float* x, float* y, ThreadPool& pool);
void winners(const WinnerSelector& selector, const std::uint16_t* x, std::uint16_t* y,
             ThreadPool& pool);
void winners_backward(const WinnerSelector& selector, const float* gradient, const float* y,
                      float* x_gradient, ThreadPool& pool);
void winners_backward(const WinnerSelector& selector, const std::uint16_t* gradient,
                      const std::uint16_t* y, std::uint16_t* x_gradient, ThreadPool& pool);

/// The threshold for Select::kThreshold that lets winner_count(scores.size(), rate) of the scores
/// win, so that the mean rate over the samples is met (ties at the threshold all win). Reorders
/// scores. Throws kInvalidArgument for no scores or a rate outside (0, 1].
[[nodiscard]] float threshold_for_rate(std::span<float> scores, double rate);

/// Who wins: how often each channel (or neuron) did.
struct WinnerStatistics {
  std::vector<std::int64_t> wins;  ///< [channels]
  std::int64_t trials = 0;         ///< how often each could have: examples, or positions of them

  /// Share of channels that never won.
  [[nodiscard]] double never() const noexcept;
  /// Share of channels that won always.
  [[nodiscard]] double always() const noexcept;
  /// Mean share of wins: the rate that was reached.
  [[nodiscard]] double rate() const noexcept;
  /// Mean over the channels of the binary entropy of their share of wins, bits. 0: the same
  /// channels win for every input, as in static pruning; the most is the entropy of the rate.
  [[nodiscard]] double entropy() const noexcept;
};

/// Adds a batch to the statistics. y is what forward wrote. For Unit::kChannel a channel has one
/// trial an example, for the others one at each position of each example.
/// Throws kInvalidArgument when statistics holds another number of channels.
void add_winners(const WinnerSelector& selector, const float* y, WinnerStatistics& statistics);
void add_winners(const WinnerSelector& selector, const std::uint16_t* y,
                 WinnerStatistics& statistics);

}  // namespace taut::sparsity
