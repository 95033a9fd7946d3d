#pragma once
// The first rows of a file, column by column, whatever their types.

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "files.h"
#include "list_look.h"
#include "stray_cells.h"

namespace taut::data {

/// Most rows looked at.
inline constexpr std::int64_t kSampleRows = 200000;

/// What the values of a column look like.
enum class SampleKind { kInteger, kNumber, kBool, kText, kList, kTime, kOther };

/// One column: a key for each row (equal values have equal keys: the id; of a time the number), and
/// numbers where it has any. Of a column of kOther there is nothing.
struct ColumnSample {
  std::string name = {};
  std::string type = {};
  SampleKind kind = SampleKind::kOther;
  std::vector<std::uint64_t> keys = {};  ///< [rows]; of a list: of all its ids together
  std::vector<double> numbers = {};      ///< [rows], NaN for missing; empty for texts and lists
  std::int64_t missing = 0;
  std::int64_t spelled_missing = 0;  ///< of these, as NA, nan, null ... where texts are numbers
  std::set<std::string> nan_spellings = {};  ///< how NaN is written where texts are numbers
  ListLook lists = {};                       ///< of texts that are no numbers
  std::int64_t unheld = 0;     ///< numbers that no dense column may have (is_dense_value)
  bool spelled_whole = false;  ///< of kNumber: whole decimals or texts, "7.00" or beyond 64 bits
  std::string problem = {};    ///< of kOther: why it is not read, and what to do
  StrayCells strays = {};  ///< cells of text that are no numbers where the others are: NaN there
};

struct Sample {
  std::int64_t rows = 0;
  std::vector<ColumnSample> columns;
  char list_separator = 0;  ///< what cuts the columns of lists, where it must be set; else 0
  char thousands = 0;       ///< what is between the thousands of numbers, where it must be set
  std::set<std::string> nan_spellings = {};  ///< of all columns: missing values that must be named
};

/// Whole floats with missing values among them count as integers, texts as what they spell, the
/// usual spellings of nothing (is_usual_na) and NaN as missing. text: how they are read. Errors:
/// kFormat, kIo; kData when there are no rows, or none has as many fields as the header.
[[nodiscard]] Sample sample_file(const InputFile& file, const TextOptions& text = {});

}  // namespace taut::data
