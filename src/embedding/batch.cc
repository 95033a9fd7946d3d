#include "batch.h"

#include <atomic>
#include <bit>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "state.h"
#include "taut/core/error.h"
#include "taut/core/hash.h"
#include "taut/core/text.h"

namespace taut::embedding {
namespace {

[[noreturn]] void bad(const std::string& argument, const std::string& wanted,
                      const std::string& got) {
  throw_invalid_argument(argument, wanted, got);
}

}  // namespace

bool all_finite(std::span<const float> values) noexcept {
  // Finite values times 0 add up to 0; anything else spoils the sum. Sums side by side: one alone
  // would wait for each addition, and compilers may not split it.
  constexpr std::size_t kSums = 16;
  std::array<float, kSums> sums{};
  std::size_t i = 0;
  for (; i + kSums <= values.size(); i += kSums) {
    for (std::size_t k = 0; k < kSums; ++k) sums[k] += values[i + k] * 0.0f;
  }
  for (; i < values.size(); ++i) sums[0] += values[i] * 0.0f;
  return std::all_of(sums.begin(), sums.end(), [](float sum) { return sum == 0.0f; });
}

void with_checked_tables(std::span<const JaggedIds> tables, std::size_t wanted_tables,
                         std::int64_t batch, int dim, std::size_t values, const char* argument,
                         const std::function<void(std::span<const JaggedIds>)>& body) {
  if (batch < 0) bad("batch", "0 or more", std::to_string(batch));
  if (tables.size() != wanted_tables) {
    bad("tables", concat("of size ", wanted_tables), std::to_string(tables.size()));
  }
  const std::size_t outputs = static_cast<std::size_t>(batch) * wanted_tables;
  if (outputs > UINT32_MAX) {
    bad("batch", concat("so that batch * tables is below 2^32"), std::to_string(batch));
  }
  const std::size_t wanted = outputs * static_cast<std::size_t>(dim);
  if (values != wanted) {
    bad(argument, concat("of size batch * tables * dim = ", wanted), std::to_string(values));
  }
  bool whole = true;
  for (std::size_t t = 0; t < tables.size(); ++t) {
    check_jagged(tables[t], batch, concat("tables[", t, "]"));
    whole = whole && !tables[t].offsets.empty();
  }
  if (whole) {
    body(tables);
    return;
  }
  std::vector<std::int64_t> one_each(static_cast<std::size_t>(batch) + 1);
  std::iota(one_each.begin(), one_each.end(), std::int64_t{0});
  std::vector<JaggedIds> filled(tables.begin(), tables.end());
  for (JaggedIds& table : filled) {
    if (table.offsets.empty()) table.offsets = one_each;
  }
  body(filled);
}

void for_bag_ranges(std::size_t tables, std::int64_t batch, ThreadPool* pool,
                    const std::function<void(const BagRange&)>& body) {
  constexpr std::int64_t kBags = 256;
  static std::atomic<std::uint64_t> calls{0};
  const std::uint64_t call = calls.fetch_add(1, std::memory_order_relaxed) + 1;
  const std::int64_t ranges = (batch + kBags - 1) / kBags;
  const std::int64_t tasks = static_cast<std::int64_t>(tables) * ranges;
  const auto run = [&](std::int64_t task) {
    const std::int64_t first = task % ranges * kBags;
    body({.call = call,
          .table = static_cast<std::size_t>(task / ranges),
          .first = first,
          .end = std::min(batch, first + kBags)});
  };
  if (pool != nullptr) {
    pool->run(tasks, run);
  } else {
    for (std::int64_t task = 0; task < tasks; ++task) run(task);
  }
}

GradientGrouper::GradientGrouper(int shards) : sums_(static_cast<std::size_t>(shards)) {}

void GradientGrouper::begin_sort(std::span<const JaggedIds> tables, std::int64_t batch) {
  ranges_ = (batch + kBagsPerTask - 1) / kBagsPerTask;
  table_begins_.clear();
  std::size_t total = 0;
  for (const JaggedIds& table : tables) {
    table_begins_.push_back(total);
    total +=
        static_cast<std::size_t>(table.offsets[static_cast<std::size_t>(batch)] - table.offsets[0]);
  }
  staged_.resize(total);
  occurrences_.resize(total);
  begins_.assign(static_cast<std::size_t>(tasks()) * sums_.size(), 0);
}

// A stable counting sort by shard: the tasks' counts become where each of them begins to write.
void GradientGrouper::count_shards() {
  const std::size_t shards = sums_.size();
  shard_begins_.assign(shards + 1, 0);
  std::size_t total = 0;
  for (std::size_t s = 0; s < shards; ++s) {
    shard_begins_[s] = total;
    for (std::size_t task = 0; task < static_cast<std::size_t>(tasks()); ++task) {
      total += std::exchange(begins_[task * shards + s], total);
    }
  }
  shard_begins_[shards] = total;
}

void GradientGrouper::for_shards(int dim, std::span<const float> gradient, ThreadPool& pool,
                                 const std::function<void(int, const TouchedRows&)>& update) {
  pool.run(static_cast<std::int64_t>(sums_.size()), [&](std::int64_t s) {
    const auto i = static_cast<std::size_t>(s);
    const std::size_t begin = shard_begins_[i];
    const std::size_t end = shard_begins_[i + 1];
    if (begin == end) return;
    sums_[i].start(end - begin, dim);
    sums_[i].add(std::span(occurrences_).subspan(begin, end - begin), gradient);
    update(static_cast<int>(s), sums_[i].rows());
  });
}

void RowSums::start(std::size_t most, int dim) {
  dim_ = dim;
  slots_.assign(std::bit_ceil(most * 2), -1);
  keys_.clear();
  gradients_.clear();
}

void RowSums::add(std::span<const Occurrence> occurrences, std::span<const float> gradient) {
  const std::size_t mask = slots_.size() - 1;
  parts_.clear();
  for (const Occurrence& occurrence : occurrences) {
    std::size_t slot = mix64(occurrence.key) & mask;
    while (slots_[slot] >= 0 && keys_[static_cast<std::size_t>(slots_[slot])] != occurrence.key) {
      slot = (slot + 1) & mask;
    }
    if (slots_[slot] < 0) {
      slots_[slot] = static_cast<std::int32_t>(keys_.size());
      keys_.push_back(occurrence.key);
    }
    parts_.push_back({.row = static_cast<std::uint32_t>(slots_[slot]),
                      .output = occurrence.output,
                      .weight = occurrence.weight});
  }
  gradients_.resize(keys_.size() * static_cast<std::size_t>(dim_), 0.0f);
  add_gradients(parts_, dim_, gradient.data(), gradients_.data());
}

void clip_gradients(const TouchedRows& rows, int dim, float most) noexcept {
  const auto width = static_cast<std::size_t>(dim);
  for (std::size_t i = 0; i < rows.keys.size(); ++i) {
    const std::span<float> gradient = rows.gradients.subspan(i * width, width);
    float square = 0;
    for (const float g : gradient) square += g * g;
    if (square <= most * most) continue;
    const float factor = most / std::sqrt(square);
    for (float& g : gradient) g *= factor;
  }
}

RowwiseEmbedding::RowwiseEmbedding(Options options, std::shared_ptr<ThreadPool> pool, int shards)
    : Embedding(std::move(options), std::move(pool)), grouper_(shards) {}

void RowwiseEmbedding::do_update(std::span<const JaggedIds> tables, std::int64_t batch,
                                 std::span<const float> gradient) {
  begin_step();
  ++steps_;
  sort_ids(tables, batch, grouper_);
  grouper_.for_shards(options_.dim, gradient, *pool_, [this](int shard, const TouchedRows& rows) {
    if (options_.gradient_clip > 0) {
      clip_gradients(rows, options_.dim, static_cast<float>(options_.gradient_clip));
    }
    update_shard(shard, rows);
  });
  end_step();
}

void RowwiseEmbedding::save_progress(SectionSink& file, const std::string& prefix) const {
  save_value(file, prefix + "progress", Progress{.steps = steps_, .skipped = skipped_updates_});
}

RowwiseEmbedding::Progress RowwiseEmbedding::load_progress(const SectionSource& file,
                                                           const std::string& prefix) {
  const auto progress = load_value<Progress>(file, prefix + "progress");
  if (!is_count(progress.steps) || !is_count(progress.skipped)) {
    throw_damaged(file, prefix + "progress", "holds impossible values");
  }
  return progress;
}

}  // namespace taut::embedding
