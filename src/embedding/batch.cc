#include "batch.h"

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

constexpr std::int64_t kBagsPerTask = 1024;

[[noreturn]] void bad(const std::string& argument, const std::string& wanted,
                      const std::string& got) {
  throw_invalid_argument(argument, wanted, got);
}

}  // namespace

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

GradientGrouper::GradientGrouper(int shards) : scratch_(static_cast<std::size_t>(shards)) {}

void GradientGrouper::run(std::span<const JaggedIds> tables, std::int64_t batch, int dim,
                          std::span<const float> gradient, ThreadPool& pool,
                          const std::function<std::uint64_t(std::size_t, std::uint64_t)>& key,
                          const std::function<int(std::uint64_t)>& shard,
                          const std::function<void(int, const TouchedRows&)>& update) {
  // A stable counting sort by shard: tasks are ranges of bags of one table, in a fixed order.
  const std::size_t shards = scratch_.size();
  const std::int64_t ranges = (batch + kBagsPerTask - 1) / kBagsPerTask;
  const std::int64_t tasks = ranges * static_cast<std::int64_t>(tables.size());
  const auto for_occurrences = [&](std::int64_t task, const auto& body) {
    const auto t = static_cast<std::size_t>(task / ranges);
    const JaggedIds& table = tables[t];
    const std::int64_t first = task % ranges * kBagsPerTask;
    const std::int64_t last = std::min(batch, first + kBagsPerTask);
    for (std::int64_t bag = first; bag < last; ++bag) {
      const auto output =
          static_cast<std::uint32_t>(static_cast<std::size_t>(bag) * tables.size() + t);
      const std::int64_t end = table.offsets[static_cast<std::size_t>(bag + 1)];
      for (std::int64_t i = table.offsets[static_cast<std::size_t>(bag)]; i < end; ++i) {
        const auto at = static_cast<std::size_t>(i);
        const float weight = table.weights.empty() ? 1.0f : table.weights[at];
        body(Occurrence{.key = key(t, table.ids[at]), .output = output, .weight = weight});
      }
    }
  };
  begins_.assign(static_cast<std::size_t>(tasks) * shards, 0);
  pool.run(tasks, [&](std::int64_t task) {
    std::size_t* counts = begins_.data() + static_cast<std::size_t>(task) * shards;
    for_occurrences(task, [&](const Occurrence& o) { ++counts[shard(o.key)]; });
  });
  std::vector<std::size_t> shard_begins(shards + 1, 0);
  std::size_t total = 0;
  for (std::size_t s = 0; s < shards; ++s) {
    shard_begins[s] = total;
    for (std::size_t task = 0; task < static_cast<std::size_t>(tasks); ++task) {
      total += std::exchange(begins_[task * shards + s], total);
    }
  }
  shard_begins[shards] = total;
  occurrences_.resize(total);
  pool.run(tasks, [&](std::int64_t task) {
    std::size_t* next = begins_.data() + static_cast<std::size_t>(task) * shards;
    for_occurrences(task, [&](const Occurrence& o) { occurrences_[next[shard(o.key)]++] = o; });
  });
  pool.run(static_cast<std::int64_t>(shards), [&](std::int64_t s) {
    const auto i = static_cast<std::size_t>(s);
    if (shard_begins[i] == shard_begins[i + 1]) return;
    Scratch& scratch = scratch_[i];
    group(std::span(occurrences_).subspan(shard_begins[i], shard_begins[i + 1] - shard_begins[i]),
          dim, gradient, scratch);
    update(static_cast<int>(s), TouchedRows{.keys = scratch.keys, .gradients = scratch.gradients});
  });
}

void GradientGrouper::group(std::span<const Occurrence> occurrences, int dim,
                            std::span<const float> gradient, Scratch& scratch) const {
  const std::size_t capacity = std::bit_ceil(occurrences.size() * 2);
  const auto width = static_cast<std::size_t>(dim);
  scratch.slots.assign(capacity, -1);
  scratch.keys.clear();
  scratch.gradients.clear();
  for (const Occurrence& occurrence : occurrences) {
    std::size_t slot = mix64(occurrence.key) & (capacity - 1);
    while (scratch.slots[slot] >= 0 &&
           scratch.keys[static_cast<std::size_t>(scratch.slots[slot])] != occurrence.key) {
      slot = (slot + 1) & (capacity - 1);
    }
    if (scratch.slots[slot] < 0) {
      scratch.slots[slot] = static_cast<std::int32_t>(scratch.keys.size());
      scratch.keys.push_back(occurrence.key);
      scratch.gradients.resize(scratch.gradients.size() + width, 0.0f);
    }
    const float* source = gradient.data() + occurrence.output * width;
    float* sum = scratch.gradients.data() + static_cast<std::size_t>(scratch.slots[slot]) * width;
    for (std::size_t i = 0; i < width; ++i) sum[i] += occurrence.weight * source[i];
  }
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
  grouper_.run(
      tables, batch, options_.dim, gradient, *pool_,
      [this](std::size_t table, std::uint64_t id) { return key_of(table, id); },
      [this](std::uint64_t key) { return shard_of(key); },
      [this](int shard, const TouchedRows& rows) {
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
