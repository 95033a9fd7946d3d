// method = hash: the hashing trick. As many full rows as the budget holds, shared by whatever ids
// fall on them.
#include <utility>

#include "dense_rows.h"
#include "frozen_form.h"
#include "registry.h"
#include "row_array.h"
#include "state.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::embedding {
namespace {

constexpr int kHashShards = 16;
constexpr std::int64_t kRowsTogether = 64;  // whole allocation units, so that parts waste no byte

struct HashReader {
  DenseRowFormat format;
  std::uint64_t rows = 0;
  const std::uint8_t* bytes = nullptr;
  std::uint64_t first = 0;  ///< the row that lies at bytes

  [[nodiscard]] std::uint64_t key(std::size_t table, std::uint64_t id) const noexcept {
    return reduce_range(row_key(table, id), rows);
  }
  [[nodiscard]] const std::uint8_t* row(std::uint64_t key) const noexcept {
    return bytes + (key - first) * static_cast<std::uint64_t>(format.row_bytes());
  }
  [[nodiscard]] TAUT_INLINE std::uint64_t where(std::uint64_t key) const noexcept {
    format.prefetch(row(key));
    return key;
  }
  [[nodiscard]] std::size_t shard_of(std::uint64_t key) const noexcept { return key % kHashShards; }
  void add(std::uint64_t key, float weight, float* out, RowAdder& sums) const noexcept {
    sums.add(format.part(row(key), weight, out));
  }
};

struct HashHeader {
  std::int64_t tables = 0;
  std::uint64_t rows = 0;
  std::int64_t dim = 0;
  std::int64_t value_type = 0;
};

std::uint64_t rows_within(const Options& options, const DenseRowFormat& format) {
  const std::int64_t rows = rows_in_budget(options, format);
  if (rows < 1) {
    throw_budget(options, concat("one row of ", options.dim, " dimensions"), format.row_bytes());
  }
  return static_cast<std::uint64_t>(rows);
}

class HashEmbedding final : public LiveForm<HashEmbedding, RowArrayEmbedding> {
 public:
  /// peers: null, or those of whose collection this is a part.
  HashEmbedding(const Options& options, std::shared_ptr<ThreadPool> pool,
                std::shared_ptr<Peers> peers)
      : LiveForm(options, std::move(pool), kHashShards,
                 Dealt(static_cast<std::int64_t>(
                           rows_within(options, DenseRowFormat(options, options.dim))),
                       std::move(peers), kRowsTogether)) {
    for (std::int64_t mine = dealt().mine().begin; mine < dealt().mine().end(); ++mine) {
      const auto i = static_cast<std::uint64_t>(mine);
      format().initialize(row(i), options.seed, mix64(i), initial_bound(options.dim));
    }
  }
  using RowArrayEmbedding::dealt;

  void export_frozen(SectionSink& file, const std::string& prefix) const override {
    file.add(prefix + "method", options_.method);
    save_value(file, prefix + "header",
               HashHeader{.tables = static_cast<std::int64_t>(options_.tables.size()),
                          .rows = row_count(),
                          .dim = options_.dim,
                          .value_type = static_cast<std::int64_t>(options_.value_type)});
    export_rows(file, prefix);
  }

 protected:
  void update_shard(int, const TouchedRows& rows) override { update_rows(rows); }

 private:
  friend LiveForm;

  [[nodiscard]] HashReader reader() const noexcept {
    return {.format = format(), .rows = row_count(), .bytes = bytes(), .first = first_row()};
  }
};

class FrozenHash final : public FrozenForm<HashReader> {
 public:
  FrozenHash(const SectionSource& file, const std::string& prefix)
      : FrozenHash(file, prefix, load_value<HashHeader>(file, prefix + "header")) {}

 private:
  FrozenHash(const SectionSource& file, const std::string& prefix, const HashHeader& header)
      : FrozenForm(file, prefix, header,
                   {.format = frozen_format(file, prefix, header),
                    .rows = header.rows,
                    .bytes = nullptr}) {
    const auto rows = file.array<std::uint8_t>(prefix + "rows");
    check_row_count(file, prefix, static_cast<std::int64_t>(header.rows),
                    reader_.format.row_bytes(), rows.size());
    reader_.bytes = rows.data();
  }
};

}  // namespace

EmbeddingPart make_hash_part(const Options& options, std::shared_ptr<ThreadPool> pool,
                             std::shared_ptr<Peers> peers) {
  auto rows = std::make_unique<HashEmbedding>(options, std::move(pool), std::move(peers));
  const Dealt& dealt = rows->dealt();
  return {.rows = std::move(rows), .owner = [dealt](std::size_t table, std::uint64_t id) {
            const auto all = static_cast<std::uint64_t>(dealt.total());
            return dealt.owner(static_cast<std::int64_t>(reduce_range(row_key(table, id), all)));
          }};
}

std::unique_ptr<FrozenEmbedding> open_hash(const SectionSource& file, const std::string& prefix) {
  return std::make_unique<FrozenHash>(file, prefix);
}

}  // namespace taut::embedding
