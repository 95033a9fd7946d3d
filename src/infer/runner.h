#pragma once
// A network made ready, and how a few examples pass through it: what Engine is made of.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "infer/attention.h"
#include "infer/layers.h"
#include "infer/plan.h"
#include "infer/product.h"
#include "infer/scratch.h"
#include "taut/core/thread_pool.h"
#include "taut/graph/network.h"
#include "taut/infer/engine.h"

namespace taut::infer {

/// What a batch is computed from, and the place of a piece in it.
struct Piece {
  const float* values = nullptr;    ///< [rows, Network::input]
  const float* embedded = nullptr;  ///< [rows, tables, dim]
  std::int64_t rows = 0;
};

/// What a step took and found, summed over pieces.
struct StepTimes {
  double seconds = 0;
  double selection_seconds = 0;  ///< of what is chosen as a step writes: its threads' mean
  ProductCounts counts = {};
};

/// Threads: run() may be called at once, with different pools.
class Runner {
 public:
  /// See Engine. Errors: those of its constructor, but for what concerns tables.
  Runner(const graph::Network& network, const EngineOptions& options);

  [[nodiscard]] const graph::Network& network() const noexcept { return network_; }
  [[nodiscard]] const Plan& plan() const noexcept { return plan_; }
  /// Examples that are computed at a time.
  [[nodiscard]] std::int64_t piece() const noexcept { return piece_; }
  /// Multiply-adds of one example from all channels, and values that are written.
  [[nodiscard]] double work() const noexcept { return work_; }
  /// Null for a step without one.
  [[nodiscard]] const Product* product(std::size_t step) const {
    return ready_[step].product ? &*ready_[step].product : nullptr;
  }

  /// Writes logits [of.rows, outputs]. times: by step, added to; or empty: nothing is timed.
  void run(const Piece& of, Kernel kernel, float* logits, ThreadPool& pool,
           std::span<StepTimes> times) const;

 private:
  // A step's numbers as the kernels read them; what it does not have is empty.
  struct Ready {
    std::optional<Product> product;
    std::optional<Attention> attention;
    DepthwiseWeights depthwise;
    ChannelScale norm;
    Finish finish;                     // but for what is added
    std::vector<std::int64_t> widths;  // of what is put side by side, an input each
  };
  struct Work;
  class Choice;

  void prepare(std::size_t number, const EngineOptions& options);
  void prepare_finish(const Step& step, Ready& ready) const;
  [[nodiscard]] std::int64_t vectors_of(const graph::Layer& layer) const;
  [[nodiscard]] float* place_of(std::size_t step, const Work& work) const;
  [[nodiscard]] const float* output_of(int layer, const Work& work) const;
  [[nodiscard]] const float* input_of(const Step& step, const Work& work) const;
  [[nodiscard]] std::span<const float* const> inputs_of(const graph::Layer& layer,
                                                        const Work& work) const;
  ProductCounts apply(std::size_t number, const Work& work, const PositionsWritten& written) const;
  void apply_plain(std::size_t number, const Work& work) const;
  void interact_inputs(const graph::Layer& layer, const Ready& ready, const Work& work,
                       float* y) const;
  void copy_pooled(const graph::Layer& layer, const Work& work, float* y) const;
  ProductCounts apply_and_choose(std::size_t number, const Work& work, double& seconds) const;

  const graph::Network& network_;
  Plan plan_;
  std::vector<Ready> ready_;  // by step
  std::int64_t rounded_floats_ = 0;
  std::int64_t gathered_floats_ = 0;
  std::size_t most_inputs_ = 0;  // of a layer
  std::int64_t piece_ = 1;
  double work_ = 1;
  mutable ScratchPool scratch_;
};

}  // namespace taut::infer
