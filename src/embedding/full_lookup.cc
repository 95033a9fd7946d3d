// Pooled lookups of a full table: buckets of keys are asked for, then rows, then these are added.
#include "full_form.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "embedding/full_lookup.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/highway.h>

#include "pooled_bags-inl.h"
#include "row_kernels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace taut::embedding::HWY_NAMESPACE {

// FullBuckets::find(): the keys of a bucket are compared at once.
HWY_INLINE std::uint32_t number_of(const FullBuckets& index, std::uint64_t key) {
#if HWY_TARGET <= HWY_AVX3
  const hn::CappedTag<std::uint64_t, sizeof(FullBucket) / sizeof(std::uint64_t)> d;
  static_assert(hn::MaxLanes(d) * sizeof(std::uint64_t) == sizeof(FullBucket));
  const auto wanted = hn::Set(d, key);
  for (std::uint64_t at = index.home(key);; at = index.after(at)) {
    const FullBucket& bucket = index.buckets[at];
    const auto equal = hn::Eq(hn::Load(d, bucket.keys), wanted);
    const auto found = hn::FindFirstTrue(d, hn::And(equal, hn::FirstN(d, bucket.size)));
    if (HWY_LIKELY(found >= 0)) return bucket.rows[found];
    if (bucket.size < FullBucket::kRoom) return FullBuckets::kNone;
  }
#else
  return index.find(key);
#endif
}

HWY_INLINE std::uint32_t number_of(const FullSlots& index, std::uint64_t key) {
  return index.find(key);
}

// Rows of a full table, as pooled_bags() has them.
template <Storage kStorage, typename Index>
class FullRows {
 public:
  static constexpr bool kReadOnce = false;
  static constexpr RowsAhead kAhead{.placed = 96, .asked = 80, .found = 40};

  FullRows(const FullReader<Index>& reader, std::size_t table)
      : reader_(reader),
        salt_(row_key_salt(table)),
        size_(reader.format.size()),
        head_bytes_(reader.format.state_bytes()),
        bytes_(reader.format.row_bytes() - head_bytes_) {}

  HWY_INLINE void place(std::span<const std::uint64_t> ids, std::size_t row) {
    std::uint64_t* keys = keys_ + row % kAhead.placed_room();
    prefetch_ids(ids);
#if HWY_TARGET <= HWY_AVX3
    const hn::CappedTag<std::uint64_t, kPlacedTogether> d;
    if (HWY_LIKELY(ids.size() >= kPlacedTogether)) {
      hn::Store(mixed(d, hn::Xor(hn::LoadU(d, ids.data()), hn::Set(d, salt_))), d, keys);
      return;
    }
#endif
    const std::size_t count = std::min(ids.size(), kPlacedTogether);
    for (std::size_t i = 0; i < count; ++i) keys[i] = salted_row_key(salt_, ids[i]);
  }
  HWY_INLINE void ask(std::size_t row) const {
    const std::uint64_t key = keys_[row % kAhead.placed_room()];
    reader_.shards[reader_.shard_of(key)].index.prefetch(key);
  }
  HWY_INLINE void find(std::size_t row) {
    const std::uint64_t key = keys_[row % kAhead.placed_room()];
    const FullView<Index>& shard = reader_.shards[reader_.shard_of(key)];
    const std::uint32_t number = number_of(shard.index, key);
    const std::uint8_t*& found = found_[row % kAhead.found_room()];
    found = nullptr;
    if (HWY_UNLIKELY(number == Index::kNone)) return;
    found = shard.row(number) + head_bytes_;
    prefetch_bytes(found, bytes_);
  }
  HWY_INLINE void add(std::size_t row, float weight, float* sums) const {
    const std::uint8_t* found = found_[row % kAhead.found_room()];
    if (HWY_UNLIKELY(found == nullptr)) {
      add_initial(keys_[row % kAhead.placed_room()], weight, sums);
      return;
    }
    const float scale = is_scaled(kStorage) ? ScaleCode::step(*found, kStorage) : 0.0f;
    add_values<kStorage>(found + (is_scaled(kStorage) ? 1 : 0), scale, size_, weight, sums);
  }

 private:
  HWY_NOINLINE void add_initial(std::uint64_t key, float weight, float* sums) const {
    HWY_ALIGN float values[kLongestRow];
    initial_range(reader_.seed, key, 0, size_, initial_bound(size_), values);
    add_values<Storage::kFloat32>(reinterpret_cast<const std::uint8_t*>(values), 0.0f, size_,
                                  weight, sums);
  }

  const FullReader<Index>& reader_;
  const std::uint64_t salt_;
  const int size_;
  const int head_bytes_;  // before what a lookup reads
  const int bytes_;       // that it reads
  HWY_ALIGN std::uint64_t keys_[kAhead.placed_room()];
  const std::uint8_t*
      found_[kAhead.found_room()];  // scale code, where there is one, and values; or null
};

template <typename Index>
void add_full_bags(const FullReader<Index>& reader, std::span<const JaggedIds> tables,
                   const BagRange& range, std::size_t dim, float* sums) {
  const std::span<const float> weights = tables[range.table].weights;
  with_storage(reader.format.storage(), [&]<Storage kStorage>() HWY_ATTR {
    FullRows<kStorage, Index> rows(reader, range.table);
    pooled_bags(rows, tables, range, weights.empty() ? nullptr : weights.data(), dim, sums);
  });
}

void lookup_in_buckets(const FullReader<FullBuckets>& reader, std::span<const JaggedIds> tables,
                       const BagRange& range, std::size_t dim, float* sums) {
  add_full_bags(reader, tables, range, dim, sums);
}

void lookup_in_slots(const FullReader<FullSlots>& reader, std::span<const JaggedIds> tables,
                     const BagRange& range, std::size_t dim, float* sums) {
  add_full_bags(reader, tables, range, dim, sums);
}

}  // namespace taut::embedding::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::embedding {

HWY_EXPORT(lookup_in_buckets);
HWY_EXPORT(lookup_in_slots);

void pooled_lookup(const FullReader<FullBuckets>& reader, std::span<const JaggedIds> tables,
                   std::int64_t batch, int dim, std::span<float> out, ThreadPool* pool) {
  for_bag_ranges(tables.size(), batch, pool, [&](const BagRange& range) {
    HWY_DYNAMIC_DISPATCH(lookup_in_buckets)
    (reader, tables, range, static_cast<std::size_t>(dim), out.data());
  });
}

void pooled_lookup(const FullReader<FullSlots>& reader, std::span<const JaggedIds> tables,
                   std::int64_t batch, int dim, std::span<float> out, ThreadPool* pool) {
  for_bag_ranges(tables.size(), batch, pool, [&](const BagRange& range) {
    HWY_DYNAMIC_DISPATCH(lookup_in_slots)
    (reader, tables, range, static_cast<std::size_t>(dim), out.data());
  });
}

}  // namespace taut::embedding
#endif  // HWY_ONCE
