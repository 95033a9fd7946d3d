// torch.ops.taut.winners and its gradient: fake kernels, autograd, and derivatives of any order.
#include <torch/autograd.h>
#include <torch/library.h>
#include <torch/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "nn/translated.h"
#include "nn/winners_tensor.h"

namespace taut::nn {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

sparsity::WinnersOptions options_of(double rate, std::string_view unit, std::string_view score,
                                    std::string_view select, std::int64_t block, double threshold) {
  return {.unit = sparsity::parse_unit(std::string(unit)),
          .score = sparsity::parse_score(std::string(score)),
          .select = sparsity::parse_select(std::string(select)),
          .rate = rate,
          .block = block,
          .threshold = static_cast<float>(threshold)};
}

sparsity::WinnersOptions unit_options(std::string_view unit, std::int64_t block) {
  sparsity::WinnersOptions options;
  options.unit = sparsity::parse_unit(std::string(unit));
  options.block = block;
  return options;
}

Tensor winners_cpu(const Tensor& x, double rate, std::string_view unit, std::string_view score,
                   std::string_view select, std::int64_t block, double threshold) {
  return translated([&] {
    const auto options = options_of(rate, unit, score, select, block, threshold);
    check_winners_input(x, options);
    const Tensor known = in_known_layout(x);
    if (!all_win(options)) return winners_forward(known, options);
    return known.clone();
  });
}

Tensor winners_meta(const Tensor& x, double rate, std::string_view unit, std::string_view score,
                    std::string_view select, std::int64_t block, double threshold) {
  return translated([&] {
    check_winners_input(x, options_of(rate, unit, score, select, block, threshold));
    return at::empty_like(in_known_layout(x));
  });
}

Tensor winners_backward_cpu(const Tensor& gradient, const Tensor& y, std::string_view unit,
                            std::int64_t block) {
  return translated(
      [&] { return winners_backward(gradient, in_known_layout(y), unit_options(unit, block)); });
}

Tensor winners_backward_meta(const Tensor& /*gradient*/, const Tensor& y, std::string_view /*unit*/,
                             std::int64_t /*block*/) {
  return at::empty_like(in_known_layout(y));
}

// Scores of all units of x, float32 [units]; see WinnerSelector::append_scores.
Tensor winner_scores_cpu(const Tensor& x, std::string_view unit, std::string_view score,
                         std::int64_t block) {
  return translated([&] {
    const auto options = options_of(1.0, unit, score, "exact", block, 0.0);
    check_winners_input(x, options);
    const Tensor values = in_known_layout(x.to(at::kFloat));
    std::vector<float> scores;
    selector_of(values, options).append_scores(values.const_data_ptr<float>(), scores);
    return at::tensor(scores);
  });
}

double winner_threshold(const Tensor& scores, double rate) {
  return translated([&] {
    TORCH_CHECK_VALUE(scores.scalar_type() == at::kFloat, "scores must be float32, got ",
                      scores.scalar_type());
    Tensor copy = scores.contiguous().clone();
    return static_cast<double>(sparsity::threshold_for_rate(
        {copy.mutable_data_ptr<float>(), static_cast<std::size_t>(copy.numel())}, rate));
  });
}

Tensor call_winners(const Tensor& x, double rate, std::string_view unit, std::string_view score,
                    std::string_view select, std::int64_t block, double threshold) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("taut::winners", "")
                             .typed<decltype(winners_cpu)>();
  return op.call(x, rate, unit, score, select, block, threshold);
}

Tensor call_backward(const Tensor& gradient, const Tensor& y, std::string_view unit,
                     std::int64_t block) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("taut::winners_backward", "")
                             .typed<decltype(winners_backward_cpu)>();
  return op.call(gradient, y, unit, block);
}

// The gradient of a loss passes winners only, and so does the gradient of that gradient.
variable_list pass_winners(AutogradContext* context, const variable_list& gradients,
                           std::size_t inputs) {
  variable_list result(inputs);
  result[0] = context->saved_data["all"].toBool()
                  ? gradients[0]
                  : call_backward(gradients[0], context->get_saved_variables()[0],
                                  context->saved_data["unit"].toStringRef(),
                                  context->saved_data["block"].toInt());
  return result;
}

void remember(AutogradContext* context, const Tensor& y, bool all, std::string_view unit,
              std::int64_t block) {
  if (!all) context->save_for_backward({y});
  context->saved_data["all"] = all;
  context->saved_data["unit"] = std::string(unit);
  context->saved_data["block"] = block;
}

class WinnersOperator : public torch::autograd::Function<WinnersOperator> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x, double rate,
                        const std::string& unit, const std::string& score,
                        const std::string& select, std::int64_t block, double threshold) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    Tensor y = call_winners(x, rate, unit, score, select, block, threshold);
    remember(context, y, rate == 1.0 && select == "exact", unit, block);
    return y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    return pass_winners(context, gradients, 7);
  }
};

class WinnersBackwardOperator : public torch::autograd::Function<WinnersBackwardOperator> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& gradient, const Tensor& y,
                        const std::string& unit, std::int64_t block) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    remember(context, y, false, unit, block);
    return call_backward(gradient, y, unit, block);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    return pass_winners(context, gradients, 4);
  }
};

Tensor winners_autograd(const Tensor& x, double rate, std::string_view unit, std::string_view score,
                        std::string_view select, std::int64_t block, double threshold) {
  return WinnersOperator::apply(x, rate, std::string(unit), std::string(score), std::string(select),
                                block, threshold);
}

Tensor winners_backward_autograd(const Tensor& gradient, const Tensor& y, std::string_view unit,
                                 std::int64_t block) {
  return WinnersBackwardOperator::apply(gradient, y, std::string(unit), block);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(taut, library) {
  library.def(
      "winners(Tensor x, float rate, str unit, str score=\"mean_magnitude\", str "
      "select=\"exact\", int block=8, float threshold=0.) -> Tensor");
  library.def("winners_backward(Tensor gradient, Tensor y, str unit, int block=8) -> Tensor");
  library.def(
      "winner_scores(Tensor x, str unit, str score=\"mean_magnitude\", int block=8) -> Tensor");
  library.def("winner_threshold(Tensor scores, float rate) -> float");
}

TORCH_LIBRARY_IMPL(taut, CPU, library) {
  library.impl("winners", &winners_cpu);
  library.impl("winners_backward", &winners_backward_cpu);
  library.impl("winner_scores", &winner_scores_cpu);
  library.impl("winner_threshold", &winner_threshold);
}

TORCH_LIBRARY_IMPL(taut, Meta, library) {
  library.impl("winners", &winners_meta);
  library.impl("winners_backward", &winners_backward_meta);
}

TORCH_LIBRARY_IMPL(taut, Autograd, library) {
  library.impl("winners", &winners_autograd);
  library.impl("winners_backward", &winners_backward_autograd);
}

}  // namespace taut::nn
