#pragma once
// Which column of a table is its label.

#include <span>
#include <string>

#include "column_facts.h"
#include "sample.h"
#include "taut/data/init.h"

namespace taut::data {

/// What the label is, and its values as 0 and 1.
struct LabelChoice {
  std::string label;  ///< as Schema::label
  std::string reason;
  ColumnSample sample;
};

/// As hints.label says, or by name and values. path: for messages. Errors: kData where no column
/// can be the label, the one that is hinted cannot, or several could.
[[nodiscard]] LabelChoice choose_label(std::span<const Facts> columns, const GuessHints& hints,
                                       const std::string& path);

}  // namespace taut::data
