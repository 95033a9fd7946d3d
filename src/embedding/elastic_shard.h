#pragma once
// One shard of an elastic table: pages, cold pool, admission sketch and register of distinct ids,
// all in one counted allocation. One thread owns a shard while it changes.

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "batch.h"
#include "optimizer.h"
#include "page.h"
#include "taut/core/aligned_buffer.h"
#include "threshold.h"

namespace taut::embedding {

/// How a shard's bytes are divided. Areas lie in this order.
struct ShardSizes {
  std::int64_t pages = 0;
  std::int64_t pool_slots = 0;
  std::int64_t sketch_counters = 0;  ///< 1 byte each
  std::int64_t registers = 0;        ///< of the HyperLogLog, 1 byte each; a power of two
  std::int64_t granule_bits = 0;     ///< of a key that page and tag are made from; never changes

  /// Granule bits for this many pages: a page has at most 2^15 granules, so a tag tells them apart.
  [[nodiscard]] static std::int64_t bits_for(std::int64_t pages) noexcept;
};

/// Where a key may lie. The key's leading bits are its granule; granules are dealt to pages in
/// order, so page and tag together give the granule back. The second page is that of the granule
/// with its upper bits changed by a function of the lower ones, which is its own inverse.
struct Candidates {
  std::int64_t page[2];
  std::uint16_t tag[2];
};

/// Reads a shard: live or mapped from a file.
class ShardView {
 public:
  static constexpr int kTagGranuleBits = 15;  ///< of the tag's 16; the last one says which page
  static constexpr std::uint64_t kTagGranules = std::uint64_t{1} << kTagGranuleBits;

  ShardView() = default;
  ShardView(const std::uint8_t* bytes, const ShardSizes& sizes, const PageLayout* layout) noexcept;

  [[nodiscard]] TAUT_INLINE const ShardSizes& sizes() const noexcept { return sizes_; }
  /// Asks for the memory of the pages where the key may lie.
  TAUT_INLINE void ask(std::uint64_t key, KeyPages& asked) const noexcept {
    const Candidates where = candidates(key);
    for (std::size_t i = 0; i < 2; ++i) {
      asked.pages[i] = page_bytes(where.page[i]);
      asked.tags[i] = where.tag[i];
      __builtin_prefetch(asked.pages[i]);
    }
  }
  /// What is held of a row, width 0 if nothing; its values into out, the rest of out as it was.
  RowState read(std::uint64_t key, float* out) const noexcept;
  [[nodiscard]] TAUT_INLINE Candidates candidates(std::uint64_t key) const noexcept {
    return candidates_of_granule(key >> (64 - sizes_.granule_bits));
  }
  [[nodiscard]] TAUT_INLINE Candidates candidates_of_granule(std::uint64_t granule) const noexcept {
    const auto low = static_cast<std::uint16_t>(granule & (kTagGranules - 1));
    return {
        .page = {page_of(granule), page_of(other_granule(granule))},
        .tag = {static_cast<std::uint16_t>(low << 1), static_cast<std::uint16_t>(low << 1 | 1)}};
  }
  /// The granule with the upper bits of its other page; the lower ones are the same.
  [[nodiscard]] TAUT_INLINE std::uint64_t other_granule(std::uint64_t granule) const noexcept {
    const std::uint64_t low = granule & (kTagGranules - 1);
    const std::uint64_t upper_mask =
        (std::uint64_t{1} << (sizes_.granule_bits - kTagGranuleBits)) - 1;
    return granule ^ ((mix64(low) & upper_mask) << kTagGranuleBits);
  }
  /// The granule of the page that a row of this page and tag was found by.
  [[nodiscard]] std::uint64_t page_granule(std::int64_t page, std::int64_t pages,
                                           std::uint16_t tag) const noexcept;
  [[nodiscard]] TAUT_INLINE const std::uint8_t* page_bytes(std::int64_t index) const noexcept {
    return bytes_ + index * layout_->page_bytes;
  }
  [[nodiscard]] PageView page(std::int64_t index) const noexcept {
    return {page_bytes(index), *layout_};
  }
  [[nodiscard]] TAUT_INLINE bool has_pool() const noexcept { return sizes_.pool_slots > 0; }
  /// The slot of a chunk that a row does not hold; the table has a pool.
  [[nodiscard]] TAUT_INLINE const std::uint8_t* pool_slot(std::uint64_t key,
                                                          int chunk) const noexcept {
    return bytes_ + slot_offset(key, chunk);
  }
  /// Asks for the memory of the shared chunks that a row of this width reads; nothing without a
  /// pool.
  TAUT_INLINE void prefetch_slots(std::uint64_t key, int width) const noexcept {
    for (int chunk = width; has_pool() && chunk < layout_->chunks; ++chunk) {
      const std::uint8_t* slot = pool_slot(key, chunk);
      const int bytes = slot_bytes(*layout_);
      for (int line = 0; line < bytes; line += 64) __builtin_prefetch(slot + line);
      __builtin_prefetch(slot + bytes - 1);
    }
  }
  /// Bytes of one pool slot: scale code, Adagrad code, values as low-precision rows have them.
  static constexpr int kSlotHeadBytes = 2;
  [[nodiscard]] TAUT_INLINE static int slot_bytes(const PageLayout& layout) noexcept {
    return kSlotHeadBytes + layout.chunk * bytes_per_value(layout.low);
  }

