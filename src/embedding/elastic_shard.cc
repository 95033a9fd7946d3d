#include "elastic_shard.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "dense_rows.h"
#include "taut/core/error.h"
#include "taut/core/hash.h"

namespace taut::embedding {
namespace {

float from_bits(std::uint16_t bits) noexcept {
  std::array<std::uint8_t, sizeof(bits)> bytes;
  std::memcpy(bytes.data(), &bits, sizeof(bits));
  float value = 0;
  read_values(PageLayout::kState, bytes.data(), 0.0f, 1, &value);
  return value;
}

std::uint16_t to_bits(float value, RowRandom& random) noexcept {
  std::array<std::uint8_t, sizeof(std::uint16_t)> bytes;
  write_values(PageLayout::kState, &value, 0.0f, 1, random, bytes.data());
  std::uint16_t bits = 0;
  std::memcpy(&bits, bytes.data(), sizeof(bits));
  return bits;
}

}  // namespace

std::int64_t ShardSizes::bits_for(std::int64_t pages) noexcept {
  return ShardView::kTagGranuleBits + std::bit_width(static_cast<std::uint64_t>(pages)) - 1;
}

ShardView::ShardView(const std::uint8_t* bytes, const ShardSizes& sizes,
                     const PageLayout* layout) noexcept
    : bytes_(bytes), layout_(layout), sizes_(sizes) {}

std::uint64_t ShardView::page_granule(std::int64_t page, std::int64_t pages,
                                      std::uint16_t tag) const noexcept {
  // The first granule of the page, from page(g) = g * pages >> bits; then on to the tag's.
  const auto range = static_cast<unsigned __int128>(1) << sizes_.granule_bits;
  const auto count = static_cast<std::uint64_t>(pages);
  const auto first =
      static_cast<std::uint64_t>((static_cast<std::uint64_t>(page) * range + count - 1) / count);
  return first + ((static_cast<std::uint64_t>(tag >> 1) - first) & (kTagGranules - 1));
}

RowState ShardView::read(std::uint64_t key, float* out) const noexcept {
  const Place place = find(key);
  if (place.row < 0) return {};
  const PageView held = page(place.page);
  const RowState state = held.state(place.row);
  read_values(layout_->storage(state.precise), held.values(place.row),
              held.scale_step(place.row, state.precise), state.width * layout_->chunk, out);
  return state;
}

std::int64_t ElasticShard::total_bytes(const ShardSizes& sizes, const PageLayout& layout) {
  return sizes.pages * layout.page_bytes + sizes.pool_slots * slot_bytes(layout) +
         sizes.sketch_counters + sizes.registers;
}

ElasticShard::ElasticShard(const ShardSizes& sizes, const PageLayout* layout,
                           MemoryCounter* counter, std::uint64_t seed, MemoryPool* memory)
    : arena_(static_cast<std::size_t>(total_bytes(sizes, *layout)), counter, memory) {
  layout_ = layout;
  sizes_ = sizes;
  bind();
  initialize_pool(seed);
}

void ElasticShard::bind() noexcept {
  static_cast<ShardView&>(*this) = ShardView(arena_.data(), sizes_, layout_);
}

std::uint8_t* ElasticShard::sketch() noexcept {
  return arena_.data() + sketch_offset();
}

const std::uint8_t* ElasticShard::sketch() const noexcept {
  return arena_.data() + sketch_offset();
}

const std::uint8_t* ElasticShard::registers() const noexcept {
  return arena_.data() + total_bytes(sizes_, *layout_) - sizes_.registers;
}

std::uint8_t* ElasticShard::registers() noexcept {
  return arena_.data() + total_bytes(sizes_, *layout_) - sizes_.registers;
}

void ElasticShard::initialize_pool(std::uint64_t seed) {
  std::array<float, kLongestRow> values;
  std::uint8_t* slot = arena_.data() + sizes_.pages * layout_->page_bytes;
  for (std::int64_t i = 0; i < sizes_.pool_slots; ++i, slot += slot_bytes(*layout_)) {
    const auto name = static_cast<std::uint64_t>(i);
    initial_range(seed, mix64(name), 0, layout_->chunk, initial_bound(layout_->dim()),
                  values.data());
    RowRandom random = row_random(seed, 0, name);
    slot[0] = ScaleCode::fit(largest_magnitude(values.data(), layout_->chunk), 0);
    write_values(layout_->low, values.data(), ScaleCode::step(slot[0], layout_->low),
                 layout_->chunk, random, slot + kSlotHeadBytes);
  }
}

void ElasticShard::see(std::uint64_t key) noexcept {
  if (sizes_.registers == 0) return;
  const std::uint64_t hash = mix64(key);
  std::uint8_t& seen = registers()[hash & static_cast<std::uint64_t>(sizes_.registers - 1)];
  const int rank = std::countl_zero(hash | 0xFFFF) + 1;
  seen = std::max(seen, static_cast<std::uint8_t>(rank));
}

double ElasticShard::distinct_keys() const {
  const auto count = static_cast<double>(sizes_.registers);
  if (sizes_.registers == 0) return 0;
  double sum = 0;
  double zeros = 0;
  for (std::int64_t i = 0; i < sizes_.registers; ++i) {
    sum += std::exp2(-static_cast<double>(registers()[i]));
    zeros += registers()[i] == 0 ? 1 : 0;
  }
  const double estimate = 0.7213 / (1.0 + 1.079 / count) * count * count / sum;
  return estimate <= 2.5 * count && zeros > 0 ? count * std::log(count / zeros) : estimate;
}

std::uint64_t ElasticShard::sketch_cell(std::uint64_t key, std::uint64_t i) const noexcept {
  return reduce_range(hash_combine(key, i + 0x5CE7C4),
                      static_cast<std::uint64_t>(sizes_.sketch_counters));
}

void ElasticShard::prefetch_sketch(std::uint64_t key) const noexcept {
  const std::uint8_t* counters = sketch();
  for (std::uint64_t i = 0; i < 2; ++i) __builtin_prefetch(counters + sketch_cell(key, i), 1);
}

float ElasticShard::add_to_sketch(std::uint64_t key, float amount, RowRandom& random) noexcept {
  std::uint8_t* cell[2] = {sketch() + sketch_cell(key, 0), sketch() + sketch_cell(key, 1)};
  // Conservative update (Estan and Varghese 2002): only what is below the new sum is raised.
  const float sum = SketchCode::value(std::min(*cell[0], *cell[1])) + amount;
  const auto code = static_cast<std::uint8_t>(SketchCode::round(sum, random));
  for (std::uint8_t* counter : cell) *counter = std::max(*counter, code);
  return sum;
}

float ElasticShard::admit(std::uint64_t key, float q, RowRandom& random,
                          const StepContext& context) noexcept {
  const float entry = context.rule->entry_importance();
  if (context.sketch) {
    const float sum = add_to_sketch(key, q, random);
    const float most = SketchCode::value(SketchCode::kCodes - 1);
    return sum >= std::min(entry, most) ? sum : -1.0f;
  }
  if (q >= entry) return q;
  const float share = q / entry;
  const float dice = random.next() + random.next() * 0x1.0p-16f;
  return dice < share ? entry : -1.0f;
}

ElasticShard::Victim ElasticShard::cheapest(const Page& page, int keep,
                                            const WidthRule& rule) const noexcept {
  Victim victim{.row = -1, .density = INFINITY};
  const auto importances = ImportanceCode::values();
  const std::uint8_t* shapes = page.shapes();
  const std::uint8_t* low_bits = page.importances();
  for (int row = 0, rows = page.rows(); row < rows; ++row) {
    const RowState state =
        RowState::unpack(static_cast<std::uint16_t>(unsigned{shapes[row]} << 8 | low_bits[row]));
    const float importance = importances[static_cast<std::size_t>(state.importance)];
    float density = rule.chunk_density(importance, state.width);
    if (state.precise) density = std::min(density, rule.precision_density(importance));
    if (density < victim.density && row != keep) victim = {.row = row, .density = density};
  }
  return victim;
}

void ElasticShard::give_up(Page page, int row, const WidthRule& rule, RowRandom& random) {
  RowState state = page.state(row);
  const float importance = ImportanceCode::value(state.importance);
  if (state.precise &&
      rule.precision_density(importance) <= rule.chunk_density(importance, state.width)) {
    std::array<float, kLongestRow> values;
    const int size = state.width * layout_->chunk;
    read_values(layout_->storage(true), page.values(row), page.scale_step(row, true), size,
                values.data());
    state.precise = false;
    page.resize(row, state);
    write_row(page, row, values.data(), random);
  } else if (state.width > 1) {
    --state.width;
    page.resize(row, state);
  } else {
    page.remove(row);
    ++counts_.evicted;
  }
}

bool ElasticShard::make_room(Page page, int bytes, float density, int& keep,
                             const StepContext& context, RowRandom& random,
                             std::optional<Victim> first) {
  const WidthRule& rule = *context.rule;
  for (; page.free_bytes() < bytes; first.reset()) {
    const Victim victim = first ? *first : cheapest(page, keep, rule);
    const bool below_the_line = victim.density < rule.threshold();
    const float worth = below_the_line ? victim.density : victim.density * rule.hysteresis_factor();
    if (victim.row < 0 || worth >= density) return false;
    const int rows = page.rows();
    give_up(page, victim.row, rule, random);
    if (page.rows() < rows && victim.row < keep) --keep;
  }
  return true;
}

ElasticShard::Place ElasticShard::enter(std::uint64_t key, float importance, RowRandom& random,
                                        const StepContext& context) {
  const Candidates where = candidates(key);
  const int bytes = layout_->overhead_bytes() + layout_->chunk_bytes(false);
  const int free[2] = {page(where.page[0]).free_bytes(), page(where.page[1]).free_bytes()};
  int choice = free[1] > free[0] ? 1 : 0;
  std::optional<Victim> victim;
  if (free[choice] < bytes) {  // where less is lost
    const WidthRule& rule = *context.rule;
    const Victim victims[2] = {cheapest(mutable_page(where.page[0]), -1, rule),
                               cheapest(mutable_page(where.page[1]), -1, rule)};
    choice = victims[1].density < victims[0].density ? 1 : 0;
    victim = victims[choice];
  }
  Page target = mutable_page(where.page[choice]);
  const int code = ImportanceCode::round(importance, random);
  int none = -1;
  if (!make_room(target, bytes, context.rule->chunk_density(importance, 1), none, context, random,
                 victim)) {
    return {.page = -1, .row = -1};
  }
  ++counts_.admitted;
  const RowState state{.width = 1, .precise = false, .importance = code};
  return {.page = where.page[choice], .row = target.append(where.tag[choice], key, state)};
}

void ElasticShard::start_values(std::uint64_t key, int first, int last, float* values,
                                const StepContext& context) const noexcept {
  const int chunk = layout_->chunk;
  if (sizes_.pool_slots == 0) {
    initial_range(context.seed, key, first * chunk, (last - first) * chunk, context.bound,
                  values + first * chunk);
    return;
  }
  for (int k = first; k < last; ++k) {
    const std::uint8_t* slot = pool_slot(key, k);
    read_values(layout_->low, slot + kSlotHeadBytes, ScaleCode::step(slot[0], layout_->low), chunk,
                values + k * chunk);
  }
}

bool ElasticShard::reshape(std::uint64_t key, Page page, int& row, float* values,
                           const StepContext& context, RowRandom& random) {
  RowState state = page.state(row);
  const RowState wanted = context.rule->wanted(state.importance, state);
  if (wanted.width == state.width && wanted.precise == state.precise) return false;
  const float importance = ImportanceCode::value(state.importance);
  if (wanted.width < state.width || (state.precise && !wanted.precise)) {
    state.width = std::min(state.width, wanted.width);
    state.precise = state.precise && wanted.precise;
    page.resize(row, state);
  }
  const int chunk_bytes = layout_->chunk_bytes(state.precise);
  if (state.width < wanted.width &&
      page.free_bytes() >= (wanted.width - state.width) * chunk_bytes) {
    start_values(key, state.width, wanted.width, values, context);
    state.width = wanted.width;
    page.resize(row, state);
  }
  int more_chunks = 0;  // that there is room for
  while (state.width + more_chunks < wanted.width) {
    const float density = context.rule->chunk_density(importance, state.width + more_chunks + 1);
    const int bytes = (more_chunks + 1) * chunk_bytes;
    if (!make_room(page, bytes, density, row, context, random)) break;
    ++more_chunks;
  }
  if (more_chunks > 0) {
    start_values(key, state.width, state.width + more_chunks, values, context);
    state.width += more_chunks;
    page.resize(row, state);
  }
  if (wanted.precise && !state.precise) {
    const int more = state.width * (layout_->chunk_bytes(true) - layout_->chunk_bytes(false));
    const float density = context.rule->precision_density(importance);
    if (make_room(page, more, density, row, context, random)) {
      state.precise = true;
      page.resize(row, state);
    }
  }
  return true;
}

void ElasticShard::write_row(Page page, int row, std::uint8_t* target, const float* values,
                             RowRandom& random) noexcept {
  const RowState state = page.state(row);
  const int size = state.width * layout_->chunk;
  if (is_scaled(layout_->low)) {
    page.set_scale(row, ScaleCode::fit(largest_magnitude(values, size), page.scale(row)));
  }
  write_values(layout_->storage(state.precise), values, page.scale_step(row, state.precise), size,
               random, target);
}

void ElasticShard::train_pool(std::uint64_t key, int first, const float* gradient,
                              const StepContext& context, RowRandom& random) noexcept {
  if (sizes_.pool_slots == 0) return;
  const int chunk = layout_->chunk;
  std::array<float, kLongestRow> values;
  for (int k = first; k < layout_->chunks; ++k) {
    std::uint8_t* slot = mutable_slot(key, k);
    const float* part = gradient + k * chunk;
    const float state = PoolCode::value(slot[1]) + mean_square(part, chunk);
    slot[1] = static_cast<std::uint8_t>(PoolCode::round(state, random));
    const float step = context.optimizer->kind() == Optimizer::kSgd
                           ? context.cold_learning_rate
                           : context.cold_learning_rate /
                                 (std::sqrt(state + context.initial_accumulator) + context.epsilon);
    read_values(layout_->low, slot + kSlotHeadBytes, ScaleCode::step(slot[0], layout_->low), chunk,
                values.data());
    for (int i = 0; i < chunk; ++i) values[static_cast<std::size_t>(i)] -= step * part[i];
    slot[0] = ScaleCode::fit(largest_magnitude(values.data(), chunk), slot[0]);
    write_values(layout_->low, values.data(), ScaleCode::step(slot[0], layout_->low), chunk, random,
                 slot + kSlotHeadBytes);
  }
}

void ElasticShard::start_sums(Page page, int row, int first, float importance,
                              const StepContext& context, RowRandom& random) noexcept {
  if (context.optimizer->kind() != Optimizer::kAdagrad) return;
  const int size = page.state(row).width * layout_->chunk - first;
  std::array<float, kLongestRow> sums;
  std::fill_n(sums.begin(), size, importance);
  write_values(PageLayout::kState, sums.data(), 0.0f, size, random,
               page.value_states(row) + first * PageLayout::kStateBytes);
}

void ElasticShard::step(Page page, int row, float* values, int size, bool entering,
                        float importance, float q, const float* gradient,
                        const StepContext& context, RowRandom& random) noexcept {
  const RowOptimizer& optimizer = *context.optimizer;
  if (!layout_->value_state) {
    optimizer.descend(values, gradient, size, optimizer.common_rate(importance));
    return;
  }
  start_sums(page, row, entering ? 0 : size, std::max(importance - q, 0.0f), context, random);
  std::array<float, kLongestRow + 1> state;
  float* each = state.data();
  if (layout_->row_state) *each++ = from_bits(page.row_state(row));
  read_values(PageLayout::kState, page.value_states(row), 0.0f, size, each);
  optimizer.apply_part(values, state.data(), gradient, size, q, context.step);
  if (layout_->row_state) page.set_row_state(row, to_bits(state[0], random));
  write_values(PageLayout::kState, each, 0.0f, size, random, page.value_states(row));
}

bool ElasticShard::update_absent(std::uint64_t key, float q, const float* gradient,
                                 const StepContext& context) {
  RowRandom random = row_random(context.seed, context.step, key);
  Place place;
  const float importance = admit(key, q, random, context);
  if (importance >= 0) place = enter(key, importance, random, context);
  if (place.row < 0) {
    train_pool(key, 0, gradient, context, random);
    return importance >= 0;
  }
  std::array<float, kLongestRow> values;
  start_values(key, 0, 1, values.data(), context);
  Page page = mutable_page(place.page);
  reshape(key, page, place.row, values.data(), context, random);
  const int width = page.state(place.row).width;
  step(page, place.row, values.data(), width * layout_->chunk, true, importance / context.inflation,
       q / context.inflation, gradient, context, random);
  write_row(page, place.row, page.values(place.row), values.data(), random);
  train_pool(key, width, gradient, context, random);
  return true;
}

void ElasticShard::update_held(std::uint64_t key, Page page, int row, float q,
                               const float* gradient, const StepContext& context) {
  RowRandom random = row_random(context.seed, context.step, key);
  std::array<float, kLongestRow> values;
  RowState state = page.state(row);
  const int held = state.width;
  std::uint8_t* at = page.values(row);
  const float importance = ImportanceCode::value(state.importance) + q;
  state.importance = ImportanceCode::round(importance, random);
  page.set_state(row, state);
  read_values(layout_->storage(state.precise), at, page.scale_step(row, state.precise),
              held * layout_->chunk, values.data());
  if (reshape(key, page, row, values.data(), context, random)) at = page.values(row);
  const int kept = page.state(row).width;
  // What was read is what the gradient is of.
  step(page, row, values.data(), std::min(held, kept) * layout_->chunk, false,
       importance / context.inflation, q / context.inflation, gradient, context, random);
  write_row(page, row, at, values.data(), random);
  train_pool(key, held, gradient, context, random);
}

void ElasticShard::update(std::uint64_t key, const float* gradient, const StepContext& context) {
  const float q = mean_square(gradient, layout_->dim()) * context.inflation;
  see(key);
  const Place place = find(key);
  if (place.row < 0) {
    update_absent(key, q, gradient, context);
  } else {
    update_held(key, mutable_page(place.page), place.row, q, gradient, context);
  }
}

std::int64_t ElasticShard::sample(ImportanceHistogram& rows, std::int64_t most,
                                  std::uint64_t round) const {
  const std::int64_t taken = std::min(most, sizes_.pages);
  const auto shift = static_cast<std::int64_t>(
      reduce_range(mix64(round), static_cast<std::uint64_t>(sizes_.pages)));
  for (std::int64_t i = 0; i < taken; ++i) {
    const PageView held = page((sizes_.pages * i / taken + shift) % sizes_.pages);
    for (int row = 0, count = held.rows(); row < count; ++row) {
      ++rows[static_cast<std::size_t>(held.state(row).importance)];
    }
  }
  return taken;
}

}  // namespace taut::embedding
