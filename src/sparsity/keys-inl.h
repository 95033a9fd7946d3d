// Magnitudes as whole numbers, and the exact selection of the k largest. Highway code: included
// once for each instruction set.

#if defined(TAUT_SPARSITY_KEYS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TAUT_SPARSITY_KEYS_INL_H
#undef TAUT_SPARSITY_KEYS_INL_H
#else
#define TAUT_SPARSITY_KEYS_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

HWY_BEFORE_NAMESPACE();
namespace taut::sparsity::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Values are float or std::uint16_t (the bits of a bf16). The key of a value is its bits without
// the sign, as a signed number: it orders as the magnitude does, and NaN is above infinity.
template <typename Value>
using KeyOf = std::conditional_t<std::is_same_v<Value, float>, std::int32_t, std::int16_t>;

template <typename Key>
constexpr Key kMagnitudeBits = std::numeric_limits<Key>::max();

template <typename Value>
KeyOf<Value> key_of(Value value) {
  return static_cast<KeyOf<Value>>(std::bit_cast<KeyOf<Value>>(value) &
                                   kMagnitudeBits<KeyOf<Value>>);
}

inline float number_of(std::int32_t key) {
  return std::bit_cast<float>(key);
}
inline float number_of(std::int16_t key) {
  return std::bit_cast<float>(static_cast<std::int32_t>(key) << 16);
}
template <typename Key>
Key nearest_key(float number) {
  const auto bits = std::bit_cast<std::int32_t>(number);
  return static_cast<Key>(sizeof(Key) == 4 ? bits : bits >> 16);
}

// Vectors of keys at x; D is a tag of keys.
template <class D, typename Value>
hn::Vec<D> load_key_vector(D d, const Value* x) {
  const hn::Repartition<Value, D> values;
  return hn::And(hn::BitCast(d, hn::LoadU(values, x)), hn::Set(d, kMagnitudeBits<hn::TFromD<D>>));
}

template <typename Key>
std::int64_t lanes_of() {
  return static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<Key>()));
}

// Sizes of key arrays: whole pairs of vectors, so that no loop over keys has a remainder.
template <typename Key>
std::int64_t padded_size(std::int64_t n) {
  const std::int64_t step = 2 * lanes_of<Key>();
  return (n + step - 1) / step * step;
}

// Where the line between winners and losers is: keys above `bound` win, and the first `ties` of
// those that equal it. bound >= 0: a zero never wins.
template <typename Key>
struct Cut {
  Key bound = 0;
  std::int64_t ties = 0;
};

// keys [padded_size(n)] = keys of x, then zeros. Returns the largest.
template <typename Value>
KeyOf<Value> load_keys(const Value* x, std::int64_t n, KeyOf<Value>* keys) {
  using Key = KeyOf<Value>;
  const hn::ScalableTag<Key> d;
  auto largest = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes_of<Key>() <= n; i += lanes_of<Key>()) {
    const auto key = load_key_vector(d, x + i);
    largest = hn::Max(largest, key);
    hn::StoreU(key, d, keys + i);
  }
  Key rest = 0;
  for (; i < n; ++i) rest = std::max(rest, keys[i] = key_of(x[i]));
  std::fill(keys + n, keys + padded_size<Key>(n), Key{0});
  return std::max(rest, hn::GetLane(hn::MaxOfLanes(d, largest)));
}

template <typename Key>
std::int64_t count_above(const Key* keys, std::int64_t padded, Key bound) {
  const hn::ScalableTag<Key> d;
  const auto bounds = hn::Set(d, bound);
  const std::int64_t step = lanes_of<Key>();
  std::size_t even = 0;
  std::size_t odd = 0;
  for (std::int64_t i = 0; i < padded; i += 2 * step) {
    even += hn::CountTrue(d, hn::Gt(hn::LoadU(d, keys + i), bounds));
    odd += hn::CountTrue(d, hn::Gt(hn::LoadU(d, keys + i + step), bounds));
  }
  return static_cast<std::int64_t>(even + odd);
}

// A range of keys that holds the line: more than or exactly k keys are above low, fewer above high.
template <typename Key>
struct Bracket {
  Key low = -1;
  Key high = 0;
  std::int64_t above_low = 0;
  std::int64_t above_high = 0;
};

