#pragma once
// The core of attention (Vaswani et al. 2017, section 3.2): softmax of queries times keys, times
// values, head by head.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "infer/scratch.h"
#include "taut/core/thread_pool.h"
#include "taut/graph/network.h"

namespace taut::infer {

/// One attention layer's sizes, and where its parts lie.
class Attention {
 public:
  /// A layer of a sound network, with its values (check_model).
  Attention(const graph::Network& network, std::size_t layer);

  /// Multiply-adds of one example.
  [[nodiscard]] double products() const noexcept;
  /// Floats that a task borrows while it is computed.
  [[nodiscard]] std::int64_t scratch_floats() const noexcept;

  /// xs: what the layer's inputs give for `rows` examples, one or three of them; y the output of as
  /// many. Scores of a few queries of one head are there at a time. Heads, and pieces of the
  /// queries where these are few, are spread over the pool; bits depend on neither pool nor rows.
  void run(std::span<const float* const> xs, std::int64_t rows, float* y, ScratchPool& scratch,
           ThreadPool& pool) const;

 private:
  // Queries, keys or values of one head: floats from one position to the next, and of an example.
  struct Part {
    std::size_t input = 0;
    std::int64_t begin = 0;   // of the first head
    std::int64_t stride = 0;  // from position to position
    std::int64_t size = 0;    // of an example of that input
    std::int64_t width = 0;   // of a head
  };
  [[nodiscard]] const float* place(const Part& part, std::span<const float* const> xs,
                                   std::int64_t example, std::int64_t head) const;
  void run_head(std::span<const float* const> xs, std::int64_t example, std::int64_t head,
                std::int64_t begin, std::int64_t end, float* memory, float* y) const;

  std::array<Part, 3> parts_;  // queries, keys, values
  std::int64_t heads_;
  std::int64_t queries_;
  std::int64_t keys_;
  float scale_;
  std::span<const float> mask_;
  std::int64_t masks_;
  bool mask_replaces_;
  bool nan_is_zero_;
};

}  // namespace taut::infer
