// Where rows may lie, some rows ahead, once for each instruction set: to be included after
// foreach_target.h. No `pragma once`: every instruction set reads it.
#if defined(TAUT_EMBEDDING_ASKED_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TAUT_EMBEDDING_ASKED_ROWS_INL_H
#undef TAUT_EMBEDDING_ASKED_ROWS_INL_H
#else
#define TAUT_EMBEDDING_ASKED_ROWS_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "elastic_shard.h"
#include "pooled_bags-inl.h"
#include "row_kernels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace taut::embedding::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Rows of a table whose pages are on their way, by numbers that begin with 0.
class AskedRows {
 public:
  static constexpr std::size_t kBlock = kPlacedTogether;
  static constexpr RowsAhead kAhead{.placed = 4 * kBlock, .asked = 20, .found = 8};
  static constexpr std::size_t kRoom = kAhead.placed_room();

  // shards: all of the table, a power of two. salt: row_key_salt().
  AskedRows(std::span<const ShardView> shards, std::uint64_t salt)
      : shards_(shards), salt_(salt), alike_(are_alike(shards)) {
    if (!alike_) return;
    const ShardSizes& sizes = shards_[0].sizes();
    granule_bits_ = static_cast<int>(sizes.granule_bits);
    upper_mask_ = (std::uint64_t{1} << (granule_bits_ - ShardView::kTagGranuleBits)) - 1;
    pages_ = static_cast<std::uint64_t>(sizes.pages);
    page_bytes_ = static_cast<std::uint64_t>(shards_[0].page_bytes(1) - shards_[0].page_bytes(0));
    for (std::size_t i = 0; i < shards_.size(); ++i) bases_[i] = shards_[i].page_bytes(0);
  }

  // Finds out where a block of rows may lie that begins with number `first`, a multiple of kBlock.
  // ids: theirs, at least one, and any behind them. Where it is the last one, rows of numbers
  // behind it lie anywhere.
  HWY_INLINE void place(std::span<const std::uint64_t> ids, std::size_t first) {
    const std::size_t at = first % kRoom;
    prefetch_ids(ids);
#if HWY_TARGET <= HWY_AVX3
    if (HWY_LIKELY(alike_)) {
      place_by_vectors(ids, at);
      return;
    }
#endif
    for (std::size_t i = 0; i < std::min(ids.size(), kBlock); ++i) {
      const std::uint64_t key = salted_row_key(salt_, ids[i]);
      const Candidates where = shard_of(key).candidates(key);
      keys_[at + i] = key;
      tags_[at + i] = where.tag[0];
      for (std::size_t k = 0; k < 2; ++k) {
        places_[k][at + i] = shard_of(key).page_bytes(where.page[k]);
      }
    }
  }
  // Asks for the pages of a row that has its place.
  HWY_INLINE void ask(std::size_t row) const {
    for (const auto& pages : places_) __builtin_prefetch(pages[row % kRoom]);
  }
  HWY_INLINE std::uint64_t key(std::size_t row) const { return keys_[row % kRoom]; }
  HWY_INLINE KeyPages where(std::size_t row) const {
    const std::size_t at = row % kRoom;
    const auto tag = static_cast<std::uint16_t>(tags_[at]);
    return {.pages = {places_[0][at], places_[1][at]},
            .tags = {tag, static_cast<std::uint16_t>(tag | 1)}};
  }
  HWY_INLINE const ShardView& shard(std::size_t row) const { return shard_of(key(row)); }

 private:
  static constexpr std::size_t kMostShards = 64;  // whose rows are placed by vectors

  HWY_INLINE const ShardView& shard_of(std::uint64_t key) const {
    return shards_[key & (shards_.size() - 1)];
  }

  // All shards are divided alike, and a granule's page is found without a product of 128 bits.
  static bool are_alike(std::span<const ShardView> shards) {
    const ShardSizes& sizes = shards[0].sizes();
    return shards.size() <= kMostShards &&
           sizes.granule_bits + std::bit_width(static_cast<std::uint64_t>(sizes.pages)) <= 64 &&
           std::ranges::all_of(shards, [&](const ShardView& shard) {
             return shard.sizes().pages == sizes.pages &&
                    shard.sizes().granule_bits == sizes.granule_bits;
           });
  }

#if HWY_TARGET <= HWY_AVX3
  // ShardView::candidates() of each.
  HWY_INLINE void place_by_vectors(std::span<const std::uint64_t> ids, std::size_t at) {
    const hn::CappedTag<std::uint64_t, kBlock> d;
    const hn::RebindToSigned<decltype(d)> s;
    static_assert(hn::MaxLanes(d) == kBlock);
    const auto id = HWY_LIKELY(ids.size() >= kBlock)
                        ? hn::LoadU(d, ids.data())
                        : hn::MaskedLoad(hn::FirstN(d, ids.size()), d, ids.data());
    const auto key = mixed(d, hn::Xor(id, hn::Set(d, salt_)));
    hn::Store(key, d, keys_ + at);
    const auto granule = hn::ShiftRightSame(key, 64 - granule_bits_);
    const auto low = hn::And(granule, hn::Set(d, ShardView::kTagGranules - 1));
    hn::Store(hn::Add(low, low), d, tags_ + at);
    const auto upper = hn::And(mixed(d, low), hn::Set(d, upper_mask_));
    const auto other = hn::Xor(granule, hn::ShiftLeft<ShardView::kTagGranuleBits>(upper));
    const auto shard = hn::And(key, hn::Set(d, shards_.size() - 1));
    const auto base =
        hn::GatherIndex(d, reinterpret_cast<const std::uint64_t*>(bases_), hn::BitCast(s, shard));
    const auto place_of = [&](hn::Vec<decltype(d)> name) HWY_ATTR __attribute__((always_inline)) {
      const auto product = hn::Mul(name, hn::Set(d, pages_));
      const auto page = hn::ShiftRightSame(product, granule_bits_);
      return hn::Add(base, hn::Mul(page, hn::Set(d, page_bytes_)));
    };
    hn::Store(place_of(granule), d, reinterpret_cast<std::uint64_t*>(places_[0] + at));
    hn::Store(place_of(other), d, reinterpret_cast<std::uint64_t*>(places_[1] + at));
  }
#endif

  std::span<const ShardView> shards_;
  std::uint64_t salt_;
  bool alike_;
  // Of every shard, where they are alike:
  int granule_bits_ = 0;
  std::uint64_t upper_mask_ = 0;
  std::uint64_t pages_ = 0;
  std::uint64_t page_bytes_ = 0;
  const std::uint8_t* bases_[kMostShards];
  // Of rows: keys, both pages, the tag in the first one.
  HWY_ALIGN std::uint64_t keys_[kRoom];
  HWY_ALIGN const std::uint8_t* places_[2][kRoom];
  HWY_ALIGN std::uint64_t tags_[kRoom];
};

}  // namespace taut::embedding::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
