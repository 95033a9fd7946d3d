#pragma once
// Arrow arrays appended to the columns of a block.

#include <arrow/array.h>
#include <arrow/type.h>

#include <cstdint>
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

/// Each appends array.length() values; bad cells are counted from the column's size before the
/// call.
void append_labels(const arrow::Array& array, std::vector<float>& labels, BadCells& bad);
void append_time(const arrow::Array& array, std::vector<std::int64_t>& time, BadCells& bad);
/// A null becomes NaN; NaN and infinity are bad cells.
void append_dense(const arrow::Array& array, std::vector<float>& values, BadCells& bad);
/// rows: bags in the column before the call. Nulls inside a list are left out.
void append_ids(const arrow::Array& array, std::int64_t rows, IdRows& column);

}  // namespace taut::data