// Where to split a bracket: by turns where the line would be if the numbers were spread evenly, and
// in the middle of the numbers; after some steps in the middle of the keys, which always ends.
template <typename Key>
Key split_of(const Bracket<Key>& bracket, std::int64_t k, int step) {
  constexpr int kNumberSteps = 12;
  const Key middle = static_cast<Key>(bracket.low + (bracket.high - bracket.low) / 2);
  if (step >= kNumberSteps) return middle;
  const float low = number_of(std::max<Key>(bracket.low, 0));
  const float high = number_of(bracket.high);
  const float share = step % 2 == 1
                          ? 0.5f
                          : static_cast<float>(bracket.above_low - k) /
                                static_cast<float>(bracket.above_low - bracket.above_high);
  const float number = low + (high - low) * share;
  if (!(number > low && number < high)) return middle;
  return std::clamp<Key>(nearest_key<Key>(number), static_cast<Key>(bracket.low + 1),
                         static_cast<Key>(bracket.high - 1));
}

// The cut of the k largest of keys, by splitting a bracket until it holds one key or the line lies
// between two. At most 12 + 31 passes over the keys.
template <typename Key>
Cut<Key> bisect(const Key* keys, std::int64_t padded, std::int64_t k, Bracket<Key> bracket) {
  for (int step = 0; bracket.high - bracket.low > 1; ++step) {
    const Key split = split_of(bracket, k, step);
    const std::int64_t above = count_above(keys, padded, split);
    if (above == k) return {split, 0};
    if (above > k) {
      bracket.low = split;
      bracket.above_low = above;
    } else {
      bracket.high = split;
      bracket.above_high = above;
    }
  }
  return {bracket.high, bracket.high > 0 ? k - bracket.above_high : 0};
}

// Up to this many comparisons of vectors the ranks of all keys are counted: work without a branch,
// where splits would wait for one another.
constexpr std::int64_t kRankComparisons = 128;

// The cut of the k largest of few keys: a key wins if fewer than k are above it.
template <typename Key>
Cut<Key> cut_by_ranks(const Key* keys, std::int64_t padded, std::int64_t n, std::int64_t k) {
  const hn::ScalableTag<Key> d;
  const std::int64_t step = lanes_of<Key>();
  const auto limit = hn::Set(d, static_cast<Key>(k));
  const auto one = hn::Set(d, Key{1});
  const auto most = hn::Set(d, kMagnitudeBits<Key>);
  auto least = most;
  std::size_t winners = 0;
  for (std::int64_t i = 0; i < padded; i += 2 * step) {
    const auto first = hn::LoadU(d, keys + i);
    const auto second = hn::LoadU(d, keys + i + step);
    auto above_first = hn::Zero(d);
    auto above_second = hn::Zero(d);
    for (std::int64_t j = 0; j < n; ++j) {
      const auto other = hn::Set(d, keys[j]);
      above_first = hn::IfThenElse(hn::Gt(other, first), hn::Add(above_first, one), above_first);
      above_second =
          hn::IfThenElse(hn::Gt(other, second), hn::Add(above_second, one), above_second);
    }
    const auto first_wins = hn::Lt(above_first, limit);
    const auto second_wins = hn::Lt(above_second, limit);
    winners += hn::CountTrue(d, first_wins) + hn::CountTrue(d, second_wins);
    least = hn::Min(least, hn::Min(hn::IfThenElse(first_wins, first, most),
                                   hn::IfThenElse(second_wins, second, most)));
  }
  const Key last = hn::GetLane(hn::MinOfLanes(d, least));
  if (last == 0) return {0, 0};
  if (static_cast<std::int64_t>(winners) == k) return {static_cast<Key>(last - 1), 0};
  return {last, k - count_above(keys, padded, last)};
}

// Narrows a bracket by the ranks of a sample: returns bounds that hold the line with high
// probability (three standard deviations).
constexpr std::int64_t kSample = 256;

template <typename Key>
Bracket<Key> bracket_of_sample(const Key* keys, std::int64_t n, std::int64_t k, Key largest) {
  HWY_ALIGN Key sample[kSample];
  const std::int64_t stride = n / kSample;
  for (std::int64_t i = 0; i < kSample; ++i) sample[i] = keys[i * stride];
  const double share = static_cast<double>(k) / static_cast<double>(n);
  const auto slack = static_cast<std::int64_t>(
      3 * std::sqrt(static_cast<double>(kSample) * share * (1 - share)) + 2);
  const auto rank = static_cast<std::int64_t>(share * static_cast<double>(kSample));
  const Bracket<Key> whole{-1, largest, kSample, 0};
  Bracket<Key> bracket{-1, largest, 0, 0};
  if (rank - slack >= 1) bracket.high = bisect(sample, kSample, rank - slack, whole).bound;
  if (rank + slack < kSample) bracket.low = bisect(sample, kSample, rank + slack, whole).bound;
  return bracket;
}

