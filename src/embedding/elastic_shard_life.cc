// What happens to a shard outside training: loaded rows, decay, checkpoints, giving up the sketch.
#include <algorithm>
#include <cstring>

#include "elastic_shard.h"
#include "taut/core/error.h"
#include "taut/core/hash.h"

namespace taut::embedding {
namespace {

constexpr int kSpreadDepth = 3;  // rows that move, each to where the one before it lay

// Lowers a code of PerOctave steps an octave; what falls below the grid is 0.
int lowered(int code, int octaves, int per_octave) noexcept {
  return std::max(0, code - octaves * per_octave);
}

}  // namespace

void ElasticShard::remove(std::uint64_t key) noexcept {
  const Place place = find(key);
  if (place.row >= 0) mutable_page(place.page).remove(place.row);
}

void ElasticShard::insert(std::uint64_t key, const float* values, const RowState& most,
                          const StepContext& context) {
  if (find(key).row >= 0) return;  // of the same tag: it is read as this one is
  const WidthRule& rule = *context.rule;
  const Candidates where = candidates(key);
  RowRandom random = row_random(context.seed, 0, key);
  const float importance = ImportanceCode::value(most.importance);
  RowState state = rule.within(most);
  int free[2] = {page(where.page[0]).free_bytes(), page(where.page[1]).free_bytes()};
  int choice = free[1] > free[0] ? 1 : 0;
  const auto bytes = [&] { return layout_->overhead_bytes() + layout_->value_bytes(state); };
  if (bytes() > free[choice] && !spread(where.page[choice], bytes(), kSpreadDepth) &&
      spread(where.page[1 - choice], bytes(), kSpreadDepth)) {
    choice = 1 - choice;
  }
  free[choice] = page(where.page[choice]).free_bytes();
  if (bytes() > free[choice]) state.precise = false;
  while (bytes() > free[choice] && state.width > 1) --state.width;
  const auto fits = [&](int i) {
    int none = -1;
    return make_room(mutable_page(where.page[i]), bytes(), rule.chunk_density(importance, 1), none,
                     context, random);
  };
  if (!fits(choice)) {
    choice = 1 - choice;
    if (!fits(choice)) return;
  }
  ++counts_.admitted;
  Page target = mutable_page(where.page[choice]);
  const int row = target.append(where.tag[choice], key, state);
  write_row(target, row, values, random);
  start_sums(target, row, 0, importance / context.inflation, context, random);
}

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

void ElasticShard::copy_row(const PageView& from, int row, Page to, std::uint16_t tag) noexcept {
  const RowState state = from.state(row);
  const int copied = to.append(tag, layout_->exact ? from.key(row) : 0, state);
  to.set_scale(copied, from.scale(row));
  to.set_row_state(copied, from.row_state(row));
  std::memcpy(to.values(copied), from.values(row),
              static_cast<std::size_t>(layout_->value_bytes(state)));
}

bool ElasticShard::spread(std::int64_t index, int bytes, int depth) noexcept {
  Page from = mutable_page(index);
  for (int row = 0, rows = from.rows(); row < rows; ++row) {
    const int held = layout_->overhead_bytes() + layout_->value_bytes(from.state(row));
    if (from.free_bytes() + held < bytes) continue;
    const std::uint16_t tag = from.tag(row);
    const std::int64_t other = page_of(other_granule(page_granule(index, sizes_.pages, tag)));
    if (other == index) continue;
    if (page(other).free_bytes() < held && (depth == 1 || !spread(other, held, depth - 1))) {
      continue;
    }
    // What made room there may have come here.
    if (from.free_bytes() + held < bytes) continue;
    copy_row(from, row, mutable_page(other), tag ^ 1);
    from.remove(row);
    return true;
  }
  return false;
}

void ElasticShard::move_row(const PageView& from, int row, std::int64_t target, std::uint16_t tag,
                            const StepContext& context, RowRandom& random) {
  Page page = mutable_page(target);
  const RowState state = from.state(row);
  int none = -1;
  const float density = context.rule->chunk_density(ImportanceCode::value(state.importance), 1);
  const int bytes = layout_->overhead_bytes() + layout_->value_bytes(state);
  if (!make_room(page, bytes, density, none, context, random)) {
    ++counts_.evicted;
    return;
  }
  copy_row(from, row, page, tag);
}

void ElasticShard::rehome(const PageView& from, std::int64_t index, std::int64_t old_pages,
                          const StepContext& context, RowRandom& random) {
  for (int row = 0, rows = from.rows(); row < rows; ++row) {
    const std::uint64_t granule = page_granule(index, old_pages, from.tag(row));
    const std::int64_t target = candidates_of_granule(granule).page[0];
    TAUT_ASSERT(target >= index && target < sizes_.pages);
    move_row(from, row, target, from.tag(row), context, random);
  }
}

void ElasticShard::adopt(const ElasticShard& old, const StepContext& context) {
  TAUT_ASSERT(sizes_.granule_bits <= old.sizes_.granule_bits);
  const std::int64_t dropped_bits = old.sizes_.granule_bits - sizes_.granule_bits;
  RowRandom random = row_random(context.seed, context.step, mix64(0x4E51E));
  counts_ = old.counts_;
  for (std::int64_t index = 0; index < old.sizes_.pages; ++index) {
    const PageView from = old.page(index);
    for (int row = 0, rows = from.rows(); row < rows; ++row) {
      std::uint64_t granule = old.page_granule(index, old.sizes_.pages, from.tag(row));
      if ((from.tag(row) & 1) != 0) granule = old.other_granule(granule);
      const Candidates where = candidates_of_granule(granule >> dropped_bits);
      const int second =
          page(where.page[1]).free_bytes() > page(where.page[0]).free_bytes() ? 1 : 0;
      move_row(from, row, where.page[second], where.tag[second], context, random);
    }
  }
  // Slots and counters are found by ranges of a hash, so neighbours stand for each other.
  const int slot = slot_bytes(*layout_);
  std::uint8_t* pool = arena_.data() + sizes_.pages * layout_->page_bytes;
  const std::uint8_t* old_pool = old.arena_.data() + old.sizes_.pages * old.layout_->page_bytes;
  for (std::int64_t i = 0; old.sizes_.pool_slots > 0 && i < sizes_.pool_slots; ++i) {
    std::memcpy(pool + i * slot, old_pool + i * old.sizes_.pool_slots / sizes_.pool_slots * slot,
                static_cast<std::size_t>(slot));
  }
  const std::uint8_t* old_counters = old_pool + old.sizes_.pool_slots * slot;
  for (std::int64_t i = 0; i < sizes_.sketch_counters; ++i) {
    sketch()[i] = old_counters[i * old.sizes_.sketch_counters / sizes_.sketch_counters];
  }
  TAUT_ASSERT(sizes_.registers == old.sizes_.registers);
  std::memcpy(registers(), old.registers(), static_cast<std::size_t>(sizes_.registers));
}

void ElasticShard::drop_sketch(const StepContext& context, std::span<std::uint8_t> scratch) {
  TAUT_ASSERT(scratch.size() == static_cast<std::size_t>(layout_->page_bytes));
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
  RowRandom random = row_random(context.seed, context.step, mix64(0x5CE7C4));
  for (std::int64_t index = old_pages - 1; index >= 0; --index) {
    std::memcpy(scratch.data(), arena_.data() + index * layout_->page_bytes, scratch.size());
    mutable_page(index).clear();
    rehome(PageView(scratch.data(), *layout_), index, old_pages, context, random);
  }
}

ElasticShard::ElasticShard(std::span<const std::uint8_t> bytes, const ShardSizes& sizes,
                           const ShardCounts& counts, const PageLayout* layout,
                           MemoryCounter* counter, MemoryPool* memory)
    : arena_(bytes.size(), counter, memory) {
  layout_ = layout;
  restore(bytes, sizes, counts);
}

void ElasticShard::restore(std::span<const std::uint8_t> bytes, const ShardSizes& sizes,
                           const ShardCounts& counts) noexcept {
  TAUT_ASSERT(bytes.size() == arena_.size());
  counts_ = counts;
  sizes_ = sizes;
  std::memcpy(arena_.data(), bytes.data(), bytes.size());
  bind();
}

}  // namespace taut::embedding
