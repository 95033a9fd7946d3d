// method = hash: the hashing trick. As many full rows as the budget holds, shared by whatever ids
// fall on them.
#include <utility>

#include "batch.h"
#include "dense_rows.h"
#include "registry.h"
#include "state.h"
#include "taut/core/aligned_buffer.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::embedding {
namespace {

constexpr std::uint64_t kShards = 16;
constexpr std::int64_t kMappedFrom = 4 << 20;  // allocations are rounded up to
constexpr std::int64_t kMappedUnit = 4096;     // this from there on,
constexpr std::int64_t kLine = 64;             // to this below

struct HashReader {
  DenseRowFormat format;
  std::uint64_t rows = 0;
  const std::uint8_t* bytes = nullptr;

  [[nodiscard]] std::uint64_t key(std::size_t table, std::uint64_t id) const noexcept {
    return reduce_range(row_key(table, id), rows);
  }
  [[nodiscard]] const std::uint8_t* row(std::uint64_t key) const noexcept {
    return bytes + key * static_cast<std::uint64_t>(format.row_bytes());
  }
  void prefetch(std::uint64_t key) const noexcept { __builtin_prefetch(row(key)); }
  void add(std::uint64_t key, float weight, float* out) const noexcept {
    format.add(row(key), weight, out);
  }
};

struct FrozenHeader {
  std::int64_t tables = 0;
  std::uint64_t rows = 0;
  std::int64_t dim = 0;
  std::int64_t value_type = 0;
};

std::uint64_t rows_within(const Options& options, const DenseRowFormat& format) {
  std::int64_t room = options.budget.count;
  room -= room % (room >= kMappedFrom ? kMappedUnit : kLine);
  if (room < format.row_bytes()) {
    const std::int64_t least = (format.row_bytes() + kLine - 1) / kLine * kLine;
    throw Error(
        ErrorKind::kBudget,
        concat(options.budget.count, " bytes hold not one row of ", options.dim, " dimensions"),
        "embedding.budget", concat("give at least ", least, " bytes"));
  }
  return static_cast<std::uint64_t>(room / format.row_bytes());
}

class HashEmbedding final : public RowwiseEmbedding {
 public:
  HashEmbedding(const Options& options, std::shared_ptr<ThreadPool> pool)
      : RowwiseEmbedding(options, std::move(pool), kShards),
        format_(options, options.dim),
        row_count_(rows_within(options, format_)),
        rows_(row_count_ * static_cast<std::uint64_t>(format_.row_bytes()), &counter_) {
    for (std::uint64_t i = 0; i < row_count_; ++i) {
      format_.initialize(row(i), options.seed, mix64(i), initial_bound(options.dim));
    }
  }

  [[nodiscard]] std::int64_t memory_bytes() const noexcept override { return counter_.bytes(); }
  [[nodiscard]] std::int64_t peak_memory_bytes() const noexcept override {
    return counter_.peak_bytes();
  }
  [[nodiscard]] Statistics statistics() const override {
    Statistics result;
    result.memory_bytes = memory_bytes();
    result.budget_bytes = options_.budget.count;
    result.skipped_updates = skipped_updates_;
    result.resident_rows = static_cast<std::int64_t>(row_count_);
    result.parts = {{"rows", static_cast<std::int64_t>(rows_.size())},
                    {"free", memory_bytes() - static_cast<std::int64_t>(rows_.size())}};
    result.rows_by_width.assign(static_cast<std::size_t>(options_.dim / options_.chunk) + 1, 0);
    result.rows_by_width.back() = result.resident_rows;
    return result;
  }

