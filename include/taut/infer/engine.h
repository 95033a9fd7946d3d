#pragma once
// Computes a network's outputs from its layers, without LibTorch.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "taut/core/thread_pool.h"
#include "taut/embedding/embedding.h"
#include "taut/graph/network.h"

namespace taut::infer {

/// What a network reads of a batch. Views only.
struct Inputs {
  std::int64_t batch = 0;
  /// [batch, height, width, channels] of Network::input: normalized images, or scaled columns.
  std::span<const float> values;
  /// One a table of the network; empty where it has none.
  std::span<const embedding::JaggedIds> ids = {};
};

/// A network made ready to run: weights are turned to input-major once (a copy of the dense weights
/// in fp32; tables stay where they are). Values lie channel-last; a thread works on a few examples
/// at a time, in memory that is planned when the engine is made and taken once a call and thread.
/// What passes through 8 bits is rounded as in training and multiplied in fp32.
/// Threads: predict() may be called at once from several threads with different pools.
class Engine {
 public:
  /// The network must be one that check_model() passes, and live as long, as must the tables: null
  /// where it has none. Errors: kUnsupported naming a layer that cannot be computed (attention), or
  /// whose results for one example do not fit memory.
  explicit Engine(const graph::Network& network,
                  const embedding::FrozenEmbedding* tables = nullptr);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Values of one example that the last layer gives.
  [[nodiscard]] std::int64_t outputs() const noexcept;
  /// Writes logits [batch, outputs()]. The same bits for any number of threads and any cut into
  /// batches. Errors: kInvalidArgument for sizes that differ, naming both.
  void predict(const Inputs& inputs, std::span<float> logits, ThreadPool& pool) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The instruction set whose kernels run here ("AVX3", "AVX2", "SSE4", "NEON", ...).
[[nodiscard]] std::string kernel_target();

}  // namespace taut::infer
