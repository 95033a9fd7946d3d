#pragma once
// Collects bad cells while columns are decoded side by side, and decides what becomes of their
// rows.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "files.h"
#include "rows.h"

namespace taut::data {

struct SourceOptions;

/// Rows named in messages.
inline constexpr std::size_t kNamedBadRows = 10;

/// Why one cell makes its row bad.
struct BadCell {
  std::int64_t row;    ///< position in the block
  std::string reason;  ///< "label is 2, must be 0 or 1"; kept for the first cells of a column
};

/// Bad cells of one column of one block, in row order. One task writes one of these.
class BadCells {
 public:
  /// named: how many cells keep their reason.
  explicit BadCells(std::size_t named = kNamedBadRows) : named_(named) {}

  void add(std::int64_t row, const std::function<std::string()>& reason) {
    cells_.push_back({row, cells_.size() < named_ ? reason() : std::string()});
  }
  void clear() noexcept { cells_.clear(); }
  [[nodiscard]] std::span<const BadCell> cells() const noexcept { return cells_; }

 private:
  std::size_t named_;
  std::vector<BadCell> cells_;
};

/// Applies on_bad_row over the whole stream.
class BadRowPolicy {
 public:
  explicit BadRowPolicy(const SourceOptions& options);

  /// Removes the rows that are not in the file's part, and those that have bad cells or marks these
  /// (keep_bad_rows). columns[c] are the cells of the column that messages call names[c]; of
  /// several bad cells in a row the first column's is named. first_row: number of the block's row 0
  /// in the file, from 1. Sets rows.bad. Throws kData for the first bad row with kFail.
  void apply(std::string_view file, std::int64_t first_row, std::span<const BadCells> columns,
             std::span<const std::string> names, Rows& rows);

 private:
  /// Which file of paths_ it is.
  [[nodiscard]] std::size_t number_of(std::string_view file) const;
  /// Rows of the block that are not in the file's part, in order.
  [[nodiscard]] std::vector<std::int64_t> outside(std::size_t file, std::int64_t first_row,
                                                  const Rows& rows) const;

  OnBadRow policy_;
  bool keep_;
  std::vector<InputFile> files_;
  std::shared_ptr<const BadRows> seen_;
};

}  // namespace taut::data
