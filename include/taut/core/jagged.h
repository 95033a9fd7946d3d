#pragma once
// Ids of a batch, several or none an example: what readers make, and tables and models read.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace taut {

/// The ids of one categorical feature for a batch. Bag b is ids[offsets[b] .. offsets[b + 1]); its
/// output is the (weighted) sum of its rows. Views only.
struct JaggedIds {
  std::span<const std::uint64_t> ids;
  /// [batch + 1], from 0 to ids.size(), never falling; empty: exactly one id per example.
  std::span<const std::int64_t> offsets;
  /// [ids.size()] or empty (all 1).
  std::span<const float> weights;
};

/// Throws kInvalidArgument naming the member of `name` ("tables[3]"), what is wanted and what was
/// given, unless sizes and offsets are those of a batch of so many examples.
void check_jagged(const JaggedIds& jagged, std::int64_t batch, std::string_view name);

/// Views of columns that hold ids and offsets (data::IdColumn), one each, without weights.
template <typename Columns>
void view_ids(const Columns& columns, std::vector<JaggedIds>& views) {
  views.clear();
  for (const auto& column : columns) {
    views.push_back({.ids = column.ids, .offsets = column.offsets, .weights = {}});
  }
}

}  // namespace taut
