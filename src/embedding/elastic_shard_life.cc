// What happens to a whole shard: decay, taking over a checkpoint, giving up the sketch.
#include <algorithm>
#include <cstring>
#include <vector>

#include "elastic_shard.h"
#include "taut/core/error.h"
#include "taut/core/hash.h"

namespace taut::embedding {
namespace {

constexpr std::int64_t kTagGranules = std::int64_t{1} << 15;

// Lowers a code of PerOctave steps an octave; what falls below the grid is 0.
int lowered(int code, int octaves, int per_octave) noexcept {
  return std::max(0, code - octaves * per_octave);
}

}  // namespace

void ElasticShard::deflate(int octaves) {
  for (std::int64_t index = 0; index < sizes_.pages; ++index) {
    Page page = mutable_page(index);
    for (int row = 0, rows = page.rows(); row < rows; ++row) {
      RowState state = page.state(row);
      state.importance = lowered(state.importance, octaves, ImportanceCode::kPerOctave);
      page.set_state(row, state);
    }
  }
  std::uint8_t* counters = sketch();
  for (std::int64_t i = 0; i < sizes_.sketch_counters; ++i) {
    counters[i] = static_cast<std::uint8_t>(lowered(counters[i], octaves, SketchCode::kPerOctave));
  }
}

void ElasticShard::rehome(const PageView& from, std::int64_t index, std::int64_t old_pages,
                          const StepContext& context, RowRandom& random) {
  // The first granule of the page: page(g) = g * pages >> bits.
  const auto range = static_cast<std::int64_t>(1) << sizes_.granule_bits;
  const std::int64_t first = (index * range + old_pages - 1) / old_pages;
  for (int row = 0, rows = from.rows(); row < rows; ++row) {
    const std::int64_t low = from.tag(row) >> 1;
    const std::int64_t granule =
        first + ((low - first) % kTagGranules + kTagGranules) % kTagGranules;
    const std::int64_t target = granule * sizes_.pages >> sizes_.granule_bits;
    TAUT_ASSERT(target >= index && target < sizes_.pages);
    const RowState state = from.state(row);
    Page page = mutable_page(target);
    int none = -1;
    const float density = context.rule->chunk_density(ImportanceCode::value(state.importance), 1);
    const int bytes = layout_->overhead_bytes() + layout_->value_bytes(state);
    if (!make_room(page, bytes, density, none, context, random)) {
      ++counts_.evicted;
      continue;
    }
    const int moved = page.append(from.tag(row), layout_->exact ? from.key(row) : 0, state);
    page.set_scale(moved, from.scale(row));
    std::memcpy(page.values(moved), from.values(row),
                static_cast<std::size_t>(layout_->value_bytes(state)));
  }
}

void ElasticShard::drop_sketch(const StepContext& context) {
  const std::int64_t old_pages = sizes_.pages;
  const std::int64_t pool_bytes = sizes_.pool_slots * slot_bytes(*layout_);
  const std::int64_t old_pool = old_pages * layout_->page_bytes;
  sizes_.pages = (static_cast<std::int64_t>(arena_.size()) - pool_bytes) / layout_->page_bytes;
  sizes_.sketch_counters = 0;
  sizes_.registers = 0;
  bind();
  std::memmove(arena_.data() + sizes_.pages * layout_->page_bytes, arena_.data() + old_pool,
               static_cast<std::size_t>(pool_bytes));
  for (std::int64_t index = old_pages; index < sizes_.pages; ++index) mutable_page(index).clear();
  // From the last page down: a row's page number never falls, so no page is written before it is
  // read.
  std::vector<std::uint8_t> copy(static_cast<std::size_t>(layout_->page_bytes));
  RowRandom random = row_random(context.seed, context.step, mix64(0x5CE7C4));
  for (std::int64_t index = old_pages - 1; index >= 0; --index) {
    std::memcpy(copy.data(), arena_.data() + index * layout_->page_bytes, copy.size());
    mutable_page(index).clear();
    rehome(PageView(copy.data(), *layout_), index, old_pages, context, random);
  }
}

void ElasticShard::restore(std::span<const std::uint8_t> bytes, const ShardSizes& sizes,
                           const ShardCounts& counts) {
  TAUT_ASSERT(bytes.size() == arena_.size());
  std::memcpy(arena_.data(), bytes.data(), bytes.size());
  sizes_ = sizes;
  counts_ = counts;
  bind();
}

}  // namespace taut::embedding
