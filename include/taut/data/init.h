#pragma once
// A first config for data that nobody has described: what `taut init` writes.

#include <string>
#include <vector>

#include "taut/data/reader.h"

namespace taut::data {

/// What a column is taken for, and why.
enum class GuessedRole { kLabel, kTime, kDense, kCategorical, kSkipped };
constexpr auto spellings(std::type_identity<GuessedRole>) {
  return std::to_array<Spelling<GuessedRole>>({{"label", GuessedRole::kLabel},
                                               {"time", GuessedRole::kTime},
                                               {"dense", GuessedRole::kDense},
                                               {"categorical", GuessedRole::kCategorical},
                                               {"skipped", GuessedRole::kSkipped}});
}

struct ColumnGuess {
  std::string name;
  std::string type;  ///< as the file says ("int32"), or as the text looks ("text, whole numbers")
  GuessedRole role = GuessedRole::kSkipped;
  std::string reason;        ///< a clause: "whole numbers, 4037 different ones in the sample"
  bool tells_label = false;  ///< skipped since it tells the label, or is known only after it
};

struct SchemaGuess {
  std::string path;
  std::string format;  ///< as ReaderOptions::format
  std::int64_t sampled_rows = 0;
  std::vector<ColumnGuess> columns;  ///< in the file's order
  Schema schema;
  ScalingKind scaling = ScalingKind::kStandard;
  OnBadRow on_bad_row = OnBadRow::kFail;  ///< kSkip where a column that is used has bad cells
  TextOptions text = {};  ///< as hinted; list_separator and thousands where they must be set
  std::int64_t rows = 0;  ///< of the file; of a long text file about so many
  std::int64_t ids = 0;   ///< different values of the categorical columns in the sample, together
  std::vector<std::string> warnings = {};  ///< what a user must know of the guess, a line each
};

/// What the user knows better.
struct GuessHints {
  std::string format = "auto";
  std::string label = {};              ///< "" to guess
  std::vector<std::string> skip = {};  ///< columns to leave out
  TextOptions text = {};
};

/// Looks at the first rows (at most 200,000).
/// Label: values 0 and 1 only (missing ones aside), by name (label, click, target, y ...) or the
/// only such column. Time: by name (time, timestamp, ts ...), or whole numbers in ascending order.
/// Dense: d_* and numbers with fractions, and whole numbers whose name says that they count or
/// measure. Categorical: c_*, texts, lists, bools, other whole numbers.
/// Criteo's columns (I1 .. I13, C1 .. C26) are what its format says.
/// Whole numbers of more than 64 bits, and whole decimals of few values, are categorical; others
/// that are dense are warned of.
/// A few cells that are no numbers, are infinite or too large for float32 leave a column one of
/// numbers; where it is dense, its bad rows are to be skipped. A dense column of many is left out.
/// Skipped: one value only; another value in every row; types that cannot be read; what gives
/// the label away (each of its values goes with one label), and second outcomes (a value goes with
/// label 1 always). Errors: as BatchReader; kData when there is no label or several could be it.
[[nodiscard]] SchemaGuess guess_schema(const std::string& path, const GuessHints& hints = {});

/// A commented TOML config that trains on the guess as it is. train, valid and test files beside
/// the path are found by name (train.parquet or train-0.parquet, valid.parquet, test.parquet), and
/// left out with the reason where a column is not in them. Batch size, epochs and budget go by the
/// number of rows and ids.
/// base: folder that paths are written relative to; "" for absolute paths.
/// Errors: kData where no column is left as an input, with what became of each.
[[nodiscard]] std::string starter_config(const SchemaGuess& guess, const std::string& base = {});

}  // namespace taut::data
