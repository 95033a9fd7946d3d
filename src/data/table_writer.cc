#include "table_writer.h"

#include <arrow/array/array_binary.h>
#include <arrow/array/array_nested.h>
#include <arrow/array/array_primitive.h>
#include <arrow/buffer.h>
#include <arrow/io/interfaces.h>
#include <arrow/record_batch.h>
#include <parquet/arrow/writer.h>
#include <parquet/exception.h>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>
#include <utility>

#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

constexpr std::int64_t kRowGroupRows = 1 << 18;

// Arrow's idea of a file over ours, which is never left half written.
class AtomicSink : public arrow::io::OutputStream {
 public:
  explicit AtomicSink(const std::string& path) : file_(path) {}
  ~AtomicSink() override = default;

  arrow::Status Write(const void* data, std::int64_t size) override {
    file_.write(data, static_cast<std::size_t>(size));
    return arrow::Status::OK();
  }
  using arrow::io::OutputStream::Write;
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  [[nodiscard]] bool closed() const override { return closed_; }
  [[nodiscard]] arrow::Result<std::int64_t> Tell() const override {
    return static_cast<std::int64_t>(file_.size());
  }
  void commit() { file_.commit(); }

 private:
  AtomicFile file_;
  bool closed_ = false;
};

void check(const arrow::Status& status, const std::string& path) {
  if (!status.ok()) throw Error(ErrorKind::kIo, status.message(), path);
}

std::shared_ptr<arrow::DataType> arrow_type(OutputType type) {
  switch (type) {
    case OutputType::kInt8:
      return arrow::int8();
    case OutputType::kInt64:
      return arrow::int64();
    case OutputType::kFloat:
      return arrow::float32();
    case OutputType::kList:
      return arrow::list(arrow::int64());
    case OutputType::kUInt64:
      return arrow::uint64();
    case OutputType::kText:
      return arrow::utf8();
    case OutputType::kFloatList:
      return arrow::list(arrow::float32());
  }
  throw Error(ErrorKind::kInternal, "unknown output type");
}

template <typename ArrowArray, typename T>
std::shared_ptr<arrow::Array> wrap(const std::vector<T>& values) {
  return std::make_shared<ArrowArray>(static_cast<std::int64_t>(values.size()),
                                      arrow::Buffer::Wrap(values));
}

// A bit for each value, set unless it is null; no bits where no value may be.
template <typename T, typename IsNull>
std::shared_ptr<arrow::Buffer> validity(const std::vector<T>& values, bool nullable,
                                        IsNull&& is_null) {
  if (!nullable) return nullptr;
  std::vector<std::uint8_t> bits((values.size() + 7) / 8);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!is_null(values[i])) bits[i / 8] |= static_cast<std::uint8_t>(1U << (i % 8));
  }
  return arrow::Buffer::FromVector(std::move(bits));
}

std::shared_ptr<arrow::Array> texts(const std::vector<std::string>& values, bool nullable) {
  std::vector<std::int32_t> offsets = {0};
  std::string bytes;
  for (const std::string& value : values) {
    bytes += value;
    offsets.push_back(static_cast<std::int32_t>(bytes.size()));
  }
  return std::make_shared<arrow::StringArray>(
      static_cast<std::int64_t>(values.size()), arrow::Buffer::FromVector(std::move(offsets)),
      arrow::Buffer::FromString(std::move(bytes)),
      validity(values, nullable, [](const std::string& value) { return value.empty(); }));
}

std::shared_ptr<arrow::Array> floats(const std::vector<float>& values, bool nullable) {
  return std::make_shared<arrow::FloatArray>(
      static_cast<std::int64_t>(values.size()), arrow::Buffer::Wrap(values),
      validity(values, nullable, [](float value) { return std::isnan(value); }));
}

std::shared_ptr<arrow::Array> vectors(const FloatRows& rows) {
  const auto count = static_cast<std::int64_t>(rows.values.size()) / rows.width;
  std::vector<std::int32_t> offsets;
  for (std::int64_t row = 0; row <= count; ++row) {
    offsets.push_back(static_cast<std::int32_t>(row * rows.width));
  }
  return std::make_shared<arrow::ListArray>(arrow::list(arrow::float32()), count,
                                            arrow::Buffer::FromVector(std::move(offsets)),
                                            wrap<arrow::FloatArray>(rows.values));
}

// The array looks at the values, which must outlive it; offsets are narrowed into a copy.
std::shared_ptr<arrow::Array> to_arrow(const OutputValues& values, bool nullable) {
  if (const auto* v = std::get_if<std::vector<std::int8_t>>(&values))
    return wrap<arrow::Int8Array>(*v);
  if (const auto* v = std::get_if<std::vector<std::int64_t>>(&values)) {
    return wrap<arrow::Int64Array>(*v);
  }
  if (const auto* v = std::get_if<std::vector<float>>(&values)) return floats(*v, nullable);
  if (const auto* v = std::get_if<std::vector<std::uint64_t>>(&values)) {
    return wrap<arrow::UInt64Array>(*v);
  }
  if (const auto* v = std::get_if<std::vector<std::string>>(&values)) return texts(*v, nullable);
  if (const auto* v = std::get_if<FloatRows>(&values)) return vectors(*v);
  const IdRows& bags = std::get<IdRows>(values);
  std::vector<std::int32_t> offsets(bags.offsets.begin(), bags.offsets.end());
  const auto rows = static_cast<std::int64_t>(offsets.size()) - 1;
  return std::make_shared<arrow::ListArray>(arrow::list(arrow::int64()), rows,
                                            arrow::Buffer::FromVector(std::move(offsets)),
                                            wrap<arrow::Int64Array>(bags.ids));
}

