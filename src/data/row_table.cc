#include "taut/data/row_table.h"

#include <arrow/array.h>
#include <arrow/table.h>
#include <arrow/type.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "parquet_file.h"
#include "table_writer.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

class RowTableFile : public RowTableWriter {
 public:
  RowTableFile(const std::string& path, int dim)
      : dim_(dim),
        table_(open_table(path, {{"table", OutputType::kText},
                                 {"id", OutputType::kUInt64},
                                 {"width", OutputType::kInt64},
                                 {"mask", OutputType::kInt64},
                                 {"importance", OutputType::kFloat},
                                 {"vector", OutputType::kFloatList}})) {}

  void write(RowTable rows) override {
    const auto count = static_cast<std::int64_t>(rows.ids.size());
    const OutputValues columns[] = {
        std::move(rows.tables),      std::move(rows.ids),
        std::move(rows.widths),      std::move(rows.masks),
        std::move(rows.importances), FloatRows{.width = dim_, .values = std::move(rows.vectors)}};
    table_->write(columns, count);
  }
  std::int64_t commit() override { return table_->commit(); }

 private:
  int dim_;
  std::unique_ptr<TableWriter> table_;
};

// Where a value of a column stands, for messages.
std::string place(const std::string& path, std::string_view column) {
  return concat(path, ", column \"", column, "\"");
}

[[noreturn]] void throw_type(const std::string& path, std::string_view column,
                             std::string_view wanted, const arrow::DataType& got) {
  throw Error(ErrorKind::kData, concat("wanted ", wanted, ", got ", got.ToString()),
              place(path, column));
}

[[noreturn]] void throw_null(const std::string& path, std::string_view column, std::int64_t row) {
  throw Error(ErrorKind::kData, concat("no value in row ", row + 1), place(path, column));
}

// Calls body(array, first row) for each chunk of a column.
template <typename Body>
void for_chunks(const arrow::ChunkedArray& column, Body&& body) {
  std::int64_t row = 0;
  for (const auto& chunk : column.chunks()) {
    body(*chunk, row);
    row += chunk->length();
  }
}

template <typename Array, typename T>
void append_ids(const arrow::Array& array, std::vector<T>& ids) {
  const auto& values = static_cast<const Array&>(array);
  for (std::int64_t i = 0; i < values.length(); ++i) ids.push_back(static_cast<T>(values.Value(i)));
}

void read_ids(const arrow::ChunkedArray& column, const std::string& path,
              std::vector<std::uint64_t>& ids) {
  for_chunks(column, [&](const arrow::Array& array, std::int64_t row) {
    for (std::int64_t i = 0; array.null_count() > 0 && i < array.length(); ++i) {
      if (array.IsNull(i)) throw_null(path, "id", row + i);
    }
    switch (array.type_id()) {
      case arrow::Type::UINT64:
        return append_ids<arrow::UInt64Array>(array, ids);
      case arrow::Type::INT64:
        return append_ids<arrow::Int64Array>(array, ids);
      case arrow::Type::UINT32:
        return append_ids<arrow::UInt32Array>(array, ids);
      case arrow::Type::INT32:
        return append_ids<arrow::Int32Array>(array, ids);
      default:
        throw_type(path, "id", "32- or 64-bit integers", *array.type());
    }
  });
}

// Values begin .. end of an array of float or double.
void append_floats(const arrow::Array& array, std::int64_t begin, std::int64_t end,
                   std::vector<float>& values) {
  for (std::int64_t i = begin; i < end; ++i) {
    values.push_back(
        array.IsNull(i) ? NAN
        : array.type_id() == arrow::Type::FLOAT
            ? static_cast<const arrow::FloatArray&>(array).Value(i)
            : static_cast<float>(static_cast<const arrow::DoubleArray&>(array).Value(i)));
  }
}

bool float_or_double(const arrow::DataType& type) {
  return type.id() == arrow::Type::FLOAT || type.id() == arrow::Type::DOUBLE;
}

// Bounds of list `row` in the array of all values.
std::pair<std::int64_t, std::int64_t> list_bounds(const arrow::Array& array, std::int64_t row) {
  switch (array.type_id()) {
    case arrow::Type::LIST: {
      const auto& lists = static_cast<const arrow::ListArray&>(array);
      return {lists.value_offset(row), lists.value_offset(row + 1)};
    }
    case arrow::Type::LARGE_LIST: {
      const auto& lists = static_cast<const arrow::LargeListArray&>(array);
      return {lists.value_offset(row), lists.value_offset(row + 1)};
    }
    default: {
      const auto& lists = static_cast<const arrow::FixedSizeListArray&>(array);
      return {lists.value_offset(row), lists.value_offset(row + 1)};
    }
  }
}