  void save(SectionWriter& file, const std::string& prefix) const override {
    save_options(file, prefix, options_);
    save_progress(file, prefix);
    file.add_array(prefix + "rows", rows_.span());
  }
  void load(const SectionReader& file, const std::string& prefix) override {
    check_saved_options(file, prefix, options_);
    const Progress progress = load_progress(file, prefix);
    const auto rows = file.array<std::uint8_t>(prefix + "rows");
    check_section_bytes(file, prefix + "rows", rows_.size(), rows.size());
    std::copy(rows.begin(), rows.end(), rows_.begin());
    set_progress(progress);
  }
  void export_frozen(SectionWriter& file, const std::string& prefix) const override {
    file.add(prefix + "method", options_.method);
    save_value(file, prefix + "header",
               FrozenHeader{.tables = static_cast<std::int64_t>(options_.tables.size()),
                            .rows = row_count_,
                            .dim = options_.dim,
                            .value_type = static_cast<std::int64_t>(options_.value_type)});
    file.begin(prefix + "rows");
    for (std::uint64_t i = 0; i < row_count_; ++i) {
      file.append(reader().row(i) + format_.state_bytes(),
                  static_cast<std::size_t>(format_.row_bytes() - format_.state_bytes()));
    }
  }

 protected:
  [[nodiscard]] std::uint64_t key_of(std::size_t table, std::uint64_t id) const noexcept override {
    return reader().key(table, id);
  }
  [[nodiscard]] int shard_of(std::uint64_t key) const noexcept override {
    return static_cast<int>(key % kShards);
  }
  void do_lookup(std::span<const JaggedIds> tables, std::int64_t batch,
                 std::span<float> out) const override {
    pooled_lookup(reader(), tables, batch, options_.dim, out, pool_.get());
  }
  void update_shard(int, const TouchedRows& rows) override {
    const RowOptimizer optimizer(options_);
    const auto dim = static_cast<std::size_t>(options_.dim);
    for (std::size_t i = 0; i < rows.keys.size(); ++i) {
      RowRandom random = row_random(options_.seed, steps_, rows.keys[i]);
      format_.update(row(rows.keys[i]), rows.gradients.data() + i * dim, optimizer, steps_, random);
    }
  }

 private:
  [[nodiscard]] HashReader reader() const noexcept {
    return {.format = format_, .rows = row_count_, .bytes = rows_.data()};
  }
  [[nodiscard]] std::uint8_t* row(std::uint64_t index) noexcept {
    return rows_.data() + index * static_cast<std::uint64_t>(format_.row_bytes());
  }

  MemoryCounter counter_;
  DenseRowFormat format_;
  std::uint64_t row_count_;
  AlignedBuffer<std::uint8_t> rows_;
};

class FrozenHash final : public FrozenEmbedding {
 public:
  FrozenHash(const SectionReader& file, const std::string& prefix)
      : header_(load_value<FrozenHeader>(file, prefix + "header")),
        reader_{.format = DenseRowFormat(static_cast<ValueType>(header_.value_type),
                                         static_cast<int>(header_.dim)),
                .rows = header_.rows,
                .bytes = nullptr} {
    if (header_.tables < 1 || header_.rows < 1 || header_.dim < 4 || header_.dim > 512 ||
        header_.value_type < 0 ||
        header_.value_type > static_cast<std::int64_t>(ValueType::kMixed)) {
      throw_damaged(file, prefix + "header", "holds impossible values");
    }
    const auto rows = file.array<std::uint8_t>(prefix + "rows");
    check_section_bytes(file, prefix + "rows",
                        header_.rows * static_cast<std::uint64_t>(reader_.format.row_bytes()),
                        rows.size());
    reader_.bytes = rows.data();
  }

  [[nodiscard]] int dim() const noexcept override { return reader_.format.size(); }
  [[nodiscard]] std::int64_t tables() const noexcept override { return header_.tables; }
  void lookup(std::span<const JaggedIds> tables, std::int64_t batch,
              std::span<float> out) const override {
    with_checked_tables(tables, static_cast<std::size_t>(header_.tables), batch, dim(), out.size(),
                        "out", [&](std::span<const JaggedIds> checked) {
                          pooled_lookup(reader_, checked, batch, dim(), out, nullptr);
                        });
  }

 private:
  FrozenHeader header_;
  HashReader reader_;
};

}  // namespace

std::unique_ptr<Embedding> make_hash(const Options& options, std::shared_ptr<ThreadPool> pool) {
  return std::make_unique<HashEmbedding>(options, std::move(pool));
}

std::unique_ptr<FrozenEmbedding> open_hash(const SectionReader& file, const std::string& prefix) {
  return std::make_unique<FrozenHash>(file, prefix);
}

}  // namespace taut::embedding
