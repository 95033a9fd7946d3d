#pragma once
// Names of the nodes that are made from a file, each used once.

#include <cstddef>
#include <map>
#include <string>

#include "taut/core/text.h"

namespace taut::graph {

/// Gives names that differ. Threads: use from one at a time.
class UniqueNames {
 public:
  /// The label, or its end where it is very long; with a number where it was given before.
  std::string name_for(const std::string& label) {
    constexpr std::size_t kLongest = 200;
    std::string name =
        label.size() <= kLongest ? label : "..." + label.substr(label.size() - kLongest);
    const std::string base = name;
    while (!asked_.try_emplace(name, 1).second) name = concat(base, " ", ++asked_[base]);
    return name;
  }

 private:
  std::map<std::string, int> asked_;  // how often, by name
};

}  // namespace taut::graph
