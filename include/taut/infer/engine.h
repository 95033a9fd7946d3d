#pragma once
// Computes a network's outputs from its layers, without LibTorch.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "taut/core/spelling.h"
#include "taut/core/thread_pool.h"
#include "taut/embedding/embedding.h"
#include "taut/graph/network.h"

namespace taut::infer {

/// How an engine keeps the fp32 weights of linear layers. Convolutions keep theirs in fp32, large
/// linear layers in 8 bits their codes (docs/infer.md, "Weights in fewer bits").
enum class WeightType {
  kFloat32,   ///< as the network has them
  kBfloat16,  ///< rounded to the nearest bf16, ties to even: half the memory, other answers
};
constexpr auto spellings(std::type_identity<WeightType>) {
  return std::to_array<Spelling<WeightType>>(
      {{"fp32", WeightType::kFloat32}, {"bf16", WeightType::kBfloat16}});
}

/// How a network is made ready.
struct EngineOptions {
  WeightType weights = WeightType::kFloat32;
};

/// What a network reads of a batch. Views only.
struct Inputs {
  std::int64_t batch = 0;
  /// [batch, height, width, channels] of Network::input: normalized images, or scaled columns.
  std::span<const float> values;
  /// One a table of the network; empty where it has none.
  std::span<const embedding::JaggedIds> ids = {};
};

/// What a few layers that are computed in one go took for a batch, the least of some passes.
struct LayerTimes {
  std::vector<std::string> layers;  ///< their names
  graph::Op op = graph::Op::kRelu;  ///< of the first
  graph::Shape in;                  ///< of the first, for one example
  graph::Shape out;                 ///< of the last
  bool has_lists = false;    ///< it can be computed from lists; else the times are one and the same
  double density = 1;        ///< share of its input that is not zero, as counted to choose
  double listed = 0;         ///< share of its work that was computed from lists
  double seconds = 0;        ///< as predict() computes it
  double all_seconds = 0;    ///< from all channels
  double lists_seconds = 0;  ///< from lists
  double selection_seconds = 0;  ///< choosing winners behind it
  /// Inputs, outputs and packed weights once; of a linear layer for one example the weights of the
  /// listed inputs alone.
  double bytes = 0;
};

/// What Engine::measure found.
struct NetworkTimes {
  std::vector<LayerTimes> layers;
  std::vector<double> seconds;    ///< of predict(), ascending
  std::int64_t weight_bytes = 0;  ///< packed weights of all layers
};

/// A network made ready to run: weights are packed in blocks once (a copy of the dense weights, in
/// fp32 but for linear layers as WeightType says; tables stay where they are), layers that follow
/// one another are computed in one go, and convolutions and linear layers are computed from lists
/// of the channels that are not zero where that is faster for the input at hand (docs/infer.md).
/// Values lie channel-last, in memory that is planned when the engine is made, taken by the first
/// calls and kept. What passes through 8 bits is rounded as in training and multiplied in fp32, to
/// the same bits whether a layer keeps codes or not. What is no number is passed on as a dense
/// network does.
/// Threads: predict() may be called at once from several threads with different pools; each such
/// call keeps memory of its own.
class Engine {
 public:
  /// The network must be one that check_model() passes, and live as long, as must the tables: null
  /// where it has none. Errors: kUnsupported naming a layer that cannot be computed, or
  /// whose results for one example do not fit memory.
  explicit Engine(const graph::Network& network, const embedding::FrozenEmbedding* tables = nullptr,
                  const EngineOptions& options = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Values of one example that the last layer gives.
  [[nodiscard]] std::int64_t outputs() const noexcept;
  /// Writes logits [batch, outputs()]. Many examples are spread over the pool; of few, the layers.
  /// The same bits for any number of threads and any cut into batches. Errors: kInvalidArgument for
  /// sizes that differ, naming both.
  void predict(const Inputs& inputs, std::span<float> logits, ThreadPool& pool) const;
  /// Times passes over a batch after one that is not counted: predict(), and all layers from all
  /// channels, from lists and as they are chosen, in turn. Errors: those of predict();
  /// kInvalidArgument for less than one repetition.
  [[nodiscard]] NetworkTimes measure(const Inputs& inputs, int repetitions, ThreadPool& pool) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The instruction set whose kernels run here ("AVX3", "AVX2", "SSE4", "NEON", ...).
[[nodiscard]] std::string kernel_target();

}  // namespace taut::infer
