#pragma once
// What the first rows of a column say of it, and what its name does.

#include <cstdint>
#include <initializer_list>
#include <string>

#include "sample.h"

namespace taut::data {

/// A column's values, in short. Threads: const calls only.
struct Facts {
  const ColumnSample* sample;  ///< not owned
  std::int64_t distinct = 0;
  bool zero_one = false;   ///< no value but 0 and 1; some may be missing
  bool fractions = false;  ///< a number that is not whole
  bool ascending = false;  ///< never falls, none missing
  bool ends_only = false;  ///< no number but the lowest and the highest
  double lowest = 0;
  double highest = 0;
};

/// The facts of a sample, which must outlive them.
[[nodiscard]] Facts look_at(const ColumnSample& sample);

/// Whether a name is one of these, in any case.
[[nodiscard]] bool is_one_of(const std::string& name, std::initializer_list<const char*> names);
[[nodiscard]] bool is_label_name(const std::string& name);
/// Names of what people do, and so of what is known only afterwards.
[[nodiscard]] bool is_outcome_name(const std::string& name);
[[nodiscard]] bool is_time_name(const std::string& name);
/// Words in a name that say how much or how many.
[[nodiscard]] bool is_quantity_name(const std::string& name);

}  // namespace taut::data
