#include "nn/dense_step.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>

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
      weight_decay_(options.weight_decay),
      sums_(program.parameters) {}

void DenseStep::follow_workers() {
  overlap_ = sends_pieces()
                 ? std::make_unique<dist::Overlap>(program_.workers, dist::Cause::kGradients)
                 : nullptr;
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
  sums_.start();
  const bool alone = program_.workers == nullptr;
  // Of one sum of all pieces here; else the workers' are added before that.
  const bool ends = alone || !has_fixed_pieces();
  std::vector<double> losses;
  std::vector<FusedStep> steps;
  std::optional<dist::OverlapScope> sending;
  if (slices == 0 && sends_pieces()) sending.emplace(start_sending(input));
  for (std::int64_t begin = 0; begin < slices; begin += kGroup) {
    const std::int64_t count = std::min(kGroup, slices - begin);
    for_tasks(count, [&](std::int64_t k) {
      const Slice slice = program_.slice_at(input.batch, begin + k);
      SliceMemory& memory = memory_.slices[static_cast<std::size_t>(k)];
      SlicePass pass(plan_, memory, slice, input, vectors_gradient);
      pass.forward();
      pass.compare(labels.data() + slice.begin, logits.data() + slice.begin);
      pass.backward();
    });
    for (std::int64_t k = 0; k < count; ++k) {
      losses.push_back(memory_.slices[static_cast<std::size_t>(k)].loss);
    }
    const bool last = begin + count == slices;
    if (last && alone) steps = begin_steps(loss_of_all(losses, input.batch), input.batch);
    const std::int64_t first_row = begin * program_.slice_size;
    const std::int64_t rows = std::min(input.batch - first_row, count * program_.slice_size);
    const Tensor dense =
        plan_.options.bf16 || plan_.options.dense == 0
            ? memory_.input
            : view_of(input.dense, first_row * plan_.options.dense, {rows, plan_.options.dense});
    const std::vector<Piece> pieces =
        take_pieces(first_piece(input), {.index = begin, .begin = first_row, .size = rows});
    if (last && sends_pieces()) sending.emplace(start_sending(input));
    for_tasks(std::ssize(plan_.tiles), [&](std::int64_t task) {
      const WeightTile& tile = plan_.tiles[static_cast<std::size_t>(task)];
      for (const Piece& piece : pieces) {
        if (tile.count > 0) {
          sum_weight(tile, dense, piece);
        } else {
          sum_vectors(tile, piece);
        }
        merge(tile, piece.place);
      }
      if (last && ends) merge(tile, sums_.end());
      if (last && alone) step_parameters(tile, steps);
      if (last && sends_pieces()) send(tile);
    });
  }
  return alone ? loss_of_all(losses, input.batch) : step_together(losses, input);
}

// The number in the whole batch of the first piece that is this worker's.
std::int64_t DenseStep::first_piece(const RecommenderInput& input) const {
  if (program_.workers == nullptr || !has_fixed_pieces()) return 0;
  return program_.workers->part(program_.slices(input.whole)).begin;
}

// The pieces of a group of slices, of which the first is number group.index of this worker's batch:
// each a slice, or one of all.
std::vector<DenseStep::Piece> DenseStep::take_pieces(std::int64_t first, const Slice& group) {
  std::vector<Piece> pieces;
  if (!has_fixed_pieces()) {
    pieces.push_back({.slices = program_.slices(group.size),
                      .rows = group.size,
                      .place = sums_.next(group.index / kGroup)});
    return pieces;
  }
  for (std::int64_t k = 0; k < program_.slices(group.size); ++k) {
    const Slice slice = program_.slice_at(group.size, k);
    pieces.push_back({.first_slice = k,
                      .slices = 1,
                      .first_row = slice.begin,
                      .rows = slice.size,
                      .place = sums_.next(first + group.index + k)});
  }
  return pieces;
}

// own: of this worker's slices; added in the order of the batch.
double DenseStep::loss_of_all(std::span<const double> own, std::int64_t whole) const {
  const auto sum = [](std::span<const double> losses) {
    return std::accumulate(losses.begin(), losses.end(), 0.0);
  };
  if (program_.workers == nullptr) return sum(own);
  dist::ProcessGroup& workers = *program_.workers;
  if (!has_fixed_pieces()) return sum(workers.each(sum(own)));
  std::vector<std::int64_t> sizes;
  for (int rank = 0; rank < workers.size(); ++rank) {
    sizes.push_back(workers.part_of(rank, program_.slices(whole)).size *
                    static_cast<std::int64_t>(sizeof(double)));
  }
  const std::vector<std::byte> bytes =
      workers.gather(std::as_bytes(own), sizes, dist::Cause::kControl);
  std::vector<double> all(bytes.size() / sizeof(double));
  std::memcpy(all.data(), bytes.data(), bytes.size());
  return sum(all);
}

