#pragma once
// Where the rows of methods frequency and md lie: classes of one width, widest first.

#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "dense_rows.h"
#include "frozen_form.h"

namespace taut::embedding {

inline constexpr int kMostChunks = 32;

/// Rows sorted by width, widest first: how many have at least each width, and where they lie.
struct Classes {
  std::array<std::int64_t, kMostChunks + 2> at_least{};  // [k]: rows of k chunks or more

  [[nodiscard]] std::int64_t rows() const noexcept { return at_least[1]; }
  bool operator==(const Classes&) const = default;
};

/// The formats and offsets that follow from the classes.
class ClassLayout {
 public:
  ClassLayout() = default;
  ClassLayout(const Classes& classes, std::vector<DenseRowFormat> formats)
      : classes_(classes), formats_(std::move(formats)) {
    for (int k = chunks(); k >= 1; --k) {
      const auto i = static_cast<std::size_t>(k);
      offset_[i] = bytes_;
      bytes_ += (classes.at_least[i] - classes.at_least[i + 1]) * format(k).row_bytes();
    }
  }

  [[nodiscard]] int chunks() const noexcept { return static_cast<int>(formats_.size()); }
  [[nodiscard]] const DenseRowFormat& format(int width) const noexcept {
    return formats_[static_cast<std::size_t>(width - 1)];
  }
  [[nodiscard]] const Classes& classes() const noexcept { return classes_; }
  [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] int width(std::int64_t row) const noexcept {
    int k = chunks();
    while (row >= classes_.at_least[static_cast<std::size_t>(k)]) --k;
    return k;
  }
  [[nodiscard]] std::int64_t offset(std::int64_t row, int width) const noexcept {
    const auto i = static_cast<std::size_t>(width);
    return offset_[i] + (row - classes_.at_least[i + 1]) * format(width).row_bytes();
  }

 private:
  Classes classes_;
  std::vector<DenseRowFormat> formats_;
  std::array<std::int64_t, kMostChunks + 2> offset_{};
  std::int64_t bytes_ = 0;
};

struct PopularityReader {
  static constexpr int kShards = 16;

  const ClassLayout* layout = nullptr;
  std::span<const std::uint64_t> keys;
  std::span<const std::uint32_t> rows;  // row + 1; 0: free slot
  const std::uint8_t* bytes = nullptr;
  int unit = 1;  // chunks of the options in one of the layout's

  [[nodiscard]] std::uint64_t key(std::size_t table, std::uint64_t id) const noexcept {
    return row_key(table, id);
  }
  [[nodiscard]] std::size_t slot(std::uint64_t key) const noexcept {
    std::size_t slot = reduce_range(key, rows.size());
    while (rows[slot] != 0 && keys[slot] != key) slot = slot + 1 == rows.size() ? 0 : slot + 1;
    return slot;
  }
  [[nodiscard]] TAUT_INLINE std::uint64_t where(std::uint64_t key) const noexcept {
    if (rows.empty()) return key;
    __builtin_prefetch(&rows[reduce_range(key, rows.size())]);
    __builtin_prefetch(&keys[reduce_range(key, rows.size())]);
    return key;
  }
  [[nodiscard]] std::size_t shard_of(std::uint64_t key) const noexcept { return key % kShards; }
  void add(std::uint64_t key, float weight, float* out, RowAdder& sums) const noexcept {
    if (rows.empty()) return;
    const std::uint32_t found = rows[slot(key)];
    if (found == 0) return;
    const int width = layout->width(found - 1);
    const std::uint8_t* row = bytes + layout->offset(found - 1, width);
    sums.add(layout->format(width).part(row, weight, out));
  }
  [[nodiscard]] bool read_row(std::uint64_t key, RowCopy& copy) const noexcept {
    const std::uint32_t found = rows.empty() ? 0 : rows[slot(key)];
    if (found == 0) return false;
    const int width = layout->width(found - 1);
    const std::uint8_t* row = bytes + layout->offset(found - 1, width);
    layout->format(width).read(row, copy.values.data());
    copy.mask = prefix_mask(width * unit);
    copy.importance = layout->format(width).importance(row);
    return true;
  }
};

}  // namespace taut::embedding
