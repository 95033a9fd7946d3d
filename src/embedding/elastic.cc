// method = elastic: rows whose width and precision follow from the optimizer's own state.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <tuple>
#include <unordered_set>
#include <utility>
#include <vector>

#include "elastic_embedding.h"
#include "load_order.h"
#include "registry.h"
#include "state.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::embedding {
namespace {

constexpr std::int64_t kSampledPages = 8192;  // a rebalance looks at
constexpr float kMostInflation = 16.0f;       // importances are rewritten from here on
constexpr int kInflationOctaves = 4;

struct LoadedRow {
  std::uint64_t key;
  std::size_t row;
  RowState state;
};

}  // namespace

ElasticEmbedding::ElasticEmbedding(const Options& options, std::shared_ptr<ThreadPool> pool,
                                   const ElasticPlan& plan, std::shared_ptr<Peers> peers)
    : RowwiseEmbedding(options, std::move(pool), plan.shards),
      dealt_(plan.shards, std::move(peers)),
      optimizer_(options),
      layout_(std::make_unique<PageLayout>(plan.layout)),
      may_switch_(plan.may_switch),
      sketch_(plan.sketch),
      rule_(rule_for(plan.layout, options)) {
  shards_.reserve(static_cast<std::size_t>(plan.shards));
  reserve_shards(plan);
  for (int i = 0; i < plan.shards; ++i) {
    shards_.emplace_back(dealt_.is_mine(i) ? plan.sizes : ShardSizes{}, layout_.get(), &counter_,
                         hash_combine(options.seed, static_cast<std::uint64_t>(i)), &memory_);
  }
  refresh_reader();
}

void ElasticEmbedding::reserve_shards(const ElasticPlan& plan) {
  const std::int64_t held = dealt_.is_divided() ? dealt_.mine().size : plan.shards;
  memory_.reserve(held * rounded_bytes(ElasticShard::total_bytes(plan.sizes, plan.layout)));
}

WidthRule ElasticEmbedding::rule_for(const PageLayout& layout, const Options& options) {
  return {layout, resolved_beta(options), options.precision_ratio, options.hysteresis};
}

void ElasticEmbedding::refresh_reader() {
  reader_.layout = layout_.get();
  reader_.shards.assign(shards_.begin(), shards_.end());
}

StepContext ElasticEmbedding::context() const {
  return {.seed = options_.seed,
          .step = steps_,
          .sketch = sketch_,
          .optimizer = &optimizer_,
          .cold_learning_rate = static_cast<float>(options_.cold_learning_rate *
                                                   (learning_rate() / options_.learning_rate)),
          .initial_accumulator = static_cast<float>(options_.initial_accumulator),
          .epsilon = static_cast<float>(options_.epsilon),
          .bound = initial_bound(options_.dim),
          .inflation = inflation_,
          .rule = &rule_};
}

void ElasticEmbedding::do_lookup(std::span<const JaggedIds> tables, std::int64_t batch,
                                 std::span<float> out) const {
  pooled_lookup(reader_, tables, batch, options_.dim, out, pool_.get());
}

void ElasticEmbedding::update_shard(int shard, const TouchedRows& rows) {
  shards_[static_cast<std::size_t>(shard)].update_rows(rows, context());
}

void ElasticEmbedding::end_step() {
  // While the table fills, the threshold moves at 1, 2, 4, ... steps too.
  const bool early = steps_ < options_.period && (steps_ & (steps_ - 1)) == 0;
  if (!early && steps_ % options_.period != 0) return;
  const auto start = std::chrono::steady_clock::now();
  rebalance();
  rebalance_seconds_ +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void ElasticEmbedding::rebalance() {
  if (may_switch_) choose_admission();
  if (options_.decay < 1) {
    inflation_ = static_cast<float>(inflation_ / options_.decay);
    if (inflation_ >= kMostInflation) {
      inflation_ /= static_cast<float>(1 << kInflationOctaves);
      pool_->run(static_cast<std::int64_t>(shards_.size()), [&](std::int64_t i) {
        shards_[static_cast<std::size_t>(i)].deflate(kInflationOctaves);
      });
    }
  }
  choose_threshold(kSampledPages, 1.0);
}

void ElasticEmbedding::choose_threshold(std::int64_t most_pages, double room_factor) {
  const auto shards = static_cast<std::int64_t>(shards_.size());
  std::vector<ImportanceHistogram> parts(shards_.size());
  std::vector<std::int64_t> pages(shards_.size());
  pool_->run(shards, [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    parts[at].fill(0);
    pages[at] = shards_[at].sample(parts[at], std::max<std::int64_t>(1, most_pages / shards),
                                   static_cast<std::uint64_t>(steps_));
  });
  // Of all parts: counts of rows by importance, then pages that were looked at. They are exact.
  std::array<double, std::tuple_size_v<ImportanceHistogram> + 1> counted{};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    std::transform(parts[i].begin(), parts[i].end(), counted.begin(), counted.begin(),
                   [](std::int64_t rows, double sum) { return sum + static_cast<double>(rows); });
    counted.back() += static_cast<double>(pages[i]);
  }
  dealt_.sum(counted);
  const double sampled = counted.back();
  std::transform(counted.begin(), counted.end() - 1, parts[0].begin(),
                 [](double rows) { return static_cast<std::int64_t>(rows); });
  const double room = sampled * (layout_->page_bytes - PageLayout::kHeaderBytes) *
                      (1.0 - options_.reserve) * room_factor;
  rule_.set_threshold_code(rule_.solve(parts[0], room));
}

