#pragma once
// Writes tables of a few simple column types as Parquet or CSV, whole or not at all.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "rows.h"

namespace taut::data {

/// Vectors of one length, side by side.
struct FloatRows {
  int width = 0;
  std::vector<float> values;
};

/// The values of one column of a block: numbers, texts, bags of ids (as signed integers) or vectors
/// (both are a list column in Parquet, "a|b" in CSV).
using OutputValues =
    std::variant<std::vector<std::int8_t>, std::vector<std::int64_t>, std::vector<float>, IdRows,
                 std::vector<std::uint64_t>, std::vector<std::string>, FloatRows>;

enum class OutputType { kInt8, kInt64, kFloat, kList, kUInt64, kText, kFloatList };

struct OutputColumn {
  std::string name;
  OutputType type;
  bool nullable = false;  ///< of kFloat and kText: NaN and "" are null, in CSV an empty cell
};

class TableWriter {
 public:
  TableWriter() = default;
  virtual ~TableWriter() = default;
  TableWriter(const TableWriter&) = delete;
  TableWriter& operator=(const TableWriter&) = delete;

  /// Appends rows: one entry per column, of the column's type, all of the same length.
  virtual void write(std::span<const OutputValues> columns, std::int64_t rows) = 0;
  /// Puts the file in place; its bytes. Without it nothing is left behind.
  virtual std::int64_t commit() = 0;
};

/// path: *.parquet, *.csv, or "" for CSV on stdout. Errors: kUnsupported (another ending), kIo.
[[nodiscard]] std::unique_ptr<TableWriter> open_table(const std::string& path,
                                                      std::vector<OutputColumn> columns);

}  // namespace taut::data
