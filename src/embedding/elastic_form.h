#pragma once
// What the live and the read-only form of an elastic table share: reading shards, and their
// sections in a file.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "elastic_shard.h"
#include "frozen_form.h"

namespace taut::embedding {

/// All shards, to be read.
struct ElasticReader {
  const PageLayout* layout = nullptr;
  std::vector<ShardView> shards;
  float inflation = 1;  ///< importances are stored times this

  [[nodiscard]] TAUT_INLINE std::uint64_t key(std::size_t table, std::uint64_t id) const noexcept {
    return row_key(table, id);
  }
  [[nodiscard]] TAUT_INLINE std::size_t shard_of(std::uint64_t key) const noexcept {
    return key & (shards.size() - 1);
  }
  [[nodiscard]] bool read_row(std::uint64_t key, RowCopy& copy) const noexcept {
    const RowState state = shards[shard_of(key)].read(key, copy.values.data());
    copy.mask = prefix_mask(state.width);
    copy.importance = ImportanceCode::value(state.importance) / inflation;
    return state.width > 0;
  }
};

/// Pooled sums as batch.h's pooled_lookup() has them, by one loop for every instruction set.
void pooled_lookup(const ElasticReader& reader, std::span<const JaggedIds> tables,
                   std::int64_t batch, int dim, std::span<float> out, ThreadPool* pool);

/// The section that holds a shard's bytes; its sizes lie in that name + "/sizes".
[[nodiscard]] std::string shard_name(const std::string& prefix, std::size_t index);

/// Throws kFormat unless the sizes fit the bytes and every page is whole: what is mapped or
/// restored can be read safely.
void check_shard(const SectionSource& file, const std::string& name, const ShardSizes& sizes,
                 std::span<const std::uint8_t> bytes, const PageLayout& layout);

/// Writes the read-only form: rows and pool, without sketch and what only the optimizer needs.
void write_frozen_elastic(SectionSink& file, const std::string& prefix,
                          std::span<const ElasticShard> shards, const PageLayout& layout,
                          std::size_t tables, float inflation);

}  // namespace taut::embedding
