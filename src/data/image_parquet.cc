#include <arrow/array/array_binary.h>
#include <arrow/array/array_dict.h>
#include <arrow/array/array_nested.h>
#include <arrow/array/array_primitive.h>
#include <arrow/record_batch.h>
#include <arrow/table.h>
#include <parquet/arrow/schema.h>
#include <parquet/column_reader.h>
#include <parquet/file_reader.h>

#include <algorithm>
#include <optional>

#include "files.h"
#include "image_source.h"
#include "parquet_file.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

using arrow::Type;

bool is_bytes(const arrow::DataType& type) {
  return type.id() == Type::BINARY || type.id() == Type::LARGE_BINARY;
}

// The field of a struct column that holds the file (as in tables of {bytes, path}), or -1.
int bytes_field(const arrow::DataType& type) {
  if (type.id() != Type::STRUCT) return -1;
  const int index = static_cast<const arrow::StructType&>(type).GetFieldIndex("bytes");
  return index >= 0 && is_bytes(*type.field(index)->type()) ? index : -1;
}

// What columns of images are usually called.
const std::vector<std::string>& image_names() {
  static const std::vector<std::string> names = {"image", "img", "jpeg", "jpg", "png", "bytes"};
  return names;
}

bool is_called_image(const std::string& name) {
  return std::find(image_names().begin(), image_names().end(), name) != image_names().end();
}

bool can_be_image(const arrow::DataType& type) {
  return is_bytes(type) || bytes_field(type) >= 0;
}

bool is_text(const arrow::DataType& type) {
  if (type.id() == Type::DICTIONARY) {
    return is_text(*static_cast<const arrow::DictionaryType&>(type).value_type());
  }
  return type.id() == Type::STRING || type.id() == Type::LARGE_STRING;
}

bool can_be_label(const arrow::DataType& type) {
  return arrow::is_integer(type.id()) || type.id() == Type::BOOL || is_text(type);
}

using Test = bool (*)(const arrow::DataType&);

// The column that is meant: by its name, by the first usual name that there is, or the only one of
// a fitting type.
std::size_t choose_column(const arrow::Schema& schema, const std::string& name,
                          const std::vector<std::string>& usual, Test fits, const char* what,
                          const char* option, const std::string& path) {
  const std::vector<std::string> names = schema.field_names();
  if (!name.empty()) {
    const std::size_t index = find_column(name, names, path);
    const arrow::DataType& type = *schema.field(static_cast<int>(index))->type();
    if (fits(type)) return index;
    throw Error(ErrorKind::kData, concat("a column of ", what, " cannot be ", type.ToString()),
                concat(path, ", column ", name), "name another column");
  }
  std::vector<std::size_t> fitting;
  for (std::size_t c = 0; c < names.size(); ++c) {
    if (fits(*schema.field(static_cast<int>(c))->type())) fitting.push_back(c);
  }
  for (const std::string& candidate : usual) {
    for (const std::size_t c : fitting) {
      if (names[c] == candidate) return c;
    }
  }
  if (fitting.size() == 1) return fitting[0];
  throw Error(ErrorKind::kNotFound,
              fitting.empty() ? concat("no column can be the ", what)
                              : concat("several columns could be the ", what),
              path, concat("name it as ", option, "; columns: ", join(names, ", ")));
}

std::shared_ptr<arrow::Schema> read_schema(parquet::arrow::FileReader& reader,
                                           const std::string& path) {
  (void)field_names(reader, path);
  return guarded(path, [&] {
    std::shared_ptr<arrow::Schema> schema;
    check_status(reader.GetSchema(&schema));
    return schema;
  });
}

template <typename ArrayType>
std::span<const std::byte> binary_at(const arrow::Array& array, std::int64_t row) {
  const std::string_view view = static_cast<const ArrayType&>(array).GetView(row);
  return std::as_bytes(std::span(view.data(), view.size()));
}

// The file of a row; nothing where it is null.
std::optional<std::span<const std::byte>> file_at(const arrow::Array& array, std::int64_t row) {
  if (array.IsNull(row)) return std::nullopt;
  switch (array.type_id()) {
    case Type::BINARY:
      return binary_at<arrow::BinaryArray>(array, row);
    case Type::LARGE_BINARY:
      return binary_at<arrow::LargeBinaryArray>(array, row);
    default: {
      const auto& fields = static_cast<const arrow::StructArray&>(array);
      return file_at(*fields.field(bytes_field(*array.type())), row);
    }
  }
}