class ParquetTable : public TableWriter {
 public:
  ParquetTable(const std::string& path, const std::vector<OutputColumn>& columns)
      : path_(path), sink_(std::make_shared<AtomicSink>(path)) {
    arrow::FieldVector fields;
    for (const OutputColumn& column : columns) {
      fields.push_back(arrow::field(column.name, arrow_type(column.type), column.nullable));
    }
    schema_ = arrow::schema(fields);
    const auto properties = parquet::WriterProperties::Builder()
                                .compression(parquet::Compression::ZSTD)
                                ->max_row_group_length(kRowGroupRows)
                                ->build();
    const auto arrow_properties =
        parquet::ArrowWriterProperties::Builder().set_use_threads(true)->store_schema()->build();
    auto writer = parquet::arrow::FileWriter::Open(*schema_, arrow::default_memory_pool(), sink_,
                                                   properties, arrow_properties);
    check(writer.status(), path);
    writer_ = std::move(writer).ValueUnsafe();
  }

  ~ParquetTable() override {
    try {
      (void)writer_->Close();  // what it writes into the sink goes with the sink
    } catch (const std::exception&) {
    }
  }

  void write(std::span<const OutputValues> columns, std::int64_t rows) override {
    std::vector<std::shared_ptr<arrow::Array>> arrays;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      arrays.push_back(to_arrow(columns[c], schema_->field(static_cast<int>(c))->nullable()));
    }
    check(writer_->WriteRecordBatch(*arrow::RecordBatch::Make(schema_, rows, arrays)), path_);
  }

  std::int64_t commit() override {
    check(writer_->Close(), path_);
    const std::int64_t bytes = sink_->Tell().ValueUnsafe();
    sink_->commit();
    return bytes;
  }

 private:
  std::string path_;
  std::shared_ptr<AtomicSink> sink_;
  std::shared_ptr<arrow::Schema> schema_;
  std::unique_ptr<parquet::arrow::FileWriter> writer_;
};

// Where the text of a CSV file goes: a file that is put in place at the end, or, without a path,
// standard output.
class TextSink {
 public:
  explicit TextSink(const std::string& path) {
    if (!path.empty()) file_.emplace(path);
  }

  void write(std::string_view text) {
    bytes_ += static_cast<std::int64_t>(text.size());
    if (file_) {
      file_->write(text);
    } else {
      check_output(std::fwrite(text.data(), 1, text.size(), stdout) == text.size());
    }
  }

  std::int64_t commit() {
    if (file_) {
      file_->commit();
    } else {
      check_output(std::fflush(stdout) == 0);
    }
    return bytes_;
  }

 private:
  static void check_output(bool good) {
    if (!good) throw Error(ErrorKind::kIo, "cannot write the table", "standard output");
  }

  std::optional<AtomicFile> file_;
  std::int64_t bytes_ = 0;
};

class CsvTable : public TableWriter {
 public:
  CsvTable(const std::string& path, const std::vector<OutputColumn>& columns) : sink_(path) {
    for (const OutputColumn& column : columns) {
      nullable_.push_back(column.nullable);
      if (!text_.empty()) text_ += ',';
      append_text(column.name);
    }
    text_ += '\n';
  }

  void write(std::span<const OutputValues> columns, std::int64_t rows) override {
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::size_t c = 0; c < columns.size(); ++c) {
        if (c > 0) text_ += ',';
        const auto at = static_cast<std::size_t>(row);
        const auto* numbers = std::get_if<std::vector<float>>(&columns[c]);
        if (numbers != nullptr && nullable_[c] && std::isnan((*numbers)[at])) continue;
        std::visit([&](const auto& values) { append(values, at); }, columns[c]);
      }
      text_ += '\n';
    }
    flush();
  }

  std::int64_t commit() override {
    flush();
    return sink_.commit();
  }

 private:
  template <typename T>
  void append_number(T value) {
    char digits[32];
    const std::to_chars_result end = std::to_chars(digits, digits + sizeof(digits), value);
    text_.append(digits, end.ptr);
  }

  template <typename T>
  void append(const std::vector<T>& values, std::size_t row) {
    append_number(values[row]);
  }

  void append(const std::vector<std::string>& values, std::size_t row) { append_text(values[row]); }

  void append_text(const std::string& text) {
    if (text.find_first_of(",\"\r\n") == std::string::npos) {
      text_ += text;
      return;
    }
    text_ += '"';
    for (const char c : text) text_ += c == '"' ? "\"\"" : std::string(1, c);
    text_ += '"';
  }

  void append(const FloatRows& rows, std::size_t row) {
    const auto width = static_cast<std::size_t>(rows.width);
    for (std::size_t i = 0; i < width; ++i) {
      if (i > 0) text_ += '|';
      append_number(rows.values[row * width + i]);
    }
  }

  void append(const IdRows& bags, std::size_t row) {
    if (bags.offsets[row] == bags.offsets[row + 1]) text_ += '|';
    for (std::int64_t i = bags.offsets[row]; i < bags.offsets[row + 1]; ++i) {
      if (i > bags.offsets[row]) text_ += '|';
      append_number(static_cast<std::int64_t>(bags.ids[i]));
    }
  }

  void flush() {
    sink_.write(text_);
    text_.clear();
  }

  TextSink sink_;
  std::vector<bool> nullable_;
  std::string text_;
};

}  // namespace

std::unique_ptr<TableWriter> open_table(const std::string& path,
                                        std::vector<OutputColumn> columns) {
  if (path.ends_with(".parquet")) return std::make_unique<ParquetTable>(path, columns);
  if (path.empty() || path.ends_with(".csv")) {
    return std::make_unique<CsvTable>(path, columns);
  }
  throw Error(ErrorKind::kUnsupported, "cannot write this kind of file", path,
              "name it .parquet or .csv");
}

}  // namespace taut::data
