// Parquet files, row group by row group; the columns of a block are decoded side by side.

#include <arrow/io/file.h>
#include <arrow/record_batch.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/schema.h>
#include <parquet/exception.h>
#include <parquet/file_reader.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "arrow_columns.h"
#include "source.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

constexpr std::int64_t kStreamBufferBytes = 1 << 18;  // of each column chunk being read

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

[[noreturn]] void throw_format(const std::string& reason, const std::string& where) {
  throw Error(ErrorKind::kFormat, concat("not a whole Parquet file (", first_line(reason), ")"),
              where, "write or copy it again");
}

// Parquet reports by exceptions and by status; both become ours.
template <typename Fn>
auto guarded(const std::string& where, Fn&& fn) {
  try {
    auto result = fn();
    if (!result.ok()) throw_format(result.status().message(), where);
    return std::move(result).ValueUnsafe();
  } catch (const parquet::ParquetException& error) {
    throw_format(error.what(), where);
  }
}

parquet::ReaderProperties reader_properties() {
  parquet::ReaderProperties properties(arrow::default_memory_pool());
  properties.enable_buffered_stream();
  properties.set_buffer_size(kStreamBufferBytes);
  return properties;
}

void collect_leaves(const parquet::arrow::SchemaField& field, std::vector<int>& leaves) {
  if (field.is_leaf()) leaves.push_back(field.column_index);
  for (const auto& child : field.children) collect_leaves(child, leaves);
}

// True if all data pages of a chunk are dictionary-encoded, so that its strings need not be made.
bool is_dictionary_encoded(const parquet::ColumnChunkMetaData& chunk) {
  if (chunk.type() != parquet::Type::BYTE_ARRAY || chunk.encoding_stats().empty()) return false;
  return std::all_of(chunk.encoding_stats().begin(), chunk.encoding_stats().end(),
                     [](const parquet::PageEncodingStats& page) {
                       return page.page_type == parquet::PageType::DICTIONARY_PAGE ||
                              page.encoding == parquet::Encoding::RLE_DICTIONARY ||
                              page.encoding == parquet::Encoding::PLAIN_DICTIONARY;
                     });
}

struct Column {
  ColumnRole role;
  std::vector<int> leaves;
};

// A file's footer, checked against the schema; the file itself is opened when its turn comes.
struct ParquetFile {
  std::string path;
  std::shared_ptr<parquet::FileMetaData> metadata;
  std::vector<Column> columns;
  std::vector<int> dictionary_leaves;
};

std::unique_ptr<parquet::arrow::FileReader> open_reader(const ParquetFile& file) {
  auto input = arrow::io::ReadableFile::Open(file.path);
  if (!input.ok()) throw Error(ErrorKind::kIo, first_line(input.status().message()), file.path);
  return guarded(file.path, [&] {
    parquet::arrow::FileReaderBuilder builder;
    const arrow::Status status = builder.Open(*input, reader_properties(), file.metadata);
    using Result = arrow::Result<std::unique_ptr<parquet::arrow::FileReader>>;
    if (!status.ok()) return Result(status);
    parquet::ArrowReaderProperties properties(/*use_threads=*/false);
    properties.set_batch_size(kBlockRows);
    properties.set_pre_buffer(false);
    for (const int leaf : file.dictionary_leaves) properties.set_read_dictionary(leaf, true);
    builder.properties(properties);
    return builder.Build();
  });
}

