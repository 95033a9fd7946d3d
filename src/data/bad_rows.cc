#include "bad_rows.h"

#include <algorithm>
#include <tuple>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {

void BadRowPolicy::apply(std::string_view file, std::int64_t first_row,
                         std::span<const BadCells> columns, std::span<const std::string> names,
                         Rows& rows) {
  struct Found {
    std::int64_t row;
    std::size_t column;
    const BadCell* cell;
  };
  std::vector<Found> found;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    for (const BadCell& cell : columns[c].cells()) found.push_back({cell.row, c, &cell});
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
    remove_rows(positions, rows);
  }
  rows.bad = seen_;
}

}  // namespace taut::data
