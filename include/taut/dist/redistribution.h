#pragma once
// Tensors that lie over an array of workers, and how they come to lie otherwise: docs/parallel.md,
// "Three cost tables", done with real data.

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "taut/dist/process_group.h"
#include "taut/parallel/split.h"

namespace taut::dist {

/// How a tensor lies over the levels of an array, top level first.
using Layout = std::vector<parallel::Held>;

/// A tensor of samples times channels, a channel of a sample having `inner` values that stay
/// together (places of a map). Both dimensions are cut into 2^H chunks, which differ by at most
/// one.
struct TensorShape {
  std::int64_t samples = 0;
  std::int64_t channels = 0;
  std::int64_t inner = 1;
  [[nodiscard]] std::int64_t values() const noexcept { return samples * channels * inner; }
};

/// Chunks of both dimensions that a worker has, rising: what it has is their product.
struct HeldChunks {
  std::vector<int> samples;
  std::vector<int> channels;
};

/// Which chunks a worker has under a layout: a level that splits a dimension pins the worker's bit
/// of that level in the number of the chunk; others leave it free. Requires 0 <= worker < 2^H.
[[nodiscard]] HeldChunks chunks_of(const Layout& layout, int worker);

/// Samples and channels of what a worker has; inner as it was.
[[nodiscard]] TensorShape held_shape(const TensorShape& whole, const Layout& layout, int worker);

/// Copies what a worker has under a layout out of a whole tensor [samples, channels, inner].
[[nodiscard]] std::vector<float> take_held(std::span<const float> whole, const TensorShape& shape,
                                           const Layout& layout, int worker);

/// Puts what a worker has under a layout into its places of a whole tensor.
void put_held(std::span<const float> held, const TensorShape& shape, const Layout& layout,
              int worker, std::span<float> whole);

/// 2^H workers as a binary array: bit H - 1 - h of a rank is its group at level h, level 0 being
/// the top one. Threads: one call at a time.
class WorkerArray {
 public:
  /// All workers of the group make one. Errors: kConfig unless they are a power of two, at most
  /// 2^parallel::kMaxLevels; those of ProcessGroup.
  explicit WorkerArray(std::shared_ptr<ProcessGroup> group);

  [[nodiscard]] int levels() const noexcept { return levels_; }
  [[nodiscard]] const std::shared_ptr<ProcessGroup>& group() const noexcept { return group_; }

  /// This worker and its partner at a level. Requires 0 <= level < levels().
  [[nodiscard]] ProcessGroup& pair(int level) { return across({level}); }

  /// The workers whose bits are this worker's at all levels but those chosen, which are rising.
  /// Made at the first call; all workers ask for the same levels in the same order.
  [[nodiscard]] ProcessGroup& across(const std::vector<int>& levels);

  /// What this worker has of a tensor under `made` ([samples, channels, inner] of held_shape())
  /// becomes what it has under `wanted`, with partial sums added up: reduce-scatters, deepest level
  /// first, then one change of splits, then all-gathers, top level first. Two partners' sums are
  /// added lower rank first, so bits are the same from run to run.
  /// Errors: kInvalidArgument for layouts of another depth, a made kWhole, a wanted kPartial or
  /// held values of another size; those of ProcessGroup.
  [[nodiscard]] std::vector<float> move(std::span<const float> held, const TensorShape& shape,
                                        const Layout& made, const Layout& wanted, Cause cause);

  /// Words that this worker sent by move() at each level; what a change of splits sends counts at
  /// the highest level that the two workers are apart at.
  [[nodiscard]] const std::vector<std::int64_t>& words_by_level() const noexcept { return words_; }

 private:
  struct Piece;
  [[nodiscard]] int partner(int level) const noexcept;
  void reduce_scatter(Piece& piece, int level, parallel::Held keep, Cause cause);
  void change(Piece& piece, const Layout& wanted, Cause cause);
  void all_gather(Piece& piece, int level, Cause cause);

  std::shared_ptr<ProcessGroup> group_;
  int levels_ = 0;
  std::map<std::vector<int>, std::shared_ptr<ProcessGroup>> across_;  ///< by levels
  std::vector<std::int64_t> words_;
};

}  // namespace taut::dist
