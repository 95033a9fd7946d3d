#include "nn/dense_step.h"

#include <algorithm>

#include "nn/dense_kernels.h"
#include "nn/slice_pass.h"

namespace taut::nn {
namespace {

using at::Tensor;

// Slices whose activations are kept at once: weights' gradients are summed after so many.
constexpr std::int64_t kGroup = 16;

float* floats(const Tensor& t) {
  return static_cast<float*>(t.data_ptr());
}

}  // namespace

DenseStep::DenseStep(Program& program, const RecommenderOptions& options, OptimizerChoice choice)
    : program_(program),
      plan_(program, options),
      choice_(std::move(choice)),
      weight_decay_(options.weight_decay) {
  for (const Tensor& parameter : program.parameters) {
    sums_.push_back(at::empty_like(parameter.detach()));
  }
}

// Calls body(task) on the pool, each on one thread that runs LibTorch alone.
template <typename Body>
void DenseStep::for_tasks(std::int64_t tasks, const Body& body) const {
  program_.pool->run(tasks, [&](std::int64_t task) {
    use_one_torch_thread();
    const torch::NoGradGuard no_grad;
    body(task);
  });
}

double DenseStep::run(const RecommenderInput& input, std::span<const float> labels,
                      std::span<float> logits, std::span<float> vectors_gradient) {
  const std::int64_t slices = program_.slices(input.batch);
  const std::int64_t kept = std::min(slices, kGroup);
  if (std::ssize(memory_.slices) < kept) memory_ = plan_.room(kept);
  refresh_weights();
  const bool alone = program_.workers == nullptr;
  double loss = 0;
  std::vector<FusedStep> steps;
  for (std::int64_t begin = 0; begin < slices; begin += kGroup) {
    const std::int64_t group = std::min(kGroup, slices - begin);
    for_tasks(group, [&](std::int64_t k) {
      const Slice slice = program_.slice_at(input.batch, begin + k);
      SliceMemory& memory = memory_.slices[static_cast<std::size_t>(k)];
      SlicePass pass(plan_, memory, slice, input, vectors_gradient);
      pass.forward();
      pass.compare(labels.data() + slice.begin, logits.data() + slice.begin);
      pass.backward();
    });
    for (std::int64_t k = 0; k < group; ++k)
      loss += memory_.slices[static_cast<std::size_t>(k)].loss;
    const bool last = begin + group == slices;
    if (last && alone) steps = begin_steps(loss, input.batch);
    const std::int64_t first_row = begin * program_.slice_size;
    const std::int64_t rows = std::min(input.batch - first_row, group * program_.slice_size);
    const Tensor dense =
        plan_.options.bf16 || plan_.options.dense == 0
            ? memory_.input
            : view_of(input.dense, first_row * plan_.options.dense, {rows, plan_.options.dense});
    for_tasks(std::ssize(plan_.tiles), [&](std::int64_t task) {
      const WeightTile& tile = plan_.tiles[static_cast<std::size_t>(task)];
      if (tile.count > 0) {
        sum_weight(tile, dense, rows, begin == 0);
      } else {
        sum_vectors(tile, group, begin == 0);
      }
      if (last && alone) step_parameters(tile, steps);
    });
  }
  return alone ? loss : step_together(loss, input);
}

// With the gradients of all workers. Returns the loss of all.
double DenseStep::step_together(double own_loss, const RecommenderInput& input) {
  double loss = 0;
  for (const double one : program_.workers->each(own_loss)) loss += one;
  const std::vector<FusedStep> steps = begin_steps(loss, input.whole);
  if (input.batch == 0) {
    for (const Tensor& sum : sums_) sum.zero_();
  }
  program_.add_over_workers(sums_);
  for_tasks(std::ssize(plan_.tiles), [&](std::int64_t task) {
    step_parameters(plan_.tiles[static_cast<std::size_t>(task)], steps);
  });
  return loss;
}

// One for each parameter, unless the loss is not finite.
std::vector<FusedStep> DenseStep::begin_steps(double loss, std::int64_t batch) {
  require_finite(loss, "look for huge dense values (data.scaling) or lower the learning rates");
  std::vector<FusedStep> steps;
  for (const Tensor& parameter : program_.parameters) {
    steps.emplace_back(*program_.optimizer, choice_, weight_decay_, parameter,
                       1.0 / static_cast<double>(batch));
  }
  return steps;
}

// The parameters may have been read from a file since the last step.
void DenseStep::refresh_weights() {
  for (std::size_t k = 0; k < plan_.linears.size(); ++k) {
    const Tensor& weight = plan_.parameter(plan_.linears[k]);
    if (plan_.weights[k].scalar_type() == at::kFloat) continue;
    convert(weight.numel(), floats(weight),
            static_cast<std::uint16_t*>(plan_.weights[k].data_ptr()));
  }
}

// A tile's gradient over `rows` examples; input: what the network reads.
void DenseStep::sum_weight(const WeightTile& tile, const Tensor& input, std::int64_t rows,
                           bool first) {
  const PlannedLinear& linear = plan_.linears[tile.linear];
  const int from = plan_.read_by(linear);
  const Tensor& whole =
      from == graph::kNetworkInput ? input : memory_.outputs[static_cast<std::size_t>(from)];
  const Tensor x = whole.narrow(0, 0, rows).narrow(1, tile.begin, tile.count).t();
  const Tensor slope = memory_.gradients[linear.layer].narrow(0, 0, rows);
  Tensor sum = sums_[linear.weight].t().narrow(0, tile.begin, tile.count);
  if (!plan_.options.bf16 && first) {
    multiply(plan_.products, x, slope, sum);
    return;
  }
  const Tensor made = at::empty(sum.sizes(), plan_.type);
  multiply(plan_.products, x, slope, made);
  if (plan_.options.bf16) {
    accumulate(sum.numel(), static_cast<const std::uint16_t*>(made.data_ptr()), !first,
               floats(sum));
  } else {
    accumulate(sum.numel(), floats(made), !first, floats(sum));
  }
}

// A bias, and the weight of a head, which each slice has summed itself.
void DenseStep::sum_vectors(const WeightTile& tile, std::int64_t slices, bool first) {
  const PlannedLinear& linear = plan_.linears[tile.linear];
  for (std::int64_t k = 0; k < slices; ++k) {
    const SliceMemory& memory = memory_.slices[static_cast<std::size_t>(k)];
    const bool adds = !first || k > 0;
    if (linear.has_bias) {
      accumulate(linear.outputs, floats(memory.bias_sums[tile.linear]), adds,
                 floats(sums_[linear.weight + 1]));
    }
    if (linear.is_head) {
      accumulate(linear.inputs, floats(memory.weight_sums[tile.linear]), adds,
                 floats(sums_[linear.weight]));
    }
  }
}

void DenseStep::step_parameters(const WeightTile& tile, const std::vector<FusedStep>& steps) const {
  const PlannedLinear& linear = plan_.linears[tile.linear];
  const auto step = [&](std::size_t parameter, std::int64_t begin, std::int64_t count) {
    steps[parameter](begin, count, floats(sums_[parameter]) + begin);
  };
  if (tile.count > 0) {
    step(linear.weight, tile.begin * linear.outputs, tile.count * linear.outputs);
    return;
  }
  if (linear.has_bias) step(linear.weight + 1, 0, linear.outputs);
  if (linear.is_head) step(linear.weight, 0, linear.inputs);
}

}  // namespace taut::nn
