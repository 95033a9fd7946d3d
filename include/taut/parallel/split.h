#pragma once
// How a layer is split at a level of the array, and which part of its tensors a group then holds.
// Sources: HyPar (arXiv 1901.02067, types I and II), AccPar (HPCA 2020, type III).

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "taut/core/spelling.h"

namespace taut::parallel {

/// Most levels of an array; of two groups each, 2^16 accelerators.
inline constexpr int kMaxLevels = 16;

/// How one level of the array divides a layer between its groups, two of them unless it joins more.
enum class Split : std::uint8_t {
  kBatch = 0,  ///< type I, data parallel: half of the samples each, weights copied
  kInput =
      1,  ///< type II, model parallel: half of the input channels each, outputs are partial sums
  kOutput = 2,     ///< type III: half of the output channels each, input errors are partial sums
  kChannels = 3,   ///< input and output channels together: element-wise nodes, grouped convolutions
  kReplicate = 4,  ///< nothing: each group computes all of it (CostOptions::replicate)
};
constexpr auto spellings(std::type_identity<Split>) {
  return std::to_array<Spelling<Split>>({{"I", Split::kBatch},
                                         {"II", Split::kInput},
                                         {"III", Split::kOutput},
                                         {"C", Split::kChannels},
                                         {"R", Split::kReplicate}});
}

[[nodiscard]] constexpr std::string_view to_string(Split split) noexcept {
  return spelling_of(split);
}

/// Which part of a tensor a group of accelerators has or needs at one level.
enum class Held : std::uint8_t {
  kBatch,    ///< its half of the samples
  kChannel,  ///< its half of the channels
  kPartial,  ///< all of it, as sums that must still be added up
  kWhole,    ///< all of it
};

/// What a split makes and needs: features (outputs of a layer, F) and errors (their gradients, E).
struct SplitLayouts {
  Held feature_wanted;  ///< the layer's input
  Held feature_made;    ///< its output
  Held error_wanted;    ///< the error of its output
  Held error_made;      ///< the error of its input
};

[[nodiscard]] constexpr SplitLayouts layouts_of(Split split) noexcept {
  switch (split) {
    case Split::kBatch:
      return {Held::kBatch, Held::kBatch, Held::kBatch, Held::kBatch};
    case Split::kInput:
      return {Held::kChannel, Held::kPartial, Held::kWhole, Held::kChannel};
    case Split::kOutput:
      return {Held::kWhole, Held::kChannel, Held::kChannel, Held::kPartial};
    case Split::kReplicate:
      return {Held::kWhole, Held::kWhole, Held::kWhole, Held::kWhole};
    case Split::kChannels:
      break;
  }
  return {Held::kChannel, Held::kChannel, Held::kChannel, Held::kChannel};
}

/// A layer's split at every level, top level first. Three bits a level; ordered by the types from
/// the top level down (the lower type first).
class LayerState {
 public:
  LayerState() = default;
  /// The same split at every level. Requires 0 <= levels <= kMaxLevels.
  LayerState(int levels, Split split) : levels_(static_cast<std::uint8_t>(levels)) {
    for (int level = 0; level < levels; ++level) set(level, split);
  }

  [[nodiscard]] int levels() const noexcept { return levels_; }
  /// The split at a level, 0 being the top one. Requires 0 <= level < levels().
  [[nodiscard]] Split at(int level) const noexcept {
    return static_cast<Split>((bits_ >> shift(level)) & kMask);
  }
  void set(int level, Split split) noexcept {
    bits_ = (bits_ & ~(kMask << shift(level))) |
            (std::uint64_t{static_cast<std::uint8_t>(split)} << shift(level));
  }
  /// How many levels have this split.
  [[nodiscard]] int count(Split split) const noexcept {
    int count = 0;
    for (int level = 0; level < levels_; ++level) count += at(level) == split ? 1 : 0;
    return count;
  }
  /// Whether its weights are kept in parts where type I copies them, and gathered for each pass
  /// (Sharding::kByLayer; a state without it comes first).
  [[nodiscard]] bool gathers() const noexcept { return gathers_; }
  void set_gathers(bool gathers) noexcept { gathers_ = gathers; }
  auto operator<=>(const LayerState&) const = default;

 private:
  static constexpr int kBits = 3;
  static constexpr std::uint64_t kMask = (std::uint64_t{1} << kBits) - 1;
  static int shift(int level) noexcept { return kBits * (kMaxLevels - 1 - level); }

  std::uint64_t bits_ = 0;
  std::uint8_t levels_ = 0;
  bool gathers_ = false;
};

/// A plan: for each node of a graph, by index, its split at every level.
struct Plan {
  int levels = 0;
  std::vector<LayerState> states;
  bool operator==(const Plan&) const = default;
};

/// The splits of one level for the chosen nodes, a digit each: 0, 1, 2 for types I, II, III, 3 for
/// kChannels, as in parallel_expected.json, and 4 for kReplicate.
[[nodiscard]] std::string level_digits(const Plan& plan, int level, const std::vector<int>& nodes);

}  // namespace taut::parallel
