#include "arrow_columns.h"

#include <arrow/array/array_dict.h>
#include <arrow/array/array_nested.h>
#include <arrow/array/array_primitive.h>

#include <cmath>
#include <limits>
#include <string_view>
#include <type_traits>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

using arrow::Type;

bool is_string_like(Type::type id) {
  return id == Type::STRING || id == Type::LARGE_STRING || id == Type::BINARY ||
         id == Type::LARGE_BINARY;
}

bool is_time_like(Type::type id) {
  return id == Type::TIMESTAMP || id == Type::DATE32 || id == Type::DATE64;
}

bool is_bag_list(Type::type id) {
  return id == Type::LIST || id == Type::LARGE_LIST;
}

const arrow::DataType& value_type(const arrow::DataType& dictionary) {
  return *static_cast<const arrow::DictionaryType&>(dictionary).value_type();
}

bool can_be_number(const arrow::DataType& type) {
  const Type::type id = type.id();
  return arrow::is_integer(id) || id == Type::FLOAT || id == Type::DOUBLE || id == Type::BOOL;
}

bool fits(const arrow::DataType& type, Role role) {
  switch (role) {
    case Role::kLabel:
    case Role::kDense:
      return can_be_number(type);
    case Role::kTime:
      return arrow::is_integer(type.id()) || is_time_like(type.id());
    case Role::kCategorical:
      return is_bag_list(type.id())
                 ? can_be_id(*static_cast<const arrow::BaseListType&>(type).value_type())
                 : can_be_id(type);
  }
  return false;
}

template <typename ArrowType, typename Fn>
void with_raw(const arrow::Array& array, Fn&& fn) {
  fn(static_cast<const arrow::NumericArray<ArrowType>&>(array).raw_values());
}

// Calls fn(const T* values) for the array's type; check_type has let no other type through.
template <typename Fn>
void with_values(const arrow::Array& array, Fn&& fn) {
  switch (array.type_id()) {
    case Type::INT8:
      return with_raw<arrow::Int8Type>(array, fn);
    case Type::INT16:
      return with_raw<arrow::Int16Type>(array, fn);
    case Type::INT32:
      return with_raw<arrow::Int32Type>(array, fn);
    case Type::INT64:
      return with_raw<arrow::Int64Type>(array, fn);
    case Type::UINT8:
      return with_raw<arrow::UInt8Type>(array, fn);
    case Type::UINT16:
      return with_raw<arrow::UInt16Type>(array, fn);
    case Type::UINT32:
      return with_raw<arrow::UInt32Type>(array, fn);
    case Type::UINT64:
      return with_raw<arrow::UInt64Type>(array, fn);
    case Type::FLOAT:
      return with_raw<arrow::FloatType>(array, fn);
    case Type::DOUBLE:
      return with_raw<arrow::DoubleType>(array, fn);
    case Type::DATE32:
      return with_raw<arrow::Date32Type>(array, fn);
    case Type::DATE64:
      return with_raw<arrow::Date64Type>(array, fn);
    case Type::TIMESTAMP:
      return with_raw<arrow::TimestampType>(array, fn);
    case Type::BOOL: {
      const auto& bits = static_cast<const arrow::BooleanArray&>(array);
      std::vector<std::uint8_t> bytes(static_cast<std::size_t>(array.length()));
      for (std::int64_t i = 0; i < array.length(); ++i) bytes[i] = bits.Value(i) ? 1 : 0;
      return fn(static_cast<const std::uint8_t*>(bytes.data()));
    }
    default:
      throw Error(ErrorKind::kInternal, concat("column type ", array.type()->ToString()));
  }
}

template <typename T>
bool is_zero_or_one(T value) {
  return value == T{0} || value == T{1};
}

template <typename StringArray>
void to_text_ids(const arrow::Array& array, std::uint64_t* out) {
  const auto& strings = static_cast<const StringArray&>(array);
  for (std::int64_t i = 0; i < array.length(); ++i) {
    out[i] = strings.IsNull(i) ? kMissingId : id_of_text(strings.GetView(i));
  }
}

void to_single_ids(const arrow::Array& array, std::vector<std::uint64_t>& ids);

void to_dictionary_ids(const arrow::Array& array, std::uint64_t* out) {
  const auto& encoded = static_cast<const arrow::DictionaryArray&>(array);
  std::vector<std::uint64_t> values;
  to_single_ids(*encoded.dictionary(), values);
  const arrow::Array& indices = *encoded.indices();
  with_values(indices, [&](const auto* index) {
    if (array.null_count() == 0) {
      for (std::int64_t i = 0; i < array.length(); ++i) {
        out[i] = values[static_cast<std::size_t>(index[i])];
      }
      return;
    }
    for (std::int64_t i = 0; i < array.length(); ++i) {
      out[i] = array.IsNull(i) ? kMissingId : values[static_cast<std::size_t>(index[i])];
    }
  });
}

// One id per element, kMissingId for nulls.
void to_single_ids(const arrow::Array& array, std::vector<std::uint64_t>& ids) {
  ids.resize(static_cast<std::size_t>(array.length()));
  std::uint64_t* out = ids.data();
  switch (array.type_id()) {
    case Type::STRING:
    case Type::BINARY:
      return to_text_ids<arrow::BinaryArray>(array, out);
    case Type::LARGE_STRING:
    case Type::LARGE_BINARY:
      return to_text_ids<arrow::LargeBinaryArray>(array, out);
    case Type::DICTIONARY:
      return to_dictionary_ids(array, out);
    default:
      break;
  }
  with_values(array, [&](const auto* values) {
    using Value = std::remove_cvref_t<decltype(*values)>;
    if constexpr (std::is_integral_v<Value>) {
      for (std::int64_t i = 0; i < array.length(); ++i) {
        out[i] = static_cast<std::uint64_t>(static_cast<std::int64_t>(values[i]));
      }
    }
  });
  if (array.null_count() == 0) return;
  for (std::int64_t i = 0; i < array.length(); ++i) {
    if (array.IsNull(i)) out[i] = kMissingId;
  }
}

