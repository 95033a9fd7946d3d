#include "infer/runner.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>

#include "core/round_up.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/embedding/interaction.h"
#include "taut/sparsity/quantize.h"
#include "taut/sparsity/winners.h"

namespace taut::infer {
namespace {

using graph::kNetworkInput;
using graph::Layer;
using graph::LayerValues;
using graph::Network;
using graph::Op;

constexpr std::int64_t kMostExamples = 256;  // of a piece
// Floats of a piece: what a core's own cache holds.
constexpr std::int64_t kPieceFloats = std::int64_t{1} << 18;
// Floats of one example, 4 GiB.
constexpr std::int64_t kLargestExample = std::int64_t{1} << 30;
constexpr std::int64_t kLineFloats = 16;
// Floats of an output that a core's own cache has lost before winners are chosen behind all of it.
constexpr std::int64_t kLostFloats = std::int64_t{1} << 18;

std::int64_t whole_lines(std::int64_t floats) {
  return round_up(floats, kLineFloats);
}

// What a rectifier's values are cut to.
float ceiling_of(Op op) {
  return op == Op::kRelu6 ? 6.0f : INFINITY;
}

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

// One pass: what it reads, and its memory.
struct Runner::Work {
  const Piece& of;
  Kernel kernel;
  ThreadPool& pool;
  bool timed = false;
  float* memory = nullptr;
  float* logits = nullptr;
  std::span<std::int64_t> begins;  // of each slot in memory
  std::span<const float*> inputs;  // room for those of a layer
  float* rounded = nullptr;        // an input through 8 bits
  float* gathered = nullptr;       // vectors of an interaction side by side

