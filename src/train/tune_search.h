#pragma once
// Finds winner rates: the cheapest choice of a level for each site whose measured accuracy stays
// above a floor.

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

namespace taut::train {

/// A level for each site; higher levels have lower rates.
using Levels = std::vector<int>;

struct SearchProblem {
  std::vector<int> levels;  ///< how many each site has
  Levels start;
  double drop = 0;         ///< of accuracy against the start that is allowed
  double resolution = 0;   ///< the least difference of accuracy that can be measured
  std::int64_t tries = 0;  ///< measurements of the refinement at most
  std::function<double(const Levels&)> accuracy;  ///< slow
  std::function<double(const Levels&)> cost;      ///< cheap
};

struct SearchResult {
  Levels levels;
  double before = 0;  ///< accuracy of the start
  double after = 0;
  std::vector<std::vector<double>> alone;  ///< accuracy with one site at a level: [site][level]
  std::int64_t measured = 0;               ///< how often accuracy was measured
};

/// Three passes. Each site alone at each level; then greedily the step down that saves most cost
/// for the accuracy that it lost alone, as long as the joint accuracy holds; then changes of one
/// or two sites at once, any levels, that cost less and hold, the most promising first. With one
/// or two sites and tries for all pairs of levels, the result is the cheapest there is.
[[nodiscard]] SearchResult search_rates(const SearchProblem& problem);

}  // namespace taut::train
