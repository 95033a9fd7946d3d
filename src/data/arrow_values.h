#pragma once
// The values of plain Arrow arrays (plain_array), whatever their width.

#include <arrow/array/array_binary.h>
#include <arrow/array/array_dict.h>
#include <arrow/array/array_primitive.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "bad_rows.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {

/// True for plain arrays of texts and bytes.
[[nodiscard]] inline bool holds_texts(const arrow::Array& array) {
  return arrow::is_base_binary_like(array.type_id()) ||
         array.type_id() == arrow::Type::FIXED_SIZE_BINARY;
}

/// Calls fn(const T* values) for an array of bools (as bytes), integers, floats or times.
template <typename Fn>
void with_values(const arrow::Array& array, Fn&& fn) {
  const arrow::ArrayData& data = *array.data();
  switch (array.type_id()) {
    case arrow::Type::INT8:
      return fn(data.GetValues<std::int8_t>(1));
    case arrow::Type::INT16:
      return fn(data.GetValues<std::int16_t>(1));
    case arrow::Type::INT32:
    case arrow::Type::TIME32:
    case arrow::Type::DATE32:
      return fn(data.GetValues<std::int32_t>(1));
    case arrow::Type::INT64:
    case arrow::Type::TIME64:
    case arrow::Type::DATE64:
    case arrow::Type::DURATION:
    case arrow::Type::TIMESTAMP:
      return fn(data.GetValues<std::int64_t>(1));
    case arrow::Type::UINT8:
      return fn(data.GetValues<std::uint8_t>(1));
    case arrow::Type::UINT16:
      return fn(data.GetValues<std::uint16_t>(1));
    case arrow::Type::UINT32:
      return fn(data.GetValues<std::uint32_t>(1));
    case arrow::Type::UINT64:
      return fn(data.GetValues<std::uint64_t>(1));
    case arrow::Type::FLOAT:
      return fn(data.GetValues<float>(1));
    case arrow::Type::DOUBLE:
      return fn(data.GetValues<double>(1));
    case arrow::Type::BOOL: {
      const auto& bits = static_cast<const arrow::BooleanArray&>(array);
      std::vector<std::uint8_t> bytes(static_cast<std::size_t>(array.length()));
      for (std::int64_t i = 0; i < array.length(); ++i) bytes[i] = bits.Value(i) ? 1 : 0;
      return fn(static_cast<const std::uint8_t*>(bytes.data()));
    }
    default:
      throw Error(ErrorKind::kInternal, concat("column type ", array.type()->ToString()));
  }
}

/// Calls fn(const TextArray&) for an array of texts or bytes.
template <typename Fn>
void with_texts(const arrow::Array& array, Fn&& fn) {
  if (array.type_id() == arrow::Type::FIXED_SIZE_BINARY) {
    return fn(static_cast<const arrow::FixedSizeBinaryArray&>(array));
  }
  if (arrow::is_large_binary_like(array.type_id())) {
    return fn(static_cast<const arrow::LargeBinaryArray&>(array));
  }
  fn(static_cast<const arrow::BinaryArray&>(array));
}

/// Calls fn(row, text) for each text that is not null.
template <typename Fn>
void each_cell(const arrow::Array& array, Fn&& fn) {
  with_texts(array, [&](const auto& texts) {
    for (std::int64_t i = 0; i < array.length(); ++i) {
      if (!texts.IsNull(i)) fn(i, std::string_view(texts.GetView(i)));
    }
  });
}

inline constexpr std::int64_t kNoValue = -1;   ///< the row is null
inline constexpr std::int64_t kBadIndex = -2;  ///< the row's index points beyond the dictionary

/// Where each row's value stands in the dictionary, or one of the above; Arrow does not look
/// whether what a file says is there. Bad indices are bad cells.
[[nodiscard]] std::vector<std::int64_t> checked_indices(const arrow::DictionaryArray& encoded,
                                                        BadCells& bad);

}  // namespace taut::data
