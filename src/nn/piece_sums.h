#pragma once
// Gradients of all parameters, added up over the pieces of a batch in the order of PieceOrder.

#include <ATen/ATen.h>

#include <vector>

#include "nn/piece_order.h"
#include "taut/core/share.h"
#include "taut/dist/process_group.h"

namespace taut::nn {

/// The sums that are not yet one: as many as the stack of PieceOrder is high, so of P pieces at
/// most 1 + log2(P) rounded up. Memory is kept for the next batch. Threads: one call at a time; but
/// values that differ may be written and merged at once, and those of other buckets while one
/// thread is in add_bucket().
class PieceSums {
 public:
  /// Sums lie as the parameters do: matrices turned, the others plain.
  explicit PieceSums(const std::vector<at::Tensor>& parameters);

  /// Where a piece's gradient goes, and how many sums it completes there.
  struct Place {
    std::size_t slot = 0;
    int merges = 0;
  };

  /// Forgets all sums.
  void start() noexcept { order_.clear(); }
  /// The next piece, which is number `index` of the batch; its values must be written (values())
  /// and merged (merge()) before the one after it.
  [[nodiscard]] Place next(std::int64_t index);
  /// After the last piece: what makes one sum of all, in slot 0.
  [[nodiscard]] Place end() const noexcept;

  /// Laid out as the parameter.
  [[nodiscard]] const at::Tensor& values(std::size_t slot, std::size_t parameter) const {
    return slots_[slot].values[parameter];
  }
  /// Adds values [begin, begin + count) of a parameter, as they lie, as often as the place says.
  void merge(const Place& place, std::size_t parameter, std::int64_t begin,
             std::int64_t count) const;

  /// The parameters' sums in slot 0, all of them zero where no piece was taken.
  [[nodiscard]] const std::vector<at::Tensor>& total();

  /// After next() of all pieces, before add_bucket(): what the workers have of the pieces of a
  /// batch, dealt by share_of().
  void start_buckets(const dist::ProcessGroup& workers, std::int64_t pieces);
  /// Values are exchanged in so many buckets.
  [[nodiscard]] std::int64_t buckets() const noexcept;
  /// The buckets, [begin, end), in which values [begin, begin + count) of a parameter lie.
  [[nodiscard]] Range buckets_of(std::size_t parameter, std::int64_t begin,
                                 std::int64_t count) const;
  /// The sums of a bucket over the pieces of all workers, in slot 0: bits of one process that had
  /// all pieces. Each value of a sum of the stack goes to the worker that adds it, and its total to
  /// all: the words of an all-reduce where each has one sum. Errors: those of ProcessGroup.
  void add_bucket(dist::ProcessGroup& workers, std::int64_t number);

 private:
  struct Slot {
    at::Tensor flat;
    std::vector<at::Tensor> values;
  };

  void make_slot();
  [[nodiscard]] float* flat(std::size_t slot) const {
    return slots_[slot].flat.mutable_data_ptr<float>();
  }

  std::vector<at::Tensor> like_;
  std::vector<std::int64_t> at_;  ///< where a parameter's values begin
  std::int64_t count_ = 0;        ///< values of all parameters
  std::vector<Slot> slots_;
  PieceOrder order_;
  std::vector<std::vector<PieceNode>> nodes_;  ///< what each worker has
  std::vector<float> sent_;
  std::vector<float> received_;
};

}  // namespace taut::nn
