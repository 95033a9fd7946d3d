#pragma once
// Writes predictions.

#include <memory>
#include <span>
#include <string>

namespace taut::data {

/// Scores of rows in file order: columns row (from 0) and score.
class ScoreWriter {
 public:
  virtual ~ScoreWriter() = default;
  virtual void write(std::span<const float> scores) = 0;
  /// Puts the file in place; without it nothing is left behind. Errors: kIo.
  virtual void commit() = 0;
};

/// path: "" for CSV on stdout; *.csv; *.parquet. Errors: kUnsupported for another ending, kIo.
[[nodiscard]] std::unique_ptr<ScoreWriter> open_scores(const std::string& path);

}  // namespace taut::data
