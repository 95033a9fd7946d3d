#pragma once
// What columns of each Arrow type can be, and arrays of odd types in a usual form.

#include <arrow/array.h>
#include <arrow/type.h>

#include <memory>
#include <string>

#include "source.h"

namespace taut::data {

/// How the values of a type are read, behind dictionaries and extensions.
enum class ValueKind {
  kNull,     ///< type null: every value is missing
  kBool,     ///< bool
  kInteger,  ///< integers, durations and times of day in their own unit
  kFloat,    ///< float, double, half float
  kDecimal,  ///< decimals of all widths
  kText,     ///< texts, bytes, UUIDs
  kTime,     ///< dates and timestamps
  kList,     ///< lists of what can be ids one by one
  kOther,    ///< what is not read
};

[[nodiscard]] ValueKind value_kind(const arrow::DataType& type);

/// True for lists of all kinds.
[[nodiscard]] bool is_bag(arrow::Type::type id) noexcept;

/// True if a column of the type can play the role.
[[nodiscard]] bool fits(const arrow::DataType& type, Role role);

/// Why a column of the type is not read and what to do about it: "not read: a map; write ...".
/// "" for types that can play some role.
[[nodiscard]] std::string unread_reason(const arrow::DataType& type);

/// Throws kData, naming file, column and type, and the key that the type fits, if a column of this
/// type cannot play the role.
void check_type(const arrow::DataType& type, const ColumnRole& role, const std::string& path);

/// The same values as one of: bool, integers, float, double, date, timestamp, (large) string or
/// binary, fixed-size binary, a list of these, or a dictionary whose values are one of these.
/// Decimals become texts ("1.50"), UUIDs theirs, nulls missing texts, halves floats. An array that
/// is of such a type already is given back. Inside guarded() only.
[[nodiscard]] std::shared_ptr<arrow::Array> plain_array(const std::shared_ptr<arrow::Array>& array);

}  // namespace taut::data
