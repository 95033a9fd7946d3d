// Pooled lookups of an elastic table: rows are asked for, found and added in turn, each some rows
// behind the one before, so that memory is on its way meanwhile.
#include <algorithm>

#include "elastic_form.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "embedding/elastic_lookup.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/highway.h>

#include "asked_rows-inl.h"
#include "page_kernels-inl.h"
#include "pooled_bags-inl.h"
#include "row_kernels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace taut::embedding::HWY_NAMESPACE {

// A row whose values and scale are on their way. One that is not held has no chunks, and points
// to what can be read.
struct FoundRow {
  const std::uint8_t* values;
  const std::uint8_t* scale;  // its ScaleCode
  std::int32_t width;         // chunks
  std::int32_t precise;       // 0 or 1
};

// prefetch_bytes() of rows that have `most` bytes at most: without a branch where these are few, as
// how many lines a row lies in cannot be foretold.
HWY_INLINE void prefetch_row(const std::uint8_t* at, int bytes, int most) {
  if (most > 2 * kLineBytes) {
    prefetch_bytes(at, bytes);
    return;
  }
  __builtin_prefetch(at);
  if (most > kLineBytes) __builtin_prefetch(at + bytes / 2);
  __builtin_prefetch(at + bytes - 1);
}

// What held rows of a kind of storage are read by.
template <Storage kLow>
class RowReader {
 public:
  explicit RowReader(const PageLayout& layout)
      : shape_(layout), chunk_(layout.chunk), chunks_(layout.chunks) {}

  HWY_INLINE void find(const KeyPages& where, std::uint64_t key, FoundRow& found) const {
    const PageRow at = find_in_pages(where, shape_, key);
    const int held = ~(at.row >> 31);  // all bits, or none
    const int row = at.row & held;
    const RowShape shape = shape_of(at.page, row);
    found.values = at.page + (values_offset(at.page, shape_, row) & held);
    found.width = shape.width & held;
    found.precise = shape.precise;
    prefetch_row(found.values, shape_.bytes_of(shape), shape_.most_bytes);
    if constexpr (is_scaled(kLow)) {
      found.scale = at.page + PageLayout::kHeaderBytes +
                    rows_of(at.page) * PageLayout::kBytesBeforeScales + row;
      __builtin_prefetch(found.scale);
    }
  }

  // sums += weight * the chunks that the row holds.
  HWY_INLINE void add_held(const FoundRow& found, float weight, float* sums) const {
    const int size = found.width * chunk_;
    const int wide = kLow == Storage::kInt16 ? 1 : found.precise;
    const float scale = is_scaled(kLow) ? ScaleCode::step(*found.scale, wide) : 0.0f;
    if constexpr (kLow == Storage::kInt8) {  // alone or mixed with 16 bits
      add_integers(found, scale, size, weight, sums);
    } else {
      add_values<kLow>(found.values, scale, size, weight, sums);
    }
  }

  // sums += weight * the shared chunks that a row of this width reads.
  HWY_INLINE void add_shared(const ShardView& shard, std::uint64_t key, int width, float weight,
                             float* sums) const {
    for (int chunk = width; chunk < chunks_; ++chunk) {
      const std::uint8_t* slot = shard.pool_slot(key, chunk);
      add_values<kLow>(slot + ShardView::kSlotHeadBytes, ScaleCode::step(slot[0], kLow), chunk_,
                       weight, sums + chunk * chunk_);
    }
  }

 private:
#if HWY_TARGET <= HWY_AVX3
  using Sixteen = hn::CappedTag<float, 16>;
  using Whole = hn::Vec<Integers<Sixteen>>;  // values before they are scaled

  // How far before `at` to begin, so that a load of so many bytes stays in the lines where `at` and
  // `last` lie: one that goes on into the next line, which nothing has asked for, would wait for
  // it, masked or not. Nothing outside of these lines is read, and where the two are different
  // ones, nothing before `at`. At most load_bytes - 1.
  static HWY_INLINE int bytes_before(std::uintptr_t at, std::uintptr_t last, int load_bytes) {
    const std::uintptr_t latest =
        (last | (kLineBytes - 1)) - (static_cast<unsigned>(load_bytes) - 1);
    return static_cast<int>(at - std::min(at, latest));
  }

  // The vector from lane `skipped` on; then lanes of no meaning.
  static HWY_INLINE Whole from_lane(Whole values, int skipped) {
    HWY_ALIGN static constexpr std::int32_t kOrder[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10,
                                                          11, 12, 13, 14, 15, 0,  1,  2,  3,  4, 5,
                                                          6,  7,  8,  9,  10, 11, 12, 13, 14, 15};
    const Integers<Sixteen> d;
    return hn::TableLookupLanes(values, hn::IndicesFromVec(d, hn::LoadU(d, kOrder + skipped)));
  }

  // 16 values that begin at one of the two. Which rows are precise cannot be foretold, so both
  // readings are made, and one of them is of no meaning.
  static HWY_INLINE Whole read_either(int precise, const std::uint8_t* narrow,
                                      const std::uint8_t* wide) {
    const Integers<Sixteen> d;
    const auto* bytes = reinterpret_cast<const std::int8_t*>(narrow);
    const auto* shorts = reinterpret_cast<const std::int16_t*>(wide);
    const auto narrow_values =
        hn::PromoteTo(d, hn::LoadU(hn::Rebind<std::int8_t, Sixteen>(), bytes));
    const auto wide_values =
        hn::PromoteTo(d, hn::LoadU(hn::Rebind<std::int16_t, Sixteen>(), shorts));
    const auto all = hn::FirstN(d, static_cast<std::size_t>(precise) * 16);
    return hn::IfThenElse(all, wide_values, narrow_values);
  }

