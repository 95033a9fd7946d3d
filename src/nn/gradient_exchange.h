#pragma once
// Sums of gradients over workers, which travel while the pass back goes on.

#include <torch/types.h>

#include <atomic>
#include <deque>
#include <memory>
#include <vector>

#include "taut/core/share.h"
#include "taut/dist/overlap.h"
#include "taut/dist/process_group.h"

namespace taut::nn {

/// Gradients of all parameters, summed over the slices of each worker in their order, then over
/// workers in the order of ranks. A pass back gives those of the last layers first: parameters are
/// dealt to buckets from the last to the first, and a bucket is sent once all slices have given it.
/// Threads: put() by any, for slices and parameters that differ; the others by one.
class GradientExchange {
 public:
  /// parameters: in the order of the layers.
  GradientExchange(std::shared_ptr<dist::ProcessGroup> workers,
                   const std::vector<torch::Tensor>& parameters);

  /// So many slices of this worker follow, maybe none. What is given up when a step fails.
  [[nodiscard]] dist::Overlap& start(std::size_t slices);
  /// A slice's gradient of a parameter, which stays as it is until finish(); once for each.
  void put(std::size_t slice, std::size_t parameter, const torch::Tensor& gradient);
  /// Waits for all. The sums by parameter; gradients: of the slices, as they were put, the first of
  /// which become the sums. Errors: those of ProcessGroup.
  [[nodiscard]] std::vector<torch::Tensor> finish(
      const std::vector<std::vector<torch::Tensor>>& gradients);

 private:
  struct Bucket {
    std::size_t first = 0;  ///< of its parameters, [first, end)
    std::size_t end = 0;
    Range values;                       ///< of the sums
    std::atomic<std::int64_t> missing;  ///< gradients of its parameters that slices still owe
  };

  [[nodiscard]] torch::Tensor sum_of(std::size_t parameter) const;
  void add_slices(const Bucket& bucket);
  void send(std::int64_t number);

  std::shared_ptr<dist::ProcessGroup> workers_;
  std::vector<torch::Tensor> parameters_;
  torch::Tensor sums_;            ///< of all parameters, the last first
  std::vector<std::int64_t> at_;  ///< where a parameter's begin
  std::vector<std::size_t> bucket_of_;
  std::deque<Bucket> buckets_;
  std::vector<std::vector<torch::Tensor>> given_;  ///< by slice, then parameter
  dist::Overlap overlap_;
};

}  // namespace taut::nn
