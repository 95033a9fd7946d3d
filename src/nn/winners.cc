#include "taut/nn/winners.h"

#include "nn/winners_tensor.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class WinnersFunction : public torch::autograd::Function<WinnersFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const sparsity::WinnersOptions& options) {
    at::Tensor y = winners_forward(in_known_layout(x), options);
    context->save_for_backward({y});
    context->saved_data["unit"] = static_cast<std::int64_t>(options.unit);
    context->saved_data["block"] = options.block;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    sparsity::WinnersOptions options;
    options.unit = static_cast<sparsity::Unit>(context->saved_data["unit"].toInt());
    options.block = context->saved_data["block"].toInt();
    return {winners_backward(gradients[0], context->get_saved_variables()[0], options),
            at::Tensor()};
  }
};

// A shape that any unit fits: what is left to check is the options themselves.
void check_alone(const sparsity::WinnersOptions& options) {
  sparsity::check_options({.batch = 1, .channels = std::max<std::int64_t>(1, options.block)},
                          options);
}

}  // namespace

at::Tensor winners(const at::Tensor& x, const sparsity::WinnersOptions& options) {
  check_winners_input(x, options);
  if (all_win(options)) return x;
  return WinnersFunction::apply(x, options);
}

WinnersTakeAllImpl::WinnersTakeAllImpl(const sparsity::WinnersOptions& options)
    : options_(options) {
  check_alone(options);
}

torch::Tensor WinnersTakeAllImpl::forward(const torch::Tensor& x) {
  if (observing_) {
    const at::NoGradGuard no_gradient;
    check_winners_input(x, options_);
    const at::Tensor values = in_known_layout(x.to(at::kFloat));
    selector_of(values, options_).append_scores(values.const_data_ptr<float>(), scores_);
    return x;
  }
  at::Tensor y = winners(x, options_);
  if (tracking_) {
    const at::NoGradGuard no_gradient;
    add_winners(y, options_, statistics_);
  }
  return y;
}

void WinnersTakeAllImpl::pretty_print(std::ostream& stream) const {
  stream << "taut::nn::WinnersTakeAll(unit=" << to_string(options_.unit);
  if (options_.select == sparsity::Select::kThreshold) {
    stream << ", threshold=" << options_.threshold << ")";
  } else {
    stream << ", rate=" << options_.rate << ")";
  }
}

void WinnersTakeAllImpl::set_rate(double rate) {
  sparsity::WinnersOptions changed = options_;
  changed.rate = rate;
  check_alone(changed);
  options_ = changed;
}

void WinnersTakeAllImpl::set_threshold(float threshold) {
  sparsity::WinnersOptions changed = options_;
  changed.threshold = threshold;
  changed.select = sparsity::Select::kThreshold;
  check_alone(changed);
  options_ = changed;
}

void WinnersTakeAllImpl::track(bool on) {
  tracking_ = on;
  if (on) statistics_ = {};
}

void WinnersTakeAllImpl::observe(bool on) {
  observing_ = on;
  scores_.clear();
}

void WinnersTakeAllImpl::calibrate() {
  set_threshold(sparsity::threshold_for_rate(scores_, options_.rate));
  observe(false);
}

}  // namespace taut::nn
