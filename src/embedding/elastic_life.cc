// How collections of pages are saved, loaded, exported and moved into another budget.
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "elastic_embedding.h"
#include "state.h"
#include "taut/core/aligned_buffer.h"
#include "taut/core/checked.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::embedding {
namespace {

constexpr std::uint64_t kMostStoredShards = 4096;

// What a checkpoint and a frozen file need beside the shards' bytes.
struct SavedState {
  std::int64_t shards = 0;
  std::int64_t page_bytes = 0;
  std::int64_t threshold_code = 0;
  std::int64_t sketch = 0;
  double rebalance_seconds = 0;
  float inflation = 1;
  float reserved = 0;
};

struct SavedShard {
  ShardSizes sizes;
  ShardCounts counts;
};

}  // namespace

void ElasticEmbedding::save(SectionSink& file, const std::string& prefix) const {
  save_options(file, prefix, options_);
  save_progress(file, prefix);
  save_value(file, prefix + "state",
             SavedState{.shards = static_cast<std::int64_t>(shards_.size()),
                        .page_bytes = layout_->page_bytes,
                        .threshold_code = rule_.threshold_code(),
                        .sketch = sketch_ ? 1 : 0,
                        .rebalance_seconds = rebalance_seconds_,
                        .inflation = inflation_});
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    const SavedShard saved{.sizes = shards_[i].sizes(), .counts = shards_[i].counts()};
    const auto index = static_cast<std::int64_t>(i);
    file.begin(shard_name(prefix, i) + "/sizes");
    dealt_.append(file, index, std::as_bytes(std::span(&saved, 1)));
    file.begin(shard_name(prefix, i));
    dealt_.append(file, index, std::as_bytes(shards_[i].bytes()));
  }
}

void ElasticEmbedding::load(const SectionSource& file, const std::string& prefix) {
  check_saved_options(file, prefix, options_);
  const Progress progress = load_progress(file, prefix);
  const auto state = load_value<SavedState>(file, prefix + "state");
  // A collection whose budget was changed has another number of shards than a new one would.
  const auto count = static_cast<std::uint64_t>(state.shards);
  auto layout = std::make_unique<PageLayout>(*layout_);
  layout->page_bytes = static_cast<int>(state.page_bytes);
  if (count < 1 || count > kMostStoredShards || (count & (count - 1)) != 0 ||
      state.threshold_code < 0 || state.threshold_code >= ImportanceCode::kCodes ||
      !(state.inflation >= 1) || !std::isfinite(state.inflation) ||
      state.page_bytes < layout->least_page_bytes() || state.page_bytes > 65535) {
    throw_damaged(file, prefix + "state", "holds impossible values");
  }
  std::vector<SavedShard> saved(count);
  std::vector<std::span<const std::uint8_t>> contents(count);
  std::int64_t total = 0;
  bool same = count == shards_.size() && layout->page_bytes == layout_->page_bytes;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string name = shard_name(prefix, i);
    saved[i] = load_value<SavedShard>(file, name + "/sizes");
    if (!is_mine(i)) continue;
    contents[i] = file.array<std::uint8_t>(name);
    check_shard(file, name, saved[i].sizes, contents[i], *layout);
    const ShardSizes& sizes = saved[i].sizes;
    if ((state.sketch != 0 && sizes.sketch_counters == 0) ||
        sizes.registers != saved[0].sizes.registers || !is_count(saved[i].counts.admitted) ||
        !is_count(saved[i].counts.evicted)) {
      throw_damaged(file, name + "/sizes", "holds impossible values");
    }
    total += rounded_bytes(static_cast<std::int64_t>(contents[i].size()));
    same = same && contents[i].size() == shards_[i].bytes().size();
  }
  if (dealt_.is_divided() && static_cast<std::int64_t>(count) != dealt_.total()) {
    throw_damaged(file, prefix + "state",
                  concat("has ", count, " shards where the parts have ", dealt_.total()));
  }
  if (total > options_.budget.count) {
    throw_damaged(file, prefix + "state", concat("holds ", total, " bytes of shards"));
  }
  if (same) {  // the usual case takes no memory
    for (std::size_t i = 0; i < count; ++i) {
      if (is_mine(i)) shards_[i].restore(contents[i], saved[i].sizes, saved[i].counts);
    }
  } else {
    std::vector<ElasticShard> loaded;
    loaded.reserve(count);
    memory_.reserve(total);
    for (std::size_t i = 0; i < count; ++i) {
      loaded.emplace_back(contents[i], is_mine(i) ? saved[i].sizes : ShardSizes{},
                          is_mine(i) ? saved[i].counts : ShardCounts{}, layout.get(), &counter_,
                          &memory_);
    }
    GradientGrouper grouper(static_cast<int>(count));
    reader_.shards.reserve(count);  // from here on nothing can fail
    shards_ = std::move(loaded);
    layout_ = std::move(layout);
    set_grouper(std::move(grouper));
  }
  set_progress(progress);
  rule_ = rule_for(*layout_, options_);
  rule_.set_threshold_code(static_cast<int>(state.threshold_code));
  sketch_ = state.sketch != 0;
  may_switch_ = saved[0].sizes.registers > 0;
  inflation_ = state.inflation;
  rebalance_seconds_ = state.rebalance_seconds;
  refresh_reader();
}

