// Scores of maps and blocks. Sums have one order on every instruction set and in both layouts:
// over a map 16 interleaved partial sums, added in halves at the end; over a block one after
// another. Highway code: included once for each instruction set.

#if defined(TAUT_SPARSITY_SCORES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TAUT_SPARSITY_SCORES_INL_H
#undef TAUT_SPARSITY_SCORES_INL_H
#else
#define TAUT_SPARSITY_SCORES_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "sparsity/keys-inl.h"
#include "taut/sparsity/winners.h"

HWY_BEFORE_NAMESPACE();
namespace taut::sparsity::HWY_NAMESPACE {

constexpr std::int64_t kMapSums = 16;
constexpr std::int64_t kBlockSums = 8;

template <class D>
hn::Vec<D> load_numbers(D d, const float* x) {
  return hn::LoadU(d, x);
}
template <class D>
hn::Vec<D> load_numbers(D d, const std::uint16_t* x) {
  const hn::Rebind<std::uint16_t, D> narrow;
  const hn::RebindToUnsigned<D> wide;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(wide, hn::LoadU(narrow, x))));
}

// What one value adds to a score, and how two parts are joined.
template <Score kScore>
struct ScoreRule {
  template <class V>
  static V part(V x) {
    return kScore == Score::kMeanSquare ? hn::Mul(x, x) : hn::Abs(x);
  }
  template <class V>
  static V join(V a, V b) {
    if constexpr (kScore != Score::kMaxMagnitude) return hn::Add(a, b);
    // NaN stays, whichever side it is on. Highway 1.0 has Ne(NaN, NaN) false on x86.
    return hn::IfThenElse(hn::Or(hn::Gt(a, b), hn::Not(hn::Eq(a, a))), a, b);
  }
  static float part(float x) { return kScore == Score::kMeanSquare ? x * x : std::fabs(x); }
  static float join(float a, float b) {
    if constexpr (kScore != Score::kMaxMagnitude) return a + b;
    return a > b || a != a ? a : b;
  }
  static float finish(float sum, std::int64_t n) {
    return kScore == Score::kMaxMagnitude ? sum : sum / static_cast<float>(n);
  }
};

template <class Rule, std::int64_t kSums>
float join_partial(float* partial, std::int64_t stride, std::int64_t n) {
  for (std::int64_t half = kSums / 2; half > 0; half /= 2) {
    for (std::int64_t i = 0; i < half; ++i) {
      partial[i * stride] = Rule::join(partial[i * stride], partial[(i + half) * stride]);
    }
  }
  return Rule::finish(partial[0], n);
}

// The score of n values in a row.
template <class Rule, std::int64_t kSums, typename Value>
float score_run(const Value* x, std::int64_t n) {
  const hn::CappedTag<float, kSums> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t whole = n / kSums * kSums;
  HWY_ALIGN float partial[kSums];
  for (std::int64_t lane = 0; lane < kSums; lane += lanes) {
    auto sum = hn::Zero(d);
    for (std::int64_t i = lane; i < whole; i += kSums) {
      sum = Rule::join(sum, Rule::part(load_numbers(d, x + i)));
    }
    hn::Store(sum, d, partial + lane);
  }
  for (std::int64_t i = whole; i < n; ++i) {
    float& sum = partial[i - whole];
    sum = Rule::join(sum, Rule::part(number_of(key_of(x[i]))));
  }
  return join_partial<Rule, kSums>(partial, 1, n);
}

template <class Rule, typename Value>
void score_maps_channels_last(const Value* x, std::int64_t positions, std::int64_t channels,
                              std::vector<float>& partial, float* scores) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  partial.assign(static_cast<std::size_t>(kMapSums * channels), 0.0f);
  for (std::int64_t p = 0; p < positions; ++p, x += channels) {
    float* sums = partial.data() + p % kMapSums * channels;
    std::int64_t c = 0;
    for (; c + lanes <= channels; c += lanes) {
      const auto part = Rule::part(load_numbers(d, x + c));
      hn::StoreU(Rule::join(hn::LoadU(d, sums + c), part), d, sums + c);
    }
    for (; c < channels; ++c) sums[c] = Rule::join(sums[c], Rule::part(number_of(key_of(x[c]))));
  }
  for (std::int64_t c = 0; c < channels; ++c) {
    scores[c] = join_partial<Rule, kMapSums>(partial.data() + c, channels, positions);
  }
}

// Calls body with the rule of a score.
template <class Body>
void with_rule(Score score, Body&& body) {
  switch (score) {
    case Score::kMeanMagnitude:
      return body(ScoreRule<Score::kMeanMagnitude>());
    case Score::kMaxMagnitude:
      return body(ScoreRule<Score::kMaxMagnitude>());
    case Score::kMeanSquare:
      return body(ScoreRule<Score::kMeanSquare>());
  }
}

// Scores of the maps of one example after another.
class MapScorer {
 public:
  MapScorer(const Shape& shape, Layout layout, Score score)
      : shape_(shape), layout_(layout), score_(score) {}

  // scores [channels]
  template <typename Value>
  void score(const Value* x, float* scores) {
    with_rule(score_, [&](auto rule) {
      using Rule = decltype(rule);
      const std::int64_t positions = shape_.positions();
      if (layout_ == Layout::kChannelsLast) {
        score_maps_channels_last<Rule>(x, positions, shape_.channels, partial_, scores);
        return;
      }
      for (std::int64_t c = 0; c < shape_.channels; ++c) {
        scores[c] = score_run<Rule, kMapSums>(x + c * positions, positions);
      }
    });
  }

 private:
  Shape shape_;
  Layout layout_;
  Score score_;
  std::vector<float> partial_;
};

// scores [blocks] of x [blocks, block].
template <typename Value>
void score_blocks(const Value* x, std::int64_t blocks, std::int64_t block, Score score,
                  float* scores) {
  with_rule(score, [&](auto rule) {
    using Rule = decltype(rule);
    for (std::int64_t b = 0; b < blocks; ++b) {
      scores[b] = score_run<Rule, kBlockSums>(x + b * block, block);
    }
  });
}

}  // namespace taut::sparsity::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TAUT_SPARSITY_SCORES_INL_H
