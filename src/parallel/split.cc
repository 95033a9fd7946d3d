#include "taut/parallel/split.h"

namespace taut::parallel {

std::string level_digits(const Plan& plan, int level, const std::vector<int>& nodes) {
  std::string digits;
  for (const int node : nodes) {
    digits += static_cast<char>('0' + static_cast<int>(plan.states.at(node).at(level)));
  }
  return digits;
}

}  // namespace taut::parallel
