#pragma once
// Embedding tables beside a plan: which accelerator holds which, and what their exchange moves.

#include <cstdint>
#include <vector>

#include "taut/graph/graph.h"
#include "taut/parallel/cluster.h"

namespace taut::parallel {

/// How large tables are kept.
struct TableOptions {
  /// Bytes of all tables together; 0: every row whole (4 bytes a word). Elastic tables hold any
  /// budget; each table gets its share in proportion to its full size.
  double budget_bytes = 0;
  /// Mean share of a row's words that elastic rows keep, of what travels; 1: full rows. Rows of
  /// different lengths travel as their own words.
  double row_share = 1;
};

/// Tables on accelerators, whole tables each.
struct TablePlacement {
  std::vector<int> accelerator;  ///< by table
  std::vector<double> bytes;     ///< by accelerator
  double largest_bytes = 0;      ///< of one accelerator
  double total_bytes = 0;
  /// 32-bit words of a step's exchange at each level, top first: pooled rows to the samples' owners
  /// and their gradients back, an all-to-all from a split by tables to a split by samples
  /// (at the j-th level 2^-j of the words each way; docs/parallel.md).
  std::vector<double> words_by_level;
  double seconds = 0;  ///< of the exchange, levels one after another
};

/// Places the largest table first, each on the accelerator with the least bytes (lowest index on
/// ties). The exchange's words do not depend on the placement when tables are spread evenly; that
/// mean is what is given. Errors: kInvalidArgument for options out of range or a batch below 1.
[[nodiscard]] TablePlacement place_tables(const graph::Graph& graph, const Cluster& cluster,
                                          std::int64_t batch, const TableOptions& options = {});

}  // namespace taut::parallel
