#pragma once
// Moves real data between simulated accelerators, chunk by chunk, as docs/parallel.md says,
// and counts what crosses each level. The reference for the closed form.

#include <algorithm>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <vector>

#include "taut/core/hash.h"
#include "taut/parallel/split.h"

namespace taut::parallel {

/// A tensor of 2^H batch chunks times 2^H channel chunks; a chunk has one value.
class ChunkMover {
 public:
  ChunkMover(std::vector<Held> made, std::vector<Held> wanted)
      : made_(std::move(made)),
        wanted_(std::move(wanted)),
        levels_(static_cast<int>(made_.size())),
        moved_(levels_, 0),
        held_(std::size_t{1} << levels_) {
    for (int device = 0; device < devices(); ++device) fill(device);
  }

  /// Moves the data; chunks sent at each level.
  const std::vector<double>& run() {
    std::vector<Held> layout = made_;
    for (int h = levels_ - 1; h >= 0; --h) {
      if (made_[h] != Held::kPartial) continue;
      layout[h] = wanted_[h] == Held::kWhole ? Held::kChannel : wanted_[h];
      reduce_scatter(h, layout[h]);
    }
    std::vector<Held> split = layout;
    for (int h = 0; h < levels_; ++h) {
      if (wanted_[h] != Held::kWhole) split[h] = wanted_[h];
    }
    change(split);
    for (int h = 0; h < levels_; ++h) {
      if (wanted_[h] == Held::kWhole) gather(h);
    }
    return moved_;
  }

  /// Every accelerator has exactly the chunks that it wants, with their full sums.
  [[nodiscard]] bool correct() const {
    for (int device = 0; device < devices(); ++device) {
      std::size_t count = 0;
      for (int chunk = 0; chunk < chunks(); ++chunk) {
        if (!pinned(device, chunk, wanted_)) continue;
        ++count;
        const auto found = held_[device].find(chunk);
        if (found == held_[device].end() || found->second != total(chunk)) return false;
      }
      if (held_[device].size() != count) return false;
    }
    return true;
  }

  [[nodiscard]] int chunks() const { return 1 << (2 * levels_); }

 private:
  [[nodiscard]] int devices() const { return 1 << levels_; }
  [[nodiscard]] int bit(int value, int h) const { return (value >> (levels_ - 1 - h)) & 1; }
  [[nodiscard]] int batch_bit(int chunk, int h) const { return bit(chunk >> levels_, h); }
  [[nodiscard]] int channel_bit(int chunk, int h) const { return bit(chunk & (devices() - 1), h); }

  /// Whether a layout gives a chunk to a device: every level that splits a dimension pins its bit.
  [[nodiscard]] bool pinned(int device, int chunk, const std::vector<Held>& layout) const {
    for (int h = 0; h < levels_; ++h) {
      if (layout[h] == Held::kBatch && batch_bit(chunk, h) != bit(device, h)) return false;
      if (layout[h] == Held::kChannel && channel_bit(chunk, h) != bit(device, h)) return false;
    }
    return true;
  }

  /// A device's share of a chunk: partial sums differ by the device's bits at partial levels.
  [[nodiscard]] std::int64_t part(int device, int chunk) const {
    int key = 0;
    for (int h = 0; h < levels_; ++h) {
      if (made_[h] == Held::kPartial) key |= bit(device, h) << h;
    }
    return static_cast<std::int64_t>(
        hash_combine(static_cast<std::uint64_t>(chunk), static_cast<std::uint64_t>(key)) % 1000);
  }

  [[nodiscard]] std::int64_t total(int chunk) const {
    std::map<int, std::int64_t> parts;
    for (int device = 0; device < devices(); ++device) {
      int key = 0;
      for (int h = 0; h < levels_; ++h) {
        if (made_[h] == Held::kPartial) key |= bit(device, h) << h;
      }
      parts[key] = part(device, chunk);
    }
    std::int64_t sum = 0;
    for (const auto& [key, value] : parts) sum += value;
    return sum;
  }

  void fill(int device) {
    for (int chunk = 0; chunk < chunks(); ++chunk) {
      if (pinned(device, chunk, made_)) held_[device][chunk] = part(device, chunk);
    }
  }

  /// Partners at level h each keep their half of what both hold and add the other's sums to it.
  void reduce_scatter(int h, Held keep) {
    const std::vector<std::map<int, std::int64_t>> before = held_;
    for (int device = 0; device < devices(); ++device) {
      const int partner = device ^ (1 << (levels_ - 1 - h));
      std::map<int, std::int64_t> kept;
      for (const auto& [chunk, value] : before[device]) {
        const int side = keep == Held::kBatch ? batch_bit(chunk, h) : channel_bit(chunk, h);
        if (side != bit(device, h)) {
          ++moved_[h];  // sent to the partner
          continue;
        }
        kept[chunk] = value + before[partner].at(chunk);
      }
      held_[device] = std::move(kept);
    }
  }

  /// Each wanted chunk comes straight from the one device that has it; counted at the highest level
  /// that the two are apart.
  void change(const std::vector<Held>& layout) {
    const std::vector<std::map<int, std::int64_t>> before = held_;
    for (int device = 0; device < devices(); ++device) {
      held_[device].clear();
      for (int chunk = 0; chunk < chunks(); ++chunk) {
        if (!pinned(device, chunk, layout)) continue;
        int holder = -1;
        for (int other = 0; other < devices(); ++other) {
          if (!before[other].contains(chunk)) continue;
          if (holder < 0 || level_between(device, other) > level_between(device, holder)) {
            holder = other;
          }
        }
        if (holder < 0) throw std::logic_error("nobody has the chunk");
        held_[device][chunk] = before[holder].at(chunk);
        if (holder != device) ++moved_[level_between(device, holder)];
      }
    }
  }

  /// The top-most level at which two devices are apart; levels_ for the same device.
  [[nodiscard]] int level_between(int a, int b) const {
    for (int h = 0; h < levels_; ++h) {
      if (bit(a, h) != bit(b, h)) return h;
    }
    return levels_;
  }

  void gather(int h) {
    const std::vector<std::map<int, std::int64_t>> before = held_;
    for (int device = 0; device < devices(); ++device) {
      const int partner = device ^ (1 << (levels_ - 1 - h));
      for (const auto& [chunk, value] : before[partner]) {
        held_[device].emplace(chunk, value);
        ++moved_[h];
      }
    }
  }

  std::vector<Held> made_;
  std::vector<Held> wanted_;
  int levels_;
  std::vector<double> moved_;
  std::vector<std::map<int, std::int64_t>> held_;
};

}  // namespace taut::parallel
