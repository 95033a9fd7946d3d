#pragma once
// The first rows of a file, column by column, whatever their types.

#include <cstdint>
#include <string>
#include <vector>

#include "files.h"
#include "stray_cells.h"

namespace taut::data {

/// Most rows looked at.
inline constexpr std::int64_t kSampleRows = 200000;

/// What the values of a column look like.
enum class SampleKind { kInteger, kNumber, kBool, kText, kList, kTime, kOther };

/// One column: a key for each row (equal values have equal keys), and numbers where it has any.
struct ColumnSample {
  std::string name;
  std::string type;
  SampleKind kind = SampleKind::kOther;
  std::vector<std::uint64_t> keys;  ///< [rows]; of a list: of all its ids together
  std::vector<double> numbers;      ///< [rows], NaN for missing; empty for texts and lists
  std::int64_t missing = 0;
  StrayCells strays = {};  ///< cells of text that are no numbers where the others are: NaN there
};

struct Sample {
  std::int64_t rows = 0;
  std::vector<ColumnSample> columns;
};

/// Errors: kFormat, kIo; kData when there are no rows.
[[nodiscard]] Sample sample_file(const InputFile& file);

}  // namespace taut::data
