#include "arrow_columns.h"

#include <cmath>
#include <limits>
#include <type_traits>

#include "arrow_values.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

using arrow::Type;

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

void add_missing(std::int64_t row, const char* what, BadCells& bad) {
  bad.add(row, [&] { return concat("the ", what, " is missing"); });
}

template <typename T>
bool is_zero_or_one(T value) {
  return value == T{0} || value == T{1};
}

// Reads a dictionary's values by convert(dictionary, values, bad cells), then gives each row its
// value and what is wrong with it. missing(row) gives the value of a row that is null.
template <typename T, typename Convert, typename Missing>
void spread(const arrow::Array& array, Convert&& convert, Missing&& missing, std::vector<T>& out,
            BadCells& bad) {
  const auto& encoded = static_cast<const arrow::DictionaryArray&>(array);
  const std::vector<std::int64_t> indices = checked_indices(encoded, bad);
  std::vector<T> values;
  BadCells of_values(static_cast<std::size_t>(encoded.dictionary()->length()));
  convert(encoded.dictionary(), values, of_values);
  std::vector<const BadCell*> wrong(values.size(), nullptr);
  for (const BadCell& cell : of_values.cells()) wrong[static_cast<std::size_t>(cell.row)] = &cell;
  out.assign(indices.size(), T{});
  for (std::size_t row = 0; row < indices.size(); ++row) {
    const auto index = static_cast<std::size_t>(indices[row]);
    if (indices[row] == kNoValue) out[row] = missing(static_cast<std::int64_t>(row));
    if (indices[row] < 0) continue;
    out[row] = values[index];
    if (wrong[index] != nullptr) {
      bad.add(static_cast<std::int64_t>(row), [&] { return wrong[index]->reason; });
    }
  }
}

// Reads texts by read(row, text); missing(row) gives the value of a null.
template <typename T, typename Read, typename Missing>
void read_texts(const arrow::Array& array, Read&& read, Missing&& missing, std::vector<T>& out) {
  out.resize(static_cast<std::size_t>(array.length()));
  with_texts(array, [&](const auto& texts) {
    for (std::int64_t i = 0; i < array.length(); ++i) {
      out[i] = texts.IsNull(i) ? missing(i) : read(i, std::string_view(texts.GetView(i)));
    }
  });
}

}  // namespace

std::vector<std::int64_t> checked_indices(const arrow::DictionaryArray& encoded, BadCells& bad) {
  const std::int64_t size = encoded.dictionary()->length();
  std::vector<std::int64_t> places(static_cast<std::size_t>(encoded.length()), kNoValue);
  with_values(*encoded.indices(), [&](const auto* indices) {
    for (std::int64_t i = 0; i < encoded.length(); ++i) {
      if (encoded.IsNull(i)) continue;
      // What is below 0, or beyond 2^63, is large without a sign.
      const auto index = static_cast<std::int64_t>(indices[i]);
      const bool inside = static_cast<std::uint64_t>(index) < static_cast<std::uint64_t>(size);
      places[static_cast<std::size_t>(i)] = inside ? index : kBadIndex;
      if (inside) continue;
      bad.add(i, [&] {
        return concat("the dictionary index is ", +indices[i], ", but the dictionary has ", size,
                      " values");
      });
    }
  });
  return places;
}

namespace {

// One value a row of the column `name`: of the dictionary's values, of cells that `read` makes
// values of (row, text, what is wrong), or of numbers, which `take` does (array, what a missing one
// is, values, what is wrong).
template <typename Value, typename ReadCell, typename TakeNumbers>
void to_values(const std::shared_ptr<arrow::Array>& given, const char* name, const ReadCell& read,
               const TakeNumbers& take, std::vector<Value>& values, BadCells& bad) {
  const std::shared_ptr<arrow::Array> array = plain_array(given);
  const auto missing = [&](std::int64_t row) {
    add_missing(row, name, bad);
    return Value{0};
  };
  if (array->type_id() == Type::DICTIONARY) {
    const auto convert = [&](const auto& of, std::vector<Value>& out, BadCells& wrong) {
      to_values(of, name, read, take, out, wrong);
    };
    return spread(*array, convert, missing, values, bad);
  }
  if (holds_texts(*array)) {
    const auto cell = [&](std::int64_t row, std::string_view text) { return read(row, text, bad); };
    return read_texts(*array, cell, missing, values);
  }
  values.resize(static_cast<std::size_t>(array->length()));
  take(*array, missing, values, bad);
}

}  // namespace

void to_labels(const std::shared_ptr<arrow::Array>& given, const CellRules& rules,
               std::vector<float>& labels, BadCells& bad) {
  const auto read = [&](std::int64_t row, std::string_view cell, BadCells& wrong) {
    return rules.label(row, cell, wrong);
  };
  const auto take = [](const arrow::Array& array, const auto& missing, std::vector<float>& out,
                       BadCells& wrong) {
    with_values(array, [&](const auto* numbers) {
      bool all_good = array.null_count() == 0;
      for (std::int64_t i = 0; i < array.length(); ++i) {
        out[i] = static_cast<float>(numbers[i]);
        all_good &= is_zero_or_one(numbers[i]);
      }
      if (all_good) return;
      for (std::int64_t i = 0; i < array.length(); ++i) {
        if (array.IsNull(i)) {
          (void)missing(i);
        } else if (!is_zero_or_one(numbers[i])) {
          wrong.add(i, [&] { return concat("the label is ", +numbers[i], ", must be 0 or 1"); });
        }
      }
    });
  };
  to_values(given, "label", read, take, labels, bad);
}

