// The exact selection in many short rows, as positions choose among their channels: the searches of
// several rows take turns, so that none waits for its own comparisons. Highway code: included once
// for each instruction set.

#if defined(TAUT_SPARSITY_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TAUT_SPARSITY_ROWS_INL_H
#undef TAUT_SPARSITY_ROWS_INL_H
#else
#define TAUT_SPARSITY_ROWS_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "sparsity/keys-inl.h"
#include "taut/core/aligned_buffer.h"

HWY_BEFORE_NAMESPACE();
namespace taut::sparsity::HWY_NAMESPACE {

// Finds the cuts of the k largest of up to rows() rows of n values.
template <typename Value>
class RowCutter {
 public:
  using Key = KeyOf<Value>;
  static constexpr int kMostRows = 64;
  // Above, a sample tells more than a first guess does (select_largest).
  static constexpr std::int64_t kLongestRow = 1024;

  // Requires 0 < k < n.
  RowCutter(std::int64_t n, std::int64_t k)
      : n_(n),
        k_(k),
        padded_(padded_size<Key>(n)),
        rows_(static_cast<int>(std::clamp<std::int64_t>(kCachedKeys / padded_, kGroup, kMostRows)) /
              kGroup * kGroup),
        keys_(static_cast<std::size_t>(rows_ * padded_)) {}

  [[nodiscard]] int rows() const { return rows_; }

  // cuts [rows] of x [rows, stride].
  void find(const Value* x, std::int64_t stride, int rows, Cut<Key>* cuts) {
    const auto k = static_cast<std::int32_t>(k_);
    for (int row = 0; row < rows_; ++row) start(row, x + row * stride, row < rows);
    for (int step = 0;; ++step) {
      HWY_ALIGN std::int32_t searching[kMostRows + kGroup];  // a store may reach behind the rows
      const std::size_t count = split(step, searching);
      if (count == 0) break;
      for (std::size_t i = 0; i < count; ++i) {
        const std::int32_t row = searching[i];
        above_[row] = keys_above(keys_.data() + row * padded_, static_cast<Key>(split_[row]));
      }
      narrow();
    }
    for (int row = 0; row < rows; ++row) {
      guess_[row] = high_[row];
      cuts[row] = {static_cast<Key>(high_[row]), k - above_high_[row]};
    }
  }

 private:
  static constexpr int kGroup = 16;  // rows of a vector, or of some
  // Keys at hand: the more rows, the more there is to do while a count is waited for.
  static constexpr std::int64_t kCachedKeys = 4096;
  using Lane = hn::CappedTag<std::int32_t, kGroup>;
  using Number = hn::RebindToFloat<Lane>;
  // Keys are the upper bits of a float.
  static constexpr int kShift = sizeof(Key) == 4 ? 0 : 16;
  static constexpr int kGuesses = 12;  // then splits in the middle of the keys, which always end

  static std::int64_t lanes() { return static_cast<std::int64_t>(hn::Lanes(Lane())); }
  static hn::Vec<Number> number(hn::Vec<Lane> key) {
    return hn::BitCast(Number(), hn::ShiftLeft<kShift>(key));
  }

  // As count_above; long rows are counted in vectors. n is at most kLongestRow: no lane overflows.
  std::int32_t keys_above(const Key* keys, Key bound) const {
    constexpr std::int64_t kShortVectors = 16;
    const std::int64_t step = lanes_of<Key>();
    if (padded_ < kShortVectors * step) {
      return static_cast<std::int32_t>(count_above(keys, padded_, bound));
    }
    const hn::ScalableTag<Key> d;
    const auto bounds = hn::Set(d, bound);
    const auto one = hn::Set(d, Key{1});
    auto even = hn::Zero(d);
    auto odd = hn::Zero(d);
    for (std::int64_t i = 0; i < padded_; i += 2 * step) {
      even = hn::IfThenElse(hn::Gt(hn::Load(d, keys + i), bounds), hn::Add(even, one), even);
      odd = hn::IfThenElse(hn::Gt(hn::Load(d, keys + i + step), bounds), hn::Add(odd, one), odd);
    }
    return hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
  }
  // Nearly the square root of a count and a half: only a guess is made from it.
  static hn::Vec<Number> root_of(hn::Vec<Lane> count) {
    const Number d;
    const auto x = hn::Add(hn::ConvertTo(d, count), hn::Set(d, 0.5f));
    return hn::Mul(x, hn::ApproximateReciprocalSqrt(x));
  }

