// Arrow arrays as ids: one a row, or bags of them.

#include <arrow/array/array_nested.h>

#include <type_traits>

#include "arrow_columns.h"
#include "arrow_values.h"

namespace taut::data {
namespace {

using arrow::Type;

// The ids of a plain array of numbers.
void number_ids(const arrow::Array& array, IdRows& column) {
  column.ids.resize(static_cast<std::size_t>(array.length()));
  with_values(array, [&](const auto* values) {
    using Value = std::remove_cvref_t<decltype(*values)>;
    for (std::int64_t i = 0; i < array.length(); ++i) {
      if constexpr (std::is_integral_v<Value>) {
        column.ids[i] = static_cast<std::uint64_t>(static_cast<std::int64_t>(values[i]));
      } else {
        column.ids[i] = id_of_number(values[i]);
      }
    }
  });
  if (array.null_count() == 0) return;
  for (std::int64_t i = 0; i < array.length(); ++i) {
    if (array.IsNull(i)) column.ids[i] = kMissingId;
  }
}

// Appends bag `index` of a column.
void append_bag(const IdRows& from, std::int64_t index, std::vector<std::uint64_t>& ids) {
  const std::span<const std::uint64_t> values = from.values();
  const std::int64_t first = from.single() ? index : from.offsets[index];
  const std::int64_t last = from.single() ? index + 1 : from.offsets[index + 1];
  ids.insert(ids.end(), values.begin() + first, values.begin() + last);
}

void dictionary_ids(const arrow::Array& array, const CellRules& rules, char separator,
                    IdRows& column, BadCells& bad) {
  const auto& encoded = static_cast<const arrow::DictionaryArray&>(array);
  const std::vector<std::int64_t> indices = checked_indices(encoded, bad);
  IdRows values;
  to_ids(encoded.dictionary(), rules, separator, values, bad);
  if (!values.single()) column.offsets.push_back(0);
  const std::span<const std::uint64_t> of_values = values.values();
  for (const std::int64_t index : indices) {
    if (index < 0) {
      column.ids.push_back(kMissingId);
    } else if (values.single()) {
      column.ids.push_back(of_values[static_cast<std::size_t>(index)]);
    } else {
      append_bag(values, index, column.ids);
    }
    if (!values.single()) column.offsets.push_back(static_cast<std::int64_t>(column.ids.size()));
  }
}

// Elements of views may lie anywhere, so all are read; lists of the other kinds lie in order.
template <typename ListArray>
void list_ids(const arrow::Array& array, const CellRules& rules, IdRows& column, BadCells& bad) {
  constexpr bool kViews = std::is_same_v<ListArray, arrow::ListViewArray> ||
                          std::is_same_v<ListArray, arrow::LargeListViewArray>;
  const auto& lists = static_cast<const ListArray&>(array);
  const std::int64_t rows = array.length();
  const std::int64_t first = kViews ? 0 : lists.value_offset(0);
  const std::int64_t count = kViews ? lists.values()->length() : lists.value_offset(rows) - first;
  const std::shared_ptr<arrow::Array> elements = plain_array(lists.values()->Slice(first, count));
  IdRows single;
  BadCells of_elements;
  to_ids(elements, rules, 0, single, of_elements);
  std::vector<bool> wrong(static_cast<std::size_t>(count), false);
  for (const BadCell& cell : of_elements.cells()) wrong[static_cast<std::size_t>(cell.row)] = true;
  const std::span<const std::uint64_t> ids = single.values();
  const auto is_missing = [&](std::int64_t i) {
    return elements->IsNull(i) || ids[static_cast<std::size_t>(i)] == kMissingId;
  };
  column.offsets.push_back(0);
  for (std::int64_t row = 0; row < rows; ++row) {
    if (lists.IsNull(row)) {
      column.ids.push_back(kMissingId);
    } else {
      const std::int64_t begin = lists.value_offset(row) - first;
      for (std::int64_t i = begin; i < begin + lists.value_length(row); ++i) {
        if (wrong[static_cast<std::size_t>(i)]) {
          bad.add(row, [] { return std::string("a dictionary index in the list has no value"); });
          break;
        }
        if (!is_missing(i)) column.ids.push_back(ids[static_cast<std::size_t>(i)]);
      }
    }
    column.offsets.push_back(static_cast<std::int64_t>(column.ids.size()));
  }
}

void bag_ids(const arrow::Array& array, const CellRules& rules, IdRows& column, BadCells& bad) {
  switch (array.type_id()) {
    case Type::LARGE_LIST:
      return list_ids<arrow::LargeListArray>(array, rules, column, bad);
    case Type::FIXED_SIZE_LIST:
      return list_ids<arrow::FixedSizeListArray>(array, rules, column, bad);
    case Type::LIST_VIEW:
      return list_ids<arrow::ListViewArray>(array, rules, column, bad);
    case Type::LARGE_LIST_VIEW:
      return list_ids<arrow::LargeListViewArray>(array, rules, column, bad);
    default:
      return list_ids<arrow::ListArray>(array, rules, column, bad);
  }
}

}  // namespace

void to_ids(const std::shared_ptr<arrow::Array>& given, const CellRules& rules, char separator,
            IdRows& column, BadCells& bad) {
  const std::shared_ptr<arrow::Array> array = plain_array(given);
  const Type::type id = array->type_id();
  column.clear();
  if ((id == Type::INT64 || id == Type::UINT64) && array->null_count() == 0) {
    // Both have the same bits as ids, and unsigned may look at signed integers of its width.
    const auto* values = array->data()->GetValues<std::uint64_t>(1);
    column.borrowed = {values, static_cast<std::size_t>(array->length())};
    column.owner = array;
  } else if (id == Type::DICTIONARY) {
    dictionary_ids(*array, rules, separator, column, bad);
  } else if (holds_texts(*array)) {
    read_id_cells(
        rules, array->length(), separator, [&](auto&& fn) { each_cell(*array, fn); }, column);
  } else if (is_bag(id)) {
    bag_ids(*array, rules, column, bad);
  } else {
    number_ids(*array, column);
  }
}

}  // namespace taut::data
