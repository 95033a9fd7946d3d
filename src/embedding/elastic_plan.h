#pragma once
// How an elastic collection divides its budget.

#include <cstdint>

#include "elastic_shard.h"
#include "page.h"
#include "taut/embedding/options.h"

namespace taut::embedding {

/// The division of a budget: fixed by the options alone, so the same for any number of threads.
struct ElasticPlan {
  PageLayout layout;
  int shards = 1;           ///< a power of two
  ShardSizes sizes;         ///< of each shard
  bool sketch = false;      ///< admission by sketch at the start
  bool may_switch = false;  ///< from sketch to sampled when too many distinct ids come
};

/// beta as given, or chosen from the budget's share of the full table: 1 from a quarter up, 2.5
/// from a tenth down and where the distinct ids are not known.
[[nodiscard]] double resolved_beta(const Options& options);

/// Throws kConfig (an option that elastic does not have) or kBudget (naming the least).
[[nodiscard]] ElasticPlan plan_elastic(const Options& options);

/// The plan of another budget for a collection that has `now`: as many shards, the same admission,
/// the same keys' bits at most. Throws kBudget.
[[nodiscard]] ElasticPlan replan_elastic(const Options& options, const ElasticPlan& now);

/// A sketch is worth its bytes while it has so many counters for each distinct id.
inline constexpr double kLeastCountersPerId = 1.0;

}  // namespace taut::embedding
