#include "sample.h"

#include <arrow/record_batch.h>
#include <parquet/file_reader.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <utility>

#include "arrow_columns.h"
#include "arrow_file.h"
#include "cell_rules.h"
#include "datetime.h"
#include "parquet_file.h"
#include "taut/core/error.h"
#include "taut/core/hash.h"
#include "taut/core/text.h"
#include "text_cells.h"
#include "text_encoding.h"
#include "text_file.h"

namespace taut::data {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

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

// What the cells of a column of texts could be, until one says otherwise.
struct TextTraits {
  bool integers = true;  // those that are numbers
  bool wholes = true;    // the same with a point or without
  bool labels = true;
  bool times = true;
};

// Sets the column's next number and what its cells can be. Its key is set by others.
void add_cell(std::string_view cell, const CellRules& rules, ColumnSample& column,
              TextTraits& traits) {
  const std::string_view text = trim(cell);
  const std::optional<double> plain = parse_number(text);
  const bool is_nan = plain && std::isnan(*plain);
  if (is_nan && !rules.is_missing_number(text)) column.nan_spellings.emplace(text);
  if (is_nan || rules.is_missing_number(text)) {
    column.numbers.push_back(kMissing);
    ++column.missing;
    column.spelled_missing += text.empty() ? 0 : 1;
    return;
  }
  const bool grouped = !plain && has_thousands(text);
  const std::optional<double> number = grouped ? parse_thousands(text) : plain;
  const std::optional<float> label = parse_label(text);
  const std::optional<std::int64_t> time = number ? std::nullopt : parse_datetime(text);
  column.numbers.push_back(number                 ? *number
                           : label                ? static_cast<double>(*label)
                           : time && traits.times ? static_cast<double>(*time)
                                                  : kMissing);
  if (!rules.number(text)) {
    column.strays.add(text, static_cast<std::int64_t>(column.numbers.size()));
  }
  if (number) {
    const bool whole = std::isfinite(*number) && std::trunc(*number) == *number;
    column.unheld += is_dense_value(*number) ? 0 : 1;
    traits.wholes = traits.wholes && whole;
    traits.integers =
        traits.integers && (grouped ? whole : parse_integer(text) || parse_unsigned(text));
  }
  traits.labels = traits.labels && label.has_value();
  traits.times = traits.times && time.has_value();
  if (!plain) column.lists.add(text);
}

// Whole floats beside missing values are what pandas makes of integers with nulls.
bool are_integers(bool wholes, const ColumnSample& column) {
  return wholes && column.missing > 0 &&
         column.missing < static_cast<std::int64_t>(column.keys.size());
}

// What cells turned out to be, in words; sets the kind.
std::string settle(const TextTraits& traits, ColumnSample& column) {
  const auto cells = static_cast<std::int64_t>(column.numbers.size()) - column.missing;
  const bool numbers = column.strays.count() == 0 ||
                       (!traits.labels && !traits.times && column.strays.leave_numbers(cells));
  if (!numbers) column.strays = {};
  if (!numbers) column.nan_spellings.clear();
  if (numbers && (traits.integers || are_integers(traits.wholes, column))) {
    column.kind = SampleKind::kInteger;
    return "whole numbers";
  }
  if (numbers) {
    column.kind = SampleKind::kNumber;
    column.spelled_whole = traits.wholes && column.strays.count() == 0;
    return "numbers";
  }
  if (traits.labels) {
    column.kind = SampleKind::kBool;
    return "true or false";
  }
  if (traits.times) {
    column.kind = SampleKind::kTime;
    return "times";
  }
  column.numbers.clear();
  column.kind = SampleKind::kText;
  return "";
}

// Makes lists of the texts that will be cut: at what the options say; else at what cuts half of the
// texts of a column, which must then be set unless it is what is taken by default; else at that.
// by_default: 0 for none.
void find_lists(const std::optional<char>& told, char by_default, Sample& sample) {
  std::map<char, int> found;
  for (const ColumnSample& column : sample.columns) {
    if (column.kind == SampleKind::kText && column.lists.separator() != 0) {
      ++found[column.lists.separator()];
    }
  }
  const auto most = std::max_element(
      found.begin(), found.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  const char separator = told ? *told : most != found.end() ? most->first : by_default;
  if (!told && separator != by_default) sample.list_separator = separator;
  if (separator == 0) return;
  for (ColumnSample& column : sample.columns) {
    if (column.kind != SampleKind::kText) continue;
    const bool cut = sample.list_separator != 0 ? column.lists.separator() == separator
                                                : column.lists.holds(separator);
    if (!cut) continue;
    column.kind = SampleKind::kList;
    column.type += ", lists";
  }
}

// Numbers with marks between their thousands are no strays where the mark is told, or is that of
// most such columns. A space is not found: what it separates may be a list.
void find_thousands(const ReaderOptions& options, Sample& sample) {
  if (options.thousands != 0) return;
  std::map<char, int> found;
  for (const ColumnSample& column : sample.columns) ++found[column.strays.mark()];
  found.erase('\0');
  found.erase(' ');
  const auto most = std::max_element(
      found.begin(), found.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most == found.end()) return;
  sample.thousands = most->first;
  for (ColumnSample& column : sample.columns) {
    if (column.strays.mark() == sample.thousands) column.strays = {};
  }
}

SampleKind kind_of(ValueKind kind) {
  switch (kind) {
    case ValueKind::kBool:
      return SampleKind::kBool;
    case ValueKind::kInteger:
      return SampleKind::kInteger;
    case ValueKind::kFloat:
      return SampleKind::kNumber;
    case ValueKind::kTime:
      return SampleKind::kTime;
    case ValueKind::kList:
      return SampleKind::kList;
    case ValueKind::kNull:
    case ValueKind::kDecimal:
    case ValueKind::kText:
      return SampleKind::kText;
    case ValueKind::kOther:
      break;
  }
  return SampleKind::kOther;
}

// One column of a Parquet or Arrow file on its way to a sample.
class ColumnSampler {
 public:
  ColumnSampler(const arrow::DataType& type, const CellRules& rules, ColumnSample& column)
      : kind_(value_kind(type)), rules_(rules), column_(column) {
    column.kind = kind_of(kind_);
    column.problem = unread_reason(type);
  }

  void add(const std::shared_ptr<arrow::Array>& array) {
    if (kind_ != ValueKind::kTime) {
      IdRows ids;
      to_ids(array, rules_, '\0', ids, ignored_);
      append_keys(ids, array->length(), column_.keys);
    }
    if (kind_ == ValueKind::kList) {
      column_.missing += array->null_count();
    } else if (column_.kind == SampleKind::kText) {
      add_texts(array);
    } else {
      add_numbers(array);
    }
  }

  void finish() {
    if (column_.kind == SampleKind::kText) {
      const std::string looks = settle(traits_, column_);
      if (!looks.empty() && kind_ == ValueKind::kText) column_.type += ", " + looks;
    } else if (kind_ == ValueKind::kFloat && are_integers(wholes_, column_)) {
      column_.kind = SampleKind::kInteger;
    }
  }

 private:
  void add_texts(const std::shared_ptr<arrow::Array>& array) {
    std::int64_t next = 0;
    const auto fill_to = [&](std::int64_t row) {
      for (; next < row; ++next) add_cell({}, rules_, column_, traits_);
    };
    each_text(array, [&](std::int64_t row, std::string_view cell) {
      fill_to(row);
      add_cell(cell, rules_, column_, traits_);
      ++next;
    });
    fill_to(array->length());
  }

  void add_numbers(const std::shared_ptr<arrow::Array>& array) {
    std::vector<double> numbers;
    to_numbers(array, numbers);
    column_.unheld -= array->ComputeLogicalNullCount();
    for (const double number : numbers) {
      column_.missing += std::isnan(number) ? 1 : 0;
      column_.unheld += is_dense_value(number) ? 0 : 1;
      wholes_ = wholes_ && (std::isnan(number) || std::trunc(number) == number);
      if (kind_ == ValueKind::kTime) column_.keys.push_back(id_of_number(number));
    }
    column_.numbers.insert(column_.numbers.end(), numbers.begin(), numbers.end());
  }

  ValueKind kind_;
  const CellRules& rules_;
  ColumnSample& column_;
  TextTraits traits_;
  bool wholes_ = true;
  BadCells ignored_;
};

// The arrays of a column, one after another; null at the end.
using ArrayStream = std::function<std::shared_ptr<arrow::Array>()>;

// Reads the first rows of one column; their number, or -1 where it is not read. What cannot be read
// of it leaves it out with a reason.
std::int64_t sample_column(const arrow::Field& field, const ArrowPlace& place,
                           const CellRules& rules, const std::function<ArrayStream()>& open,
                           ColumnSample& column) {
  column.name = field.name();
  column.type = as_utf8(field.type()->ToString());
  ColumnSampler sampler(*field.type(), rules, column);
  if (column.kind == SampleKind::kOther) return -1;
  std::int64_t rows = 0;
  try {
    guarded(place, [&] {
      const ArrayStream next = open();
      while (rows < kSampleRows) {
        const std::shared_ptr<arrow::Array> read = next();
        if (read == nullptr) break;
        const auto array = read->Slice(0, kSampleRows - rows);
        sampler.add(array);
        rows += array->length();
      }
    });
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kUnsupported) throw;
    const ColumnSample left{
        .name = column.name, .type = column.type, .problem = as_utf8(error.what())};
    column = left;
    return -1;
  }
  sampler.finish();
  return rows;
}

Sample sample_parquet(const InputFile& file, const ReaderOptions& options) {
  const ParquetFile opened = inspect_parquet(file.path, {});
  const auto reader = open_reader(opened);
  const CellRules rules(options);
  Sample sample;
  sample.rows = std::min(count_rows(opened), kSampleRows);
  std::vector<int> groups(static_cast<std::size_t>(opened.metadata->num_row_groups()));
  std::iota(groups.begin(), groups.end(), 0);
  for (const auto& field : reader->manifest().schema_fields) {
    const ArrowPlace place(concat(file.path, ", column ", field.field->name()));
    const auto open = [&]() -> ArrayStream {
      std::vector<int> leaves;
      collect_leaves(field, leaves);
      const std::shared_ptr<arrow::RecordBatchReader> batches =
          value_of(reader->GetRecordBatchReader(groups, leaves));
      return [batches] {
        const std::shared_ptr<arrow::RecordBatch> batch = value_of(batches->Next());
        return batch == nullptr ? nullptr : batch->column(0);
      };
    };
    ColumnSample& column = sample.columns.emplace_back();
    const std::int64_t rows = sample_column(*field.field, place, rules, open, column);
    if (rows < 0 || rows == sample.rows) continue;
    throw_broken_parquet(concat("column ends after ", rows, " of ", sample.rows, " rows"),
                         place.where);
  }
  find_lists(options.list_separator, '\0', sample);
  return sample;
}

Sample sample_arrow(const InputFile& input, const ReaderOptions& options) {
  const ArrowFile file(input.path);
  const CellRules rules(options);
  Sample sample;
  std::vector<std::shared_ptr<arrow::RecordBatch>> batches;
  while (sample.rows < kSampleRows && static_cast<int>(batches.size()) < file.batches()) {
    batches.push_back(file.read(static_cast<int>(batches.size())));
    sample.rows += batches.back()->num_rows();
  }
  sample.rows = std::min(sample.rows, kSampleRows);
  for (std::size_t c = 0; c < file.names().size(); ++c) {
    const auto open = [&]() -> ArrayStream {
      return [&file, &batches, c, next = std::size_t{0}]() mutable {
        return next == batches.size() ? nullptr
                                      : file.column(*batches[next++], static_cast<int>(c));
      };
    };
    (void)sample_column(*file.schema().field(static_cast<int>(c)),
                        arrow_place(input.path, file.names()[c]), rules, open,
                        sample.columns.emplace_back());
  }
  find_lists(options.list_separator, '\0', sample);
  return sample;
}

// What a header says of a column goes before what its cells look like: whole numbers that measure
// are numbers. Those that are all as large as times since 1970 may be times.
void apply_declared(DeclaredType declared, ColumnSample& column) {
  constexpr double kLeastTime = 1e8;
  if (declared == DeclaredType::kFloat) column.spelled_whole = false;
  if (declared != DeclaredType::kFloat || column.kind != SampleKind::kInteger) return;
  const bool times = std::all_of(column.numbers.begin(), column.numbers.end(),
                                 [](double number) { return number >= kLeastTime; });
  if (!times) column.kind = SampleKind::kNumber;
}

// A file none of whose rows has as many fields as the header.
[[noreturn]] void throw_no_whole_row(const TextFile& file, std::int64_t fields) {
  const auto wanted = static_cast<std::int64_t>(file.columns().size());
  throw Error(ErrorKind::kData,
              concat("no row has as many fields as the header: ", fields, " in row 1, ", wanted,
                     " in the header (separator ", shown({&file.dialect().delimiter, 1}), ")"),
              file.path(), "mend the header, or set data.separator");
}

Sample sample_text(const InputFile& input, const ReaderOptions& options) {
  TextFile file(input);
  const CellRules rules(options);
  Sample sample;
  for (const std::string& name : file.columns()) sample.columns.emplace_back().name = name;
  const auto width = static_cast<std::int64_t>(sample.columns.size());
  std::vector<TextTraits> traits(sample.columns.size());
  std::string scratch;
  TextIndex index;
  std::int64_t first_fields = width;  // of the first row
  bool any = false;
  while (sample.rows < kSampleRows) {
    const std::vector<std::string_view> pieces = file.next_pieces();
    if (pieces.empty()) break;
    for (const std::string_view piece : pieces) {
      file.index(piece, index);
      if (!any && index.rows() > 0) first_fields = index.fields(0);
      any = any || index.rows() > 0;
      for (std::int64_t row = 0; row < index.rows() && sample.rows < kSampleRows; ++row) {
        if (index.fields(row) != width) continue;  // a bad row, for the reader to name
        ++sample.rows;
        for (std::int64_t c = 0; c < width; ++c) {
          const std::string_view cell = index.value(row, c, scratch);
          sample.columns[c].keys.push_back(id_of_text(cell));
          add_cell(cell, rules, sample.columns[c], traits[c]);
        }
      }
    }
  }
  if (sample.rows == 0 && any) throw_no_whole_row(file, first_fields);
  for (std::size_t c = 0; c < sample.columns.size(); ++c) {
    const std::string looks = settle(traits[c], sample.columns[c]);
    apply_declared(file.declared()[c], sample.columns[c]);
    sample.columns[c].type = looks.empty() ? "text" : "text, " + looks;
  }
  find_lists(options.list_separator, '|', sample);
  return sample;
}

}  // namespace

Sample sample_file(const InputFile& given, const TextOptions& text) {
  ReaderOptions options;
  set_text_options(text, "", options);
  InputFile file = given;
  file.separator = options.separator;
  file.encoding = options.encoding;
  Sample sample = file.format == Format::kParquet ? sample_parquet(file, options)
                  : file.format == Format::kArrow ? sample_arrow(file, options)
                                                  : sample_text(file, options);
  if (sample.rows == 0) throw Error(ErrorKind::kData, "no rows", file.path);
  find_thousands(options, sample);
  for (ColumnSample& column : sample.columns) {
    sample.nan_spellings.insert(column.nan_spellings.begin(), column.nan_spellings.end());
    const auto same =
        std::count_if(sample.columns.begin(), sample.columns.end(),
                      [&](const ColumnSample& other) { return other.name == column.name; });
    if (same < 2) continue;
    column.kind = SampleKind::kOther;
    column.problem = "not read: two columns have this name; rename one of them";
  }
  return sample;
}

}  // namespace taut::data
