#pragma once
// Which shards of a collection a process holds, where several hold it together.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "taut/core/share.h"
#include "taut/embedding/part.h"

namespace taut::embedding {

/// Things 0 .. total - 1 dealt to the parts of a collection, or all of them to one process.
/// Threads: reading is free.
class Dealt {
 public:
  /// peers: null where one process holds all. piece: so many that follow one another have one
  /// owner.
  Dealt(std::int64_t total, std::shared_ptr<Peers> peers, std::int64_t piece = 1)
      : total_(total), piece_(piece), peers_(std::move(peers)), mine_{.begin = 0, .size = total} {
    if (peers_ != nullptr) mine_ = share_of(total, piece, peers_->share());
  }

  /// False: one process holds all, also where there come to be another number of things.
  [[nodiscard]] bool is_divided() const noexcept { return peers_ != nullptr; }
  [[nodiscard]] std::int64_t total() const noexcept { return total_; }
  /// Of a divided collection.
  [[nodiscard]] const Range& mine() const noexcept { return mine_; }
  [[nodiscard]] bool is_mine(std::int64_t index) const noexcept {
    return !is_divided() || (index >= mine_.begin && index < mine_.end());
  }
  [[nodiscard]] std::int64_t owner(std::int64_t index) const noexcept {
    if (!is_divided()) return 0;
    // The last part p with pieces * p / parts <= the piece's number.
    const std::int64_t pieces = (total_ + piece_ - 1) / piece_;
    return ((index / piece_ + 1) * peers_->share().of - 1) / pieces;
  }

  /// Sums over all parts; of one process they stay as they are.
  void sum(std::span<double> values) const {
    if (is_divided()) peers_->sum(values);
  }
  /// Adds thing `index`'s bytes, which its owner gives, to the open section.
  void append(SectionSink& file, std::int64_t index, std::span<const std::byte> bytes) const {
    if (!is_divided()) return file.append(bytes.data(), bytes.size());
    peers_->append(file, owner(index), bytes);
  }
  /// Adds what all parts give, one after another. Of a divided collection.
  void append_all(SectionSink& file, std::span<const std::byte> mine) const {
    const Share share = peers_->share();
    for (std::int64_t part = 0; part < share.of; ++part) {
      peers_->append(file, part, part == share.index ? mine : std::span<const std::byte>());
    }
  }

 private:
  std::int64_t total_;
  std::int64_t piece_;
  std::shared_ptr<Peers> peers_;
  Range mine_;
};

}  // namespace taut::embedding
