#include "parquet_file.h"

#include <arrow/io/file.h>
#include <parquet/file_reader.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "arrow_types.h"
#include "file_kind.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "text_cells.h"
#include "text_encoding.h"

namespace taut::data {
namespace {

constexpr std::int64_t kStreamBufferBytes = 1 << 18;            // of each column chunk being read
constexpr std::int64_t kMostGroupRows = std::int64_t{1} << 40;  // so that sums stay far below 2^63
constexpr std::int64_t kSmallDictionaryBytes = 1 << 16;         // compressed

// Says what a file is that is known not to be read.
void check_kind(const std::string& path) {
  const std::optional<FileKind> kind = kind_of_file(path);
  if (!kind || kind->what == kParquetKind) return;
  const bool encrypted = kind->what.find("encrypted") != std::string_view::npos;
  throw Error(encrypted ? ErrorKind::kUnsupported : ErrorKind::kFormat,
              encrypted ? concat("encrypted Parquet is not read: ", kind->what)
                        : concat("not a Parquet file but ", kind->what),
              path, kind->mend);
}

parquet::ReaderProperties reader_properties() {
  parquet::ReaderProperties properties(arrow::default_memory_pool());
  properties.enable_buffered_stream();
  properties.set_buffer_size(kStreamBufferBytes);
  properties.set_page_checksum_verification(true);
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

void check_column_names(const std::vector<std::string>& names, const std::string& path) {
  for (std::size_t c = 0; c < names.size(); ++c) {
    if (first_not_utf8(names[c]) == std::string::npos) continue;
    throw Error(ErrorKind::kFormat,
                concat("the name of column ", c + 1, " is not UTF-8: ", shown(names[c])), path,
                "rename the column");
  }
}

void collect_leaves(const parquet::arrow::SchemaField& field, std::vector<int>& leaves) {
  if (field.is_leaf()) leaves.push_back(field.column_index);
  for (const auto& child : field.children) collect_leaves(child, leaves);
}

std::vector<std::int64_t> group_rows(const ParquetFile& file) {
  return guarded(file.path, [&] {
    std::vector<std::int64_t> rows;
    for (int group = 0; group < file.metadata->num_row_groups(); ++group) {
      rows.push_back(file.metadata->RowGroup(group)->num_rows());
      if (rows.back() >= 0 && rows.back() <= kMostGroupRows) continue;
      throw_broken_parquet(concat("row group ", group, " has ", rows.back(), " rows"), file.path);
    }
    return rows;
  });
}

std::int64_t count_rows(const ParquetFile& file) {
  const std::vector<std::int64_t> rows = group_rows(file);
  return std::accumulate(rows.begin(), rows.end(), std::int64_t{0});
}

std::unique_ptr<parquet::arrow::FileReader> open_reader(const ParquetFile& file) {
  refuse_stream(file.path);
  if (file.metadata == nullptr) check_kind(file.path);
  return guarded(file.path, [&] {
    auto input = arrow::io::ReadableFile::Open(file.path);
    if (!input.ok()) throw Error(ErrorKind::kIo, input.status().message(), file.path);
    parquet::arrow::FileReaderBuilder builder;
    check_status(builder.Open(*input, reader_properties(), file.metadata));
    parquet::ArrowReaderProperties properties(/*use_threads=*/false);
    properties.set_batch_size(kBlockRows);
    properties.set_pre_buffer(false);
    properties.set_arrow_extensions_enabled(true);  // UUIDs say that they are
    for (const int leaf : file.dictionary_leaves) properties.set_read_dictionary(leaf, true);
    builder.properties(properties);
    return builder.Build();
  });
}

std::vector<std::string> field_names(const parquet::arrow::FileReader& reader,
                                     const std::string& path) {
  std::vector<std::string> names;
  for (const auto& field : reader.manifest().schema_fields) names.push_back(field.field->name());
  check_column_names(names, path);
  return names;
}

ParquetFile inspect_parquet(const std::string& path, const std::vector<ColumnRole>& roles) {
  ParquetFile file;
  file.path = path;
  const std::unique_ptr<parquet::arrow::FileReader> reader = open_reader(file);
  guarded(path, [&] {
    file.metadata = reader->parquet_reader()->metadata();
    const std::vector<parquet::arrow::SchemaField>& fields = reader->manifest().schema_fields;
    const std::vector<std::string> names = field_names(*reader, path);
    for (const ColumnRole& role : roles) {
      const auto& field = fields[find_column(role.name, names, path)];
      check_type(*field.field->type(), role, path);
      ParquetColumn column{role, {}};
      collect_leaves(field, column.leaves);
      file.columns.push_back(std::move(column));
    }
  });
  if (file.metadata->num_row_groups() == 0) return file;
  for (const ParquetColumn& column : file.columns) {
    if (column.role.role != Role::kCategorical) continue;
    guarded(concat(path, ", column ", column.role.name), [&] {
      const std::unique_ptr<parquet::RowGroupMetaData> group = file.metadata->RowGroup(0);
      for (const int leaf : column.leaves) {
        if (has_small_dictionary(*group->ColumnChunk(leaf))) file.dictionary_leaves.push_back(leaf);
      }
    });
  }
  return file;
}

}  // namespace taut::data
