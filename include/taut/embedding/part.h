#pragma once
// A collection that several processes hold together: each a part of its rows, under one budget.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "taut/core/file.h"
#include "taut/core/share.h"
#include "taut/embedding/embedding.h"

namespace taut::embedding {

/// The processes that hold a collection, as the part of one of them sees them. All call the same
/// functions in the same order.
class Peers {
 public:
  virtual ~Peers() = default;

  /// Which part this process holds.
  [[nodiscard]] virtual Share share() const noexcept = 0;
  /// Replaces values by their sums over all parts, the same bits on each.
  virtual void sum(std::span<double> values) = 0;
  /// Adds the bytes that the owning part gives (the others give none) to the open section of the
  /// first part's file; the others' files get nothing.
  virtual void append(SectionSink& file, std::int64_t owner, std::span<const std::byte> bytes) = 0;

 protected:
  Peers() = default;
  Peers(const Peers&) = default;
  Peers& operator=(const Peers&) = default;
};

/// One part of a collection, and whose an id is.
struct EmbeddingPart {
  /// Looks up and updates ids that it owns; what it does with others is not defined. Each update is
  /// a step of all parts, also of one that gets no ids. memory_bytes() and statistics() are of this
  /// part, whose budget is the share of options().budget that its rows have.
  /// save() is called by all parts: on the first it writes what one process would have written, its
  /// memory one piece of a shard more. load() reads what one process or any number of parts saved.
  /// read_rows, load_rows, resize_budget and export_frozen are of a whole collection alone.
  std::unique_ptr<Embedding> rows;
  /// The part, of Share::of, that holds an id's row. Threads: any.
  std::function<std::int64_t(std::size_t table, std::uint64_t id)> owner;
};

/// This process's part of the collection that make_embedding() makes of the same options. Ids are
/// dealt by their hashes, in the shards that a collection has for threads (elastic, row, cafe: one
/// for each 64 KiB of budget, at most 64; full: 16; hash: its rows, 64 at a time), so that all
/// parts together hold the same rows, widths and bytes as one process does after the same updates,
/// whatever their number; where there are fewer shards than parts, some hold nothing.
/// Errors: those of make_embedding(), of the whole budget; kUnsupported naming a method that cannot
/// be divided.
[[nodiscard]] EmbeddingPart make_embedding_part(const Options& options,
                                                std::shared_ptr<ThreadPool> pool,
                                                std::shared_ptr<Peers> peers);

}  // namespace taut::embedding
