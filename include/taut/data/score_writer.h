#pragma once
// Writes predictions.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace taut::data {

/// A column of predictions.
struct ScoreColumn {
  std::string name;
  bool is_text = false;  ///< else numbers
};

/// The values of one column for some rows; NaN and "" for a row without a score, which becomes an
/// empty cell (Parquet: null).
using ScoreValues = std::variant<std::vector<float>, std::vector<std::string>>;

/// Predictions of rows in file order, behind a column row (from 0).
class ScoreWriter {
 public:
  virtual ~ScoreWriter() = default;
  /// One entry a column, of the column's type, all with this many rows.
  virtual void write(std::span<const ScoreValues> columns, std::int64_t rows) = 0;
  /// Puts the file in place; without it nothing is left behind. Errors: kIo.
  virtual void commit() = 0;
};

/// path: "" for CSV on stdout; *.csv; *.parquet. Errors: kUnsupported for another ending, kIo.
[[nodiscard]] std::unique_ptr<ScoreWriter> open_scores(const std::string& path,
                                                       const std::vector<ScoreColumn>& columns);

}  // namespace taut::data
