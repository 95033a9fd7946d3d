// Forward: scores, selection and the masked write.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "sparsity/winners_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sparsity/winners_forward.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/highway.h>

#include "sparsity/keys-inl.h"
#include "sparsity/rows-inl.h"
#include "sparsity/scores-inl.h"
#include "sparsity/tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace taut::sparsity::HWY_NAMESPACE {

// The cut that keeps scores of at least threshold.
template <typename Key>
Cut<Key> threshold_cut(float threshold) {
  const auto bits = std::bit_cast<std::int32_t>(std::fabs(threshold));
  // The least key whose number is at least the threshold.
  const std::int32_t least = sizeof(Key) == 4 ? bits : (bits + 0xFFFF) >> 16;
  return {static_cast<Key>(std::max(least - 1, 0)), 0};
}

// Finds the cut of one group of n values or scores after another.
template <typename Value>
class Cutter {
 public:
  using Key = KeyOf<Value>;

  Cutter(std::int64_t n, const WinnersOptions& options)
      : n_(n),
        winners_(winner_count(n, options.rate)),
        exact_(options.select == Select::kExact),
        fixed_(exact_ ? Cut<Key>{} : threshold_cut<Key>(options.threshold)) {
    scratch_.reserve(n);
  }

  Cut<Key> operator()(const Value* x) {
    if (!exact_ || winners_ >= n_) return fixed_;
    const Key largest = load_keys(x, n_, scratch_.keys.data());
    return select_largest(scratch_, n_, winners_, largest);
  }

 private:
  std::int64_t n_;
  std::int64_t winners_;
  bool exact_;
  Cut<Key> fixed_;  // by threshold, or all that are not zero
  Scratch<Key> scratch_;
};

// Marks the winners among scores [n].
struct ChosenUnits {
  Cutter<float> cutter;
  std::vector<float> scores;
  std::vector<float> kept;  // scores of winners, 0 for losers

  ChosenUnits(std::int64_t n, const WinnersOptions& options)
      : cutter(n, options),
        scores(static_cast<std::size_t>(n)),
        kept(static_cast<std::size_t>(n)) {}

  void choose() {
    const auto n = static_cast<std::int64_t>(scores.size());
    write_winners(scores.data(), n, cutter(scores.data()), kept.data());
  }
  [[nodiscard]] bool wins(std::int64_t unit) const {
    return kept[static_cast<std::size_t>(unit)] != 0.0f;  // NaN differs from 0: it wins
  }
};

// Elements in channels-last memory, where ties only partly fit: they are taken in the order of the
// channels-first index.
template <typename Value>
class TurnedTies {
 public:
  explicit TurnedTies(const Shape& shape) : shape_(shape) {}

  // The cut's first ties in x [positions, channels].
  void find(const Value* x, Cut<KeyOf<Value>> cut) {
    using Key = KeyOf<Value>;
    const hn::ScalableTag<Key> d;
    const auto bound = hn::Set(d, cut.bound);
    const std::int64_t n = shape_.example_size();
    tied_.clear();
    std::int64_t i = 0;
    for (; i + lanes_of<Key>() <= n; i += lanes_of<Key>()) {
      if (hn::AllFalse(d, hn::Eq(load_key_vector(d, x + i), bound))) continue;
      for (std::int64_t j = i; j < i + lanes_of<Key>(); ++j) add_if_tied(x, j, cut.bound);
    }
    for (; i < n; ++i) add_if_tied(x, i, cut.bound);
    if (cut.ties < static_cast<std::int64_t>(tied_.size())) {
      std::nth_element(tied_.begin(), tied_.begin() + cut.ties, tied_.end());
      tied_.resize(static_cast<std::size_t>(cut.ties));
    }
  }

  void write(Value* y) const {
    for (const Tied& tie : tied_) y[tie.at] = tie.value;
  }

 private:
  struct Tied {
    std::int64_t index;  // channels-first
    std::int64_t at;     // in memory
    Value value;
    bool operator<(const Tied& other) const { return index < other.index; }
  };

  void add_if_tied(const Value* x, std::int64_t at, KeyOf<Value> bound) {
    if (key_of(x[at]) != bound) return;
    const std::int64_t channel = at % shape_.channels;
    tied_.push_back({channel * shape_.positions() + at / shape_.channels, at, x[at]});
  }