 protected:
  struct Place {
    std::int64_t page = 0;
    int row = -1;
  };
  [[nodiscard]] Place find(std::uint64_t key) const noexcept { return find(key, candidates(key)); }
  [[nodiscard]] Place find(std::uint64_t key, const Candidates& where) const noexcept {
    for (int i = 0; i < 2; ++i) {
      const int row = page(where.page[i]).find(where.tag[i], key);
      if (row >= 0) return {.page = where.page[i], .row = row};
    }
    return {};
  }
  [[nodiscard]] TAUT_INLINE std::int64_t page_of(std::uint64_t granule) const noexcept {
    // granule * pages >> granule_bits
    return static_cast<std::int64_t>(reduce_range(granule << (64 - sizes_.granule_bits),
                                                  static_cast<std::uint64_t>(sizes_.pages)));
  }
  [[nodiscard]] TAUT_INLINE std::int64_t slot_offset(std::uint64_t key, int chunk) const noexcept {
    constexpr std::uint64_t kChunkName = 0xD6E8FEB86659FD93ull;
    const std::uint64_t hash = mix64(key ^ (static_cast<std::uint64_t>(chunk + 1) * kChunkName));
    const auto slots = static_cast<std::uint64_t>(sizes_.pool_slots);
    return sizes_.pages * layout_->page_bytes +
           static_cast<std::int64_t>(reduce_range(hash, slots)) * slot_bytes(*layout_);
  }

  const std::uint8_t* bytes_ = nullptr;
  const PageLayout* layout_ = nullptr;
  ShardSizes sizes_;
};

/// What all shards read during one step.
struct StepContext {
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  bool sketch = false;  ///< admission by sketch, else sampled
  const RowOptimizer* optimizer = nullptr;
  float cold_learning_rate = 0;
  float initial_accumulator = 0;
  float epsilon = 0;
  float bound = 0;      ///< of initial values
  float inflation = 1;  ///< importances are stored times this: 1 / decay^rebalances
  const WidthRule* rule = nullptr;
};

/// Rows that came and went since the start.
struct ShardCounts {
  std::int64_t admitted = 0;
  std::int64_t evicted = 0;
};

class ElasticShard : public ShardView {
 public:
  /// counter and memory, which its bytes come from, may be null; both outlive the shard.
  ElasticShard(const ShardSizes& sizes, const PageLayout* layout, MemoryCounter* counter,
               std::uint64_t seed, MemoryPool* memory = nullptr);

  /// A shard as it was saved; the caller has checked that bytes and sizes fit.
  ElasticShard(std::span<const std::uint8_t> bytes, const ShardSizes& sizes,
               const ShardCounts& counts, const PageLayout* layout, MemoryCounter* counter,
               MemoryPool* memory = nullptr);

  /// One optimizer step of one row with its summed gradient [dim].
  void update(std::uint64_t key, const float* gradient, const StepContext& context);
  /// The same of all rows in turn, to the bit; most of them in one loop for every instruction set.
  void update_rows(const TouchedRows& rows, const StepContext& context);
  /// The parts of update(), for its loop. q: the gradient's mean square times the inflation.
  void see(std::uint64_t key) noexcept;
  /// A row that is not held may enter. Returns whether bytes of its pages have changed.
  bool update_absent(std::uint64_t key, float q, const float* gradient, const StepContext& context);
  /// A row of a page.
  void update_held(std::uint64_t key, Page page, int row, float q, const float* gradient,
                   const StepContext& context);
  /// Asks for the memory of a row's counters in the sketch.
  void prefetch_sketch(std::uint64_t key) const noexcept;
  /// Takes a row out; fine if it is not held.
  void remove(std::uint64_t key) noexcept;
  /// Puts in a row that is not held, with as much of `most` as the rule wants and room is found
  /// for; what is worth less makes room. values: [most.width * chunk].
  void insert(std::uint64_t key, const float* values, const RowState& most,
              const StepContext& context);
  /// Adds the rows of at most `most` pages, evenly spread, to the histogram; returns how many
  /// pages.
  std::int64_t sample(ImportanceHistogram& rows, std::int64_t most, std::uint64_t round) const;
  /// Divides all importances by 2^octaves.
  void deflate(int octaves);
  /// Distinct keys seen, by the HyperLogLog (Flajolet et al. 2007).
  [[nodiscard]] double distinct_keys() const;
  /// Gives the sketch's and registers' bytes to the pages; rows move to where they belong.
  /// scratch: [page_bytes], so that nothing is allocated.
  void drop_sketch(const StepContext& context, std::span<std::uint8_t> scratch);
  /// Becomes the shard that was saved, of as many bytes; the caller has checked that they fit.
  void restore(std::span<const std::uint8_t> bytes, const ShardSizes& sizes,
               const ShardCounts& counts) noexcept;