const arrow::Array& list_values(const arrow::Array& array) {
  switch (array.type_id()) {
    case arrow::Type::LIST:
      return *static_cast<const arrow::ListArray&>(array).values();
    case arrow::Type::LARGE_LIST:
      return *static_cast<const arrow::LargeListArray&>(array).values();
    default:
      return *static_cast<const arrow::FixedSizeListArray&>(array).values();
  }
}

void read_vectors(const arrow::ChunkedArray& column, const std::string& path, int dim,
                  std::vector<float>& vectors) {
  const arrow::DataType& type = *column.type();
  const bool is_list = type.id() == arrow::Type::LIST || type.id() == arrow::Type::LARGE_LIST ||
                       type.id() == arrow::Type::FIXED_SIZE_LIST;
  if (!is_list || !float_or_double(*type.field(0)->type())) {
    throw_type(path, "vector", "lists of float or double", type);
  }
  for_chunks(column, [&](const arrow::Array& array, std::int64_t first) {
    for (std::int64_t row = 0; row < array.length(); ++row) {
      if (array.IsNull(row)) throw_null(path, "vector", first + row);
      const auto [begin, end] = list_bounds(array, row);
      if (end - begin != dim) {
        throw Error(ErrorKind::kData,
                    concat("row ", first + row + 1, " has ", end - begin,
                           " values where the tables have dim ", dim),
                    place(path, "vector"));
      }
      append_floats(list_values(array), begin, end, vectors);
      for (auto value = vectors.end() - dim; value != vectors.end(); ++value) {
        if (std::isfinite(*value)) continue;
        throw Error(ErrorKind::kData,
                    concat("row ", first + row + 1, " holds ", *value, ", wanted finite values"),
                    place(path, "vector"));
      }
    }
  });
}

void read_names(const arrow::ChunkedArray& column, const std::string& path,
                std::vector<std::string>& names) {
  for_chunks(column, [&](const arrow::Array& array, std::int64_t first) {
    for (std::int64_t row = 0; row < array.length(); ++row) {
      if (array.IsNull(row)) throw_null(path, "table", first + row);
      if (array.type_id() == arrow::Type::STRING) {
        names.push_back(static_cast<const arrow::StringArray&>(array).GetString(row));
      } else if (array.type_id() == arrow::Type::LARGE_STRING) {
        names.push_back(static_cast<const arrow::LargeStringArray&>(array).GetString(row));
      } else {
        throw_type(path, "table", "strings", *array.type());
      }
    }
  });
}

void read_importances(const arrow::ChunkedArray& column, const std::string& path,
                      std::vector<float>& importances) {
  if (!float_or_double(*column.type())) {
    throw_type(path, "importance", "float or double", *column.type());
  }
  for_chunks(column, [&](const arrow::Array& array, std::int64_t first) {
    append_floats(array, 0, array.length(), importances);
    for (std::int64_t row = 0; row < array.length(); ++row) {
      const float value = importances[static_cast<std::size_t>(first + row)];
      if (std::isnan(value) || (value >= 0 && std::isfinite(value))) continue;
      throw Error(ErrorKind::kData,
                  concat("row ", first + row + 1, " holds ", value, ", wanted 0 or more"),
                  place(path, "importance"));
    }
  });
}

}  // namespace

std::unique_ptr<RowTableWriter> open_row_table(const std::string& path, int dim) {
  return std::make_unique<RowTableFile>(path, dim);
}

RowTable read_row_table(const std::string& path, int dim) {
  const std::unique_ptr<parquet::arrow::FileReader> reader =
      open_reader({.path = path, .metadata = nullptr, .columns = {}, .dictionary_leaves = {}});
  const std::shared_ptr<arrow::Table> file =
      guarded(path, [&] { return value_of(reader->ReadTable()); });
  const auto column = [&](const char* name) { return file->GetColumnByName(name); };
  for (const char* name : {"id", "vector"}) {
    if (column(name) != nullptr) continue;
    throw Error(ErrorKind::kNotFound, concat("no column \"", name, "\""), path,
                suggest(name, file->ColumnNames()));
  }
  RowTable rows;
  read_ids(*column("id"), path, rows.ids);
  read_vectors(*column("vector"), path, dim, rows.vectors);
  if (column("table") != nullptr) read_names(*column("table"), path, rows.tables);
  if (column("importance") != nullptr)
    read_importances(*column("importance"), path, rows.importances);
  return rows;
}

}  // namespace taut::data
