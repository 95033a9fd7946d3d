#pragma once
// What training a network of images and a recommender share: the network, its values, its
// optimizer, and batches cut into slices.

#include <torch/optim/optimizer.h>
#include <torch/types.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "nn/network_forward.h"
#include "nn/one_thread.h"
#include "nn/optimizer.h"
#include "nn/tensor_sections.h"
#include "taut/core/thread_pool.h"
#include "taut/dist/process_group.h"
#include "taut/nn/named_tensor.h"

namespace taut::nn {

/// Examples [begin, begin + size) of a batch: what one thread computes at a time. All slices of a
/// batch but the last have the same size, whatever the number of threads, and what they give is
/// added in their order: the same bits for any number of threads.
struct Slice {
  std::int64_t index = 0;
  std::int64_t begin = 0;
  std::int64_t size = 0;
};

/// Values of gradients that travel at once, at most: little beside the gradients. Sums do not
/// depend on it (dist::ProcessGroup).
constexpr std::int64_t kGradientMessage = std::int64_t{1} << 20;
/// Values of gradients that are sent while the rest is computed: enough that the time of a message
/// does not matter.
constexpr std::int64_t kGradientBucket = std::int64_t{1} << 18;

/// A network that learns. Threads: one call at a time.
class Program {
 public:
  /// Errors: kConfig (check_computable).
  Program(Network described, Start start, std::uint64_t seed, std::shared_ptr<ThreadPool> threads,
          std::int64_t slice_size);
  virtual ~Program() = default;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  /// Calls body(slice) for every slice of a batch, each on one thread that runs LibTorch alone.
  template <typename Body>
  void for_slices(std::int64_t batch, Body&& body) const {
    pool->run(slices(batch), [&](std::int64_t index) {
      use_one_torch_thread();
      body(slice_at(batch, index));
    });
  }
  [[nodiscard]] std::int64_t slices(std::int64_t batch) const {
    return (batch + slice_size - 1) / slice_size;
  }
  [[nodiscard]] Slice slice_at(std::int64_t batch, std::int64_t index) const {
    const std::int64_t begin = index * slice_size;
    return {.index = index, .begin = begin, .size = std::min(slice_size, batch - begin)};
  }

  /// Rates at the sites from now on: none (dense), one for all, or one each. Errors: kConfig for
  /// another number or a rate outside (0, 1].
  void set_rates(const std::vector<double>& rates);

  /// Errors: kConfig for a name that is not offered.
  void set_optimizer(const OptimizerChoice& choice, const std::vector<ParameterGroup>& groups);
  /// Sums by parameter of the gradients of slices (slice, then parameter), at least one;
  /// the first slice's become the sums.
  [[nodiscard]] static std::vector<torch::Tensor> sums_of(
      const std::vector<std::vector<torch::Tensor>>& gradients);
  /// One step on the mean over the batch of summed gradients, by parameter, which are used up.
  void step(std::vector<torch::Tensor> sums, std::int64_t batch);

  /// Replaces each tensor by its sum over the workers, who give tensors of the same sizes.
  void add_over_workers(const std::vector<torch::Tensor>& sums) const;

  /// Values by name, as sections "values/..." and "optimizer/...".
  void save(TensorWriter& file) const;
  /// What load() read and checked, to be taken over at once.
  struct Loaded {
    std::vector<std::pair<torch::Tensor, torch::Tensor>> values;  ///< where to, what
    std::vector<OptimizerState> states;  ///< by parameter; empty: stays as it is
  };
  /// Reads without changing anything. Errors: kFormat (TensorReader; another optimizer).
  [[nodiscard]] Loaded read(const TensorReader& file, bool state) const;
  void take(Loaded loaded);

  /// By name, as plain numbers.
  [[nodiscard]] std::vector<NamedTensor> named(const NetworkValues& of) const;
  [[nodiscard]] std::int64_t parameter_count() const;

  Network network;
  NetworkValues values;
  std::shared_ptr<ThreadPool> pool;
  std::int64_t slice_size;
  std::vector<torch::Tensor> parameters;  ///< trained ones, in the order of the layers
  std::vector<std::string> parameter_names;
  std::string optimizer_name;
  std::unique_ptr<torch::optim::Optimizer> optimizer;
  std::shared_ptr<dist::ProcessGroup> workers;  ///< that step together; null: this process alone
};

/// `rates` for each of so many sites; empty stays empty. Errors as Program::set_rates.
[[nodiscard]] std::vector<double> rates_by_site(const std::vector<double>& rates,
                                                std::size_t sites);

/// Throws kInvalidArgument ("size of ... must be ...") for a span of another size.
void require_size(std::string_view argument, std::int64_t wanted, std::size_t got);

/// Throws kData for a summed loss that is not finite, with advice.
void require_finite(double loss, std::string_view advice);

/// [shape] over numbers that the caller keeps alive; not written to.
[[nodiscard]] torch::Tensor view_of(std::span<const float> values, std::int64_t offset,
                                    at::IntArrayRef shape);

}  // namespace taut::nn
