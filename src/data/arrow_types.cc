#include "arrow_types.h"

#include <arrow/array/array_binary.h>
#include <arrow/array/array_decimal.h>
#include <arrow/array/array_dict.h>
#include <arrow/array/array_nested.h>
#include <arrow/array/array_primitive.h>
#include <arrow/array/builder_binary.h>
#include <arrow/array/builder_primitive.h>
#include <arrow/array/util.h>
#include <arrow/extension_type.h>
#include <arrow/util/float16.h>

#include "arrow_guard.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

using arrow::Type;

constexpr int kUuidBytes = 16;

bool is_uuid(const arrow::DataType& type) {
  return type.id() == Type::EXTENSION &&
         static_cast<const arrow::ExtensionType&>(type).extension_name() == "arrow.uuid";
}

// The type behind dictionaries and extensions.
const arrow::DataType& inner_type(const arrow::DataType& type) {
  if (type.id() == Type::DICTIONARY) {
    return inner_type(*static_cast<const arrow::DictionaryType&>(type).value_type());
  }
  if (type.id() == Type::EXTENSION) {
    return inner_type(*static_cast<const arrow::ExtensionType&>(type).storage_type());
  }
  return type;
}

// Lists of floats are left alone: they are vectors, not ids.
bool can_be_in_bag(ValueKind kind) {
  return kind == ValueKind::kNull || kind == ValueKind::kBool || kind == ValueKind::kInteger ||
         kind == ValueKind::kDecimal || kind == ValueKind::kText;
}

template <typename Builder, typename Value>
std::shared_ptr<arrow::Array> build(const arrow::Array& array, Value&& value) {
  Builder builder;
  check_status(builder.Reserve(array.length()));
  for (std::int64_t i = 0; i < array.length(); ++i) {
    check_status(array.IsNull(i) ? builder.AppendNull() : builder.Append(value(i)));
  }
  return value_of(builder.Finish());
}

template <typename DecimalArray>
std::shared_ptr<arrow::Array> decimal_texts(const arrow::Array& array) {
  const auto& decimals = static_cast<const DecimalArray&>(array);
  return build<arrow::StringBuilder>(array,
                                     [&](std::int64_t i) { return decimals.FormatValue(i); });
}

template <typename ViewArray>
std::shared_ptr<arrow::Array> view_texts(const arrow::Array& array) {
  const auto& views = static_cast<const ViewArray&>(array);
  return build<arrow::LargeBinaryBuilder>(array, [&](std::int64_t i) { return views.GetView(i); });
}

// 8-4-4-4-12 hexadecimal digits in lower case, as everybody writes them.
std::string uuid_text(const std::uint8_t* bytes) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string text;
  for (int i = 0; i < kUuidBytes; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += {kDigits[bytes[i] >> 4], kDigits[bytes[i] & 15]};
  }
  return text;
}

std::shared_ptr<arrow::Array> plain_extension(const std::shared_ptr<arrow::Array>& array) {
  const std::shared_ptr<arrow::Array>& storage =
      static_cast<const arrow::ExtensionArray&>(*array).storage();
  if (!is_uuid(*array->type()) || storage->type_id() != Type::FIXED_SIZE_BINARY) {
    return plain_array(storage);
  }
  const auto& bytes = static_cast<const arrow::FixedSizeBinaryArray&>(*storage);
  return build<arrow::StringBuilder>(*storage,
                                     [&](std::int64_t i) { return uuid_text(bytes.GetValue(i)); });
}

std::shared_ptr<arrow::Array> plain_dictionary(const std::shared_ptr<arrow::Array>& array) {
  const auto& encoded = static_cast<const arrow::DictionaryArray&>(*array);
  const std::shared_ptr<arrow::Array> values = plain_array(encoded.dictionary());
  if (values == encoded.dictionary()) return array;
  const auto& index = static_cast<const arrow::DictionaryType&>(*array->type()).index_type();
  return std::make_shared<arrow::DictionaryArray>(arrow::dictionary(index, values->type()),
                                                  encoded.indices(), values);
}

// What a column of the type may be, for messages; "" for nothing.
std::string fitting_keys(const arrow::DataType& type) {
  std::string keys;
  for (const auto& [role, key] :
       {std::pair{Role::kDense, "data.dense"}, std::pair{Role::kCategorical, "data.categorical"},
        std::pair{Role::kTime, "data.time"}}) {
    if (fits(type, role)) keys += concat(keys.empty() ? "" : " or ", key);
  }
  return keys;
}

const char* wanted_of(Role role) {
  switch (role) {
    case Role::kLabel:
      return "a label must be a bool, a number or a text of one";
    case Role::kDense:
      return "a dense column must be a number or a text of one";
    case Role::kTime:
      return "a time column must be an integer, date, timestamp or ISO 8601 text";
    case Role::kCategorical:
      return "a categorical column must be integer, bool, string or a list of them";
  }
  return "";
}

}  // namespace