// The sums of all workers follow as tiles are sent, where this one has slices.
dist::Overlap& DenseStep::start_sending(const RecommenderInput& input) {
  const std::int64_t buckets = sums_.buckets();
  sums_.start_buckets(*program_.workers, program_.slices(input.whole));
  missing_ = std::deque<std::atomic<std::int64_t>>(static_cast<std::size_t>(buckets));
  for (const WeightTile& tile : plan_.tiles) {
    for_buckets(tile, [&](std::size_t bucket) { ++missing_[bucket]; });
  }
  overlap_->start(buckets,
                  [this](std::int64_t bucket) { sums_.add_bucket(*program_.workers, bucket); });
  if (input.batch == 0) {
    for (std::int64_t bucket = 0; bucket < buckets; ++bucket) overlap_->ready(bucket);
  }
  return *overlap_;
}

// A tile's sums over this worker's pieces are there.
void DenseStep::send(const WeightTile& tile) {
  for_buckets(tile, [&](std::size_t bucket) {
    if (missing_[bucket].fetch_sub(1, std::memory_order_acq_rel) > 1) return;
    overlap_->ready(static_cast<std::int64_t>(bucket));
  });
}

// With the gradients of all workers. Returns the loss of all.
double DenseStep::step_together(std::span<const double> own_losses, const RecommenderInput& input) {
  if (sends_pieces()) overlap_->finish();
  const double loss = loss_of_all(own_losses, input.whole);
  const std::vector<FusedStep> steps = begin_steps(loss, input.whole);
  if (!sends_pieces()) program_.add_over_workers(sums_.total());
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

// A tile's gradient over a piece; input: what the network reads.
void DenseStep::sum_weight(const WeightTile& tile, const Tensor& input, const Piece& piece) const {
  const PlannedLinear& linear = plan_.linears[tile.linear];
  const int from = plan_.read_by(linear);
  const Tensor& whole =
      from == graph::kNetworkInput ? input : memory_.outputs[static_cast<std::size_t>(from)];
  const auto rows_of = [&](const Tensor& group) {
    return group.narrow(0, piece.first_row, piece.rows);
  };
  const Tensor x = rows_of(whole).narrow(1, tile.begin, tile.count).t();
  const Tensor slope = rows_of(memory_.gradients[linear.layer]);
  const Tensor sum =
      sums_.values(piece.place.slot, linear.weight).t().narrow(0, tile.begin, tile.count);
  if (!plan_.options.bf16) {
    multiply(plan_.products, x, slope, sum);
    return;
  }
  const Tensor made = at::empty(sum.sizes(), plan_.type);
  multiply(plan_.products, x, slope, made);
  accumulate(sum.numel(), static_cast<const std::uint16_t*>(made.data_ptr()), /*add=*/false,
             floats(sum));
}

// A bias, and the weight of a head, which each slice has summed itself.
void DenseStep::sum_vectors(const WeightTile& tile, const Piece& piece) const {
  const PlannedLinear& linear = plan_.linears[tile.linear];
  const auto sum_of = [&](std::size_t parameter) {
    return floats(sums_.values(piece.place.slot, parameter));
  };
  for (std::int64_t k = 0; k < piece.slices; ++k) {
    const SliceMemory& memory = memory_.slices[static_cast<std::size_t>(piece.first_slice + k)];
    const bool adds = k > 0;
    if (linear.has_bias) {
      accumulate(linear.outputs, floats(memory.bias_sums[tile.linear]), adds,
                 sum_of(linear.weight + 1));
    }
    if (linear.is_head) {
      accumulate(linear.inputs, floats(memory.weight_sums[tile.linear]), adds,
                 sum_of(linear.weight));
    }
  }
}

// Calls body(parameter, begin, count) for the values of a tile, as they lie.
template <typename Body>
void DenseStep::for_values(const WeightTile& tile, const Body& body) const {
  const PlannedLinear& linear = plan_.linears[tile.linear];
  if (tile.count > 0) {
    body(linear.weight, tile.begin * linear.outputs, tile.count * linear.outputs);
    return;
  }
  if (linear.has_bias) body(linear.weight + 1, std::int64_t{0}, linear.outputs);
  if (linear.is_head) body(linear.weight, std::int64_t{0}, linear.inputs);
}

// Calls body(bucket) for all in which values of a tile are exchanged, for each as often.
template <typename Body>
void DenseStep::for_buckets(const WeightTile& tile, const Body& body) const {
  for_values(tile, [&](std::size_t parameter, std::int64_t begin, std::int64_t count) {
    const Range buckets = sums_.buckets_of(parameter, begin, count);
    for (std::int64_t k = buckets.begin; k < buckets.end(); ++k) body(static_cast<std::size_t>(k));
  });
}

void DenseStep::merge(const WeightTile& tile, const PieceSums::Place& place) const {
  for_values(tile, [&](std::size_t parameter, std::int64_t begin, std::int64_t count) {
    sums_.merge(place, parameter, begin, count);
  });
}

void DenseStep::step_parameters(const WeightTile& tile, const std::vector<FusedStep>& steps) const {
  for_values(tile, [&](std::size_t parameter, std::int64_t begin, std::int64_t count) {
    steps[parameter](begin, count, floats(sums_.values(0, parameter)) + begin);
  });
}

}  // namespace taut::nn
