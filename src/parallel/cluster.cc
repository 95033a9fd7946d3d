#include "taut/parallel/cluster.h"

#include <algorithm>
#include <bit>

#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/parallel/split.h"

namespace taut::parallel {
namespace {

constexpr double kBytesPerWord = 4;

}  // namespace

Cluster::Network Cluster::network(int level) const {
  const Topology topology = levels.at(level).topology;
  if (topology == Topology::kTree) return {level, level + 1};
  Network all{level, level + 1};
  while (all.first > 0 && levels[all.first - 1].topology == topology) --all.first;
  while (all.last < depth() && levels[all.last].topology == topology) ++all.last;
  if (topology == Topology::kRing) return all;
  const int along_y = all.first + (all.last - all.first + 1) / 2;
  return level < along_y ? Network{all.first, along_y} : Network{along_y, all.last};
}

double Cluster::congestion(int level) const {
  const Network ring = network(level);
  if (levels[level].topology == Topology::kTree) return 1;
  // A ring of 2^n members: at its top level both ways round are equally long, and each link carries
  // half of the members' messages; below, the pairs of a block all cross its middle link.
  return static_cast<double>(1ll << (ring.last - ring.first - std::max(level - ring.first, 1)));
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
  constexpr long long kMost = 1ll << kMaxLevels;
  if (accelerators < 2 || accelerators > kMost) {
    throw_invalid_argument("accelerators", concat("in 2..", kMost), concat(accelerators));
  }
  if (topology != Topology::kTree) (void)levels_of(accelerators);
  Cluster cluster;
  for (int groups = 2; accelerators > 1; ++groups) {
    for (; accelerators % groups == 0; accelerators /= groups) {
      cluster.levels.push_back({.name = "", .topology = topology, .groups = groups});
    }
  }
  for (int level = 0; level < cluster.depth(); ++level) {
    cluster.levels[level].name = concat("H", level + 1);
  }
  return cluster;
}

}  // namespace taut::parallel
