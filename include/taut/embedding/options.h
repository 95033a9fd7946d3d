#pragma once
// What an embedding collection is made from. option_list.h lists the members of Options with their
// keys, ranges and help: a new one is declared here and there.

#include <cstdint>
#include <string>
#include <vector>

#include "taut/core/spelling.h"
#include "taut/core/units.h"

namespace taut::embedding {

/// How values are stored.
enum class ValueType {
  kFloat32,
  kBFloat16,  ///< stochastic rounding on update
  kFloat16,   ///< stochastic rounding on update
  kInt8,      ///< a scale per row, stochastic rounding
  kMixed,     ///< elastic only: 8 bits, 16 for the most important rows
};
constexpr auto spellings(std::type_identity<ValueType>) {
  return std::to_array<Spelling<ValueType>>({{"fp32", ValueType::kFloat32},
                                             {"bf16", ValueType::kBFloat16},
                                             {"fp16", ValueType::kFloat16},
                                             {"int8", ValueType::kInt8},
                                             {"mixed", ValueType::kMixed}});
}

/// How a row that is not resident gets in.
enum class Admission { kAuto, kSampled, kSketch };
constexpr auto spellings(std::type_identity<Admission>) {
  return std::to_array<Spelling<Admission>>({{"auto", Admission::kAuto},
                                             {"sampled", Admission::kSampled},
                                             {"sketch", Admission::kSketch}});
}

/// What a row is found by: a 16-bit tag beside its bucket, or its whole 64-bit key.
enum class Keys { kTagged, kExact };
constexpr auto spellings(std::type_identity<Keys>) {
  return std::to_array<Spelling<Keys>>({{"tagged", Keys::kTagged}, {"exact", Keys::kExact}});
}

/// How a row follows its gradient. All work on gradients summed over the batch for each row.
enum class Optimizer {
  kRowwiseAdagrad,  ///< one accumulator a row: mean squares (default; the importance of elastic)
  kAdagrad,         ///< one accumulator a value (Duchi et al. 2011)
  kSgd,             ///< no state
  kAdam,  ///< momentum a value, second moment a row (Kingma and Ba 2015; row-wise as FBGEMM)
};
constexpr auto spellings(std::type_identity<Optimizer>) {
  return std::to_array<Spelling<Optimizer>>({{"rowwise_adagrad", Optimizer::kRowwiseAdagrad},
                                             {"adagrad", Optimizer::kAdagrad},
                                             {"sgd", Optimizer::kSgd},
                                             {"adam", Optimizer::kAdam}});
}

/// What update() does with a batch whose gradient is not finite.
enum class OnNan {
  kFail,  ///< kInvalidArgument naming the first position
  kSkip,  ///< the batch is left out and counted (Statistics::skipped_updates)
};
constexpr auto spellings(std::type_identity<OnNan>) {
  return std::to_array<Spelling<OnNan>>({{"fail", OnNan::kFail}, {"skip", OnNan::kSkip}});
}

/// More distinct ids than any table has: sizes of what is below it can be counted.
inline constexpr std::int64_t kMostIds = std::int64_t{1} << 40;

/// One categorical feature. Ids are 64 bits wide; no array is sized by them.
struct TableOptions {
  std::string name;
  /// Distinct ids of the training data, at most kMostIds, 0 if not known. Methods that must know
  /// them (full, qr, md) say so in an error when they are 0; full grows instead.
  std::int64_t distinct_ids = 0;
};

/// Options of a collection of tables under one budget.
struct Options {
  /// full | hash | qr | md | frequency | row | cafe | fiited | elastic (docs/embedding.md).
  std::string method = "elastic";
  std::vector<TableOptions> tables;
  /// Full length D of a row: a multiple of 4 in [4, 512].
  int dim = 16;
  /// All bytes of all tables: values, index, importance, optimizer state, sketch, pool, free space.
  /// Ignored by full, which takes what it needs.
  Bytes budget{0};
  ValueType value_type = ValueType::kMixed;
  Admission admission = Admission::kAuto;
  Keys keys = Keys::kTagged;
  /// Share of the budget for the cold pool, in [0, 0.9]; negative: chosen from the budget.
  double cold_share = -1.0;
  /// Values per chunk: even, at most 32 chunks a row; 0: the shortest that gives at most 32.
  int chunk = 0;
  /// The k-th chunk of a row is worth importance * k^-beta, beta from 0 to 16; negative: chosen
  /// from the budget, the larger the tighter.
  double beta = -1.0;
  /// Importance is multiplied by this at each rebalance; 1 on shuffled data.
  double decay = 1.0;
  /// Steps between two rebalances.
  int period = 30;
  /// Rates are for batch gradients of the summed loss.
  Optimizer optimizer = Optimizer::kRowwiseAdagrad;
  double learning_rate = 0.4;
  double initial_accumulator = 0.2;
  double epsilon = 1e-8;
  /// Adam's two decay rates, in [0, 1).
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.999;
  /// Largest L2 norm of a row's summed gradient; what is longer is scaled down. 0: no limit.
  double gradient_clip = 0.0;
  /// Adds l2 * value to the gradient of the rows that a batch touches.
  double l2 = 0.0;
  OnNan on_nan = OnNan::kFail;
  std::uint64_t seed = 1;

  // Finer settings of elastic; the defaults are what the study in docs/embedding.md found good.

  /// Share of the budget for the count-min sketch of sketch admission, in (0, 0.5].
  double sketch_share = 0.05;
  /// Share of the pages' bytes that the threshold leaves free for what comes in, in [0, 0.5].
  double reserve = 0.03;
  /// A held chunk counts this much more than one that wants in, in [0, 2].
  double hysteresis = 0.2;
  /// kMixed: 16-bit values from this multiple of a chunk's threshold on, above 1.
  double precision_ratio = 256.0;
  /// Learning rate of the cold pool.
  double cold_learning_rate = 0.3;
};

/// Throws kConfig naming the key, what is wanted and what was given, for the first option that is
/// out of range. Options that one method alone reads are checked by that method.
void check_options(const Options& options);

/// options.chunk, or what 0 stands for.
[[nodiscard]] int resolved_chunk(const Options& options) noexcept;

/// What full tables of so many rows take while they train: rows of dim values and an optimizer's
/// value each. The whole of which budgets written as a ratio are a share. 2^63 - 1 for more than
/// can be counted.
[[nodiscard]] Bytes full_bytes(std::int64_t rows, std::int64_t dim) noexcept;

/// What the full model takes: distinct ids * (4 * dim + 4) over all tables.
[[nodiscard]] Bytes full_bytes(const Options& options);

}  // namespace taut::embedding
