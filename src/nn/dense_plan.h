#pragma once
// What a training step of the dense half does with each layer, worked out once from the network,
// and the memory that it keeps for it.

#include <cstdint>
#include <vector>

#include "nn/products.h"
#include "nn/program.h"
#include "taut/nn/recommender.h"

namespace taut::nn {

/// A linear layer, with the ReLU behind it.
struct PlannedLinear {
  std::size_t layer = 0;
  std::size_t weight = 0;  ///< number among the program's parameters
  bool has_bias = false;   ///< then the bias is the parameter after the weight
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;
  int relu = -1;  ///< the layer that is its ReLU; -1: none
  /// One output without a ReLU: computed in fp32 by a pass of its own, no matrix product.
  bool is_head = false;
};

/// Inputs [begin, begin + count) of a linear layer: the part of its weight that one thread sums and
/// steps at a time. A bias, and the weight of a head, go with count 0.
struct WeightTile {
  std::size_t linear = 0;
  std::int64_t begin = 0;
  std::int64_t count = 0;
};

/// What the layers of one slice give, and its gradients. Features are of the plan's type, the
/// network's one output and its terms in fp32.
struct SliceMemory {
  // Parts of GroupMemory's.
  std::vector<at::Tensor> outputs;
  std::vector<at::Tensor> gradients;
  at::Tensor input;
  std::vector<at::Tensor> bias_sums;    ///< by linear layer: the gradient of its bias
  std::vector<at::Tensor> weight_sums;  ///< by linear layer: of the weight, if that is a head
  // Of an interaction where the type is not fp32: kInteracted examples in fp32.
  at::Tensor wide_bottom;           ///< what it reads beside the pooled vectors
  at::Tensor wide_bottom_gradient;  ///< the gradient of it
  at::Tensor wide_dots;             ///< what it gives, or the gradient of it
  double loss = 0;
};

/// The same of some slices, one after another, so that weights' gradients are one product.
struct GroupMemory {
  std::vector<at::Tensor> outputs;    ///< by layer; undefined where it gives another's values
  std::vector<at::Tensor> gradients;  ///< by layer, of its output
  at::Tensor input;                   ///< of the network, where the type is not fp32
  std::vector<SliceMemory> slices;
};

/// Threads: reading is free.
class DensePlan {
 public:
  /// program and options outlive the plan; its network is a recommender_network().
  DensePlan(const Program& program, const RecommenderOptions& options);

  /// Turns the program's weights: [outputs, inputs] as before, but each input's lie together,
  /// which makes every product but the first layer's faster.
  static void turn_weights(Program& program);

  [[nodiscard]] GroupMemory room(std::int64_t slices) const;

  /// What a linear layer reads: a layer, or kNetworkInput.
  [[nodiscard]] int read_by(const PlannedLinear& linear) const {
    return source(program.network.layers[linear.layer].inputs[0]);
  }
  /// The linear layer that a layer is; null: it is none.
  [[nodiscard]] const PlannedLinear* linear_of(std::size_t layer) const {
    return linear_at_[layer] < 0 ? nullptr : &linears[static_cast<std::size_t>(linear_at_[layer])];
  }
  [[nodiscard]] const graph::Layer& layer(int number) const {
    return program.network.layers[static_cast<std::size_t>(number)];
  }
  /// The layer whose values a layer gives: of a flattening and of a ReLU those of its input.
  [[nodiscard]] int source(int number) const;
  [[nodiscard]] const at::Tensor& parameter(const PlannedLinear& linear) const {
    return program.parameters[linear.weight];
  }
  /// Null: it has none.
  [[nodiscard]] const float* bias(const PlannedLinear& linear) const;

  /// Examples of an interaction between types at once.
  static constexpr std::int64_t kInteracted = 32;

  const Program& program;
  const RecommenderOptions& options;
  at::ScalarType type;
  Products products;
  std::vector<PlannedLinear> linears;
  std::vector<WeightTile> tiles;
  std::vector<at::Tensor> weights;  ///< by linear layer, in `type`; of a head the parameter

 private:
  [[nodiscard]] bool is_scalar(std::size_t layer) const;
  [[nodiscard]] SliceMemory slice_of(const GroupMemory& group, std::int64_t number) const;

  std::vector<int> linear_at_;  ///< by layer; -1: none
  std::vector<bool> copied_;    ///< by layer: an embedding that a linear layer reads
};

}  // namespace taut::nn
