#pragma once
// A block of decoded rows, column by column: what sources give and the shuffle buffer holds.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "taut/data/batch.h"
#include "taut/data/reader.h"

namespace taut::data {

/// One categorical column of a block. Without offsets every bag has exactly one id. The ids are
/// held here, or look into memory that a decoder has filled and that `owner` keeps alive.
struct IdRows {
  std::vector<std::uint64_t> ids;
  std::vector<std::int64_t> offsets;  ///< [size + 1], or empty
  std::shared_ptr<const void> owner;  ///< null: ids are held here
  std::span<const std::uint64_t> borrowed;

  [[nodiscard]] std::span<const std::uint64_t> values() const noexcept {
    return owner == nullptr ? std::span<const std::uint64_t>(ids) : borrowed;
  }
  /// Forgets ids and offsets; keeps memory.
  void clear() noexcept {
    ids.clear();
    offsets.clear();
    owner.reset();
  }

  [[nodiscard]] bool single() const noexcept { return offsets.empty(); }
  /// Writes out the offsets of `size` single-valued bags.
  void make_bags(std::int64_t size);
  /// Goes back to the form without offsets when each of the `size` bags has one id.
  void drop_trivial_offsets(std::int64_t size);
};

/// Bits of an origin that count the row in its file, from 1; the file's number stands above.
inline constexpr int kRowBits = 40;

/// Rows in column form; labels and time stay empty where the schema has none.
struct Rows {
  std::int64_t size = 0;
  std::vector<float> labels;
  std::vector<std::vector<float>> dense;  ///< scaled
  /// Of a source that gives raw values, in place of dense: as the files have them, NaN for missing.
  std::vector<std::vector<double>> unscaled;
  std::vector<IdRows> categorical;
  std::vector<std::int64_t> time;
  std::vector<std::uint8_t> marked;   ///< as Batch::bad
  std::vector<std::uint64_t> origin;  ///< as Batch::origin: the file's number and the row in it
  /// Bad rows met so far by the source that made this block; null: none.
  std::shared_ptr<const BadRows> bad;

  /// No rows, and as many columns as the schema names. Keeps memory.
  void reset(const Schema& schema);
  /// The same, but what columns hold stays until each is replaced: for those who replace them all,
  /// so that memory of the same size is not cleared each time.
  void reuse(const Schema& schema);
};

/// Appends rows [begin, begin + count) of a block of the same columns.
void append_rows(const Rows& from, std::int64_t begin, std::int64_t count, Rows& to);

/// Removes the rows at these positions (ascending, no duplicates).
void remove_rows(std::span<const std::int64_t> positions, Rows& rows);

/// Lays rows [begin, begin + count) out as a batch: dense row-major, offsets from 0 on written out.
void to_batch(const Rows& rows, std::int64_t begin, std::int64_t count, Batch& batch);

/// Scales a column in double, and rounds it only then: what float32 cannot tell apart it tells
/// apart once the mean is taken away. A NaN (a missing value) becomes 0.
void scale_column(const DenseScaling& scaling, std::span<const double> values,
                  std::vector<float>& scaled);

}  // namespace taut::data