template <typename ListArray>
void to_list_ids(const arrow::Array& array, IdRows& column) {
  const auto& lists = static_cast<const ListArray&>(array);
  const std::int64_t rows = array.length();
  const std::int64_t first = lists.value_offset(0);
  const std::shared_ptr<arrow::Array> elements =
      lists.values()->Slice(first, lists.value_offset(rows) - first);
  std::vector<std::uint64_t> ids;
  to_single_ids(*elements, ids);
  for (std::int64_t row = 0; row < rows; ++row) {
    if (lists.IsNull(row)) column.ids.push_back(kMissingId);
    for (std::int64_t i = lists.value_offset(row); i < lists.value_offset(row + 1); ++i) {
      if (!lists.IsNull(row) && elements->IsValid(i - first)) column.ids.push_back(ids[i - first]);
    }
    column.offsets.push_back(static_cast<std::int64_t>(column.ids.size()));
  }
}

}  // namespace

bool can_be_id(const arrow::DataType& type) {
  const Type::type id = type.id();
  if (id == Type::DICTIONARY) return can_be_id(value_type(type));
  return arrow::is_integer(id) || id == Type::BOOL || is_string_like(id);
}

void check_type(const arrow::DataType& type, const ColumnRole& role, const std::string& path) {
  if (fits(type, role.role)) return;
  const std::string where = concat(path, ", column ", role.name);
  const std::string of_type = concat(" but is ", type.ToString());
  switch (role.role) {
    case Role::kLabel:
      throw Error(ErrorKind::kData, concat("a label must be a bool or a number", of_type), where,
                  "name another column as data.label");
    case Role::kDense:
      throw Error(ErrorKind::kData, concat("a dense column must be a number", of_type), where,
                  "list it under data.categorical or convert it");
    case Role::kTime:
      throw Error(ErrorKind::kData,
                  concat("a time column must be an integer, date or timestamp", of_type), where,
                  "convert it or leave data.time out");
    case Role::kCategorical:
      throw Error(
          ErrorKind::kData,
          concat("a categorical column must be integer, bool, string or a list of them", of_type),
          where, "list it under data.dense or convert it");
  }
}

void to_labels(const arrow::Array& array, std::vector<float>& labels, BadCells& bad) {
  labels.resize(static_cast<std::size_t>(array.length()));
  float* out = labels.data();
  with_values(array, [&](const auto* values) {
    bool all_good = array.null_count() == 0;
    for (std::int64_t i = 0; i < array.length(); ++i) {
      out[i] = static_cast<float>(values[i]);
      all_good &= is_zero_or_one(values[i]);
    }
    if (all_good) return;
    for (std::int64_t i = 0; i < array.length(); ++i) {
      if (array.IsNull(i)) {
        bad.add(i, [] { return std::string("the label is missing"); });
      } else if (!is_zero_or_one(values[i])) {
        bad.add(i, [&] { return concat("the label is ", +values[i], ", must be 0 or 1"); });
      }
    }
  });
}

void to_time(const arrow::Array& array, std::vector<std::int64_t>& time, BadCells& bad) {
  time.resize(static_cast<std::size_t>(array.length()));
  std::int64_t* out = time.data();
  with_values(array, [&](const auto* values) {
    for (std::int64_t i = 0; i < array.length(); ++i) {
      out[i] = static_cast<std::int64_t>(values[i]);
    }
  });
  if (array.null_count() == 0) return;
  for (std::int64_t i = 0; i < array.length(); ++i) {
    if (array.IsNull(i)) bad.add(i, [] { return std::string("the time is missing"); });
  }
}

bool to_dense(const arrow::Array& array, std::vector<float>& values, BadCells& bad) {
  values.resize(static_cast<std::size_t>(array.length()));
  float* out = values.data();
  bool all_finite = true;
  with_values(array, [&](const auto* from) {
    for (std::int64_t i = 0; i < array.length(); ++i) {
      out[i] = static_cast<float>(from[i]);
      all_finite &= std::fabs(out[i]) <= std::numeric_limits<float>::max();
    }
  });
  if (all_finite && array.null_count() == 0) return false;
  for (std::int64_t i = 0; i < array.length(); ++i) {
    if (array.IsNull(i)) {
      out[i] = std::numeric_limits<float>::quiet_NaN();
    } else if (!std::isfinite(out[i])) {
      bad.add(i, [&] { return concat("the value is ", out[i], ", must be a finite number"); });
    }
  }
  return array.null_count() > 0;
}

void to_ids(const std::shared_ptr<arrow::Array>& array, IdRows& column) {
  const Type::type id = array->type_id();
  column.clear();
  if ((id == Type::INT64 || id == Type::UINT64) && array->null_count() == 0) {
    // Both have the same bits as ids, and unsigned may look at signed integers of its width.
    const auto* values = array->data()->GetValues<std::uint64_t>(1);
    column.borrowed = {values, static_cast<std::size_t>(array->length())};
    column.owner = array;
    return;
  }
  if (!is_bag_list(id)) return to_single_ids(*array, column.ids);
  column.offsets.push_back(0);
  if (id == Type::LIST) return to_list_ids<arrow::ListArray>(*array, column);
  to_list_ids<arrow::LargeListArray>(*array, column);
}

}  // namespace taut::data
