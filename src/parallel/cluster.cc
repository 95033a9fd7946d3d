#include "taut/parallel/cluster.h"

#include <bit>

#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/parallel/split.h"

namespace taut::parallel {
namespace {

constexpr double kBytesPerWord = 4;

/// The pairs' traffic on the busiest link of a ring of 2^levels, at a level of it (0: the top one,
/// where both ways round are equally long). One unit: what one member sends at that level.
double ring_congestion(int levels, int level) {
  return static_cast<double>(1ll << (levels - std::max(level, 1)));
}

}  // namespace

std::string_view to_string(Topology topology) noexcept {
  switch (topology) {
    case Topology::kTree:
      return "tree";
    case Topology::kRing:
      return "ring";
    case Topology::kTorus:
      return "torus";
  }
  return "?";
}

double Cluster::congestion(int level) const {
  const Topology topology = levels.at(level).topology;
  if (topology == Topology::kTree) return 1;
  int first = level;
  while (first > 0 && levels[first - 1].topology == topology) --first;
  int last = level;
  while (last + 1 < depth() && levels[last + 1].topology == topology) ++last;
  const int size = last - first + 1;
  const int index = level - first;
  if (topology == Topology::kRing) return ring_congestion(size, index);
  const int along_x = (size + 1) / 2;
  return index < along_x ? ring_congestion(along_x, index)
                         : ring_congestion(size - along_x, index - along_x);
}

double Cluster::seconds_per_word(int level) const {
  return kBytesPerWord * congestion(level) / levels.at(level).bytes_per_second;
}

int levels_of(long long accelerators) {
  constexpr long long kMost = 1ll << kMaxLevels;
  if (accelerators < 2 || accelerators > kMost) {
    throw_invalid_argument("accelerators", concat("a power of two in 2..", kMost),
                           concat(accelerators));
  }
  const auto count = static_cast<unsigned long long>(accelerators);
  if (!std::has_single_bit(count)) {
    throw_invalid_argument("accelerators",
                           concat("a power of two (nearest: ", std::bit_floor(count), " and ",
                                  std::bit_ceil(count), ")"),
                           concat(accelerators));
  }
  return std::countr_zero(count);
}

Cluster hypar_cluster(long long accelerators, Topology topology) {
  Cluster cluster;
  cluster.levels.assign(levels_of(accelerators), Level{.name = "", .topology = topology});
  for (int level = 0; level < cluster.depth(); ++level) {
    cluster.levels[level].name = concat("H", level + 1);
  }
  return cluster;
}

}  // namespace taut::parallel