template <typename ArrayType>
std::int64_t integer_at(const arrow::Array& array, std::int64_t row) {
  return static_cast<std::int64_t>(static_cast<const ArrayType&>(array).Value(row));
}

void take_label(const arrow::Array& array, std::int64_t row, ImageRecord& record) {
  if (array.IsNull(row)) {
    record.problem = "the label is missing";
    return;
  }
  switch (array.type_id()) {
    case Type::BOOL:
      record.label = integer_at<arrow::BooleanArray>(array, row);
      return;
    case Type::INT8:
      record.label = integer_at<arrow::Int8Array>(array, row);
      return;
    case Type::UINT8:
      record.label = integer_at<arrow::UInt8Array>(array, row);
      return;
    case Type::INT16:
      record.label = integer_at<arrow::Int16Array>(array, row);
      return;
    case Type::UINT16:
      record.label = integer_at<arrow::UInt16Array>(array, row);
      return;
    case Type::INT32:
      record.label = integer_at<arrow::Int32Array>(array, row);
      return;
    case Type::UINT32:
      record.label = integer_at<arrow::UInt32Array>(array, row);
      return;
    case Type::INT64:
      record.label = integer_at<arrow::Int64Array>(array, row);
      return;
    case Type::UINT64:
      record.label = integer_at<arrow::UInt64Array>(array, row);
      return;
    case Type::STRING:
      record.class_name = static_cast<const arrow::StringArray&>(array).GetString(row);
      return;
    case Type::LARGE_STRING:
      record.class_name = static_cast<const arrow::LargeStringArray&>(array).GetString(row);
      return;
    case Type::DICTIONARY: {
      const auto& encoded = static_cast<const arrow::DictionaryArray&>(array);
      const std::int64_t index = encoded.GetValueIndex(row);
      const std::int64_t size = encoded.dictionary()->length();
      if (index >= 0 && index < size) return take_label(*encoded.dictionary(), index, record);
      record.problem = concat("the label's dictionary index is ", index,
                              ", but the dictionary has ", size, " values");
      return;
    }
    default:
      throw Error(ErrorKind::kInternal, concat("label column of type ", array.type()->ToString()));
  }
}

// A row of a column that may come in several pieces.
struct Cell {
  const arrow::Array* array;
  std::int64_t row;
};

Cell cell_at(const arrow::ChunkedArray& column, std::int64_t row) {
  int chunk = 0;
  while (row >= column.chunk(chunk)->length()) row -= column.chunk(chunk++)->length();
  return {column.chunk(chunk).get(), row};
}

// True if the first values of a column of bytes begin as JPEG or PNG files do: many tables hold
// texts as bytes.
bool begins_with_image(parquet::arrow::FileReader& reader, const parquet::arrow::SchemaField& field,
                       const std::string& path) {
  constexpr std::int64_t kLooked = 64;
  return guarded(path, [&] {
    if (reader.parquet_reader()->metadata()->num_row_groups() == 0) return false;
    const auto column = std::dynamic_pointer_cast<parquet::ByteArrayReader>(
        reader.parquet_reader()->RowGroup(0)->Column(field.column_index));
    if (column == nullptr) return false;
    std::int16_t definition = 0;
    std::int16_t repetition = 0;
    parquet::ByteArray value;
    for (std::int64_t row = 0; row < kLooked; ++row) {
      std::int64_t values = 0;
      if (column->ReadBatch(1, &definition, &repetition, &value, &values) == 0) return false;
      if (values == 0) continue;
      const std::string_view bytes(reinterpret_cast<const char*>(value.ptr), value.len);
      return bytes.starts_with("\xFF\xD8\xFF") || bytes.starts_with("\x89PNG");
    }
    return false;
  });
}