  [[nodiscard]] float* slot(int number) const {
    return memory + begins[static_cast<std::size_t>(number)];
  }
};

Runner::Runner(const Network& network, const EngineOptions& options)
    : network_(network), plan_(make_plan(network)) {
  ready_.resize(plan_.steps.size());
  for (std::size_t i = 0; i < ready_.size(); ++i) prepare(i, options);
  for (const Layer& layer : network.layers) {
    work_ += graph::multiply_adds(layer) + static_cast<double>(layer.out.size());
  }
  std::int64_t floats = rounded_floats_ + gathered_floats_;
  for (const std::int64_t size : plan_.slots) floats += size;
  auto most = static_cast<double>(floats);
  for (const Ready& ready : ready_) {
    if (ready.product) most = std::max(most, ready.product->scratch_floats());
    if (!ready.attention) continue;
    most = std::max(most, static_cast<double>(ready.attention->scratch_floats()));
    work_ += ready.attention->products();
  }
  if (most > static_cast<double>(kLargestExample)) {
    throw Error(ErrorKind::kUnsupported, concat("the network's results for one example take ", most,
                                                " floats, above ", kLargestExample));
  }
  piece_ =
      std::clamp<std::int64_t>(kPieceFloats / std::max<std::int64_t>(1, floats), 1, kMostExamples);
}

void Runner::prepare(std::size_t number, const EngineOptions& options) {
  const Step& step = plan_.steps[number];
  Ready& ready = ready_[number];
  const Layer& layer = network_.layers[step.layer];
  const LayerValues& values = network_.values[step.layer];
  most_inputs_ = std::max(most_inputs_, layer.inputs.size());
  switch (layer.op) {
    case Op::kConv:
    case Op::kLinear:
      if (is_depthwise(layer)) {
        ready.depthwise = pack_depthwise(layer, values);
      } else {
        ready.product.emplace(layer, values, options.weights);
      }
      prepare_finish(step, ready);
      if (values.input_scale > 0) rounded_floats_ = std::max(rounded_floats_, layer.in.size());
      return;
    case Op::kBatchNorm:
      ready.norm = pack_norm(values);
      return;
    case Op::kConcat:
      for (const int input : layer.inputs) {
        ready.widths.push_back(network_.shape_of(input).channels);
      }
      return;
    case Op::kInteraction:
      for (const int input : layer.inputs) ready.widths.push_back(network_.shape_of(input).size());
      gathered_floats_ = std::max(gathered_floats_, vectors_of(layer) * layer.in.channels);
      return;
    case Op::kEmbedding:
      if (layer.out.height * layer.out.width == static_cast<std::int64_t>(layer.tables.size())) {
        return;
      }
      throw Error(ErrorKind::kUnsupported,
                  concat("layer ", layer.name, ": more than one pooled row a table"));
    case Op::kStack:
      for (const int input : layer.inputs) ready.widths.push_back(network_.shape_of(input).size());
      return;
    case Op::kAttention:
      ready.attention.emplace(network_, step.layer);
      return;
    default:
      return;
  }
}

void Runner::prepare_finish(const Step& step, Ready& ready) const {
  Finish& finish = ready.finish;
  if (step.norm != Step::kNone) {
    ready.norm = pack_norm(network_.values[static_cast<std::size_t>(step.norm)]);
    finish.scale = ready.norm.scale.data();
    finish.shift = ready.norm.shift.data();
  }
  finish.added_first = step.added_first;
  if (step.activation != Step::kNone) {
    const Layer& activation = network_.layers[static_cast<std::size_t>(step.activation)];
    finish.rectified = activation.op != Op::kPointwise;
    finish.most = ceiling_of(activation.op);
    if (!finish.rectified) finish.function = &activation.pointwise;
  }
}

std::int64_t Runner::vectors_of(const Layer& layer) const {
  std::int64_t vectors = 0;
  for (const int input : layer.inputs) vectors += network_.shape_of(input).size();
  return vectors / layer.in.channels;
}

// Where a step's output goes: that of the network, which nobody else reads, to the caller.
float* Runner::place_of(std::size_t step, const Work& work) const {
  const bool is_output = static_cast<int>(step) == plan_.step_of.back();
  return is_output ? work.logits : work.slot(plan_.steps[step].slot);
}

const float* Runner::output_of(int layer, const Work& work) const {
  if (layer == kNetworkInput) return work.of.values;
  return place_of(static_cast<std::size_t>(plan_.step_of[static_cast<std::size_t>(layer)]), work);
}

// The input of a weighted layer, through 8 bits where the network is.
const float* Runner::input_of(const Step& step, const Work& work) const {
  const Layer& layer = network_.layers[step.layer];
  const LayerValues& values = network_.values[step.layer];
  const float* x = output_of(layer.inputs.front(), work);
  if (values.input_scale == 0) return x;
  const auto count = static_cast<std::size_t>(work.of.rows * layer.in.size());
  sparsity::fake_quantize(
      {x, count}, values.input_scale,
      values.input_unsigned ? sparsity::Codes::kUnsigned : sparsity::Codes::kSigned,
      {work.rounded, count});
  return work.rounded;
}

std::span<const float* const> Runner::inputs_of(const Layer& layer, const Work& work) const {
  for (std::size_t i = 0; i < layer.inputs.size(); ++i) {
    work.inputs[i] = output_of(layer.inputs[i], work);
  }
  return work.inputs.first(layer.inputs.size());
}

ProductCounts Runner::apply(std::size_t number, const Work& work,
                            const PositionsWritten& written) const {
  const Step& step = plan_.steps[number];
  const Ready& ready = ready_[number];
  const Layer& layer = network_.layers[step.layer];
  if (layer.op != Op::kConv && layer.op != Op::kLinear) {
    apply_plain(number, work);
    return {};
  }
  Finish finish = ready.finish;
  if (step.added != Step::kNone) finish.added = output_of(step.added, work);
  const float* x = input_of(step, work);
  float* y = place_of(number, work);
  if (ready.product) {
    return ready.product->run(x, work.of.rows, finish, y, work.kernel, scratch_, work.pool,
                              written);
  }
  convolve_depthwise(layer, ready.depthwise, x, work.of.rows, finish, y, work.pool, written);
  return {};
}

void Runner::apply_plain(std::size_t number, const Work& work) const {
  const Step& step = plan_.steps[number];
  const Ready& ready = ready_[number];
  const Layer& layer = network_.layers[step.layer];
  const std::int64_t rows = work.of.rows;
  float* y = place_of(number, work);
  const float* x = layer.inputs.empty() ? nullptr : output_of(layer.inputs.front(), work);
  switch (layer.op) {
    case Op::kBatchNorm:
      return apply_norm(ready.norm, x, rows * layer.in.height * layer.in.width, y);
    case Op::kRelu:
    case Op::kRelu6:
      return rectify(x, rows * layer.in.size(), ceiling_of(layer.op), y);
    case Op::kLayerNorm:
      return normalize_channels(layer, network_.values[step.layer], x, rows, y, work.pool);
    case Op::kSoftmax:
      return soften_channels(layer, x, rows, y, work.pool);
    case Op::kPointwise:
      return map_values(layer, x, rows, y, work.pool);
    case Op::kMaxPool:
      return pool_maxima(layer, x, rows, y, work.pool);
    case Op::kMeanPool:
      return pool_means(layer, x, rows, y, work.pool);
    case Op::kGlobalMean:
      return average_positions(layer, x, rows, y, work.pool);
    case Op::kFlatten:
      return flatten(layer.in, x, rows, y);
    case Op::kAdd:
      return add(inputs_of(layer, work), rows * layer.out.size(), y);
    case Op::kUpsample:
      return upsample(layer, x, rows, y, work.pool);
    case Op::kDepthToSpace:
      return move_depth_to_space(layer, x, rows, y, work.pool);
    case Op::kArithmetic:
      return combine(layer,
                     {network_.shape_of(layer.inputs[0]), network_.shape_of(layer.inputs[1])},
                     inputs_of(layer, work), rows, y, work.pool);
    case Op::kConstant:
      return repeat(network_.values[step.layer].weight, rows, y);
    case Op::kConcat:
      return put_side_by_side(inputs_of(layer, work), ready.widths,
                              rows * layer.out.height * layer.out.width, y);
    case Op::kStack:
      return put_side_by_side(inputs_of(layer, work), ready.widths, rows, y);
    case Op::kRows:
      return take_rows(layer, x, rows, y);
    case Op::kReshape:
      return static_cast<void>(std::copy_n(x, rows * layer.in.size(), y));
    case Op::kAttention:
      return ready.attention->run(inputs_of(layer, work), rows, y, scratch_, work.pool);
    case Op::kInteraction:
      return interact_inputs(layer, ready, work, y);
    case Op::kFirstValues:
      return sum_first_values(layer.in, x, rows, y);
    case Op::kEmbedding:
      return copy_pooled(layer, work, y);
    case Op::kConv:
    case Op::kLinear:
      break;
  }
  TAUT_ASSERT(false);
}

void Runner::interact_inputs(const Layer& layer, const Ready& ready, const Work& work,
                             float* y) const {
  put_side_by_side(inputs_of(layer, work), ready.widths, work.of.rows, work.gathered);
  embedding::interact(
      {.vectors = vectors_of(layer), .dim = layer.in.channels, .copied = layer.copied},
      work.of.rows, work.gathered, y);
}

// The pooled rows of the layer's tables from those of all.
void Runner::copy_pooled(const Layer& layer, const Work& work, float* y) const {
  const std::int64_t dim = network_.tables.front().dim;
  const auto stride = static_cast<std::int64_t>(network_.tables.size()) * dim;
  for (std::int64_t row = 0; row < work.of.rows; ++row) {
    for (const int table : layer.tables) {
      y = std::copy_n(work.of.embedded + row * stride + table * dim, dim, y);
    }
  }
}

// The selection behind a layer, and what is pruned of its output for all inputs alike, in place.
class Runner::Choice {
 public:
  Choice(const Network& network, std::size_t number, std::int64_t rows, float* y)
      : layer_(network.layers[number]),
        kept_(network.values[number].kept_maps),
        positions_(rows * layer_.out.height * layer_.out.width),
        y_(y) {
    const sparsity::WinnersOptions options = graph::winners_at(network, layer_);
    if (options.rate >= 1) return;
    selector_.emplace(sparsity::Shape{.batch = rows,
                                      .channels = layer_.out.channels,
                                      .height = layer_.out.height,
                                      .width = layer_.out.width},
                      sparsity::Layout::kChannelsLast, options);
  }

