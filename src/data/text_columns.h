#pragma once
// Columns of a piece of text appended to a block.

#include <cstdint>
#include <vector>

#include "bad_rows.h"
#include "cell_rules.h"
#include "rows.h"
#include "text_index.h"

namespace taut::data {

/// One column of an indexed piece of text: field number `field` of each row that has `fields`
/// fields (others give a placeholder; their row is bad as a whole). Each reads all rows of the
/// piece.
class TextColumn {
 public:
  TextColumn(const TextIndex& index, const CellRules& rules, std::int64_t field,
             std::int64_t fields)
      : index_(index), rules_(rules), field_(field), fields_(fields) {}

  void labels(std::vector<float>& values, BadCells& bad) const;
  void time(std::vector<std::int64_t>& values, BadCells& bad) const;
  /// A missing cell becomes NaN; bad cells as CellRules::dense has them.
  void dense(std::vector<double>& values, BadCells& bad) const;
  /// separator: cuts a cell into several ids, empty parts left out; 0: never.
  void ids(char separator, IdRows& column) const;

 private:
  // Calls fn(row, cell) for each whole row.
  template <typename Fn>
  void each(Fn&& fn) const {
    std::string scratch;
    for (std::int64_t row = 0; row < index_.rows(); ++row) {
      if (index_.fields(row) == fields_) fn(row, index_.value(row, field_, scratch));
    }
  }

  const TextIndex& index_;
  const CellRules& rules_;
  std::int64_t field_;
  std::int64_t fields_;
};

}  // namespace taut::data
