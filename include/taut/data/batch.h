#pragma once
// One batch of examples, as models read it, and what an id is.

#include <cstdint>
#include <string_view>
#include <vector>

namespace taut::data {

/// The id of a missing value (a null, or an empty text): one of its own, the same in every column.
inline constexpr std::uint64_t kMissingId = 0x6D697373696E6721ull;

/// The id of a value written as text: kMissingId for "", the number for a decimal integer in its
/// shortest form ("42", "-7"; not "042", "+1"), else hash_string(). So a value has the same id in
/// an integer column, a string column and a CSV file. Integers are their own 64 bits (two's
/// complement).
[[nodiscard]] std::uint64_t id_of_text(std::string_view text) noexcept;

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