  // Whether each position has winners of its own.
  [[nodiscard]] bool by_position() const { return !selector_ || selector_->items() == positions_; }
  // Requires by_position().
  void choose(std::int64_t begin, std::int64_t end) const {
    if (selector_) selector_->forward(y_, y_, begin, end);
    prune(begin, end);
  }
  void choose_all(ThreadPool& pool) const {
    if (selector_) sparsity::winners(*selector_, y_, y_, pool);
    prune(0, positions_);
  }

 private:
  void prune(std::int64_t begin, std::int64_t end) const {
    if (kept_.empty()) return;
    float* y = y_ + begin * layer_.out.channels;
    for (std::int64_t p = begin; p < end; ++p, y += kept_.size()) {
      for (std::size_t c = 0; c < kept_.size(); ++c) y[c] *= kept_[c];
    }
  }

  const Layer& layer_;
  std::span<const float> kept_;
  std::int64_t positions_;
  float* y_;
  std::optional<sparsity::WinnerSelector> selector_;
};

// Computes a step and chooses winners behind it: those of a large output piece by piece, while a
// piece is in a core's own cache. seconds: of choosing, added to.
ProductCounts Runner::apply_and_choose(std::size_t number, const Work& work,
                                       double& seconds) const {
  const Step& step = plan_.steps[number];
  if (network_.layers[step.last].winner_site < 0) return apply(number, work, {});
  const Choice choice(network_, step.last, work.of.rows, place_of(number, work));
  const Op op = network_.layers[step.layer].op;
  const bool has_pieces = op == Op::kConv || op == Op::kLinear;
  const std::int64_t floats = work.of.rows * network_.layers[step.last].out.size();
  if (!has_pieces || floats <= kLostFloats || !choice.by_position()) {
    const ProductCounts counts = apply(number, work, {});
    const Clock::time_point start = work.timed ? Clock::now() : Clock::time_point();
    choice.choose_all(work.pool);
    if (work.timed) seconds += seconds_since(start);
    return counts;
  }
  std::atomic<std::int64_t> nanoseconds{0};
  const ProductCounts counts = apply(number, work, [&](std::int64_t begin, std::int64_t end) {
    if (!work.timed) return choice.choose(begin, end);
    const Clock::time_point start = Clock::now();
    choice.choose(begin, end);
    const std::chrono::nanoseconds taken = Clock::now() - start;
    nanoseconds.fetch_add(taken.count(), std::memory_order_relaxed);
  });
  seconds += 1e-9 * static_cast<double>(nanoseconds) / work.pool.threads();
  return counts;
}

void Runner::run(const Piece& of, Kernel kernel, float* logits, ThreadPool& pool,
                 std::span<StepTimes> times) const {
  // One loan: where slots begin and a layer's inputs, then values, each from a whole line on.
  const auto slots = plan_.slots.size();
  const auto words = static_cast<std::int64_t>((slots + most_inputs_) * 2);  // of 8 bytes
  std::int64_t floats = whole_lines(words);
  const auto place = [&](std::int64_t values) {
    const std::int64_t begin = floats;
    floats += whole_lines(values * of.rows);
    return begin;
  };
  std::int64_t total =
      floats + whole_lines(rounded_floats_ * of.rows) + whole_lines(gathered_floats_ * of.rows);
  for (const std::int64_t size : plan_.slots) total += whole_lines(size * of.rows);
  ScratchPool::Loan loan = scratch_.borrow(total * static_cast<std::int64_t>(sizeof(float)));
  auto* memory = reinterpret_cast<float*>(loan.data());
  auto* begins = reinterpret_cast<std::int64_t*>(loan.data());
  for (std::size_t i = 0; i < slots; ++i) begins[i] = place(plan_.slots[i]);
  const Work work{.of = of,
                  .kernel = kernel,
                  .pool = pool,
                  .timed = !times.empty(),
                  .memory = memory,
                  .logits = logits,
                  .begins = {begins, slots},
                  .inputs = {reinterpret_cast<const float**>(begins + slots), most_inputs_},
                  .rounded = memory + place(rounded_floats_),
                  .gathered = memory + place(gathered_floats_)};
  for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
    const Clock::time_point start = times.empty() ? Clock::time_point() : Clock::now();
    double choosing = 0;
    const ProductCounts counts = apply_and_choose(i, work, choosing);
    if (times.empty()) continue;
    StepTimes& own = times[i];
    own.seconds += std::max(0.0, seconds_since(start) - choosing);
    own.selection_seconds += choosing;
    own.counts.add(counts);
  }
}

}  // namespace taut::infer
