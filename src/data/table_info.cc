#include "taut/data/table_info.h"

#include "arrow_file.h"
#include "file_kind.h"
#include "files.h"
#include "parquet_file.h"
#include "sample.h"
#include "taut/core/error.h"
#include "text_cells.h"
#include "text_file.h"

namespace taut::data {
namespace {

constexpr std::int64_t kCountedBytes = std::int64_t{1}
                                       << 30;  // of text; beyond, rows are estimated

void count_text_rows(const InputFile& input, TableInfo& info) {
  TextFile file(input);
  info.separator = shown({&file.dialect().delimiter, 1});
  TextIndex index;
  std::int64_t bytes = 0;
  while (bytes < kCountedBytes) {
    const std::vector<std::string_view> pieces = file.next_pieces();
    if (pieces.empty()) return;
    for (const std::string_view piece : pieces) {
      file.index(piece, index);
      info.rows += index.rows();
      bytes += static_cast<std::int64_t>(piece.size());
    }
  }
  info.rows_exact = false;
  info.rows =
      static_cast<std::int64_t>(static_cast<double>(info.rows) * static_cast<double>(file.bytes()) /
                                static_cast<double>(bytes));
}

}  // namespace

bool is_table(const std::string& path) {
  if (ends_like_table(path)) return true;
  return kind_of_file(path).has_value();
}

TableInfo describe_table(const std::string& path) {
  const std::optional<FileKind> kind = kind_of_file(path);
  const bool arrow = kind && kind->what == kArrowKind;
  const std::string format = ends_like_table(path) ? "auto" : arrow ? "arrow" : "parquet";
  const InputFile file = resolve_files({&path, 1}, format).front();
  TableInfo info{.path = path, .format = std::string(to_string(file.format))};
  if (file.format == Format::kParquet) {
    info.rows = count_rows(inspect_parquet(path, {}));
  } else if (file.format == Format::kArrow) {
    info.rows = ArrowFile(path).count_rows();
  } else {
    count_text_rows(file, info);
  }
  try {
    info.columns = guess_schema(path, {.format = format}).columns;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kData) throw;
    info.problem = error.what();
    if (info.rows == 0) return info;
    for (const ColumnSample& column : sample_file(file).columns) {
      info.columns.push_back({.name = column.name, .type = column.type, .reason = column.problem});
    }
  }
  return info;
}

}  // namespace taut::data
