#pragma once
// Arrow arrays appended to the columns of a block.

#include <arrow/array.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "arrow_types.h"
#include "bad_rows.h"
#include "cell_rules.h"
#include "rows.h"

namespace taut::data {

// Each replaces a column by the values of an array whose type fits the role (check_type). Bad cells
// are numbered from 0. A dictionary index without a value is a bad cell. Arrays of texts are read
// as those of text files. Inside guarded() only.

void to_labels(const std::shared_ptr<arrow::Array>& array, const CellRules& rules,
               std::vector<float>& labels, BadCells& bad);
void to_time(const std::shared_ptr<arrow::Array>& array, const CellRules& rules,
             std::vector<std::int64_t>& time, BadCells& bad);
/// A null becomes NaN; bad cells as CellRules::dense has them.
void to_dense(const std::shared_ptr<arrow::Array>& array, const CellRules& rules,
              std::vector<double>& values, BadCells& bad);
/// separator: cuts texts into lists; 0: never. Nulls inside a list are left out. 64-bit integers
/// are not copied: the column then keeps the array.
void to_ids(const std::shared_ptr<arrow::Array>& array, const CellRules& rules, char separator,
            IdRows& column, BadCells& bad);

/// Fills the columns of a block by role. Safe to share between threads that fill other columns.
class ColumnDecoder {
 public:
  explicit ColumnDecoder(const SourceOptions& options)
      : options_(options), rules_(options.reader) {}

  /// Replaces the role's column by an array of a type that fits it. Inside guarded() only.
  void decode(const std::shared_ptr<arrow::Array>& array, const ColumnRole& role, Rows& rows,
              BadCells& bad) const;

 private:
  SourceOptions options_;
  CellRules rules_;
};

/// The numbers of a column of bools, integers, floats or times as doubles, NaN where there is none.
void to_numbers(const std::shared_ptr<arrow::Array>& array, std::vector<double>& numbers);

/// Calls fn(row, text) for each value of an array of texts or a dictionary of them.
void each_text(const std::shared_ptr<arrow::Array>& array,
               const std::function<void(std::int64_t, std::string_view)>& fn);

}  // namespace taut::data