ElasticPlan ElasticEmbedding::plan() const {
  return {.layout = *layout_,
          .shards = static_cast<int>(shards_.size()),
          .sizes = shards_[0].sizes(),
          .sketch = sketch_,
          .may_switch = may_switch_};
}

void ElasticEmbedding::resize_budget(Bytes budget) {
  Options options = options_;
  options.budget = budget;
  check_options(options);
  const ElasticPlan next = replan_elastic(options, plan());
  const auto room = [](const ShardSizes& sizes, const PageLayout& layout) {
    return static_cast<double>(sizes.pages) * (layout.page_bytes - PageLayout::kHeaderBytes);
  };
  auto layout = std::make_unique<PageLayout>(next.layout);
  reserve_shards(next);
  const WidthRule before = rule_;
  choose_threshold(std::numeric_limits<std::int64_t>::max() / 2,
                   room(next.sizes, next.layout) / room(shards_[0].sizes(), *layout_));
  WidthRule rule = rule_for(next.layout, options);  // beta follows the budget
  rule.set_threshold_code(rule_.threshold_code());
  rule_ = rule;
  try {
    if (layout->page_bytes == layout_->page_bytes) {
      move_shards(next.sizes, budget);
    } else {
      move_shards_together(next.sizes, std::move(layout));
    }
  } catch (...) {
    if (options_.budget != budget) rule_ = before;
    refresh_reader();
    throw;
  }
  options_.budget = budget;
  refresh_reader();
}

ElasticShard ElasticEmbedding::moved_shard(std::size_t index, const ShardSizes& sizes,
                                           const PageLayout* layout) {
  ElasticShard shard(sizes, layout, &counter_,
                     hash_combine(options_.seed, static_cast<std::uint64_t>(index)), &memory_);
  shard.adopt(shards_[index], context());
  return shard;
}

// One shard after the other, for pages that stay as large as they are. If memory runs out in the
// middle, shards of both sizes work side by side, within the larger budget.
void ElasticEmbedding::move_shards(const ShardSizes& sizes, Bytes budget) {
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    shards_[i] = moved_shard(i, sizes, layout_.get());
    if (budget.count > options_.budget.count) options_.budget = budget;
  }
}

// All shards beside the old ones, for pages of another size, which only small shards have.
void ElasticEmbedding::move_shards_together(const ShardSizes& sizes,
                                            std::unique_ptr<PageLayout> layout) {
  std::vector<ElasticShard> moved;
  moved.reserve(shards_.size());
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    moved.push_back(moved_shard(i, sizes, layout.get()));
  }
  shards_ = std::move(moved);
  layout_ = std::move(layout);
}

void ElasticEmbedding::export_frozen(SectionSink& file, const std::string& prefix) const {
  file.add(prefix + "method", options_.method);
  write_frozen_elastic(file, prefix, shards_, *layout_, options_.tables.size(), inflation_);
}

}  // namespace taut::embedding