  [[nodiscard]] std::span<const std::uint8_t> bytes() const noexcept { return arena_.span(); }
  [[nodiscard]] const ShardCounts& counts() const noexcept { return counts_; }
  /// Takes over the rows, pool and sketch of a shard of other sizes that owned the same keys.
  void adopt(const ElasticShard& old, const StepContext& context);

  /// Bytes that the areas take, in all.
  [[nodiscard]] static std::int64_t total_bytes(const ShardSizes& sizes, const PageLayout& layout);

 private:
  struct Victim {
    int row = -1;
    float density = 0;
  };
  void bind() noexcept;
  void copy_row(const PageView& from, int row, Page to, std::uint16_t tag) noexcept;
  // Moves a row of the page to its other page, so that `bytes` are free here; where there is no
  // room for it, a row of that page moves first, and so on, `depth` rows at most. False: none can
  // go.
  bool spread(std::int64_t index, int bytes, int depth) noexcept;
  // Moves the rows of a page that was number `index` of `old_pages` to where they belong now.
  void move_row(const PageView& from, int row, std::int64_t target, std::uint16_t tag,
                const StepContext& context, RowRandom& random);
  void rehome(const PageView& from, std::int64_t index, std::int64_t old_pages,
              const StepContext& context, RowRandom& random);
  [[nodiscard]] Page mutable_page(std::int64_t index) noexcept {
    return {arena_.data() + index * layout_->page_bytes, *layout_};
  }
  [[nodiscard]] std::uint8_t* mutable_slot(std::uint64_t key, int chunk) noexcept {
    return arena_.data() + slot_offset(key, chunk);
  }
  [[nodiscard]] std::int64_t sketch_offset() const noexcept {
    return sizes_.pages * layout_->page_bytes + sizes_.pool_slots * slot_bytes(*layout_);
  }
  [[nodiscard]] std::uint8_t* sketch() noexcept;
  [[nodiscard]] const std::uint8_t* sketch() const noexcept;
  [[nodiscard]] std::uint8_t* registers() noexcept;
  [[nodiscard]] const std::uint8_t* registers() const noexcept;

  void initialize_pool(std::uint64_t seed);
  [[nodiscard]] std::uint64_t sketch_cell(std::uint64_t key, std::uint64_t i) const noexcept;
  float add_to_sketch(std::uint64_t key, float amount, RowRandom& random) noexcept;
  // The importance with which an absent row enters now, or a negative number.
  float admit(std::uint64_t key, float q, RowRandom& random, const StepContext& context) noexcept;
  // A page with room for a row of one chunk, the row in it; page -1 when nothing there is worth
  // less.
  Place enter(std::uint64_t key, float importance, RowRandom& random, const StepContext& context);
  // Brings the row to what the rule wants, as far as there is room; new values are filled in.
  // Returns whether bytes have moved.
  bool reshape(std::uint64_t key, Page page, int& row, float* values, const StepContext& context,
               RowRandom& random);
  // Frees bytes in the page by giving up what is worth less than density; row `keep` stays whole.
  // first: the cheapest row, where it is known.
  bool make_room(Page page, int bytes, float density, int& keep, const StepContext& context,
                 RowRandom& random, std::optional<Victim> first = std::nullopt);
  [[nodiscard]] Victim cheapest(const Page& page, int keep, const WidthRule& rule) const noexcept;
  void give_up(Page page, int row, const WidthRule& rule, RowRandom& random);
  void write_row(Page page, int row, const float* values, RowRandom& random) noexcept {
    write_row(page, row, page.values(row), values, random);
  }
  // target: page.values(row), where it is known.
  void write_row(Page page, int row, std::uint8_t* target, const float* values,
                 RowRandom& random) noexcept;
  // Adagrad's sums of a row's values from `first` on start at the mean over its dimensions, which
  // is what its importance estimates.
  void start_sums(Page page, int row, int first, float importance, const StepContext& context,
                  RowRandom& random) noexcept;
  // One optimizer step of the first `size` values of a row of this importance, which counts the
  // gradient already; q: the gradient's mean square. entering: nothing of the row is old.
  void step(Page page, int row, float* values, int size, bool entering, float importance, float q,
            const float* gradient, const StepContext& context, RowRandom& random) noexcept;
  void train_pool(std::uint64_t key, int first, const float* gradient, const StepContext& context,
                  RowRandom& random) noexcept;
  void start_values(std::uint64_t key, int first, int last, float* values,
                    const StepContext& context) const noexcept;

  AlignedBuffer<std::uint8_t> arena_;
  ShardCounts counts_;
};

}  // namespace taut::embedding
