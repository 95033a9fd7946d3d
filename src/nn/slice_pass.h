#pragma once
// Forward and backward pass of the dense half over one slice, on one thread, without autograd.

#include <span>
#include <vector>

#include "nn/dense_plan.h"
#include "taut/embedding/interaction.h"

namespace taut::nn {

class SlicePass {
 public:
  /// All that is given outlives the pass. vectors_gradient: of the whole batch; empty: not wanted.
  SlicePass(const DensePlan& plan, SliceMemory& memory, const Slice& slice,
            const RecommenderInput& input, std::span<float> vectors_gradient);

  void forward();
  /// Sets memory.loss to the summed loss against labels [slice], and writes logits [slice].
  void compare(const float* labels, float* logits);
  /// Leaves in memory what the gradients of weights are made of, and writes the vectors' gradient.
  void backward();

 private:
  /// Some examples of an interaction, in fp32.
  struct Interacted {
    embedding::InteractionShape shape;
    std::vector<embedding::RowVectors<const float>> x;
    std::vector<embedding::RowVectors<float>> gradient;
    int bottom =
        graph::kNetworkInput;  ///< the layer beside the pooled vectors; none: as it is here
  };

  [[nodiscard]] at::Tensor part(const at::Tensor& whole) const {
    return whole.narrow(0, 0, slice_.size);
  }
  /// What a layer gives, and the gradient of it.
  [[nodiscard]] at::Tensor out(int layer) const {
    return part(memory_.outputs[static_cast<std::size_t>(plan_.source(layer))]);
  }
  [[nodiscard]] at::Tensor gradient(int layer) const {
    return part(memory_.gradients[static_cast<std::size_t>(plan_.source(layer))]);
  }
  /// What a linear layer reads, in the plan's type: [slice, inputs].
  [[nodiscard]] at::Tensor read_by(const PlannedLinear& linear) const;

  void linear_forward(const PlannedLinear& linear);
  void linear_backward(const PlannedLinear& linear);
  void concat_forward(int layer);
  void concat_backward(int layer);
  [[nodiscard]] Interacted interacted(const graph::Layer& layer, std::int64_t begin,
                                      std::int64_t rows) const;
  template <typename Body>
  void for_interacted(const Body& body) const;
  void interaction_forward(int layer);
  void interaction_backward(int layer);
  void add_forward(int layer);
  void first_values_forward(int layer);
  void first_values_backward(int layer);
  /// Takes [slice, columns] as the gradient of all pooled vectors, or adds it to what is there.
  template <typename T>
  void give_vectors(const T* from, std::int64_t stride);

  const DensePlan& plan_;
  SliceMemory& memory_;
  const Slice& slice_;
  at::Tensor input_;         ///< [slice, dense] in the plan's type
  const float* dense_;       ///< the same in fp32
  const float* vectors_;     ///< [slice, tables * dim]
  std::int64_t pooled_;      ///< tables * dim
  float* vectors_gradient_;  ///< [slice, tables * dim]; null: not wanted
  bool given_ = false;       ///< whether it holds something
};

}  // namespace taut::nn
