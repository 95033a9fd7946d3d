#pragma once
// Streams Parquet, CSV and Criteo TSV files into batches, in bounded memory.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "taut/data/batch.h"

namespace taut::data {

/// Which columns are what.
struct Schema {
  std::string label;
  std::vector<std::string> dense;
  std::vector<std::string> categorical;
  std::string time;  ///< "" for none
};

/// How dense columns are scaled; learnt on the training part.
enum class ScalingKind { kNone, kStandard, kLog };

/// One dense column's scaling: x -> (f(x) - mean) / deviation, f = log1p(max(x, 0)) for kLog.
/// A missing value becomes the mean, that is 0.
struct DenseScaling {
  ScalingKind kind = ScalingKind::kStandard;
  double mean = 0;
  double deviation = 1;
};

enum class OnBadRow { kFail, kSkip };

/// What to read and how.
struct ReaderOptions {
  /// Files or globs ("part-*.parquet"); a glob's matches are taken in name order. Format by ending:
  /// .parquet, .csv, .tsv (with a header), or format = "criteo" (no header: label, I1..I13, C1..C26).
  std::vector<std::string> files;
  std::string format = "auto";
  Schema schema;
  std::vector<DenseScaling> scaling;  ///< one per dense column, or empty (none)
  std::int64_t batch_size = 2048;
  /// Rows of the shuffle buffer; 0: file order. The order depends on (seed, epoch) alone.
  std::int64_t shuffle_rows = 0;
  std::uint64_t seed = 1;
  std::int64_t epoch = 0;
  OnBadRow on_bad_row = OnBadRow::kFail;
  /// Rows of the first passes (learn_*) are read in the same way.
  bool prefetch = true;
};

/// Rows that were left out with on_bad_row = skip: how many, and the first ten, as messages that
/// name file, row and reason.
struct BadRows {
  std::int64_t count = 0;
  std::vector<std::string> first;
};

/// A stream of batches over all files. Reads and decodes ahead in a thread of its own.
/// Errors (from the constructor: files and columns; from next(): rows): kNotFound, kFormat, kData,
/// kIo, naming file, row (from 1, the header not counted) and column. What a broken row throws ends
/// the stream.
class BatchReader {
 public:
  explicit BatchReader(const ReaderOptions& options);
  ~BatchReader();
  BatchReader(const BatchReader&) = delete;
  BatchReader& operator=(const BatchReader&) = delete;

  /// Fills the batch; false at the end. The last batch may be smaller.
  bool next(Batch& batch);
  /// Leaves out the next n batches, as if they had been read.
  void skip(std::int64_t batches);
  /// Rows in all files where that is known at once (Parquet), else 0.
  [[nodiscard]] std::int64_t known_rows() const noexcept;
  [[nodiscard]] BadRows bad_rows() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// What one pass over the training files learns.
struct DataProfile {
  std::int64_t rows = 0;
  std::int64_t positive_rows = 0;
  /// Distinct ids of each categorical column: exact up to 2^22 per column, then an estimate within
  /// 1 % (HyperLogLog).
  std::vector<std::int64_t> distinct_ids;
  std::vector<DenseScaling> scaling;
};

/// kind: what scaling to learn for all dense columns.
[[nodiscard]] DataProfile learn_profile(const ReaderOptions& options, ScalingKind kind);

}  // namespace taut::data
