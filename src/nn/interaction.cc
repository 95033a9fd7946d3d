#include "nn/interaction.h"

#include <torch/autograd.h>
#include <torch/types.h>

#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/embedding/interaction.h"

namespace taut::nn {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

embedding::InteractionShape shape_of(const Tensor& vectors, std::int64_t copied) {
  return {.vectors = vectors.size(1), .dim = vectors.size(2), .copied = copied};
}

class Interaction : public torch::autograd::Function<Interaction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x, std::int64_t copied) {
    const embedding::InteractionShape shape = shape_of(x, copied);
    const Tensor values = x.contiguous();
    Tensor out = torch::empty({x.size(0), shape.outputs()});
    embedding::interact(shape, x.size(0), values.const_data_ptr<float>(),
                        out.mutable_data_ptr<float>());
    context->save_for_backward({values});
    context->saved_data["copied"] = copied;
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const Tensor x = context->get_saved_variables()[0];
    const embedding::InteractionShape shape = shape_of(x, context->saved_data["copied"].toInt());
    const Tensor gradient = gradients[0].contiguous();
    Tensor result = torch::empty_like(x);
    embedding::interact_backward(shape, x.size(0), x.const_data_ptr<float>(),
                                 gradient.const_data_ptr<float>(),
                                 result.mutable_data_ptr<float>());
    return {result, Tensor()};
  }
};

}  // namespace

Tensor interaction(const Tensor& vectors, std::int64_t copied) {
  if (vectors.dim() != 3 || vectors.scalar_type() != at::kFloat) {
    throw_invalid_argument("vectors", "float32 [batch, count, dim]",
                           concat(vectors.scalar_type(), vectors.sizes()));
  }
  return Interaction::apply(vectors, copied);
}

}  // namespace taut::nn