RowState ElasticEmbedding::loaded_state(const Rows& rows, std::size_t row) const {
  constexpr float kRounding = 1.001f;  // a code's own value must not fall to the code below
  const std::span<const float> values = row_values(rows, row, options_.dim);
  RowState state{.width = layout_->chunks, .precise = layout_->mixed, .importance = 0};
  while (state.width > 1 && !has_chunk(values, state.width - 1, layout_->chunk)) --state.width;
  const float importance = row_importance(rows, row, options_.dim) * inflation_;
  state.importance = ImportanceCode::floor(importance * kRounding);
  return state;
}

// The smallest threshold at which the loaded rows and those that are there fit into the pages.
void ElasticEmbedding::choose_load_threshold(const std::vector<RowState>& widest) {
  double room = 0;
  for (const ElasticShard& shard : shards_) {
    for (std::int64_t i = 0; i < shard.sizes().pages; ++i) room += shard.page(i).free_bytes();
  }
  room *= 1.0 - options_.reserve;  // no page fills up to its last byte
  const auto fits = [&](int code) {
    rule_.set_threshold_code(code);
    double bytes = 0;
    for (const RowState& state : widest) {
      if (!rule_.worth_holding(state.importance)) continue;
      bytes += layout_->overhead_bytes() + layout_->value_bytes(rule_.within(state));
    }
    return bytes <= room;
  };
  int low = -1;
  int high = ImportanceCode::kCodes - 1;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (fits(middle) ? high : low) = middle;
  }
  rule_.set_threshold_code(high);
}

LoadedRows ElasticEmbedding::do_load_rows(const Rows& rows) {
  std::vector<RowState> states;
  std::vector<std::vector<LoadedRow>> owned(shards_.size());
  std::unordered_set<std::uint64_t> seen;
  // What takes memory comes before what changes rows.
  for (const std::size_t row : load_order(rows, options_.dim)) {
    const std::uint64_t key = row_key(rows.tables[row], rows.ids[row]);
    if (!seen.insert(key).second) continue;
    states.push_back(loaded_state(rows, row));
    owned[reader_.shard_of(key)].push_back({.key = key, .row = row, .state = states.back()});
  }
  for (std::size_t shard = 0; shard < shards_.size(); ++shard) {
    for (const LoadedRow& loaded : owned[shard]) shards_[shard].remove(loaded.key);
  }
  choose_load_threshold(states);
  const StepContext now = context();
  pool_->run(static_cast<std::int64_t>(shards_.size()), [&](std::int64_t s) {
    const auto shard = static_cast<std::size_t>(s);
    for (const LoadedRow& loaded : owned[shard]) {
      shards_[shard].insert(loaded.key, row_values(rows, loaded.row, options_.dim).data(),
                            loaded.state, now);
    }
  });
  const LoadedRows loaded = count_loaded(reader_, rows);
  choose_threshold(std::numeric_limits<std::int64_t>::max() / 2, 1.0);
  return loaded;
}

