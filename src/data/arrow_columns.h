#pragma once
// Arrow arrays appended to the columns of a block.

#include <arrow/array.h>
#include <arrow/type.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bad_rows.h"
#include "rows.h"
#include "source.h"

namespace taut::data {

/// True if values of the type can be ids (not lists of them).
[[nodiscard]] bool can_be_id(const arrow::DataType& type);

/// Throws kData, naming file, column and type, if a column of this type cannot play the role.
void check_type(const arrow::DataType& type, const ColumnRole& role, const std::string& path);

/// Each replaces a column by the values of an array; bad cells are numbered from 0.
void to_labels(const arrow::Array& array, std::vector<float>& labels, BadCells& bad);
void to_time(const arrow::Array& array, std::vector<std::int64_t>& time, BadCells& bad);
/// A null becomes NaN; NaN and infinity are bad cells. True if there is a null.
bool to_dense(const arrow::Array& array, std::vector<float>& values, BadCells& bad);
/// Nulls inside a list are left out. 64-bit integers are not copied: the column then keeps the
/// array.
void to_ids(const std::shared_ptr<arrow::Array>& array, IdRows& column);

}  // namespace taut::data