  // The last values of a row, 16 at most, from `at` to the byte `last`.
  static HWY_INLINE Whole read_last(const std::uint8_t* at, std::uintptr_t last, int precise) {
    const auto begin = reinterpret_cast<std::uintptr_t>(at);
    const int narrow = bytes_before(begin, last, 16);
    // Even, as values of two bytes are: where it is odd the row does not reach the line's end.
    const int wide = (bytes_before(begin, last, 32) + 1) & ~1;
    return from_lane(read_either(precise, at - narrow, at - wide),
                     chosen(precise, narrow, wide / 2));
  }

  // sums [16] += weight * scale * the first `some` values.
  static HWY_INLINE void add_sixteen(Whole whole, float scale, int some, float weight,
                                     float* sums) {
    const Sixteen d;
    const auto values = hn::Mul(hn::ConvertTo(d, whole), hn::Set(d, scale));
    const auto sum = hn::Load(d, sums);
    const auto grown = hn::Add(sum, hn::Mul(hn::Set(d, weight), values));
    hn::Store(hn::IfThenElse(hn::FirstN(d, static_cast<std::size_t>(some)), grown, sum), d, sums);
  }

  static HWY_INLINE void add_integers(const FoundRow& found, float scale, int size, float weight,
                                      float* sums) {
    const int shift = found.precise;
    const std::uint8_t* at = found.values;
    const std::uintptr_t last = reinterpret_cast<std::uintptr_t>(at) +
                                (static_cast<unsigned>(std::max(size, 1)) << shift) - 1;
    for (; size > 16; size -= 16, at += 16 << shift, sums += 16) {
      // Words are there in full; of bytes too few may be.
      const auto begin = reinterpret_cast<std::uintptr_t>(at);
      const Whole values = read_either(found.precise, at, at - bytes_before(begin, last, 32));
      add_sixteen(values, scale, 16, weight, sums);
    }
    add_sixteen(read_last(at, last, found.precise), scale, size, weight, sums);
  }
#else
  static HWY_INLINE void add_integers(const FoundRow& found, float scale, int size, float weight,
                                      float* sums) {
    if (found.precise != 0) {
      add_values<Storage::kInt16>(found.values, scale, size, weight, sums);
    } else {
      add_values<Storage::kInt8>(found.values, scale, size, weight, sums);
    }
  }
#endif

  const PageShape shape_;
  const int chunk_;
  const int chunks_;
};

// Rows of an elastic table, as pooled_bags() has them. kPlain: no shard has a pool.
template <Storage kLow, bool kPlain>
class ElasticRows {
 public:
  static constexpr bool kReadOnce = true;
  static constexpr RowsAhead kAhead = AskedRows::kAhead;

  ElasticRows(const ElasticReader& reader, std::size_t table)
      : rows_(*reader.layout),
        has_pool_(std::ranges::any_of(reader.shards, &ShardView::has_pool)),
        asked_(reader.shards, row_key_salt(table)) {}

  HWY_INLINE void place(std::span<const std::uint64_t> ids, std::size_t row) {
    asked_.place(ids, row);
  }
  HWY_INLINE void ask(std::size_t row) const { asked_.ask(row); }
  HWY_INLINE void find(std::size_t row) {
    FoundRow& found = found_[row % kAhead.found_room()];
    rows_.find(asked_.where(row), asked_.key(row), found);
    if (!kPlain && has_pool_) asked_.shard(row).prefetch_slots(asked_.key(row), found.width);
  }
  HWY_INLINE void add(std::size_t row, float weight, float* sums) const {
    const FoundRow& found = found_[row % kAhead.found_room()];
    rows_.add_held(found, weight, sums);
    if (!kPlain && has_pool_ && asked_.shard(row).has_pool()) {
      rows_.add_shared(asked_.shard(row), asked_.key(row), found.width, weight, sums);
    }
  }

 private:
  const RowReader<kLow> rows_;
  const bool has_pool_;
  AskedRows asked_;
  FoundRow found_[kAhead.found_room()];
};

template <Storage kLow, bool kPlain>
void add_bags(const ElasticReader& reader, std::span<const JaggedIds> tables, const BagRange& range,
              std::size_t dim, float* sums) {
  const std::span<const float> weights = tables[range.table].weights;
  ElasticRows<kLow, kPlain> rows(reader, range.table);
  pooled_bags(rows, tables, range, kPlain || weights.empty() ? nullptr : weights.data(), dim, sums);
}

void lookup_bags(const ElasticReader& reader, std::span<const JaggedIds> tables,
                 const BagRange& range, std::size_t dim, float* sums) {
  with_storage(reader.layout->low, [&]<Storage kLow>() HWY_ATTR {
    if constexpr (kLow == Storage::kInt8) {
      if (tables[range.table].weights.empty() &&
          std::ranges::none_of(reader.shards, &ShardView::has_pool)) {
        add_bags<kLow, true>(reader, tables, range, dim, sums);
        return;
      }
    }
    add_bags<kLow, false>(reader, tables, range, dim, sums);
  });
}

}  // namespace taut::embedding::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::embedding {

HWY_EXPORT(lookup_bags);

void pooled_lookup(const ElasticReader& reader, std::span<const JaggedIds> tables,
                   std::int64_t batch, int dim, std::span<float> out, ThreadPool* pool) {
  for_bag_ranges(tables.size(), batch, pool, [&](const BagRange& range) {
    HWY_DYNAMIC_DISPATCH(lookup_bags)
    (reader, tables, range, static_cast<std::size_t>(dim), out.data());
  });
}

}  // namespace taut::embedding
#endif  // HWY_ONCE
