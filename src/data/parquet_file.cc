#include "parquet_file.h"

#include <arrow/io/file.h>
#include <parquet/file_reader.h>

#include <algorithm>

#include "arrow_columns.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

constexpr std::int64_t kStreamBufferBytes = 1 << 18;     // of each column chunk being read
constexpr std::int64_t kSmallDictionaryBytes = 1 << 16;  // compressed

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

parquet::ReaderProperties reader_properties() {
  parquet::ReaderProperties properties(arrow::default_memory_pool());
  properties.enable_buffered_stream();
  properties.set_buffer_size(kStreamBufferBytes);
  return properties;
}

// True if all data pages of a chunk point into a small dictionary: then its few strings are hashed
// once a block instead of one for each row.
bool has_small_dictionary(const parquet::ColumnChunkMetaData& chunk) {
  if (chunk.type() != parquet::Type::BYTE_ARRAY || !chunk.has_dictionary_page()) return false;
  const std::int64_t dictionary_bytes = chunk.data_page_offset() - chunk.dictionary_page_offset();
  if (dictionary_bytes > kSmallDictionaryBytes || chunk.encoding_stats().empty()) return false;
  return std::all_of(chunk.encoding_stats().begin(), chunk.encoding_stats().end(),
                     [](const parquet::PageEncodingStats& page) {
                       return page.page_type == parquet::PageType::DICTIONARY_PAGE ||
                              page.encoding == parquet::Encoding::RLE_DICTIONARY ||
                              page.encoding == parquet::Encoding::PLAIN_DICTIONARY;
                     });
}

}  // namespace

void collect_leaves(const parquet::arrow::SchemaField& field, std::vector<int>& leaves) {
  if (field.is_leaf()) leaves.push_back(field.column_index);
  for (const auto& child : field.children) collect_leaves(child, leaves);
}

void throw_broken_parquet(const std::string& reason, const std::string& where) {
  throw Error(ErrorKind::kFormat, concat("not a whole Parquet file (", first_line(reason), ")"),
              where, "write or copy it again");
}

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

ParquetFile inspect_parquet(const std::string& path, const std::vector<ColumnRole>& roles) {
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
    ParquetColumn column{role, {}};
    collect_leaves(field, column.leaves);
    file.columns.push_back(std::move(column));
  }
  if (file.metadata->num_row_groups() == 0) return file;
  const std::unique_ptr<parquet::RowGroupMetaData> group = file.metadata->RowGroup(0);
  for (const ParquetColumn& column : file.columns) {
    if (column.role.role != Role::kCategorical) continue;
    for (const int leaf : column.leaves) {
      if (has_small_dictionary(*group->ColumnChunk(leaf))) file.dictionary_leaves.push_back(leaf);
    }
  }
  return file;
}

}  // namespace taut::data