  // Begins the search in a row: more than k keys are above low, fewer above high.
  void start(int row, const Value* x, bool present) {
    low_[row] = high_[row] = 0;  // found: whatever is not zero wins
    above_low_[row] = above_high_[row] = static_cast<std::int32_t>(k_);
    if (!present) return;
    Key* keys = keys_.data() + row * padded_;
    const Key largest = load_keys(x, n_, keys);
    const std::int32_t nonzeros = keys_above(keys, Key{0});
    if (nonzeros <= k_) return;
    high_[row] = largest;
    above_low_[row] = nonzeros;
    above_high_[row] = 0;
  }

  // Chooses where to split each row that is searched; returns how many these are and their numbers.
  // First where the row before was cut, then where the line would be if the square root of the
  // count fell evenly with the number, as it nearly does in the tail of a normal distribution.
  std::size_t split(int step, std::int32_t* searching) {
    const Lane d;
    const auto one = hn::Set(d, 1);
    const auto wanted = root_of(hn::Set(d, static_cast<std::int32_t>(k_)));
    std::size_t count = 0;
    for (std::int64_t row = 0; row < rows_; row += lanes()) {
      const auto low = hn::Load(d, low_ + row);
      const auto high = hn::Load(d, high_ + row);
      const auto open = hn::Gt(hn::Sub(high, low), one);
      count += hn::CompressStore(hn::Iota(d, static_cast<std::int32_t>(row)), open, d,
                                 searching + count);
      auto key = hn::Add(low, hn::ShiftRight<1>(hn::Sub(high, low)));
      if (step < kGuesses) {
        const auto most = root_of(hn::Load(d, above_low_ + row));
        const auto least = root_of(hn::Load(d, above_high_ + row));
        const auto share =
            hn::Mul(hn::Sub(most, wanted), hn::ApproximateReciprocal(hn::Sub(most, least)));
        const auto from = number(low);
        const auto to = number(high);
        const auto at = hn::MulAdd(hn::Sub(to, from), share, from);
        const auto inside = hn::And(hn::Gt(at, from), hn::Lt(at, to));  // neither NaN nor infinity
        const auto guess = hn::ShiftRight<kShift>(hn::BitCast(d, at));
        key = hn::IfThenElse(hn::RebindMask(d, inside), guess, key);
      }
      if (step == 0) {
        const auto before = hn::Load(d, guess_ + row);
        key = hn::IfThenElse(hn::And(hn::Gt(before, low), hn::Lt(before, high)), before, key);
      }
      key = hn::Min(hn::Max(key, hn::Add(low, one)), hn::Sub(high, one));
      hn::Store(key, d, split_ + row);
    }
    return count;
  }

  // Takes the counts above the splits in. A split with k keys above it is the end.
  void narrow() {
    const Lane d;
    const auto one = hn::Set(d, 1);
    const auto k = hn::Set(d, static_cast<std::int32_t>(k_));
    for (std::int64_t row = 0; row < rows_; row += lanes()) {
      const auto low = hn::Load(d, low_ + row);
      const auto high = hn::Load(d, high_ + row);
      const auto key = hn::Load(d, split_ + row);
      const auto above = hn::Load(d, above_ + row);
      const auto open = hn::Gt(hn::Sub(high, low), one);
      const auto raise = hn::And(open, hn::Not(hn::Lt(above, k)));
      const auto lower = hn::And(open, hn::Not(hn::Gt(above, k)));
      hn::Store(hn::IfThenElse(raise, key, low), d, low_ + row);
      hn::Store(hn::IfThenElse(lower, key, high), d, high_ + row);
      hn::Store(hn::IfThenElse(raise, above, hn::Load(d, above_low_ + row)), d, above_low_ + row);
      hn::Store(hn::IfThenElse(lower, above, hn::Load(d, above_high_ + row)), d, above_high_ + row);
    }
  }

  std::int64_t n_;
  std::int64_t k_;
  std::int64_t padded_;
  int rows_;
  AlignedBuffer<Key> keys_;  // [rows, padded]
  // By row. Keys above high and the first ties at it win when the search is over.
  HWY_ALIGN std::int32_t low_[kMostRows] = {};
  HWY_ALIGN std::int32_t high_[kMostRows] = {};
  HWY_ALIGN std::int32_t above_low_[kMostRows] = {};   // keys above low
  HWY_ALIGN std::int32_t above_high_[kMostRows] = {};  // and above high
  HWY_ALIGN std::int32_t split_[kMostRows] = {};
  HWY_ALIGN std::int32_t above_[kMostRows] = {};
  HWY_ALIGN std::int32_t guess_[kMostRows] = {};
};

}  // namespace taut::sparsity::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TAUT_SPARSITY_ROWS_INL_H
