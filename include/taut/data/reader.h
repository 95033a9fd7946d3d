#pragma once
// Streams Parquet, Arrow, CSV and Criteo TSV files into batches, in bounded memory.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "taut/core/spelling.h"
#include "taut/core/thread_pool.h"
#include "taut/data/batch.h"

namespace taut::data {

/// Which columns are what. No column may be in a list twice, and the label may not be an input.
/// Types (Parquet; all of them dictionary-encoded or not, and a column may be all null):
/// label, dense: bool, integer, float (half too), decimal, or text that a text file could hold;
/// categorical: those, bytes (a UUID is its text), or a list of them other than floats;
/// time: integer, date or timestamp (as stored, in the column's own unit), or text.
/// Text: a number; time a whole number or ISO 8601 ("2017-05-06 00:00:00", with fractions and zone
/// or without: then UTC), which becomes microseconds since 1970.
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
/// NaN or infinity in a dense column; a text that is not the number it should be; a dictionary
/// index that has no value; in text files also the wrong number of fields. A missing dense or
/// categorical value is fine.
enum class OnBadRow { kFail, kSkip };
constexpr auto spellings(std::type_identity<OnBadRow>) {
  return std::to_array<Spelling<OnBadRow>>({{"fail", OnBadRow::kFail}, {"skip", OnBadRow::kSkip}});
}

/// How bytes of a text file stand for characters. kAuto: UTF-8, or UTF-16 where the file says so by
/// its byte order mark or by its zero bytes.
enum class Encoding { kAuto, kUtf8, kUtf16, kLatin1, kWindows1252 };
constexpr auto spellings(std::type_identity<Encoding>) {
  return std::to_array<Spelling<Encoding>>({{"auto", Encoding::kAuto},
                                            {"utf-8", Encoding::kUtf8},
                                            {"utf-16", Encoding::kUtf16},
                                            {"latin-1", Encoding::kLatin1},
                                            {"iso-8859-1", Encoding::kLatin1},
                                            {"windows-1252", Encoding::kWindows1252}});
}

/// How texts are read, as configs spell it: the keys data.separator, list_separator, na_values,
/// thousands and encoding. What they mean stands at the members of ReaderOptions of these names.
struct TextOptions {
  std::string separator = "auto";       ///< or one character of ASCII, "tab", "space"
  std::string list_separator = "auto";  ///< or "" (none), or as above
  std::vector<std::string> na_values = {};
  std::string thousands = {};  ///< "" (none), or a character
  Encoding encoding = Encoding::kAuto;
};

/// What to read and how.
struct ReaderOptions {
  /// Files or globs ("part-*.parquet"); a glob's matches are taken in name order. Format by ending:
  /// .parquet, .arrow, .feather, .csv, .tsv, .txt, .inter (text with a header), or by name: format
  /// = "parquet", "arrow", "csv", "tsv" or "criteo" (no header, no quotes: label, I1..I13,
  /// C1..C26). In CSV and TSV a field may be quoted; lines may end in \n, \r\n or \r; blank lines
  /// are no rows; rows may end in one empty field too much where the first does. Headers of the
  /// form name:type, as RecBole writes them (token, token_seq, float, float_seq), are read as the
  /// names; lists of such columns are cut at spaces. Parquet, Arrow and text files do not mix in
  /// one reader.
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
  /// Decodes instead of threads of the reader's own; null: these. Only for a reader whose batches
  /// are not waited for inside a loop of the pool. What reads ahead of training is the faster with
  /// threads of its own: a pool runs one loop at a time, and a step would wait for a block.
  std::shared_ptr<ThreadPool> pool = {};
  /// Between the fields of CSV and TSV; 0: told from the first rows of each file (comma, tab,
  /// semicolon, bar; in .txt and .inter also space).
  char separator = 0;
  Encoding encoding = Encoding::kAuto;  ///< of text files
  /// A text in a categorical column is cut at this character into several ids ("a|b"), empty parts
  /// left out (so "|" is an empty bag, while an empty cell is a missing value); 0: never.
  /// Not set: at '|' in text files, never in Parquet.
  std::optional<char> list_separator;
  /// Texts that stand for a missing value in every column, beside the empty one. Where a number is
  /// wanted (label, dense, time) the usual ones do so without being named: NA, N/A, n/a, #N/A,
  /// <NA>, NULL, null, None, \N.
  std::vector<std::string> na_values;
  /// What may stand between the thousands of numbers in texts, in groups of three digits: comma,
  /// apostrophe, space or underscore ("1,234.5"). Of dense columns and labels with a threshold;
  /// labels of 0 and 1, times and ids are read as they are. 0: nothing may.
  char thousands = 0;
};

/// Sets the options that they spell. where: before the keys in messages. Errors: kConfig.
void set_text_options(const TextOptions& text, const std::string& where, ReaderOptions& options);

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
/// rows and a few batches, whatever the size of the files (of Arrow files also a record batch).
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
