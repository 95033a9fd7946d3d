#include "arrow_file.h"

#include <arrow/io/file.h>

#include "arrow_types.h"
#include "file_kind.h"
#include "parquet_file.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {

ArrowPlace arrow_place(const std::string& path, const std::string& column) {
  return {column.empty() ? path : concat(path, ", column ", column), "Arrow"};
}

ArrowFile::ArrowFile(const std::string& path) : path_(path) {
  const std::optional<FileKind> kind = kind_of_file(path);
  if (kind && kind->what != kArrowKind) {
    throw Error(ErrorKind::kFormat, concat("not an Arrow file but ", kind->what), path, kind->mend);
  }
  guarded(arrow_place(path_), [&] {
    auto input = arrow::io::ReadableFile::Open(path_);
    if (!input.ok()) throw Error(ErrorKind::kIo, input.status().message(), path_);
    arrow::ipc::IpcReadOptions options = arrow::ipc::IpcReadOptions::Defaults();
    options.use_threads = false;
    options.ensure_alignment = arrow::ipc::Alignment::kDataTypeSpecificAlignment;
    reader_ = value_of(arrow::ipc::RecordBatchFileReader::Open(*input, options));
    schema_ = reader_->schema();
    batches_ = reader_->num_record_batches();
  });
  names_ = schema_->field_names();
  check_column_names(names_, path_);
}

std::int64_t ArrowFile::count_rows() const {
  const std::int64_t rows = guarded(arrow_place(path_), [&] { return reader_->CountRows(); });
  if (rows >= 0) return rows;
  throw Error(ErrorKind::kFormat, concat("not a whole Arrow file (", rows, " rows)"), path_,
              "write or copy it again");
}

std::vector<int> ArrowFile::find(const std::vector<ColumnRole>& roles) const {
  std::vector<int> columns;
  for (const ColumnRole& role : roles) {
    columns.push_back(static_cast<int>(find_column(role.name, names_, path_)));
    check_type(*schema_->field(columns.back())->type(), role, path_);
  }
  return columns;
}

std::shared_ptr<arrow::RecordBatch> ArrowFile::read(int batch) const {
  return guarded(arrow_place(path_), [&] { return reader_->ReadRecordBatch(batch); });
}

std::shared_ptr<arrow::Array> ArrowFile::column(const arrow::RecordBatch& batch, int index) const {
  return guarded(arrow_place(path_, names_[static_cast<std::size_t>(index)]), [&] {
    std::shared_ptr<arrow::Array> array = batch.column(index);
    check_status(array->ValidateFull());
    return array;
  });
}

}  // namespace taut::data
