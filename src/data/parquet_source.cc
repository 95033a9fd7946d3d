// Parquet files, row group by row group; the columns of a block are decoded side by side.

#include <arrow/record_batch.h>
#include <parquet/file_reader.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "arrow_columns.h"
#include "parquet_file.h"
#include "source.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

class ParquetSource : public RowSource {
 public:
  explicit ParquetSource(const SourceOptions& options)
      : options_(options),
        roles_(column_roles(options.reader.schema)),
        names_(column_names(roles_)),
        bad_(roles_.size()),
        decoder_(options),
        policy_(options),
        pool_(decode_pool(options.reader)) {
    for (const InputFile& input : options.files) {
      files_.push_back(inspect_parquet(input.path, roles_));
      std::int64_t first_row = 1;
      int group = 0;
      for (const std::int64_t rows : group_rows(files_.back())) {
        units_.push_back({files_.size() - 1, group++, first_row, rows});
        first_row += rows;
      }
      known_rows_ += first_row - 1;
    }
    order_ = unit_order(options.reader, units_.size());
  }

  bool read(Rows& rows) override {
    while (!read_block(rows)) {
      if (next_unit_ == order_.size()) return false;
      open_unit(units_[order_[next_unit_++]]);
    }
    return true;
  }

  [[nodiscard]] std::int64_t known_rows() const noexcept override { return known_rows_; }

 private:
  struct Unit {
    std::size_t file;
    int group;
    std::int64_t first_row;
    std::int64_t rows;
  };

  void open_unit(const Unit& unit) {
    const ParquetFile& file = files_[unit.file];
    if (open_file_ != unit.file || reader_ == nullptr) {
      streams_.clear();
      reader_ = open_reader(file);
      open_file_ = unit.file;
    }
    streams_.clear();
    for (const ParquetColumn& column : file.columns) {
      streams_.push_back(guarded(where(column.role.name), [&] {
        return reader_->GetRecordBatchReader({unit.group}, column.leaves);
      }));
    }
    row_ = unit.first_row;
    rows_left_ = unit.rows;
  }

  // The next rows of the open row group; false when there are none.
  bool read_block(Rows& rows) {
    if (rows_left_ == 0) return false;
    rows.reuse(options_.reader.schema);
    const std::int64_t wanted = std::min(rows_left_, kBlockRows);
    pool_->run(static_cast<std::int64_t>(roles_.size()), [&](std::int64_t c) {
      const std::int64_t got =
          guarded(where(names_[c]), [&] { return decode(static_cast<std::size_t>(c), rows); });
      if (got != wanted) {
        throw_broken_parquet(concat("column ends after ", got, " of ", wanted, " rows"),
                             where(names_[c]));
      }
    });
    rows.size = wanted;
    policy_.apply(files_[open_file_].path, row_, bad_, names_, rows);
    row_ += wanted;
    rows_left_ -= wanted;
    return true;
  }

  // Replaces column c by its next batch; its rows.
  std::int64_t decode(std::size_t c, Rows& rows) {
    const ColumnRole& role = roles_[c];
    BadCells& bad = bad_[c];
    bad.clear();
    const std::shared_ptr<arrow::RecordBatch> batch = value_of(streams_[c]->Next());
    if (batch == nullptr) return 0;
    const std::shared_ptr<arrow::Array> array = batch->column(0);
    decoder_.decode(array, role, rows, bad);
    return array->length();
  }

  [[nodiscard]] std::string where(const std::string& column) const {
    return concat(files_[open_file_].path, ", column ", column);
  }

  SourceOptions options_;
  std::vector<ColumnRole> roles_;
  std::vector<std::string> names_;
  std::vector<ParquetFile> files_;
  std::vector<Unit> units_;
  std::vector<std::size_t> order_;
  std::int64_t known_rows_ = 0;

  std::size_t next_unit_ = 0;
  std::size_t open_file_ = 0;
  std::unique_ptr<parquet::arrow::FileReader> reader_;
  std::vector<std::unique_ptr<arrow::RecordBatchReader>> streams_;  // one per column
  std::int64_t row_ = 1;                                            // number of the next row
  std::int64_t rows_left_ = 0;                                      // in the open row group
  std::vector<BadCells> bad_;                                       // one per column
  ColumnDecoder decoder_;
  BadRowPolicy policy_;
  std::shared_ptr<ThreadPool> pool_;
};

}  // namespace

std::unique_ptr<RowSource> open_parquet(const SourceOptions& options) {
  return std::make_unique<ParquetSource>(options);
}

}  // namespace taut::data
