#pragma once
// Rows of embedding tables as files: what taut dump writes and embedding.initial reads.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace taut::data {

/// Rows of embedding tables, one entry each in all arrays (vectors: dim).
struct RowTable {
  std::vector<std::string> tables;  ///< name of the table; empty: the file names none
  std::vector<std::uint64_t> ids;
  std::vector<std::int64_t> widths;  ///< chunks held; not read back
  std::vector<std::int64_t> masks;   ///< bit k: chunk k is held; not read back
  std::vector<float> importances;    ///< NaN: not known; empty: the file has none
  std::vector<float> vectors;        ///< [rows, dim]
};

/// Writes rows: columns table (string), id (uint64), width, mask (int64), importance (float),
/// vector (list of float). Nothing is left behind without commit().
class RowTableWriter {
 public:
  virtual ~RowTableWriter() = default;
  virtual void write(RowTable rows) = 0;
  /// Puts the file in place; its bytes.
  virtual std::int64_t commit() = 0;
};

/// path: *.parquet or *.csv. Errors: kUnsupported (another ending), kIo.
[[nodiscard]] std::unique_ptr<RowTableWriter> open_row_table(const std::string& path, int dim);

/// Reads a Parquet file with columns id (integers) and vector (lists of `dim` float or double),
/// and, where they are there, table (string) and importance (float or double, null: not known).
/// Other columns are not looked at. The whole file is held. Errors: kNotFound (file, column),
/// kFormat (not Parquet), kData (column type, a null, a vector of another length), naming file,
/// column, row and both values.
[[nodiscard]] RowTable read_row_table(const std::string& path, int dim);

}  // namespace taut::data