  Shape shape_;
  std::vector<Tied> tied_;
};

// One example is one contiguous group: elements.
template <typename Value>
void forward_examples(const ForwardCall<Value>& call) {
  const std::int64_t n = call.shape.example_size();
  const bool turned =
      call.layout == Layout::kChannelsLast && call.shape.positions() > 1 && call.shape.channels > 1;
  Cutter<Value> cutter(n, call.options);
  TurnedTies<Value> ties(call.shape);
  for (std::int64_t example = call.begin; example < call.end; ++example) {
    const Value* x = call.x + example * n;
    Value* y = call.y + example * n;
    const Cut<KeyOf<Value>> cut = cutter(x);
    if (turned && cut.ties > 0) {
      ties.find(x, cut);  // before y is written, which may be x
      write_winners(x, n, {cut.bound, 0}, y);
      ties.write(y);
    } else {
      write_winners(x, n, cut, y);
    }
  }
}

template <typename Value>
void write_maps(const ForwardCall<Value>& call, const ChosenUnits& chosen, const Value* x,
                Value* y) {
  const std::int64_t positions = call.shape.positions();
  const std::int64_t channels = call.shape.channels;
  if (call.layout == Layout::kChannelsFirst) {
    for (std::int64_t c = 0; c < channels; ++c, x += positions, y += positions) {
      if (!chosen.wins(c)) {
        std::fill_n(y, positions, Value{0});
      } else if (y != x) {
        std::copy_n(x, positions, y);
      }
    }
    return;
  }
  for (std::int64_t p = 0; p < positions; ++p, x += channels, y += channels) {
    for (std::int64_t c = 0; c < channels; ++c) {
      y[c] = chosen.kept[static_cast<std::size_t>(c)] != 0.0f ? x[c] : Value{0};
    }
  }
}

template <typename Value>
void forward_maps(const ForwardCall<Value>& call) {
  const std::int64_t size = call.shape.example_size();
  ChosenUnits chosen(call.shape.channels, call.options);
  MapScorer scorer(call.shape, call.layout, call.options.score);
  for (std::int64_t example = call.begin; example < call.end; ++example) {
    const Value* x = call.x + example * size;
    scorer.score(x, chosen.scores.data());
    chosen.choose();
    write_maps(call, chosen, x, call.y + example * size);
  }
}

// y = x if the block wins, else 0.
template <typename Value>
void write_block(bool wins, const Value* x, std::int64_t block, Value* y) {
  using Key = KeyOf<Value>;
  const hn::CappedTag<Key, 8> d;
  const hn::Repartition<Value, decltype(d)> values;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto mask = hn::Set(d, static_cast<Key>(wins ? -1 : 0));
  std::int64_t i = 0;
  for (; i + lanes <= block; i += lanes) {
    const auto kept = hn::And(mask, hn::BitCast(d, hn::LoadU(values, x + i)));
    hn::StoreU(hn::BitCast(values, kept), values, y + i);
  }
  for (; i < block; ++i) y[i] = wins ? x[i] : Value{0};
}

template <typename Value>
void forward_blocks(const WinnersOptions& options, const Value* x, ChosenUnits& chosen, Value* y) {
  const std::int64_t block = options.block;
  const auto blocks = static_cast<std::int64_t>(chosen.scores.size());
  score_blocks(x, blocks, block, options.score, chosen.scores.data());
  chosen.choose();
  for (std::int64_t b = 0; b < blocks; ++b) {
    write_block(chosen.wins(b), x + b * block, block, y + b * block);
  }
}

// Rows one after another.
template <typename Value>
void forward_rows(const ForwardCall<Value>& call) {
  const std::int64_t channels = call.shape.channels;
  for_position_rows(call.shape, call.layout, call.begin, call.end, call.x, call.y,
                    [channels, cutter = Cutter<Value>(channels, call.options)](
                        const Value* x, Value* y, std::int64_t stride, std::int64_t rows) mutable {
                      for (std::int64_t row = 0; row < rows; ++row, x += stride, y += stride) {
                        write_winners(x, channels, cutter(x), y);
                      }
                    });
}

