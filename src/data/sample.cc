#include "sample.h"

#include <arrow/record_batch.h>
#include <parquet/file_reader.h>

#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <utility>

#include "arrow_columns.h"
#include "parquet_file.h"
#include "taut/core/error.h"
#include "taut/core/hash.h"
#include "text_cells.h"
#include "text_file.h"

namespace taut::data {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

SampleKind kind_of(const arrow::DataType& type) {
  using arrow::Type;
  const Type::type id = type.id();
  if (id == Type::BOOL) return SampleKind::kBool;
  if (id == Type::LIST || id == Type::LARGE_LIST) {
    const auto& values = *static_cast<const arrow::BaseListType&>(type).value_type();
    return can_be_id(values) ? SampleKind::kList : SampleKind::kOther;
  }
  if (arrow::is_integer(id)) return SampleKind::kInteger;
  if (id == Type::FLOAT || id == Type::DOUBLE) return SampleKind::kNumber;
  if (id == Type::TIMESTAMP || id == Type::DATE32 || id == Type::DATE64) return SampleKind::kTime;
  return can_be_id(type) ? SampleKind::kText : SampleKind::kOther;
}

// The keys of bags: their ids hashed together.
void append_keys(const IdRows& column, std::int64_t rows, std::vector<std::uint64_t>& keys) {
  const std::span<const std::uint64_t> ids = column.values();
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t first = column.single() ? row : column.offsets[row];
    const std::int64_t last = column.single() ? row + 1 : column.offsets[row + 1];
    std::uint64_t key = last - first == 1 ? ids[first] : static_cast<std::uint64_t>(last - first);
    for (std::int64_t i = first; last - first > 1 && i < last; ++i) key = hash_combine(key, ids[i]);
    keys.push_back(key);
  }
}

void add_array(const std::shared_ptr<arrow::Array>& values, ColumnSample& column) {
  const arrow::Array& array = *values;
  column.missing += array.null_count();
  if (column.kind == SampleKind::kOther) return;
  if (column.kind == SampleKind::kText || column.kind == SampleKind::kList) {
    IdRows ids;
    to_ids(values, ids);
    append_keys(ids, array.length(), column.keys);
    return;
  }
  BadCells ignored;
  std::vector<std::int64_t> whole;
  std::vector<float> fractions;
  if (column.kind == SampleKind::kNumber) {
    (void)to_dense(array, fractions, ignored);
  } else {
    to_time(array, whole, ignored);
  }
  for (std::int64_t row = 0; row < array.length(); ++row) {
    const double number =
        whole.empty() ? static_cast<double>(fractions[row]) : static_cast<double>(whole[row]);
    column.numbers.push_back(array.IsNull(row) ? kMissing : number);
    column.keys.push_back(
        array.IsNull(row) ? kMissingId : static_cast<std::uint64_t>(std::llround(number * 1024)));
  }
}

Sample sample_parquet(const InputFile& file) {
  const ParquetFile opened = inspect_parquet(file.path, {});
  const auto reader = open_reader(opened);
  std::vector<int> groups(static_cast<std::size_t>(opened.metadata->num_row_groups()));
  std::iota(groups.begin(), groups.end(), 0);
  const auto batches = guarded(file.path, [&] { return reader->GetRecordBatchReader(groups); });
  Sample sample;
  for (const auto& field : batches->schema()->fields()) {
    ColumnSample column;
    column.name = field->name();
    column.type = field->type()->ToString();
    column.kind = kind_of(*field->type());
    sample.columns.push_back(std::move(column));
  }
  while (sample.rows < kSampleRows) {
    const auto read = guarded(file.path, [&] { return batches->Next(); });
    if (read == nullptr) break;
    const auto batch = read->Slice(0, kSampleRows - sample.rows);
    for (std::size_t c = 0; c < sample.columns.size(); ++c) {
      add_array(batch->column(static_cast<int>(c)), sample.columns[c]);
    }
    sample.rows += batch->num_rows();
  }
  return sample;
}

// What a text column could be, until a cell says otherwise.
struct TextTraits {
  bool integers = true;  // those that are numbers
  bool labels = true;
  bool lists = false;
};

void add_cell(std::string_view cell, ColumnSample& column, TextTraits& traits) {
  column.keys.push_back(id_of_text(cell));
  const std::string_view text = trim(cell);
  const std::optional<double> number = parse_number(text);
  const std::optional<float> label = parse_label(text);
  column.numbers.push_back(number ? *number : label ? static_cast<double>(*label) : kMissing);
  if (text.empty()) {
    ++column.missing;
    return;
  }
  if (!number) {
    column.strays.add(text, static_cast<std::int64_t>(column.numbers.size()));
  } else {
    traits.integers = traits.integers && parse_integer(text).has_value();
  }
  traits.labels = traits.labels && label.has_value();
  traits.lists = traits.lists || text.find('|') != std::string_view::npos;
}

void settle(const TextTraits& traits, ColumnSample& column) {
  const auto cells = static_cast<std::int64_t>(column.numbers.size()) - column.missing;
  const bool numbers =
      column.strays.count() == 0 || (!traits.labels && column.strays.leave_numbers(cells));
  if (!numbers) column.strays = {};
  if (numbers && traits.integers) {
    column.kind = SampleKind::kInteger;
    column.type = "text, whole numbers";
  } else if (numbers) {
    column.kind = SampleKind::kNumber;
    column.type = "text, numbers";
  } else if (traits.labels) {
    column.kind = SampleKind::kBool;
    column.type = "text, true or false";
  } else {
    column.kind = traits.lists ? SampleKind::kList : SampleKind::kText;
    column.type = traits.lists ? "text, lists" : "text";
    column.numbers.clear();
  }
}

Sample sample_text(const InputFile& input) {
  TextFile file(input);
  Sample sample;
  for (const std::string& name : file.columns()) sample.columns.emplace_back().name = name;
  const auto width = static_cast<std::int64_t>(sample.columns.size());
  std::vector<TextTraits> traits(sample.columns.size());
  std::string scratch;
  TextIndex index;
  while (sample.rows < kSampleRows) {
    const std::vector<std::string_view> pieces = file.next_pieces();
    if (pieces.empty()) break;
    for (const std::string_view piece : pieces) {
      index.build(piece, file.dialect());
      for (std::int64_t row = 0; row < index.rows() && sample.rows < kSampleRows; ++row) {
        if (index.fields(row) != width) continue;  // a bad row, for the reader to name
        ++sample.rows;
        for (std::int64_t c = 0; c < width; ++c) {
          add_cell(index.value(row, c, scratch), sample.columns[c], traits[c]);
        }
      }
    }
  }
  for (std::size_t c = 0; c < sample.columns.size(); ++c) settle(traits[c], sample.columns[c]);
  return sample;
}

}  // namespace

Sample sample_file(const InputFile& file) {
  Sample sample = file.format == Format::kParquet ? sample_parquet(file) : sample_text(file);
  if (sample.rows == 0) throw Error(ErrorKind::kData, "no rows", file.path);
  return sample;
}

}  // namespace taut::data
