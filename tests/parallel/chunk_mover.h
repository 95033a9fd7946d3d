#pragma once
// Moves real data between simulated accelerators, chunk by chunk, as docs/parallel.md ("Three cost
// tables") says, and counts what crosses each level. The reference for the closed form.

#include <algorithm>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <vector>

#include "taut/core/hash.h"
#include "taut/parallel/split.h"

namespace taut::parallel {

/// A tensor of as many batch chunks as there are devices, times as many channel chunks; a chunk has
/// one value.
class ChunkMover {
 public:
  /// groups: how many each level joins; two where it is empty.
  ChunkMover(std::vector<Held> made, std::vector<Held> wanted, std::vector<int> groups = {})
      : made_(std::move(made)),
        wanted_(std::move(wanted)),
        groups_(groups.empty() ? std::vector<int>(made_.size(), 2) : std::move(groups)),
        levels_(static_cast<int>(made_.size())),
        moved_(levels_, 0) {
    for (const int joined : groups_) devices_ *= joined;
    held_.resize(devices_);
    for (int device = 0; device < devices(); ++device) fill(device);
  }

  /// Moves the data; chunks sent at each level.
  const std::vector<double>& run() {
    std::vector<Held> layout = made_;
    for (int h = 0; h < levels_; ++h) {
      if (made_[h] == Held::kWhole) layout[h] = wanted_[h];
    }
    cut(layout);
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
      if (wanted_[h] == Held::kWhole && made_[h] != Held::kWhole) gather(h);
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

  [[nodiscard]] int chunks() const { return devices_ * devices_; }

 private:
  [[nodiscard]] int devices() const { return devices_; }
  /// Devices of one of the groups that a level joins.
  [[nodiscard]] int stride(int h) const {
    int size = 1;
    for (int below = h + 1; below < levels_; ++below) size *= groups_[below];
    return size;
  }
  [[nodiscard]] int digit(int value, int h) const { return value / stride(h) % groups_[h]; }
  [[nodiscard]] int batch_digit(int chunk, int h) const { return digit(chunk / devices_, h); }
  [[nodiscard]] int channel_digit(int chunk, int h) const { return digit(chunk % devices_, h); }
  /// The devices at the same place in the other groups of a level.
  [[nodiscard]] std::vector<int> partners(int device, int h) const {
    std::vector<int> found;
    for (int other = 0; other < groups_[h]; ++other) {
      const int apart = other - digit(device, h);
      if (apart != 0) found.push_back(device + apart * stride(h));
    }
    return found;
  }

  /// Whether a layout gives a chunk to a device: every level that splits a dimension pins its
  /// digit.
  [[nodiscard]] bool pinned(int device, int chunk, const std::vector<Held>& layout) const {
    for (int h = 0; h < levels_; ++h) {
      if (layout[h] == Held::kBatch && batch_digit(chunk, h) != digit(device, h)) return false;
      if (layout[h] == Held::kChannel && channel_digit(chunk, h) != digit(device, h)) return false;
    }
    return true;
  }

  /// A device's digits at partial levels, as one number.
  [[nodiscard]] int partial_key(int device) const {
    int key = 0;
    for (int h = 0; h < levels_; ++h) {
      if (made_[h] == Held::kPartial) key = key * groups_[h] + digit(device, h);
    }
    return key;
  }

  /// A device's share of a chunk: partial sums differ by the device's digits at partial levels.
  [[nodiscard]] std::int64_t part(int device, int chunk) const {
    const int key = partial_key(device);
    return static_cast<std::int64_t>(
        hash_combine(static_cast<std::uint64_t>(chunk), static_cast<std::uint64_t>(key)) % 1000);
  }

  [[nodiscard]] std::int64_t total(int chunk) const {
    std::map<int, std::int64_t> parts;
    for (int device = 0; device < devices(); ++device) {
      parts[partial_key(device)] = part(device, chunk);
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

  /// Every device keeps what a layout gives to it.
  void cut(const std::vector<Held>& layout) {
    for (int device = 0; device < devices(); ++device) {
      std::erase_if(held_[device],
                    [&](const auto& chunk) { return !pinned(device, chunk.first, layout); });
    }
  }

  /// Partners at level h each keep their part of what all hold and add the others' sums to it.
  void reduce_scatter(int h, Held keep) {
    const std::vector<std::map<int, std::int64_t>> before = held_;
    for (int device = 0; device < devices(); ++device) {
      std::map<int, std::int64_t> kept;
      for (const auto& [chunk, value] : before[device]) {
        const int side = keep == Held::kBatch ? batch_digit(chunk, h) : channel_digit(chunk, h);
        if (side != digit(device, h)) {
          ++moved_[h];  // sent to the partner whose it is
          continue;
        }
        std::int64_t& sum = kept[chunk] = value;
        for (const int partner : partners(device, h)) sum += before[partner].at(chunk);
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
      if (digit(a, h) != digit(b, h)) return h;
    }
    return levels_;
  }

  void gather(int h) {
    const std::vector<std::map<int, std::int64_t>> before = held_;
    for (int device = 0; device < devices(); ++device) {
      for (const int partner : partners(device, h)) {
        for (const auto& [chunk, value] : before[partner]) {
          held_[device].emplace(chunk, value);
          ++moved_[h];
        }
      }
    }
  }

  std::vector<Held> made_;
  std::vector<Held> wanted_;
  std::vector<int> groups_;
  int levels_;
  int devices_ = 1;
  std::vector<double> moved_;
  std::vector<std::map<int, std::int64_t>> held_;
};

}  // namespace taut::parallel
