#pragma once
// Columns that are known only after what the label says has happened.

#include <cstdint>
#include <optional>
#include <string>

#include "sample.h"

namespace taut::data {

/// That a value of a column goes with one label always, far beyond chance.
struct Implication {
  std::string value;      ///< "the value 1", "a value other than 0", "a value that is there"
  int label = 0;          ///< the label that these rows have
  std::int64_t rows = 0;  ///< that have the value
  bool whole = false;     ///< the value is all that the column says: there is one other, or none
};

/// The first such value of a column, those that go with label 1 first. Nothing for columns that say
/// too little. distinct: different values of the column. label: 0 and 1, NaN where missing.
[[nodiscard]] std::optional<Implication> implied_label(const ColumnSample& column,
                                                       std::int64_t distinct,
                                                       const ColumnSample& label);

}  // namespace taut::data
