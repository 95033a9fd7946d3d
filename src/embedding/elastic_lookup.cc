// Pooled lookups of an elastic table: rows are asked for, found and added in turns of a few, each
// some rows behind the one before, so that memory is on its way meanwhile.
#include <algorithm>

#include "elastic_form.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "embedding/elastic_lookup.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/highway.h>

#include "page_kernels-inl.h"
#include "row_kernels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace taut::embedding::HWY_NAMESPACE {

// A row whose pages are on their way.
struct AskedRow {
  std::uint64_t key;
  KeyPages where;
};

// A row whose values and scale are on their way. One that is not held has no chunks, and points
// to what can be read.
struct FoundRow {
  const std::uint8_t* values;
  const std::uint8_t* scale;  // its ScaleCode
  std::int32_t width;         // chunks
  bool precise;
};

// What held rows of a kind of storage are read by.
template <Storage kLow>
class RowReader {
 public:
  explicit RowReader(const PageLayout& layout)
      : shape_(layout), chunk_(layout.chunk), chunks_(layout.chunks) {}

  HWY_INLINE void find(const AskedRow& asked, const ShardView& shard, FoundRow& found) const {
    const PageRow at = find_in_pages(asked.where, shape_, asked.key);
    const bool held = at.row >= 0;
    const int row = held ? at.row : 0;
    const RowShape shape = shape_of(at.page, row);
    const int bytes =
        shape.width * (shape.precise ? shape_.precise_chunk_bytes : shape_.chunk_bytes);
    found.values = held ? values_in_page(at.page, shape_, row) : at.page;
    found.width = held ? shape.width : 0;
    found.precise = shape.precise;
    prefetch_bytes(found.values, bytes);
    if constexpr (is_scaled(kLow)) {
      found.scale = at.page + PageLayout::kHeaderBytes +
                    rows_of(at.page) * PageLayout::kBytesBeforeScales + row;
      __builtin_prefetch(found.scale);
    }
    shard.prefetch_slots(asked.key, found.width);
  }

