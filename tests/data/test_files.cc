#include "test_files.h"

#include <arrow/array/builder_nested.h>
#include <arrow/array/builder_primitive.h>
#include <arrow/io/file.h>
#include <arrow/ipc/writer.h>
#include <arrow/json/from_string.h>
#include <parquet/arrow/writer.h>

#include <fstream>
#include <sstream>
#include <stdexcept>

namespace taut::data::testing {
namespace {

void check(const arrow::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.ToString());
}

template <typename T>
T value(arrow::Result<T> result) {
  check(result.status());
  return std::move(result).ValueUnsafe();
}

template <typename Builder, typename Fn>
std::shared_ptr<arrow::Array> build(std::int64_t rows, Fn&& fn) {
  Builder builder;
  for (std::int64_t row = 0; row < rows; ++row) check(builder.Append(fn(row)));
  return value(builder.Finish());
}

std::shared_ptr<arrow::Array> build_lists(std::int64_t rows, std::int64_t first) {
  auto values = std::make_shared<arrow::Int64Builder>();
  arrow::ListBuilder lists(arrow::default_memory_pool(), values);
  for (std::int64_t row = first; row < first + rows; ++row) {
    check(lists.Append());
    for (std::int64_t i = 0; i < row % 4; ++i) check(values->Append(row));
  }
  return value(lists.Finish());
}

}  // namespace

std::shared_ptr<arrow::Table> make_table(const std::vector<JsonColumn>& columns) {
  std::vector<std::shared_ptr<arrow::Field>> fields;
  std::vector<std::shared_ptr<arrow::Array>> arrays;
  for (const JsonColumn& column : columns) {
    fields.push_back(arrow::field(column.name, column.type));
    arrays.push_back(value(arrow::json::ArrayFromJSONString(column.type, column.values)));
  }
  return arrow::Table::Make(arrow::schema(fields), arrays);
}

void write_parquet(const std::string& path, const arrow::Table& table, std::int64_t row_group_rows,
                   bool dictionary) {
  parquet::WriterProperties::Builder properties;
  if (!dictionary) properties.disable_dictionary();
  const auto arrow_properties = parquet::ArrowWriterProperties::Builder().store_schema()->build();
  const auto sink = value(arrow::io::FileOutputStream::Open(path));
  check(parquet::arrow::WriteTable(table, arrow::default_memory_pool(), sink, row_group_rows,
                                   properties.build(), arrow_properties));
  check(sink->Close());
}

void write_arrow(const std::string& path, const arrow::Table& table, std::int64_t batch_rows) {
  const auto sink = value(arrow::io::FileOutputStream::Open(path));
  const auto writer = value(arrow::ipc::MakeFileWriter(sink, table.schema()));
  check(writer->WriteTable(table, batch_rows));
  check(writer->Close());
  check(sink->Close());
}

void write_text(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string read_text(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

void write_numbered(const std::string& path, std::int64_t rows, std::int64_t row_group_rows,
                    std::int64_t first) {
  const auto at = [first](std::int64_t row) { return first + row; };
  const auto table = arrow::Table::Make(
      arrow::schema({arrow::field("label", arrow::int8()), arrow::field("time", arrow::int32()),
                     arrow::field("d_row", arrow::float32()), arrow::field("c_row", arrow::int64()),
                     arrow::field("c_list", arrow::list(arrow::int64()))}),
      {build<arrow::Int8Builder>(rows, [&](std::int64_t row) { return at(row) % 2; }),
       build<arrow::Int32Builder>(rows, at), build<arrow::FloatBuilder>(rows, at),
       build<arrow::Int64Builder>(rows, at), build_lists(rows, first)});
  write_parquet(path, *table, row_group_rows);
}

ReaderOptions numbered_options(std::vector<std::string> files) {
  ReaderOptions options;
  options.files = std::move(files);
  options.schema = {"label", {"d_row"}, {"c_row", "c_list"}, "time"};
  options.batch_size = 1000;
  return options;
}

Batch read_all(const ReaderOptions& options) {
  ReaderOptions all = options;
  all.batch_size = 1 << 30;
  BatchReader reader(all);
  Batch batch;
  reader.next(batch);
  return batch;
}

std::vector<Batch> read_batches(const ReaderOptions& options) {
  BatchReader reader(options);
  std::vector<Batch> batches;
  for (Batch batch; reader.next(batch);) batches.push_back(batch);
  return batches;
}

std::vector<std::vector<std::uint64_t>> bags(const Batch& batch, std::size_t column) {
  const IdColumn& ids = batch.categorical[column];
  std::vector<std::vector<std::uint64_t>> result;
  for (std::int64_t row = 0; row < batch.size; ++row) {
    result.emplace_back(ids.ids.begin() + ids.offsets[row], ids.ids.begin() + ids.offsets[row + 1]);
  }
  return result;
}

}  // namespace taut::data::testing
