#include "bad_rows.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "source.h"
#include "taut/core/error.h"
#include "taut/core/log.h"
#include "taut/core/text.h"

namespace taut::data {

BadRowPolicy::BadRowPolicy(const SourceOptions& options)
    : policy_(options.reader.on_bad_row),
      keep_(options.reader.keep_bad_rows),
      files_(options.files) {}

std::size_t BadRowPolicy::number_of(std::string_view file) const {
  const auto found = std::find_if(files_.begin(), files_.end(),
                                  [&](const InputFile& one) { return one.path == file; });
  TAUT_ASSERT(found != files_.end());
  return static_cast<std::size_t>(found - files_.begin());
}

std::vector<std::int64_t> BadRowPolicy::outside(std::size_t file, std::int64_t first_row,
                                                const Rows& rows) const {
  const RowPart& part = files_[file].part;
  std::vector<std::int64_t> positions;
  if (part.kind == RowPart::Kind::kAll) return positions;
  for (std::int64_t row = 0; row < rows.size; ++row) {
    const bool inside = part.kind == RowPart::Kind::kShare
                            ? is_in_share(part, first_row + row)
                            : rows.time[row] >= part.begin && rows.time[row] < part.end;
    if (!inside) positions.push_back(row);
  }
  return positions;
}

void BadRowPolicy::apply(std::string_view file, std::int64_t first_row,
                         std::span<const BadCells> columns, std::span<const std::string> names,
                         Rows& rows) {
  struct Found {
    std::int64_t row;
    std::size_t column;
    const BadCell* cell;
  };
  const std::size_t number = number_of(file);
  std::vector<std::int64_t> removed = outside(number, first_row, rows);
  if (keep_) {
    rows.origin.resize(static_cast<std::size_t>(rows.size));
    std::iota(
        rows.origin.begin(), rows.origin.end(),
        (static_cast<std::uint64_t>(number) << kRowBits) + static_cast<std::uint64_t>(first_row));
    rows.marked.assign(static_cast<std::size_t>(rows.size), 0);
  }
  std::vector<Found> found;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    for (const BadCell& cell : columns[c].cells()) {
      if (!std::binary_search(removed.begin(), removed.end(), cell.row)) {
        found.push_back({cell.row, c, &cell});
      }
    }
  }
  if (!found.empty()) {
    std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) {
      return std::tie(a.row, a.column) < std::tie(b.row, b.column);
    });
    const auto last = std::unique(found.begin(), found.end(),
                                  [](const Found& a, const Found& b) { return a.row == b.row; });
    found.erase(last, found.end());

    BadRows seen = seen_ ? *seen_ : BadRows{};
    std::vector<std::int64_t> positions;
    for (const Found& bad : found) {
      positions.push_back(bad.row);
      if (policy_ == OnBadRow::kSkip && seen.first.size() >= kNamedBadRows) continue;
      const std::string& name = names[bad.column];
      const std::string where =
          concat(file, ", row ", first_row + bad.row, name.empty() ? "" : ", column ", name);
      if (policy_ == OnBadRow::kFail) {
        throw Error(ErrorKind::kData, bad.cell->reason, where,
                    "mend the row or set on_bad_row = \"skip\"");
      }
      seen.first.push_back(concat(bad.cell->reason, ", ", where));
    }
    seen.count += static_cast<std::int64_t>(positions.size());
    seen_ = std::make_shared<const BadRows>(std::move(seen));
    if (keep_) {
      for (const std::int64_t position : positions) rows.marked[position] = 1;
    } else {
      const auto middle = static_cast<std::ptrdiff_t>(removed.size());
      removed.insert(removed.end(), positions.begin(), positions.end());
      std::inplace_merge(removed.begin(), removed.begin() + middle, removed.end());
    }
  }
  remove_rows(removed, rows);
  rows.bad = seen_;
}

void warn_of_bad_rows(const BadRows& bad, std::string_view what) {
  if (bad.count == 0) return;
  log_warning(concat(bad.count, " bad ", what, " left out; the first:"));
  for (const std::string& row : bad.first) log_warning("  " + row);
}

}  // namespace taut::data
