#pragma once
// One batch of examples, as models read it.

#include <cstdint>
#include <vector>

namespace taut::data {

/// Ids of one categorical column: bag b is ids[offsets[b] .. offsets[b + 1]).
struct IdColumn {
  std::vector<std::uint64_t> ids;
  std::vector<std::int64_t> offsets;  ///< [size + 1]
};

/// Examples in column form. Reused between reads: a reader refills it in place.
struct Batch {
  std::int64_t size = 0;
  std::vector<float> labels;          ///< [size], 0 or 1
  std::vector<float> dense;           ///< [size, dense columns], scaled
  std::vector<IdColumn> categorical;  ///< one per categorical column, in the schema's order
  std::vector<std::int64_t> time;     ///< [size], or empty without a time column
};

}  // namespace taut::data
