#pragma once
// Arrow files (IPC, also called Feather of version 2): footer, columns, record batches.

#include <arrow/ipc/reader.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arrow_guard.h"
#include "source.h"

namespace taut::data {

/// Where an error of an Arrow file is, for guarded().
[[nodiscard]] ArrowPlace arrow_place(const std::string& path, const std::string& column = {});

/// An open Arrow file. Errors: kFormat (damaged, a column name that is not UTF-8, another kind of
/// file), kUnsupported, kIo.
class ArrowFile {
 public:
  explicit ArrowFile(const std::string& path);

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] const arrow::Schema& schema() const noexcept { return *schema_; }
  [[nodiscard]] const std::vector<std::string>& names() const noexcept { return names_; }
  [[nodiscard]] int batches() const noexcept { return batches_; }
  /// Rows of all batches.
  [[nodiscard]] std::int64_t count_rows() const;
  /// Where the columns of these roles are. Errors: kNotFound, kData (column type).
  [[nodiscard]] std::vector<int> find(const std::vector<ColumnRole>& roles) const;
  /// A record batch; nothing of it has been looked at.
  [[nodiscard]] std::shared_ptr<arrow::RecordBatch> read(int batch) const;
  /// A column of a record batch, checked as a whole: offsets, lengths, indices.
  [[nodiscard]] std::shared_ptr<arrow::Array> column(const arrow::RecordBatch& batch,
                                                     int index) const;

 private:
  std::string path_;
  std::shared_ptr<arrow::ipc::RecordBatchFileReader> reader_;
  std::shared_ptr<arrow::Schema> schema_;
  std::vector<std::string> names_;
  int batches_ = 0;
};

}  // namespace taut::data
