#pragma once
// Weight pruning by magnitude: masks over weights, and the schedule that makes them grow
// (Zhu and Gupta 2017, "To prune, or not to prune", arXiv 1710.01878).

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "taut/core/spelling.h"

namespace taut::sparsity {

/// A layer's weight [outputs, inputs, taps], as PyTorch keeps it: taps is 1 for linear layers and
/// kernel height * width for convolutions. Does not own its values.
struct Weight {
  std::span<const float> values;
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;
  std::int64_t taps = 1;
};

/// One byte a value, in the order of the values: 1 stays, 0 is pruned.
using Mask = std::vector<std::uint8_t>;

/// What is pruned together, and among what the smallest are found.
enum class Prune {
  kGlobal,   ///< single values, the smallest of all layers together
  kLayer,    ///< single values, the same share of each layer
  kNOfM,     ///< of each m consecutive inputs (of one output and tap) the n largest stay: 2:4
  kBlock,    ///< blocks of block_outputs x block_inputs at one tap, the same share of each layer
  kOutputs,  ///< whole outputs (feature maps), the same share of each layer
};
constexpr auto spellings(std::type_identity<Prune>) {
  return std::to_array<Spelling<Prune>>({{"global", Prune::kGlobal},
                                         {"layer", Prune::kLayer},
                                         {"n_of_m", Prune::kNOfM},
                                         {"block", Prune::kBlock},
                                         {"outputs", Prune::kOutputs}});
}

/// By the table above. parse_prune throws kConfig with the nearest known name.
[[nodiscard]] std::string to_string(Prune prune);
[[nodiscard]] Prune parse_prune(const std::string& text);

struct PruneOptions {
  Prune prune = Prune::kGlobal;
  /// Share that is pruned, in [0, 1): of the values, or of a layer's blocks or outputs. kNOfM does
  /// not read it.
  double share = 0.8;
  /// kNOfM: n of m stay, 1 <= n <= m; inputs must be a multiple of m.
  int n = 2;
  int m = 4;
  /// kBlock: at the end of a layer blocks may be smaller; they are ranked by mean |w| like all.
  std::int64_t block_outputs = 16;
  std::int64_t block_inputs = 4;
};

/// How many of n are pruned: floor(share * n), where a product within 1e-9 (relative) below a whole
/// number counts as that number, so that 0.7 of 10 is 7.
[[nodiscard]] std::int64_t pruned_count(std::int64_t n, double share) noexcept;

/// Masks of layers, in their order. Exactly pruned_count(n, share) of n are pruned; among equals
/// the lower index stays (layers one after another); NaN counts as largest. A value that is zero
/// since it was pruned before stays pruned as the share grows, as long as enough others are not
/// zero. Throws kInvalidArgument naming the option or the layer, what is wanted and what was given.
[[nodiscard]] std::vector<Mask> prune_masks(std::span<const Weight> layers,
                                            const PruneOptions& options);

/// The mask over n scores that prunes the smallest: static pruning of feature maps by scores of
/// their activations. Throws kInvalidArgument for a share outside [0, 1).
[[nodiscard]] Mask prune_scores(std::span<const float> scores, double share);

/// The share at a step of a gradual schedule: initial at `begin` and before, final from `end` on,
/// final + (initial - final) * (1 - t)^3 between them (Zhu and Gupta 2017, equation 1).
/// Throws kInvalidArgument unless begin < end and both shares are in [0, 1).
[[nodiscard]] double gradual_share(double step, double begin, double end, double initial_share,
                                   double final_share);

}  // namespace taut::sparsity