bool is_bag(Type::type id) noexcept {
  return id == Type::LIST || id == Type::LARGE_LIST || id == Type::FIXED_SIZE_LIST ||
         id == Type::LIST_VIEW || id == Type::LARGE_LIST_VIEW;
}

ValueKind value_kind(const arrow::DataType& type) {
  const arrow::DataType& inner = inner_type(type);
  const Type::type id = inner.id();
  if (id == Type::NA) return ValueKind::kNull;
  if (id == Type::BOOL) return ValueKind::kBool;
  if (arrow::is_integer(id) || id == Type::DURATION || id == Type::TIME32 || id == Type::TIME64) {
    return ValueKind::kInteger;
  }
  if (arrow::is_floating(id)) return ValueKind::kFloat;
  if (arrow::is_decimal(id)) return ValueKind::kDecimal;
  if (arrow::is_base_binary_like(id) || id == Type::FIXED_SIZE_BINARY ||
      arrow::is_binary_view_like(id)) {
    return ValueKind::kText;
  }
  if (arrow::is_date(id) || id == Type::TIMESTAMP) return ValueKind::kTime;
  if (is_bag(id) && type.id() != Type::DICTIONARY) {
    return can_be_in_bag(value_kind(*inner.field(0)->type())) ? ValueKind::kList
                                                              : ValueKind::kOther;
  }
  return ValueKind::kOther;
}

bool fits(const arrow::DataType& type, Role role) {
  const ValueKind kind = value_kind(type);
  switch (kind) {
    case ValueKind::kNull:
      return true;
    case ValueKind::kBool:
    case ValueKind::kFloat:
    case ValueKind::kDecimal:
      return role != Role::kTime;
    case ValueKind::kInteger:
      return true;
    case ValueKind::kText:
      return role == Role::kCategorical || inner_type(type).id() != Type::FIXED_SIZE_BINARY;
    case ValueKind::kTime:
      return role == Role::kTime;
    case ValueKind::kList:
      return role == Role::kCategorical;
    case ValueKind::kOther:
      return false;
  }
  return false;
}

std::string unread_reason(const arrow::DataType& type) {
  if (value_kind(type) != ValueKind::kOther) return "";
  const arrow::DataType& inner = inner_type(type);
  if (inner.id() == Type::STRUCT)
    return "not read: fields in a struct; write each as a column of its own";
  if (inner.id() == Type::MAP) return "not read: a map; write its keys as a column of lists";
  if (is_bag(inner.id())) {
    const ValueKind element = value_kind(*inner.field(0)->type());
    if (element == ValueKind::kFloat) {
      return "not read: a list of floats; write each element as a column of its own (data.dense)";
    }
    return "not read: a list of lists, structs or times; write one flat list of ids a row";
  }
  return "not read: values of this type; write them as numbers, texts or lists of ids";
}

void check_type(const arrow::DataType& type, const ColumnRole& role, const std::string& path) {
  if (fits(type, role.role)) return;
  const std::string where = concat(path, ", column ", role.name);
  const std::string what = concat(wanted_of(role.role), " but is ", type.ToString());
  const std::string unread = unread_reason(type);
  const bool only_time = value_kind(type) == ValueKind::kTime;
  throw Error(ErrorKind::kData, what, where,
              !unread.empty() ? unread + "; or leave the column out"
              : only_time
                  ? "list it as data.time, or write what matters of it (hour, weekday, days "
                    "since a day) as whole numbers"
                  : concat("list it under ", fitting_keys(type), " or leave it out"));
}

std::shared_ptr<arrow::Array> plain_array(const std::shared_ptr<arrow::Array>& array) {
  switch (array->type_id()) {
    case Type::NA:
      return value_of(arrow::MakeArrayOfNull(arrow::utf8(), array->length()));
    case Type::EXTENSION:
      return plain_extension(array);
    case Type::DICTIONARY:
      return plain_dictionary(array);
    case Type::HALF_FLOAT: {
      const auto& halves = static_cast<const arrow::HalfFloatArray&>(*array);
      return build<arrow::FloatBuilder>(*array, [&](std::int64_t i) {
        return arrow::util::Float16::FromBits(halves.Value(i)).ToFloat();
      });
    }
    case Type::STRING_VIEW:
    case Type::BINARY_VIEW:
      return view_texts<arrow::BinaryViewArray>(*array);
    case Type::DECIMAL32:
      return decimal_texts<arrow::Decimal32Array>(*array);
    case Type::DECIMAL64:
      return decimal_texts<arrow::Decimal64Array>(*array);
    case Type::DECIMAL128:
      return decimal_texts<arrow::Decimal128Array>(*array);
    case Type::DECIMAL256:
      return decimal_texts<arrow::Decimal256Array>(*array);
    default:
      return array;
  }
}

}  // namespace taut::data
