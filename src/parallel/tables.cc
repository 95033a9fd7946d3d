#include "taut/parallel/tables.h"

#include <algorithm>
#include <numeric>

#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/parallel/volume.h"

namespace taut::parallel {

TablePlacement place_tables(const graph::Graph& graph, const Cluster& cluster, std::int64_t batch,
                            const TableOptions& options) {
  constexpr double kBytesPerWord = 4;
  if (batch < 1) throw_invalid_argument("batch", "at least 1", concat(batch));
  if (!(options.row_share > 0 && options.row_share <= 1)) {
    throw_invalid_argument("row_share", "above 0 and at most 1", concat(options.row_share));
  }
  if (options.budget_bytes < 0) {
    throw_invalid_argument("budget_bytes", "not negative", concat(options.budget_bytes));
  }
  const auto& tables = graph.tables();
  TablePlacement placement;
  placement.accelerator.assign(tables.size(), 0);
  placement.bytes.assign(cluster.accelerators(), 0);
  const double full = kBytesPerWord * static_cast<double>(graph.table_words());
  const double kept = options.budget_bytes > 0 ? options.budget_bytes / full : 1;
  const auto bytes = [&](std::size_t t) {
    if (options.budget_bytes == 0 && tables[t].bytes > 0) {
      return static_cast<double>(tables[t].bytes);
    }
    return kept * kBytesPerWord * static_cast<double>(tables[t].rows * tables[t].dim);
  };
  std::vector<std::size_t> order(tables.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return bytes(a) > bytes(b); });
  double pooled_words = 0;
  for (const std::size_t t : order) {
    const auto emptiest = std::min_element(placement.bytes.begin(), placement.bytes.end());
    placement.accelerator[t] = static_cast<int>(emptiest - placement.bytes.begin());
    *emptiest += bytes(t);
    placement.total_bytes += bytes(t);
    pooled_words +=
        static_cast<double>(tables[t].rows_read) * static_cast<double>(tables[t].dim * batch);
  }
  placement.largest_bytes = *std::max_element(placement.bytes.begin(), placement.bytes.end());
  const int levels = cluster.depth();
  std::vector<int> groups;
  for (const Level& level : cluster.levels) groups.push_back(level.groups);
  const std::vector<MoveUnits> units = move_units(std::vector<Held>(levels, Held::kChannel),
                                                  std::vector<Held>(levels, Held::kBatch), groups);
  for (int level = 0; level < levels; ++level) {
    const double words = 2 * options.row_share * pooled_words * units[level].change;
    placement.words_by_level.push_back(words);
    placement.seconds += words * cluster.seconds_per_word(level);
    if (words > 0) placement.seconds += 2 * cluster.levels[level].latency_seconds;
  }
  return placement;
}

}  // namespace taut::parallel