  // sums += weight * the chunks that the row holds.
  HWY_INLINE void add_held(const FoundRow& found, float weight, float* sums) const {
    const int size = found.width * chunk_;
    const Storage storage = found.precise ? Storage::kInt16 : kLow;
    const float scale = is_scaled(kLow) ? ScaleCode::step(*found.scale, storage) : 0.0f;
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
  template <Storage kStorage>
  static HWY_INLINE void add_values(const std::uint8_t* values, float scale, int size, float weight,
                                    float* out) {
    for_vectors(size, [&](auto d, auto lanes, int i) HWY_ATTR {
      add_to(d, lanes, decode<kStorage>(d, lanes, values, scale, i), weight, out + i);
    });
  }

#if HWY_TARGET <= HWY_AVX3
  using Block = hn::FixedTag<std::uint8_t, 16>;

  // The `bytes` bytes at `at`, 16 at most, and any behind them. Read from the one line where they
  // lie: a load that goes on into the next line, which nothing has asked for, would wait for it,
  // masked or not. No line is read that holds none of them.
  static HWY_INLINE hn::Vec<Block> read_block(const std::uint8_t* at, int bytes) {
    HWY_ALIGN static constexpr std::uint8_t kOrder[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10,
                                                          11, 12, 13, 14, 15, 0,  1,  2,  3,  4, 5,
                                                          6,  7,  8,  9,  10, 11, 12, 13, 14, 15};
    const auto left =
        kLineBytes - static_cast<int>(reinterpret_cast<std::uintptr_t>(at) % kLineBytes);
    const int skipped = bytes > left ? 0 : std::max(0, 16 - left);
    const auto block = hn::LoadU(Block(), at - skipped);
    return hn::TableLookupBytes(block, hn::LoadU(Block(), kOrder + skipped));
  }

  // sums [16] += weight * the first `some` of 16 values, read as bytes, or as words if precise.
  static HWY_INLINE void add_sixteen(hn::Vec<Block> first, hn::Vec<Block> rest, bool precise,
                                     float scale, int some, float weight, float* sums) {
    const hn::CappedTag<float, 16> d;
    const Integers<decltype(d)> integers;
    const hn::Rebind<std::int16_t, decltype(d)> shorts;
    const hn::Rebind<std::int8_t, decltype(d)> bytes;
    const hn::Half<decltype(shorts)> half;
    const auto both = hn::Combine(shorts, hn::BitCast(half, rest), hn::BitCast(half, first));
    const auto wide = hn::PromoteTo(integers, both);
    const auto narrow = hn::PromoteTo(integers, hn::BitCast(bytes, first));
    const auto whole = hn::IfThenElse(hn::FirstN(integers, precise ? 16 : 0), wide, narrow);
    const auto values = hn::Mul(hn::ConvertTo(d, whole), hn::Set(d, scale));
    const auto sum = hn::Load(d, sums);
    const auto grown = hn::Add(sum, hn::Mul(hn::Set(d, weight), values));
    hn::Store(hn::IfThenElse(hn::FirstN(d, static_cast<std::size_t>(some)), grown, sum), d, sums);
  }

  // Which rows are precise cannot be foretold, so both readings are made.
  static HWY_INLINE void add_integers(const FoundRow& found, float scale, int size, float weight,
                                      float* sums) {
    const int shift = found.precise ? 1 : 0;
    const std::uint8_t* at = found.values;
    for (; size > 16; size -= 16, at += 16 << shift, sums += 16) {
      add_sixteen(hn::LoadU(Block(), at), hn::LoadU(Block(), at + 16 * shift), found.precise, scale,
                  16, weight, sums);
    }
    const int bytes = size << shift;
    const auto first = read_block(at, std::min(bytes, 16));
    const auto rest = read_block(bytes > 16 ? at + 16 : at, std::max(bytes - 16, 0));
    add_sixteen(first, rest, found.precise, scale, size, weight, sums);
  }
#else
  static HWY_INLINE void add_integers(const FoundRow& found, float scale, int size, float weight,
                                      float* sums) {
    if (found.precise) {
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

template <Storage kLow>
void add_bags(const ElasticReader& reader, std::span<const JaggedIds> tables, const BagRange& range,
              std::size_t dim, float* sums) {
  constexpr std::size_t kBlock = 4;   // rows that are asked for, found and added in turn
  constexpr std::size_t kAsked = 32;  // room for rows whose pages are on their way,
  constexpr std::size_t kAhead = 20;  // so many ahead,
  constexpr std::size_t kFound = 16;  // and whose values are,
  constexpr std::size_t kNearer = 8;  // so many ahead
  const JaggedIds& table = tables[range.table];
  const std::size_t outputs = tables.size();
  const std::uint64_t* ids = table.ids.data();
  const float* weights = table.weights.empty() ? nullptr : table.weights.data();
  const auto* offsets = table.offsets.data();
  const auto first = static_cast<std::size_t>(offsets[range.first]);
  const auto end = static_cast<std::size_t>(offsets[range.end]);
  const ShardView* shards = reader.shards.data();
  const std::uint64_t shard_mask = reader.shards.size() - 1;
  const std::uint64_t salt = row_key_salt(range.table);
  const RowReader<kLow> rows(*reader.layout);
  const bool has_pool = std::ranges::any_of(reader.shards, &ShardView::has_pool);
  AskedRow asked_rows[kAsked];
  FoundRow found_rows[kFound];
  const auto shard_of = [&](std::uint64_t key) HWY_ATTR
      __attribute__((always_inline)) { return shards + (key & shard_mask); };
  std::size_t asked = first;
  std::size_t found = first;
  const auto ask = [&]() HWY_ATTR __attribute__((always_inline)) {
    for (const std::size_t last = std::min(end, asked + kBlock); asked < last; ++asked) {
      AskedRow& row = asked_rows[asked % kAsked];
      row.key = salted_row_key(salt, ids[asked]);
      shard_of(row.key)->ask(row.key, row.where);
    }
  };
  const auto find = [&]() HWY_ATTR __attribute__((always_inline)) {
    for (const std::size_t last = std::min(end, found + kBlock); found < last; ++found) {
      const AskedRow& row = asked_rows[found % kAsked];
      rows.find(row, *shard_of(row.key), found_rows[found % kFound]);
    }
  };
  for (std::size_t i = 0; i < kAhead; i += kBlock) ask();
  for (std::size_t i = 0; i < kNearer; i += kBlock) find();
  // A bag's sums grow here in whole vectors: what a masked store has written cannot be read again
  // at once.
  HWY_ALIGN float bag_sums[kLongestRow];
  const auto padded = static_cast<int>((dim + 15) / 16 * 16);
  std::size_t next = first;  // the first row of the next block
  for (std::int64_t bag = range.first; bag < range.end; ++bag) {
    float* out = sums + (static_cast<std::size_t>(bag) * outputs + range.table) * dim;
    fill_zeros(padded, bag_sums);
    const auto bag_end = static_cast<std::size_t>(offsets[bag + 1]);
    for (auto i = static_cast<std::size_t>(offsets[bag]); i < bag_end; ++i) {
      if (i == next) {
        ask();
        find();
        next += kBlock;
      }
      const float weight = weights == nullptr ? 1.0f : weights[i];
      const FoundRow& row = found_rows[i % kFound];
      rows.add_held(row, weight, bag_sums);
      if (has_pool) {
        const std::uint64_t key = asked_rows[i % kAsked].key;
        if (shard_of(key)->has_pool())
          rows.add_shared(*shard_of(key), key, row.width, weight, bag_sums);
      }
    }
    copy_values(bag_sums, static_cast<int>(dim), out);
  }
}

void lookup_bags(const ElasticReader& reader, std::span<const JaggedIds> tables,
                 const BagRange& range, std::size_t dim, float* sums) {
  with_storage(reader.layout->low,
               [&]<Storage kLow>() HWY_ATTR { add_bags<kLow>(reader, tables, range, dim, sums); });
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