// Several rows at a time.
template <typename Value>
void forward_rows_together(const ForwardCall<Value>& call, std::int64_t k) {
  using Cutters = RowCutter<Value>;
  const std::int64_t channels = call.shape.channels;
  for_position_rows(call.shape, call.layout, call.begin, call.end, call.x, call.y,
                    [channels, cutter = Cutters(channels, k)](
                        const Value* x, Value* y, std::int64_t stride, std::int64_t rows) mutable {
                      Cut<KeyOf<Value>> cuts[Cutters::kMostRows];
                      for (std::int64_t first = 0; first < rows; first += cutter.rows()) {
                        const auto count =
                            static_cast<int>(std::min<std::int64_t>(cutter.rows(), rows - first));
                        cutter.find(x + first * stride, stride, count, cuts);
                        for (int row = 0; row < count; ++row) {
                          const std::int64_t at = (first + row) * stride;
                          write_winners(x + at, channels, cuts[row], y + at);
                        }
                      }
                    });
}

template <typename Value>
void forward_positions(const ForwardCall<Value>& call) {
  const std::int64_t channels = call.shape.channels;
  const std::int64_t k = winner_count(channels, call.options.rate);
  if (call.options.select == Select::kExact && k < channels &&
      channels <= RowCutter<Value>::kLongestRow && call.end - call.begin > 1) {
    forward_rows_together(call, k);
  } else {
    forward_rows(call);
  }
}

template <typename Value>
void forward_position_blocks(const ForwardCall<Value>& call) {
  const std::int64_t blocks = call.shape.channels / call.options.block;
  for_position_rows(call.shape, call.layout, call.begin, call.end, call.x, call.y,
                    [&, chosen = ChosenUnits(blocks, call.options)](
                        const Value* x, Value* y, std::int64_t stride, std::int64_t rows) mutable {
                      for (std::int64_t row = 0; row < rows; ++row, x += stride, y += stride) {
                        forward_blocks(call.options, x, chosen, y);
                      }
                    });
}

template <typename Value>
void forward(const ForwardCall<Value>& call) {
  switch (call.options.unit) {
    case Unit::kElement:
      return forward_examples(call);
    case Unit::kChannel:
      return forward_maps(call);
    case Unit::kNeuron:  // an example is one position
    case Unit::kPosition:
      return forward_positions(call);
    case Unit::kBlock:
      return forward_position_blocks(call);
  }
}

template <typename Value>
void score_all(const ForwardCall<Value>& call, float* scores) {
  const std::int64_t size = call.shape.example_size();
  if (call.options.unit == Unit::kChannel) {
    MapScorer scorer(call.shape, call.layout, call.options.score);
    for (std::int64_t example = 0; example < call.shape.batch; ++example) {
      scorer.score(call.x + example * size, scores + example * call.shape.channels);
    }
  } else if (call.options.unit == Unit::kBlock) {
    const std::int64_t blocks = call.shape.channels / call.options.block;
    read_position_rows(call.shape, call.layout, call.x, [&](const Value* x) {
      score_blocks(x, blocks, call.options.block, call.options.score, scores);
      scores += blocks;
    });
  } else {
    for (std::int64_t i = 0; i < call.shape.size(); ++i) scores[i] = number_of(key_of(call.x[i]));
  }
}

void forward_float(const ForwardCall<float>& call) {
  forward(call);
}
void forward_bfloat16(const ForwardCall<std::uint16_t>& call) {
  forward(call);
}
void scores_float(const ForwardCall<float>& call, float* scores) {
  score_all(call, scores);
}
void scores_bfloat16(const ForwardCall<std::uint16_t>& call, float* scores) {
  score_all(call, scores);
}

}  // namespace taut::sparsity::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::sparsity {

HWY_EXPORT(forward_float);
HWY_EXPORT(forward_bfloat16);
HWY_EXPORT(scores_float);
HWY_EXPORT(scores_bfloat16);

void run_forward(const ForwardCall<float>& call) {
  HWY_DYNAMIC_DISPATCH(forward_float)(call);
}
void run_forward(const ForwardCall<std::uint16_t>& call) {
  HWY_DYNAMIC_DISPATCH(forward_bfloat16)(call);
}
void run_scores(const ForwardCall<float>& call, float* scores) {
  HWY_DYNAMIC_DISPATCH(scores_float)(call, scores);
}
void run_scores(const ForwardCall<std::uint16_t>& call, float* scores) {
  HWY_DYNAMIC_DISPATCH(scores_bfloat16)(call, scores);
}

}  // namespace taut::sparsity
#endif  // HWY_ONCE
