// Arrow files, record batch by record batch; the columns of a block are decoded side by side.

#include <algorithm>
#include <memory>
#include <utility>

#include "arrow_columns.h"
#include "arrow_file.h"
#include "source.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

class ArrowSource : public RowSource {
 public:
  explicit ArrowSource(const SourceOptions& options)
      : options_(options),
        roles_(column_roles(options.reader.schema)),
        names_(column_names(roles_)),
        bad_(roles_.size()),
        decoder_(options),
        policy_(options),
        pool_(decode_pool(options.reader)) {
    for (const InputFile& input : options.files) {
      const ArrowFile file(input.path);
      (void)file.find(roles_);
      known_rows_ += file.count_rows();
    }
    order_ = unit_order(options.reader, options.files.size());
  }

  bool read(Rows& rows) override {
    while (!read_block(rows)) {
      if (!next_batch()) return false;
    }
    return true;
  }

  [[nodiscard]] std::int64_t known_rows() const noexcept override { return known_rows_; }

 private:
  // Reads the next record batch, of the next file where the open one has no more.
  bool next_batch() {
    while (file_ == nullptr || batch_number_ == file_->batches()) {
      if (next_file_ == order_.size()) return false;
      file_ = std::make_unique<ArrowFile>(options_.files[order_[next_file_++]].path);
      columns_ = file_->find(roles_);
      batch_number_ = 0;
      row_ = 1;
    }
    const std::shared_ptr<arrow::RecordBatch> batch = file_->read(batch_number_++);
    arrays_.clear();
    for (const int column : columns_) arrays_.push_back(file_->column(*batch, column));
    at_ = 0;
    batch_rows_ = batch->num_rows();
    return true;
  }

  // The next rows of the record batch; false when there are none.
  bool read_block(Rows& rows) {
    if (at_ == batch_rows_) return false;
    rows.reuse(options_.reader.schema);
    rows.size = std::min(batch_rows_ - at_, kBlockRows);
    pool_->run(static_cast<std::int64_t>(roles_.size()), [&](std::int64_t c) {
      const auto column = static_cast<std::size_t>(c);
      bad_[column].clear();
      guarded(arrow_place(file_->path(), names_[column]), [&] {
        decoder_.decode(arrays_[column]->Slice(at_, rows.size), roles_[column], rows, bad_[column]);
      });
    });
    at_ += rows.size;
    const std::int64_t first = std::exchange(row_, row_ + rows.size);
    policy_.apply(file_->path(), first, bad_, names_, rows);
    return true;
  }

  SourceOptions options_;
  std::vector<ColumnRole> roles_;
  std::vector<std::string> names_;
  std::vector<std::size_t> order_;
  std::int64_t known_rows_ = 0;

  std::size_t next_file_ = 0;
  std::unique_ptr<ArrowFile> file_;
  std::vector<int> columns_;
  int batch_number_ = 0;  // of the next
  std::vector<std::shared_ptr<arrow::Array>> arrays_;
  std::int64_t at_ = 0;  // next row of the batch
  std::int64_t batch_rows_ = 0;
  std::int64_t row_ = 1;  // number of the next row in the file
  std::vector<BadCells> bad_;
  ColumnDecoder decoder_;
  BadRowPolicy policy_;
  std::shared_ptr<ThreadPool> pool_;
};

}  // namespace

std::unique_ptr<RowSource> open_arrow(const SourceOptions& options) {
  return std::make_unique<ArrowSource>(options);
}

}  // namespace taut::data
