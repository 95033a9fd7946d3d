#pragma once
// The array that a plan is made for: levels of links between groups, and what one accelerator can
// do.

#include <string>
#include <string_view>
#include <vector>

#include "taut/core/spelling.h"

namespace taut::parallel {

/// What joins the two groups of a level. Neighbouring levels of one ring or torus are one network.
enum class Topology {
  kTree,   ///< a link of their own (HyPar's H-tree)
  kRing,   ///< the ring through all groups of these levels
  kTorus,  ///< a two-dimensional torus; the upper half of its levels (rounded up) lies along x
};
constexpr auto spellings(std::type_identity<Topology>) {
  return std::to_array<Spelling<Topology>>(
      {{"tree", Topology::kTree}, {"ring", Topology::kRing}, {"torus", Topology::kTorus}});
}

[[nodiscard]] constexpr std::string_view to_string(Topology topology) noexcept {
  return spelling_of(topology);
}

/// One level of the hierarchy. Level h (from 1) joins pairs of groups, 2^(h-1) of them; or any
/// other number of groups that are alike.
struct Level {
  std::string name;
  /// Of all links of the level together, both directions, in bytes per second. HyPar's H-tree has
  /// the same at all levels: higher links are twice as wide and half as many.
  double bytes_per_second = 200e6;
  double latency_seconds = 0;  ///< of one message
  Topology topology = Topology::kTree;
  int groups = 2;  ///< that it joins; other numbers than 2 on trees alone
};

/// One accelerator. Energies as in section 6 of HyPar (arXiv 1901.02067).
struct Accelerator {
  double macs_per_second = 33.6e9;   ///< sustained
  double memory_bytes = 0;           ///< 0: unlimited
  double dram_bytes_per_second = 0;  ///< 0: never the limit
  double adder_picojoules = 0.9;
  double multiplier_picojoules = 3.7;
  double sram_picojoules = 5.0;  ///< per access
  double sram_accesses_per_mac = 0.25;
  double dram_picojoules = 640;  ///< per 32-bit word
  double dram_words_per_sent_word = 4;
};

/// Which multiply-adds count as a layer's work.
enum class MacCount {
  kInputSize,   ///< stride and padding ignored: reproduces HyPar's figures
  kOutputSize,  ///< the multiply-adds that are done
};

/// An array of equal accelerators, as many as the product of its levels' groups.
struct Cluster {
  std::string name = "hypar";
  std::vector<Level> levels;  ///< top first
  Accelerator accelerator;
  MacCount mac_count = MacCount::kInputSize;

  [[nodiscard]] int depth() const noexcept { return static_cast<int>(levels.size()); }
  [[nodiscard]] int accelerators() const noexcept { return groups_above(depth()); }
  /// Into how many groups the levels above one divide the array. Requires 0 <= level <= depth().
  [[nodiscard]] int groups_above(int level) const noexcept {
    int groups = 1;
    for (int above = 0; above < level; ++above) groups *= levels[above].groups;
    return groups;
  }
  /// Seconds that one 32-bit word takes at a level, the words of the whole level counted.
  [[nodiscard]] double seconds_per_word(int level) const;
  /// By how much the busiest link of the level's network exceeds a tree's: 1 on a tree; on rings
  /// and tori the number of accelerators whose traffic crosses it when links are as wide as
  /// bytes_per_second divided by the accelerators (4 x 4 torus: 2, as HyPar's figure 12 shows).
  [[nodiscard]] double congestion(int level) const;
  /// The levels [first, last) whose traffic shares links with a level's: itself on a tree, those of
  /// its ring, or of its dimension of a torus.
  struct Network {
    int first = 0;
    int last = 0;
  };
  [[nodiscard]] Network network(int level) const;
};

/// The number of levels of an array. Refuses what is no power of two, or outside 2..65536, with the
/// nearest counts (kInvalidArgument).
[[nodiscard]] int levels_of(long long accelerators);

/// HyPar's array (arXiv 1901.02067, section 6): 168 multipliers at 250 MHz used to 0.8, 1600 Mb/s a
/// level. Its levels are the prime factors of the number of accelerators, smallest first: a power
/// of two has pairs alone, 12 has levels of 2, 2 and 3 groups. Errors: kInvalidArgument outside
/// 2..65536, and for rings and tori of another number than a power of two.
[[nodiscard]] Cluster hypar_cluster(long long accelerators, Topology topology = Topology::kTree);

/// Reads a cluster from TOML (docs/parallel.md, "A cluster file"); source names it in errors.
/// settings lie over it: "macs=input", "accelerator.memory=8GiB", "level.1.bytes_per_second=1e9"
/// (levels of the file counted from 1).
/// Errors: kConfig for syntax, unknown keys, missing or impossible values, with the line.
[[nodiscard]] Cluster parse_cluster_toml(std::string_view text, const std::string& source,
                                         const std::vector<std::string>& settings = {});

}  // namespace taut::parallel