void to_time(const std::shared_ptr<arrow::Array>& given, const CellRules& rules,
             std::vector<std::int64_t>& time, BadCells& bad) {
  const auto read = [&](std::int64_t row, std::string_view cell, BadCells& wrong) {
    return rules.time(row, cell, wrong);
  };
  const auto take = [](const arrow::Array& array, const auto& missing,
                       std::vector<std::int64_t>& out, BadCells& /*wrong*/) {
    with_values(array, [&](const auto* numbers) {
      for (std::int64_t i = 0; i < array.length(); ++i) {
        out[i] = static_cast<std::int64_t>(numbers[i]);
      }
    });
    for (std::int64_t i = 0; array.null_count() > 0 && i < array.length(); ++i) {
      if (array.IsNull(i)) (void)missing(i);
    }
  };
  to_values(given, "time", read, take, time, bad);
}

void to_dense(const std::shared_ptr<arrow::Array>& given, const CellRules& rules,
              std::vector<double>& values, BadCells& bad) {
  const std::shared_ptr<arrow::Array> array = plain_array(given);
  const auto missing = [](std::int64_t) { return kMissing; };
  if (array->type_id() == Type::DICTIONARY) {
    const auto convert = [&](const auto& of_values, auto& out, BadCells& wrong) {
      to_dense(of_values, rules, out, wrong);
    };
    return spread(*array, convert, missing, values, bad);
  }
  if (holds_texts(*array)) {
    const auto read = [&](std::int64_t row, std::string_view cell) {
      return rules.dense(row, cell, bad);
    };
    return read_texts(*array, read, missing, values);
  }
  values.resize(static_cast<std::size_t>(array->length()));
  double* out = values.data();
  bool all_good = true;
  with_values(*array, [&](const auto* from) {
    for (std::int64_t i = 0; i < array->length(); ++i) {
      out[i] = static_cast<double>(from[i]);
      all_good &= is_dense_value(out[i]);
    }
  });
  if (all_good && array->null_count() == 0) return;
  for (std::int64_t i = 0; i < array->length(); ++i) {
    if (array->IsNull(i)) {
      out[i] = kMissing;
    } else if (!is_dense_value(out[i])) {
      bad.add(i, [&] { return not_dense(std::isfinite(out[i]), concat(out[i])); });
    }
  }
}

void ColumnDecoder::decode(const std::shared_ptr<arrow::Array>& array, const ColumnRole& role,
                           Rows& rows, BadCells& bad) const {
  switch (role.role) {
    case Role::kLabel:
      if (role.threshold) {
        std::vector<double> numbers;
        to_dense(array, rules_, numbers, bad);
        apply_threshold(*role.threshold, numbers, rows.labels, bad);
      } else {
        to_labels(array, rules_, rows.labels, bad);
      }
      break;
    case Role::kTime:
      to_time(array, rules_, rows.time, bad);
      break;
    case Role::kDense: {
      std::vector<double> values;
      to_dense(array, rules_, values, bad);
      finish_dense(options_, role.index, values, rows);
      break;
    }
    case Role::kCategorical:
      to_ids(array, rules_, options_.reader.list_separator.value_or('\0'),
             rows.categorical[role.index], bad);
      break;
  }
}

void to_numbers(const std::shared_ptr<arrow::Array>& given, std::vector<double>& numbers) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  const std::shared_ptr<arrow::Array> array = plain_array(given);
  if (array->type_id() == Type::DICTIONARY) {
    BadCells ignored;
    const auto convert = [](const auto& values, auto& out, BadCells&) { to_numbers(values, out); };
    return spread(*array, convert, [](std::int64_t) { return kNone; }, numbers, ignored);
  }
  numbers.assign(static_cast<std::size_t>(array->length()), kNone);
  if (holds_texts(*array)) return;
  with_values(*array, [&](const auto* values) {
    for (std::int64_t i = 0; i < array->length(); ++i) {
      if (!array->IsNull(i)) numbers[i] = static_cast<double>(values[i]);
    }
  });
}

void each_text(const std::shared_ptr<arrow::Array>& given,
               const std::function<void(std::int64_t, std::string_view)>& fn) {
  const std::shared_ptr<arrow::Array> array = plain_array(given);
  if (array->type_id() != Type::DICTIONARY) return each_cell(*array, fn);
  const auto& encoded = static_cast<const arrow::DictionaryArray&>(*array);
  BadCells ignored;
  const std::vector<std::int64_t> indices = checked_indices(encoded, ignored);
  with_texts(*encoded.dictionary(), [&](const auto& texts) {
    for (std::size_t row = 0; row < indices.size(); ++row) {
      if (indices[row] < 0 || texts.IsNull(indices[row])) continue;
      fn(static_cast<std::int64_t>(row), std::string_view(texts.GetView(indices[row])));
    }
  });
}

}  // namespace taut::data
