#include "elastic_plan.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>

#include "optimizer.h"
#include "taut/core/aligned_buffer.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/core/units.h"

namespace taut::embedding {
namespace {

constexpr std::int64_t kBudgetStep = 64;        // of the least budget that a message names
constexpr std::int64_t kShardBytes = 64 << 10;  // the least worth a shard of its own
constexpr int kMostShards = 64;
constexpr int kFullRowsPerPage = 3;
constexpr std::int64_t kLeastPage = 128;
constexpr std::int64_t kLargestPage = 32768;
constexpr std::int64_t kMostRegisters = 4096;  // of all shards
constexpr std::int64_t kFewPages = 16;         // below this, they share all bytes evenly
constexpr std::int64_t kLeastCounters = 16;
constexpr std::int64_t kLeastRegisters = 16;

Storage low_storage(ValueType type) {
  switch (type) {
    case ValueType::kFloat32:
      return Storage::kFloat32;
    case ValueType::kBFloat16:
      return Storage::kBFloat16;
    case ValueType::kFloat16:
      return Storage::kFloat16;
    case ValueType::kInt8:
    case ValueType::kMixed:
      break;
  }
  return Storage::kInt8;
}

PageLayout make_layout(const Options& options) {
  PageLayout layout;
  layout.chunk = resolved_chunk(options);
  layout.chunks = options.dim / layout.chunk;
  layout.low = low_storage(options.value_type);
  layout.mixed = options.value_type == ValueType::kMixed;
  layout.high = layout.mixed ? Storage::kInt16 : layout.low;
  layout.exact = options.keys == Keys::kExact;
  layout.value_state = RowOptimizer(options).value_state_values() > 0;
  layout.row_state = options.optimizer == Optimizer::kAdam;  // Adagrad's is the importance
  return layout;
}

std::int64_t distinct_ids(const Options& options) {
  std::int64_t sum = 0;
  for (const TableOptions& table : options.tables) {
    if (table.distinct_ids == 0) return 0;  // not known
    sum += table.distinct_ids;
  }
  return sum;
}

// The pool pays where the budget is very tight, and only there (docs/embedding.md).
double cold_share(const Options& options) {
  if (options.cold_share >= 0) return options.cold_share;
  const std::int64_t full = full_bytes(options).count;
  if (distinct_ids(options) == 0 || options.budget.count * 50 > full) return 0.0;
  return 0.5;
}

// Decides on sketch, register and the right to switch; false: the sketch asked for does not fit.
bool choose_admission(const Options& options, std::int64_t arena, std::int64_t counters,
                      ElasticPlan& plan) {
  const std::int64_t ids = distinct_ids(options);
  if (options.admission == Admission::kSampled) return true;
  if (options.admission == Admission::kSketch) {
    plan.sketch = true;
    return counters >= kLeastCounters;
  }
  plan.sketch = counters >= kLeastCounters && static_cast<double>(counters) * plan.shards >=
                                                  kLeastCountersPerId * static_cast<double>(ids);
  if (!plan.sketch || ids > 0) return true;
  const std::int64_t most = std::min(kMostRegisters / plan.shards, arena / 64);
  if (most <
      kLeastRegisters) {  // too few to tell how many ids there are: sampling needs no telling
    plan.sketch = false;
    return true;
  }
  plan.may_switch = true;
  plan.sizes.registers =
      static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(most)));
  return true;
}

// The division of a budget of `bytes`, or nothing where a row or the sketch does not fit.
// now: the plan that a running collection has, or null.
std::optional<ElasticPlan> try_plan(const Options& options, std::int64_t bytes,
                                    const ElasticPlan* now) {
  ElasticPlan plan;
  plan.layout = make_layout(options);
  PageLayout& layout = plan.layout;
  const auto shards = std::clamp<std::int64_t>(bytes / kShardBytes, 1, kMostShards);
  plan.shards = static_cast<int>(std::bit_floor(static_cast<std::uint64_t>(shards)));
  if (now != nullptr) plan.shards = now->shards;
  const std::int64_t arena = bytes_within(bytes / plan.shards);

  const auto counters =
      static_cast<std::int64_t>(static_cast<double>(arena) * options.sketch_share);
  ShardSizes& sizes = plan.sizes;
  if (now != nullptr) {
    plan.sketch = now->sketch;
    plan.may_switch = now->may_switch;
    if (plan.sketch && counters < kLeastCounters) return std::nullopt;
    sizes.registers = now->sizes.registers;
  } else if (!choose_admission(options, arena, counters, plan)) {
    return std::nullopt;
  }
  if (plan.sketch) sizes.sketch_counters = counters;
  sizes.pool_slots = static_cast<std::int64_t>(static_cast<double>(arena) * cold_share(options)) /
                     ShardView::slot_bytes(layout);
  const std::int64_t room = arena - ElasticShard::total_bytes(sizes, layout);
  if (room < layout.least_page_bytes()) return std::nullopt;
  const std::int64_t full_row = layout.overhead_bytes() + layout.value_bytes(layout.widest());
  const std::int64_t usual =
      std::clamp(static_cast<std::int64_t>(
                     std::bit_ceil(static_cast<std::uint64_t>(full_row * kFullRowsPerPage))),
                 kLeastPage, kLargestPage);
  sizes.pages = std::max<std::int64_t>(1, room / usual);
  layout.page_bytes = static_cast<int>(sizes.pages < kFewPages ? room / sizes.pages : usual);
  sizes.granule_bits = ShardSizes::bits_for(sizes.pages);
  if (now != nullptr) sizes.granule_bits = std::min(sizes.granule_bits, now->sizes.granule_bits);
  return plan;
}

ElasticPlan plan_or_throw(const Options& options, const ElasticPlan* now) {
  if (const auto plan = try_plan(options, options.budget.count, now)) return *plan;
  std::int64_t least = (options.budget.count / kBudgetStep + 1) * kBudgetStep;
  while (!try_plan(options, least, now)) least += kBudgetStep;
  throw Error(
      ErrorKind::kBudget,
      concat(options.budget.count, " bytes hold not one row of ", options.dim, " dimensions"),
      "embedding.budget", concat("give at least ", least, " bytes"));
}

}  // namespace

// Measured at a quarter and at a tenth of the full table (docs/embedding.md), in between along the
// logarithm of the share.
double resolved_beta(const Options& options) {
  constexpr double kWide = 0.25;
  constexpr double kWideBeta = 1.0;
  constexpr double kTight = 0.1;
  constexpr double kTightBeta = 2.5;
  if (options.beta >= 0) return options.beta;
  if (distinct_ids(options) == 0) return kTightBeta;
  const double share =
      static_cast<double>(options.budget.count) / static_cast<double>(full_bytes(options).count);
  const double tightness = std::log(kWide / share) / std::log(kWide / kTight);
  return std::lerp(kWideBeta, kTightBeta, std::clamp(tightness, 0.0, 1.0));
}

ElasticPlan plan_elastic(const Options& options) {
  return plan_or_throw(options, nullptr);
}

ElasticPlan replan_elastic(const Options& options, const ElasticPlan& now) {
  return plan_or_throw(options, &now);
}

}  // namespace taut::embedding