ParquetFile inspect(const std::string& path, const std::vector<ColumnRole>& roles) {
  ParquetFile file;
  file.path = path;
  const std::unique_ptr<parquet::arrow::FileReader> reader = open_reader(file);
  file.metadata = reader->parquet_reader()->metadata();
  const std::vector<parquet::arrow::SchemaField>& fields = reader->manifest().schema_fields;
  std::vector<std::string> names;
  for (const auto& field : fields) names.push_back(field.field->name());
  for (const ColumnRole& role : roles) {
    const auto& field = fields[find_column(role.name, names, path)];
    check_type(*field.field->type(), role, path);
    Column column{role, {}};
    collect_leaves(field, column.leaves);
    file.columns.push_back(std::move(column));
  }
  if (file.metadata->num_row_groups() == 0) return file;
  const std::unique_ptr<parquet::RowGroupMetaData> group = file.metadata->RowGroup(0);
  for (const Column& column : file.columns) {
    if (column.role.role != Role::kCategorical) continue;
    for (const int leaf : column.leaves) {
      if (is_dictionary_encoded(*group->ColumnChunk(leaf))) file.dictionary_leaves.push_back(leaf);
    }
  }
  return file;
}

class ParquetSource : public RowSource {
 public:
  explicit ParquetSource(const SourceOptions& options)
      : options_(options),
        roles_(column_roles(options.reader.schema)),
        names_(column_names(roles_)),
        bad_(roles_.size()),
        policy_(options.reader.on_bad_row),
        pool_(decode_threads(options.reader)) {
    for (const InputFile& input : options.files) {
      files_.push_back(inspect(input.path, roles_));
      std::int64_t first_row = 1;
      const parquet::FileMetaData& metadata = *files_.back().metadata;
      for (int group = 0; group < metadata.num_row_groups(); ++group) {
        units_.push_back({files_.size() - 1, group, first_row});
        first_row += metadata.RowGroup(group)->num_rows();
      }
      known_rows_ += metadata.num_rows();
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
  };

  void open_unit(const Unit& unit) {
    const ParquetFile& file = files_[unit.file];
    if (open_file_ != unit.file || reader_ == nullptr) {
      streams_.clear();
      reader_ = open_reader(file);
      open_file_ = unit.file;
    }
    streams_.clear();
    for (const Column& column : file.columns) {
      streams_.push_back(guarded(where(column.role.name), [&] {
        return reader_->GetRecordBatchReader({unit.group}, column.leaves);
      }));
    }
    row_ = unit.first_row;
    rows_left_ = file.metadata->RowGroup(unit.group)->num_rows();
  }

  // The next rows of the open row group; false when there are none.
  bool read_block(Rows& rows) {
    if (rows_left_ == 0) return false;
    rows.reset(options_.reader.schema);
    const std::int64_t wanted = std::min(rows_left_, kBlockRows);
    pool_.run(static_cast<std::int64_t>(roles_.size()), [&](std::int64_t c) {
      const std::int64_t got = decode(static_cast<std::size_t>(c), rows);
      if (got != wanted) {
        throw_format(concat("column ends after ", got, " of ", wanted, " rows"), where(names_[c]));
      }
    });
    rows.size = wanted;
    policy_.apply(files_[open_file_].path, row_, bad_, names_, rows);
    row_ += wanted;
    rows_left_ -= wanted;
    return true;
  }

  // Appends one batch of column c; its rows.
  std::int64_t decode(std::size_t c, Rows& rows) {
    const ColumnRole& role = roles_[c];
    BadCells& bad = bad_[c];
    bad.clear();
    const std::shared_ptr<arrow::RecordBatch> batch =
        guarded(where(role.name), [&] { return streams_[c]->Next(); });
    if (batch == nullptr) return 0;
    const arrow::Array& array = *batch->column(0);
    switch (role.role) {
      case Role::kLabel:
        append_labels(array, rows.labels, bad);
        break;
      case Role::kTime:
        append_time(array, rows.time, bad);
        break;
      case Role::kDense:
        append_dense(array, rows.dense[role.index], bad);
        finish_dense(options_, role.index, rows.dense[role.index]);
        break;
      case Role::kCategorical:
        append_ids(array, 0, rows.categorical[role.index]);
        break;
    }
    return array.length();
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
  BadRowPolicy policy_;
  ThreadPool pool_;
};

}  // namespace

std::unique_ptr<RowSource> open_parquet(const SourceOptions& options) {
  return std::make_unique<ParquetSource>(options);
}

}  // namespace taut::data
