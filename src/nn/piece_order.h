#pragma once
// The order in which sums over the pieces of a batch are added: one binary tree over the numbers of
// pieces, whoever computed which of them.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "taut/core/share.h"

namespace taut::nn {

/// Pieces [index * 2^level, (index + 1) * 2^level) of a batch: a sum of the tree. A piece alone has
/// level 0.
struct PieceNode {
  int level = 0;
  std::int64_t index = 0;
  friend bool operator==(const PieceNode&, const PieceNode&) = default;
};

/// A stack of sums, as the one who adds them up keeps it. Sums come from left to right; two
/// siblings of the tree become their parent at once, and what has no sibling is added at the end,
/// from the right. So the additions that make the sum of a batch are the same ones, however its
/// pieces were cut into runs of neighbours that somebody added up before.
class PieceOrder {
 public:
  /// Takes the next sum, which becomes the last of the stack. Returns how many times the last is to
  /// be added to the one before it, which takes its place.
  int push(const PieceNode& node) {
    nodes_.push_back(node);
    int merges = 0;
    while (nodes_.size() > 1) {
      const PieceNode& right = nodes_.back();
      PieceNode& left = nodes_[nodes_.size() - 2];
      if (left.level != right.level || left.index % 2 != 0 || left.index + 1 != right.index) break;
      left = {.level = left.level + 1, .index = left.index / 2};
      nodes_.pop_back();
      ++merges;
    }
    return merges;
  }

  /// After all: how many times the last is to be added to the one before it until one is left.
  [[nodiscard]] int merges_at_end() const noexcept {
    return nodes_.empty() ? 0 : static_cast<int>(nodes_.size()) - 1;
  }

  [[nodiscard]] const std::vector<PieceNode>& nodes() const noexcept { return nodes_; }
  void clear() noexcept { nodes_.clear(); }

 private:
  std::vector<PieceNode> nodes_;
};

/// What is left on the stack of one who has these pieces, [begin, end): at most two sums a level,
/// and one alone where workers are a power of two that divides a number of pieces that is one.
[[nodiscard]] inline std::vector<PieceNode> nodes_of(const Range& pieces) {
  PieceOrder order;
  for (std::int64_t piece = pieces.begin; piece < pieces.end(); ++piece) {
    static_cast<void>(order.push({.level = 0, .index = piece}));
  }
  return order.nodes();
}

}  // namespace taut::nn
