// Dumping and loading rows: arguments, and what has no rows to dump.
#include "taut/embedding/rows.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "frozen_form.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/embedding/embedding.h"

namespace taut::embedding {

Rows rows_of_weight(std::span<const float> weight, int dim, std::uint32_t table) {
  if (dim < 1 || weight.size() % static_cast<std::size_t>(dim) != 0) {
    throw_invalid_argument("weight", concat("of a size that is a multiple of dim ", dim),
                           concat(weight.size()));
  }
  const std::size_t count = weight.size() / static_cast<std::size_t>(dim);
  Rows rows;
  rows.tables.assign(count, table);
  rows.ids.resize(count);
  std::iota(rows.ids.begin(), rows.ids.end(), std::uint64_t{0});
  rows.values.assign(weight.begin(), weight.end());
  return rows;
}

void throw_no_rows(const std::string& method) {
  throw Error(ErrorKind::kUnsupported,
              concat("method ", method, " has no row of its own for an id"), {},
              "full, md, frequency, row, cafe, fiited and elastic have");
}

void check_table_number(std::size_t table, std::size_t tables) {
  if (table < tables) return;
  throw_invalid_argument("table", concat("below ", tables), concat(table));
}

void Embedding::read_rows(std::size_t table, std::span<const std::uint64_t> ids, Rows& rows) const {
  check_table_number(table, options_.tables.size());
  check_ready();
  do_read_rows(table, ids, rows);
}

LoadedRows Embedding::load_rows(const Rows& rows) {
  const auto dim = static_cast<std::size_t>(options_.dim);
  const auto check_size = [&](const char* name, std::size_t wanted, std::size_t got) {
    if (wanted != got) {
      throw_invalid_argument(concat("rows.", name), concat("of size ", wanted), concat(got));
    }
  };
  check_size("tables", rows.size(), rows.tables.size());
  check_size("values", rows.size() * dim, rows.values.size());
  if (!rows.importances.empty()) {
    check_size("importances", rows.size(), rows.importances.size());
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows.tables[i] >= options_.tables.size()) {
      throw_invalid_argument(concat("rows.tables[", i, "]"),
                             concat("below ", options_.tables.size()), concat(rows.tables[i]));
    }
    if (!rows.importances.empty() && (rows.importances[i] < 0 || std::isinf(rows.importances[i]))) {
      throw_invalid_argument(concat("rows.importances[", i, "]"), "0 or more, or NaN",
                             concat(rows.importances[i]));
    }
  }
  for (std::size_t i = 0; i < rows.values.size(); ++i) {
    if (!std::isfinite(rows.values[i])) {
      throw_invalid_argument(concat("rows.values[", i, "]"), "finite", concat(rows.values[i]));
    }
  }
  check_ready();
  return do_load_rows(rows);
}

void Embedding::do_read_rows(std::size_t, std::span<const std::uint64_t>, Rows&) const {
  throw_no_rows(options_.method);
}

LoadedRows Embedding::do_load_rows(const Rows&) {
  throw_no_rows(options_.method);
}

}  // namespace taut::embedding