void ElasticEmbedding::choose_admission() {
  // One sum after another, so that it is the same whoever has which shard.
  std::vector<double> counted(shards_.size() + 1);
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    counted[i] = shards_[i].distinct_keys();
    counted.back() += static_cast<double>(shards_[i].sizes().sketch_counters);
  }
  dealt_.sum(counted);
  const double keys = std::accumulate(counted.begin(), counted.end() - 1, 0.0);
  if (counted.back() >= keys * kLeastCountersPerId) return;
  // All memory is taken first: a shard that has changed while another has not cannot be read.
  std::vector<std::vector<std::uint8_t>> pages(shards_.size());
  for (auto& page : pages) page.resize(static_cast<std::size_t>(layout_->page_bytes));
  StepContext now = context();
  now.sketch = false;
  pool_->run(static_cast<std::int64_t>(shards_.size()), [&](std::int64_t i) {
    if (!dealt_.is_mine(i)) return;
    shards_[static_cast<std::size_t>(i)].drop_sketch(now, pages[static_cast<std::size_t>(i)]);
  });
  may_switch_ = false;
  sketch_ = false;
  refresh_reader();
}

Statistics ElasticEmbedding::statistics() const {
  Statistics result;
  result.memory_bytes = memory_bytes();
  result.budget_bytes = options_.budget.count;
  result.skipped_updates = skipped_updates_;
  result.rows_by_width.assign(static_cast<std::size_t>(layout_->chunks) + 1, 0);
  std::int64_t values = 0;
  std::int64_t optimizer = 0;
  std::int64_t pages = 0;
  std::int64_t pool = 0;
  std::int64_t sketch = 0;
  std::int64_t registers = 0;
  for (const ElasticShard& shard : shards_) {
    const ShardSizes& sizes = shard.sizes();
    for (std::int64_t index = 0; index < sizes.pages; ++index) {
      const PageView page = shard.page(index);
      values += page.used_value_bytes();
      for (int row = 0, rows = page.rows(); row < rows; ++row) {
        const RowState state = page.state(row);
        optimizer += layout_->state_bytes(state);
        ++result.rows_by_width[static_cast<std::size_t>(state.width)];
        ++result.resident_rows;
      }
    }
    pages += sizes.pages;
    pool += sizes.pool_slots * ShardView::slot_bytes(*layout_);
    sketch += sizes.sketch_counters;
    registers += sizes.registers;
    result.admitted_rows += shard.counts().admitted;
    result.evicted_rows += shard.counts().evicted;
  }
  const std::int64_t rows = result.resident_rows * layout_->overhead_bytes();
  const std::int64_t heads = pages * PageLayout::kHeaderBytes;
  result.parts = {
      {"values", values - optimizer},
      {"optimizer", optimizer},
      {"rows", rows},
      {"pages", heads},
      {"cold_pool", pool},
      {"sketch", sketch},
      {"distinct_ids", registers},
      {"free", result.memory_bytes - values - rows - heads - pool - sketch - registers}};
  result.threshold = rule_.entry_importance() / inflation_;
  result.rebalance_seconds = rebalance_seconds_;
  return result;
}

namespace {

// The options of methods whose rows are all of full length. cold_share: where none is given.
Options whole_rows(const Options& options, double cold_share) {
  Options whole = options;
  whole.chunk = options.dim;
  if (whole.value_type == ValueType::kMixed) whole.value_type = ValueType::kFloat32;
  if (whole.admission == Admission::kAuto) whole.admission = Admission::kSketch;
  if (whole.cold_share < 0) whole.cold_share = cold_share;
  return whole;
}

}  // namespace

EmbeddingPart make_elastic_part(const Options& options, std::shared_ptr<ThreadPool> pool,
                                std::shared_ptr<Peers> peers) {
  auto rows = std::make_unique<ElasticEmbedding>(options, std::move(pool), plan_elastic(options),
                                                 std::move(peers));
  const Dealt& dealt = rows->dealt();
  return {.rows = std::move(rows), .owner = [dealt](std::size_t table, std::uint64_t id) {
            const auto shards = static_cast<std::uint64_t>(dealt.total());
            return dealt.owner(static_cast<std::int64_t>(row_key(table, id) & (shards - 1)));
          }};
}

// AdaEmbed (OSDI 2023): whole rows come and go by importance, which frequency and gradient decide;
// here with our store, importance and sketch.
EmbeddingPart make_row_part(const Options& options, std::shared_ptr<ThreadPool> pool,
                            std::shared_ptr<Peers> peers) {
  return make_elastic_part(whole_rows(options, 0.0), std::move(pool), std::move(peers));
}

// CAFE (SIGMOD 2024): rows of their own for hot ids, found by a sketch of gradient norms; all
// others share hashed rows.
EmbeddingPart make_cafe_part(const Options& options, std::shared_ptr<ThreadPool> pool,
                             std::shared_ptr<Peers> peers) {
  return make_elastic_part(whole_rows(options, 0.3), std::move(pool), std::move(peers));
}

}  // namespace taut::embedding
