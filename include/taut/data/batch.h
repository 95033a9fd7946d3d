#pragma once
// One batch of examples, as models read it, and what an id is.

#include <cstdint>
#include <string_view>
#include <vector>

namespace taut::data {

/// The id of a missing value (a null, or an empty text): one of its own, the same in every column.
inline constexpr std::uint64_t kMissingId = 0x6D697373696E6721ull;

/// The id of a value written as text, so that a value has the same id in a column of integers,
/// floats, decimals, bools or texts of Parquet and in a text file:
/// - kMissingId for "";
/// - the number, for a whole number of 64 bits (signed or unsigned) in its shortest form ("42",
///   "-7"; not "042", "+1"), or as floats and decimals are written ("42.0", "-7.00", "1e+16"; not
///   "1e16"). Numbers are their own 64 bits (two's complement);
/// - 1 and 0 for "true", "True", "TRUE" and "false", "False", "FALSE";
/// - else hash_string().
[[nodiscard]] std::uint64_t id_of_text(std::string_view text) noexcept;

/// The id of a float: kMissingId for NaN, the number where it is whole and fits 64 bits, else that
/// of its shortest text ("1.5", "1e-05"), as text files have it.
[[nodiscard]] std::uint64_t id_of_number(double value) noexcept;
[[nodiscard]] std::uint64_t id_of_number(float value) noexcept;

/// Ids of one categorical column: bag b is ids[offsets[b] .. offsets[b + 1]). A bag may be empty.
struct IdColumn {
  std::vector<std::uint64_t> ids;
  std::vector<std::int64_t> offsets;  ///< [size + 1]
};

/// Examples in column form. Reused between reads: a reader refills it in place.
struct Batch {
  std::int64_t size = 0;
  std::vector<float> labels;          ///< [size], 0 or 1; empty without a label column
  std::vector<float> dense;           ///< [size, dense columns], scaled
  std::vector<IdColumn> categorical;  ///< one per categorical column, in the schema's order
  std::vector<std::int64_t> time;     ///< [size], or empty without a time column
  /// [size], 1 for a bad row, whose values mean nothing; empty unless ReaderOptions::keep_bad_rows.
  std::vector<std::uint8_t> bad;
  /// [size], what BatchReader::row_name() names each row by; empty likewise.
  std::vector<std::uint64_t> origin;
};

}  // namespace taut::data
