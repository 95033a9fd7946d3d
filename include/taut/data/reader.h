#pragma once
// Streams Parquet, CSV and Criteo TSV files into batches, in bounded memory.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "taut/core/spelling.h"
#include "taut/data/batch.h"

namespace taut::data {

/// Which columns are what. No column may be in a list twice, and the label may not be an input.
/// Types (Parquet): label bool or number; dense bool or number; categorical bool, integer, string
/// or a list of them (multi-valued), dictionary-encoded or not; time integer, date or timestamp (as
/// stored, in the column's own unit).
struct Schema {
  /// "" for none (data to predict): batches then have no labels. "rating >= 4": 1 where the number
  /// in column rating is 4 or more, else 0.
  std::string label = {};
  std::vector<std::string> dense = {};
  std::vector<std::string> categorical = {};
  std::string time = {};  ///< "" for none
};

/// The column of a Schema::label, and from which number on it means 1 where the label says so.
struct LabelRule {
  std::string column;
  std::optional<double> threshold;
};
[[nodiscard]] LabelRule label_rule(const std::string& label);

/// All columns of Criteo's TSV: label, dense I1 .. I13, categorical C1 .. C26.
[[nodiscard]] Schema criteo_schema();

/// How dense columns are scaled; learnt on the training part.
enum class ScalingKind { kNone, kStandard, kLog };
constexpr auto spellings(std::type_identity<ScalingKind>) {
  return std::to_array<Spelling<ScalingKind>>({{"none", ScalingKind::kNone},
                                               {"standard", ScalingKind::kStandard},
                                               {"log", ScalingKind::kLog}});
}

/// One dense column's scaling: x -> (f(x) - mean) / deviation, f = log1p(max(x, 0)) for kLog.
/// A missing value becomes the mean, that is 0. kNone: x as it is, missing becomes 0.
struct DenseScaling {
  ScalingKind kind = ScalingKind::kStandard;
  double mean = 0;
  double deviation = 1;
};

/// What to do with a row that cannot be an example: label missing or neither 0 nor 1; time missing;
/// NaN or infinity in a dense column; in text files also the wrong number of fields, or a cell that
/// is not the number it should be. A missing dense or categorical value is fine.
enum class OnBadRow { kFail, kSkip };
constexpr auto spellings(std::type_identity<OnBadRow>) {
  return std::to_array<Spelling<OnBadRow>>({{"fail", OnBadRow::kFail}, {"skip", OnBadRow::kSkip}});
}

/// What to read and how.
struct ReaderOptions {
  /// Files or globs ("part-*.parquet"); a glob's matches are taken in name order. Format by ending:
  /// .parquet, .csv, .tsv (with a header), or by name: format = "parquet", "csv", "tsv" or "criteo"
  /// (no header, no quotes: label, I1..I13, C1..C26). In CSV and TSV a field may be quoted; lines
  /// may end in \r\n; blank lines are no rows. Parquet and text files do not mix in one reader.
  /// An entry may end in a part of its rows: "all.csv[0%:80%]" are those whose hash of their number
  /// is in the first 80 % (parts with other bounds do not overlap), "all.csv[ts=1700:1800]" those
  /// with 1700 <= ts < 1800 in the whole-number (time) column ts; either bound may be left out.
  std::vector<std::string> files;
  std::string format = "auto";
  Schema schema;
  std::vector<DenseScaling> scaling;  ///< one per dense column, or empty (none)
  std::int64_t batch_size = 2048;     ///< rows; >= 1
  /// Rows of the shuffle buffer; 0: file order. Each row goes out from a random place of a buffer
  /// of that many rows, and files (Parquet: row groups) are taken in random order; a buffer at
  /// least as large as the data gives a full shuffle. The order depends on (seed, epoch) and the
  /// data alone.
  std::int64_t shuffle_rows = 0;
  std::uint64_t seed = 1;
  std::int64_t epoch = 0;
  OnBadRow on_bad_row = OnBadRow::kFail;
  /// With on_bad_row = skip: bad rows keep their place and are marked in Batch::bad instead of
  /// being left out, and every row says where it stands (Batch::origin), as a pass that answers for
  /// each row of the input needs it. In file order only.
  bool keep_bad_rows = false;
  /// Reads and decodes ahead in threads of its own; false: all work is done inside next().
  bool prefetch = true;
  /// Threads that decode columns side by side; 0: one per processor, at most 8. No effect on what
  /// comes out.
  int threads = 0;
  /// In text files a categorical cell is cut at this character into several ids ("a|b"), empty
  /// parts left out (so "|" is an empty bag, while an empty cell is a missing value); 0: never.
  char list_separator = '|';
};

/// Rows that were left out with on_bad_row = skip: how many, and the first ten met, as messages
/// that name reason, file, row and column.
struct BadRows {
  std::int64_t count = 0;
  std::vector<std::string> first;
};

/// Says in warnings how many bad rows (or whatever `what` calls them) were left out, and names the
/// first; nothing when there are none.
void warn_of_bad_rows(const BadRows& bad, std::string_view what = "rows");

/// A stream of batches over all files. Memory: the shuffle buffer, a few decoded blocks of 32768
/// rows and a few batches, whatever the size of the files.
/// Errors (from the constructor: files and columns; from next(): rows): kNotFound (file, glob,
/// column), kFormat (not of the format, cut short, damaged), kData (bad row, wrong column type, no
/// rows at all), kConfig (options), kIo, naming file, row (from 1, the header not counted) and
/// column. An error ends the stream: next() throws it again.
/// Threads: one caller at a time.
class BatchReader {
 public:
  explicit BatchReader(const ReaderOptions& options);
  ~BatchReader();
  BatchReader(const BatchReader&) = delete;
  BatchReader& operator=(const BatchReader&) = delete;

  /// Fills the batch; false at the end. The last batch may be smaller.
  bool next(Batch& batch);
  /// Leaves out the next n batches, as if they had been read (at the speed of reading).
  void skip(std::int64_t batches);
  /// Rows in all files where that is known at once (Parquet), else 0.
  [[nodiscard]] std::int64_t known_rows() const noexcept;
  /// Bad rows met on the way to the batches returned so far; of all files after the end.
  [[nodiscard]] BadRows bad_rows() const;
  /// A row for messages: "test.csv, row 17". origin: of a batch of this reader.
  [[nodiscard]] std::string row_name(std::uint64_t origin) const;

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
  std::vector<DenseScaling> scaling;  ///< over the values that are present
  BadRows bad_rows;
};

/// One pass over the files in file order (shuffle, scaling and batch size are ignored).
/// kind: what scaling to learn for all dense columns. Errors as BatchReader.
[[nodiscard]] DataProfile learn_profile(const ReaderOptions& options, ScalingKind kind);

}  // namespace taut::data