class ParquetImages final : public ImageSource {
 public:
  ParquetImages(const std::string& path, const ImageSourceOptions& options)
      : path_(path),
        size_(options.size),
        unlabelled_(options.unlabelled),
        reader_(open_reader({path, nullptr, {}, {}})) {
    const std::shared_ptr<arrow::Schema> schema = read_schema(*reader_, path_);
    const std::size_t image = choose_column(*schema, options.image, image_names(), can_be_image,
                                            "image files (bytes)", "image", path_);
    const auto& fields = reader_->manifest().schema_fields;
    collect_leaves(fields[image], leaves_);
    if (!unlabelled_) {
      const std::size_t label = choose_column(
          *schema, options.labels, {"label", "labels", "fine_label", "class", "y", "target"},
          can_be_label, "labels (whole numbers or texts)", "labels", path_);
      label_first_ = label < image;
      collect_leaves(fields[label], leaves_);
    }
    std::sort(leaves_.begin(), leaves_.end());
    ParquetFile file{path_, nullptr, {}, {}};
    file.metadata = guarded(path_, [&] { return reader_->parquet_reader()->metadata(); });
    first_.push_back(0);
    for (const std::int64_t rows : group_rows(file)) first_.push_back(first_.back() + rows);
  }

  [[nodiscard]] std::int64_t count() const override { return first_.back(); }

  [[nodiscard]] std::vector<ImageRecord> read(std::int64_t begin, std::int64_t end,
                                              ThreadPool& pool) override {
    std::vector<ImageRecord> records(static_cast<std::size_t>(end - begin));
    std::int64_t at = begin;
    while (at < end) {
      load_group_of(at);
      const std::int64_t stop = std::min(end, first_[static_cast<std::size_t>(group_) + 1]);
      pool.run(stop - at, [&](std::int64_t i) {
        read_record(at + i, records[static_cast<std::size_t>(at + i - begin)]);
      });
      at = stop;
    }
    return records;
  }

  [[nodiscard]] std::string where(std::int64_t record) const override {
    return concat(path_, ", record ", record);
  }

 private:
  void load_group_of(std::int64_t record) {
    const auto after = std::upper_bound(first_.begin(), first_.end(), record);
    const int group = static_cast<int>(after - first_.begin()) - 1;
    if (group == group_) return;
    const std::string where = concat(path_, ", row group ", group);
    const auto batches =
        guarded(where, [&] { return reader_->GetRecordBatchReader({group}, leaves_); });
    table_ = guarded(where, [&] { return batches->ToTable(); });
    group_ = group;
    const std::int64_t wanted =
        first_[static_cast<std::size_t>(group) + 1] - first_[static_cast<std::size_t>(group)];
    if (table_->num_rows() != wanted) {
      throw_broken_parquet(
          concat("row group ", group, " has ", table_->num_rows(), " of ", wanted, " rows"), path_);
    }
  }

  void read_record(std::int64_t index, ImageRecord& record) const {
    const std::int64_t row = index - first_[static_cast<std::size_t>(group_)];
    const Cell image = cell_at(*table_->column(label_first_ ? 1 : 0), row);
    if (!unlabelled_) {
      const Cell label = cell_at(*table_->column(label_first_ ? 0 : 1), row);
      take_label(*label.array, label.row, record);
      if (!record.problem.empty()) return;
    }
    const auto file = file_at(*image.array, image.row);
    record.problem = file ? decode_image(*file, size_, record.image) : "the image is missing";
  }

  std::string path_;
  std::int64_t size_;
  bool unlabelled_;
  std::unique_ptr<parquet::arrow::FileReader> reader_;
  bool label_first_ = false;
  std::vector<int> leaves_;
  std::vector<std::int64_t> first_;  // record that each row group begins with, then their number
  int group_ = -1;                   // whose rows the table holds
  std::shared_ptr<arrow::Table> table_;
};

}  // namespace

bool parquet_holds_images(const std::string& path) {
  const auto reader = open_reader({path, nullptr, {}, {}});
  const auto& fields = reader->manifest().schema_fields;
  return std::any_of(fields.begin(), fields.end(), [&](const auto& field) {
    const arrow::DataType& type = *field.field->type();
    return bytes_field(type) >= 0 || (is_bytes(type) && (is_called_image(field.field->name()) ||
                                                         begins_with_image(*reader, field, path)));
  });
}

std::unique_ptr<ImageSource> open_image_parquet(const std::string& path,
                                                const ImageSourceOptions& options) {
  return std::make_unique<ParquetImages>(path, options);
}

}  // namespace taut::data