// Copies the keys in (low, high] to out, which has room for padded + 2 vectors; counts those above.
// Returns how many were copied.
template <typename Key>
std::int64_t keep_between(const Key* keys, std::int64_t padded, Bracket<Key>& bracket, Key* out) {
  const hn::ScalableTag<Key> d;
  const auto low = hn::Set(d, bracket.low);
  const auto high = hn::Set(d, bracket.high);
  std::int64_t kept = 0;
  std::size_t above = 0;
  for (std::int64_t i = 0; i < padded; i += lanes_of<Key>()) {
    const auto key = hn::LoadU(d, keys + i);
    const auto over = hn::Gt(key, high);
    const auto inside = hn::AndNot(over, hn::Gt(key, low));
    above += hn::CountTrue(d, over);
    hn::StoreU(hn::Compress(key, inside), d, out + kept);
    kept += static_cast<std::int64_t>(hn::CountTrue(d, inside));
  }
  bracket.above_high = static_cast<std::int64_t>(above);
  return kept;
}

// Working memory for groups of n keys.
template <typename Key>
struct Scratch {
  std::vector<Key> keys;
  std::vector<Key> others;

  void reserve(std::int64_t n) {
    const auto size = static_cast<std::size_t>(padded_size<Key>(n) + 2 * lanes_of<Key>());
    keys.resize(size);
    others.resize(size);
  }
};

// The cut of the k largest of scratch.keys [n, padded with zeros], k < n; largest is the greatest
// of them. While many are left, a sample tells nearly where the line is, and one pass keeps those
// near it.
template <typename Key>
Cut<Key> select_largest(Scratch<Key>& scratch, std::int64_t n, std::int64_t k, Key largest) {
  constexpr std::int64_t kFew = 1024;
  Key* keys = scratch.keys.data();
  const std::int64_t padded = padded_size<Key>(n);
  if (n * padded <= kRankComparisons * lanes_of<Key>()) return cut_by_ranks(keys, padded, n, k);
  Bracket<Key> whole{-1, largest, n, 0};
  Key* out = scratch.others.data();
  while (n > kFew) {
    Bracket<Key> near = bracket_of_sample(keys, n, k, whole.high);
    near.low = std::max(near.low, whole.low);
    if (near.low >= near.high) break;
    const std::int64_t kept = keep_between(keys, padded_size<Key>(n), near, out);
    const bool holds = near.above_high < k && near.above_high + kept >= k;
    if (!holds || kept > n / 2) break;
    k -= near.above_high;
    n = kept;
    std::fill(out + n, out + padded_size<Key>(n), Key{0});
    std::swap(keys, out);
    whole = {near.low, near.high, n, 0};
    if (k == n) return {near.low < 0 ? Key{0} : near.low, 0};
  }
  return bisect(keys, padded_size<Key>(n), k, whole);
}

// y = x where it wins by the cut, else 0. Ties are taken in the order of memory.
template <typename Value>
void write_winners(const Value* x, std::int64_t n, Cut<KeyOf<Value>> cut, Value* y) {
  using Key = KeyOf<Value>;
  const hn::ScalableTag<Key> d;
  const hn::Repartition<Value, decltype(d)> values;
  const auto bound = hn::Set(d, cut.bound);
  const std::int64_t step = lanes_of<Key>();
  const auto one = [&cut, x, y](std::int64_t i) {
    const Key key = key_of(x[i]);
    const bool tie = key == cut.bound && cut.ties > 0;
    if (tie) --cut.ties;
    y[i] = tie || key > cut.bound ? x[i] : Value{0};
  };
  std::int64_t i = 0;
  for (; i + step <= n; i += step) {
    const auto key = load_key_vector(d, x + i);
    auto wins = hn::Gt(key, bound);
    if (cut.ties > 0) {
      const auto tied = hn::Eq(key, bound);
      const auto count = static_cast<std::int64_t>(hn::CountTrue(d, tied));
      if (count > cut.ties) {
        for (std::int64_t j = i; j < i + step; ++j) one(j);
        continue;
      }
      wins = hn::Or(wins, tied);
      cut.ties -= count;
    }
    const auto kept = hn::IfThenElseZero(wins, hn::BitCast(d, hn::LoadU(values, x + i)));
    hn::StoreU(hn::BitCast(values, kept), values, y + i);
  }
  for (; i < n; ++i) one(i);
}

}  // namespace taut::sparsity::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TAUT_SPARSITY_KEYS_INL_H
