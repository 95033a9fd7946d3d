// Pooled lookups of an elastic table: rows are asked for, found and added in one loop, each some
// rows behind the one before, so that memory is on its way meanwhile.
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
  const ShardView* shard;
  std::uint64_t key;
  KeyPages where;
};

// A row whose values are on their way.
struct FoundRow {
  const std::uint8_t* values;
  const ShardView* shard;
  std::uint64_t key;
  float scale;
  std::int32_t width;  // chunks; 0: not held
  bool precise;
};

HWY_INLINE void ask_row(const ElasticReader& reader, std::uint64_t key, AskedRow& asked) {
  asked.shard = &reader.shards[reader.shard_of(key)];
  asked.key = key;
  asked.shard->ask(key, asked.where);
}

template <Storage kLow>
HWY_INLINE void find_row(const AskedRow& asked, const PageShape& shape, FoundRow& found) {
  const PageRow at = find_in_pages(asked.where, shape, asked.key);
  found.shard = asked.shard;
  found.key = asked.key;
  found.values = nullptr;
  found.scale = 0;
  found.width = 0;
  found.precise = false;
  if (at.row < 0) {
    found.shard->prefetch_slots(found.key, 0);
    return;
  }
  const RowShape held = shape_of(at.page, at.row);
  found.width = held.width;
  found.precise = held.precise;
  found.values = values_in_page(at.page, shape, at.row);
  const int bytes = found.width * (found.precise ? shape.precise_chunk_bytes : shape.chunk_bytes);
  for (int line = 0; line < bytes; line += 64) __builtin_prefetch(found.values + line);
  found.shard->prefetch_slots(found.key, found.width);
  if constexpr (is_scaled(kLow)) {
    const std::uint8_t code = at.page[PageLayout::kHeaderBytes +
                                      rows_of(at.page) * PageLayout::kBytesBeforeScales + at.row];
    found.scale = ScaleCode::step(code, found.precise ? Storage::kInt16 : kLow);
  }
}

template <Storage kStorage>
HWY_INLINE void add_values(const std::uint8_t* values, float scale, int size, float weight,
                           float* out) {
  for_vectors(size, [&](auto d, auto lanes, int i) HWY_ATTR {
    add_to(d, lanes, decode<kStorage>(d, lanes, values, scale, i), weight, out + i);
  });
}

template <Storage kLow>
HWY_INLINE void add_row(const FoundRow& row, const PageLayout& layout, float weight, float* out) {
  const int size = row.width * layout.chunk;
  const bool precise = kLow == Storage::kInt8 && row.precise;  // others are not mixed
  if (precise) {
    add_values<Storage::kInt16>(row.values, row.scale, size, weight, out);
  } else {
    add_values<kLow>(row.values, row.scale, size, weight, out);
  }
  if (!row.shard->has_pool()) return;
  for (int chunk = row.width; chunk < layout.chunks; ++chunk) {
    const std::uint8_t* slot = row.shard->pool_slot(row.key, chunk);
    add_values<kLow>(slot + ShardView::kSlotHeadBytes, ScaleCode::step(slot[0], kLow), layout.chunk,
                     weight, out + chunk * layout.chunk);
  }
}

template <Storage kLow>
void add_bags(const ElasticReader& reader, std::span<const JaggedIds> tables, const BagRange& range,
              std::size_t dim, float* sums) {
  constexpr std::size_t kAsked = 16;  // rows whose pages are on their way
  constexpr std::size_t kFound = 8;   // rows whose values are
  const PageLayout& layout = *reader.layout;
  const JaggedIds& table = tables[range.table];
  const auto* offsets = table.offsets.data();
  const auto first = static_cast<std::size_t>(offsets[range.first]);
  const auto end = static_cast<std::size_t>(offsets[range.end]);
  const PageShape shape(layout);
  AskedRow asked_rows[kAsked];
  FoundRow found_rows[kFound];
  std::size_t asked = first;
  std::size_t found = first;
  const auto ask = [&]() HWY_ATTR __attribute__((always_inline)) {
    const std::uint64_t id = table.ids[asked];
    ask_row(reader, reader.key(range.table, id), asked_rows[asked % kAsked]);
    ++asked;
  };
  const auto find = [&]() HWY_ATTR __attribute__((always_inline)) {
    find_row<kLow>(asked_rows[found % kAsked], shape, found_rows[found % kFound]);
    ++found;
  };
  while (asked < end && asked - first < kAsked) ask();
  while (found < end && found - first < kFound) find();
  for (std::int64_t bag = range.first; bag < range.end; ++bag) {
    float* out = sums + (static_cast<std::size_t>(bag) * tables.size() + range.table) * dim;
    fill_zeros(static_cast<int>(dim), out);
    const auto bag_end = static_cast<std::size_t>(offsets[bag + 1]);
    for (auto i = static_cast<std::size_t>(offsets[bag]); i < bag_end; ++i) {
      const float weight = table.weights.empty() ? 1.0f : table.weights[i];
      add_row<kLow>(found_rows[i % kFound], layout, weight, out);
      if (found < end) find();
      if (asked < end) ask();
    }
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
