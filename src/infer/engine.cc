#include "taut/infer/engine.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "infer/layers.h"
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

constexpr int kNone = -1;

// Whether a layer may write over its first input.
bool works_in_place(Op op) {
  return op == Op::kBatchNorm || op == Op::kRelu || op == Op::kRelu6 || op == Op::kAdd;
}

// A layer made ready.
struct Step {
  PackedWeights weights;
  ChannelScale norm;
  int slot = kNone;  // where its output goes
};

// Places for the layers' outputs, each used again as soon as nobody reads what it holds.
class Slots {
 public:
  // A free place, made large enough.
  int take(std::int64_t size) {
    if (free_.empty()) {
      free_.push_back(static_cast<int>(sizes_.size()));
      sizes_.push_back(0);
    }
    const int slot = free_.back();
    free_.pop_back();
    std::int64_t& held = sizes_[static_cast<std::size_t>(slot)];
    held = std::max(held, size);
    return slot;
  }
  void give_back(int slot) { free_.push_back(slot); }
  [[nodiscard]] const std::vector<std::int64_t>& sizes() const noexcept { return sizes_; }

 private:
  std::vector<std::int64_t> sizes_;
  std::vector<int> free_;
};

void require_size(const char* argument, std::int64_t wanted, std::size_t got) {
  if (wanted < 0 || static_cast<std::size_t>(wanted) != got) {
    throw_invalid_argument(concat("size of ", argument), concat(wanted), concat(got));
  }
}

// What a batch is computed from, and the place of a piece in it.
struct Piece {
  const float* values = nullptr;    // [rows, Network::input]
  const float* embedded = nullptr;  // [rows, tables, dim]
  std::int64_t rows = 0;
};

}  // namespace

struct Engine::Impl {
  // Memory of one thread for pieces of up to `rows` examples.
  struct Workspace {
    Workspace(const Impl& engine, std::int64_t rows) {
      for (const std::int64_t size : engine.slots) add(size * rows);
      rounded = add(engine.rounded_floats * rows);
      gathered = add(engine.gathered_floats * rows);
      columns = add(engine.columns_floats);
    }
    float* add(std::int64_t floats) {
      buffers.emplace_back(new float[static_cast<std::size_t>(floats)]);
      return buffers.back().get();
    }
    [[nodiscard]] float* slot(int number) const {
      return buffers[static_cast<std::size_t>(number)].get();
    }
    std::vector<std::unique_ptr<float[]>> buffers;
    float* rounded = nullptr;   // an input through 8 bits
    float* gathered = nullptr;  // vectors of an interaction side by side
    float* columns = nullptr;   // of a convolution
  };

  Impl(const Network& described, const embedding::FrozenEmbedding* held)
      : network(described), tables(held) {
    const auto count = static_cast<std::int64_t>(network.tables.size());
    if ((tables == nullptr ? 0 : tables->tables()) != count) {
      throw_invalid_argument("tables", concat(count),
                             concat(tables == nullptr ? 0 : tables->tables()));
    }
    dim = count == 0 ? 0 : network.tables.front().dim;
    steps.resize(network.layers.size());
    for (std::size_t i = 0; i < steps.size(); ++i) prepare(i);
    plan_slots();
    std::int64_t floats = rounded_floats + gathered_floats;
    for (const std::int64_t size : slots) floats += size;
    if (floats > kLargestExample || columns_floats > kLargestExample) {
      throw Error(ErrorKind::kUnsupported, concat("the network's results for one example take ",
                                                  floats, " floats, above ", kLargestExample));
    }
    piece = std::clamp<std::int64_t>(kPieceFloats / std::max<std::int64_t>(1, floats), 1,
                                     kMostExamples);
  }

  void prepare(std::size_t i) {
    const Layer& layer = network.layers[i];
    const LayerValues& values = network.values[i];
    switch (layer.op) {
      case Op::kConv:
      case Op::kLinear:
        steps[i].weights = pack_weights(layer, values);
        columns_floats = std::max(columns_floats, column_floats(layer));
        if (values.input_scale > 0) rounded_floats = std::max(rounded_floats, layer.in.size());
        return;
      case Op::kBatchNorm:
        steps[i].norm = pack_norm(values);
        return;
      case Op::kInteraction:
        gathered_floats = std::max(gathered_floats, vectors_of(layer) * layer.in.channels);
        return;
      case Op::kEmbedding:
        if (layer.out.height * layer.out.width == static_cast<std::int64_t>(layer.tables.size())) {
          return;
        }
        throw Error(ErrorKind::kUnsupported,
                    concat("layer ", layer.name, ": more than one pooled row a table"));
      case Op::kAttention:
        throw Error(ErrorKind::kUnsupported,
                    concat("layer ", layer.name, ": attention cannot be computed yet"));
      default:
        return;
    }
  }

  [[nodiscard]] std::int64_t vectors_of(const Layer& layer) const {
    std::int64_t vectors = 0;
    for (const int input : layer.inputs) {
      vectors += network.shape_of(input).size() / layer.in.channels;
    }
    return vectors;
  }

  void plan_slots() {
    std::vector<std::size_t> last_reader(steps.size(), 0);
    for (std::size_t i = 0; i < steps.size(); ++i) {
      last_reader[i] = i;
      for (const int input : network.layers[i].inputs) {
        if (input != kNetworkInput) last_reader[static_cast<std::size_t>(input)] = i;
      }
    }
    last_reader.back() = steps.size();
    Slots places;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const Layer& layer = network.layers[i];
      std::vector<int> done;  // slots whose last reader this layer is, each once
      for (const int input : layer.inputs) {
        if (input == kNetworkInput || last_reader[static_cast<std::size_t>(input)] != i) continue;
        const int slot = steps[static_cast<std::size_t>(input)].slot;
        if (std::find(done.begin(), done.end(), slot) == done.end()) done.push_back(slot);
      }
      const int first = layer.inputs.empty() ? kNetworkInput : layer.inputs.front();
      if (works_in_place(layer.op) && first != kNetworkInput &&
          last_reader[static_cast<std::size_t>(first)] == i) {
        steps[i].slot = steps[static_cast<std::size_t>(first)].slot;
        std::erase(done, steps[i].slot);
      } else {
        steps[i].slot = places.take(layer.out.size());
      }
      for (const int slot : done) places.give_back(slot);
      if (last_reader[i] == i) places.give_back(steps[i].slot);
    }
    slots = places.sizes();
  }

  [[nodiscard]] const float* output_of(int layer, const Piece& of, const Workspace& work) const {
    if (layer == kNetworkInput) return of.values;
    return work.slot(steps[static_cast<std::size_t>(layer)].slot);
  }

  // The input of a weighted layer, through 8 bits where the network is.
  [[nodiscard]] const float* input_of(std::size_t i, const Piece& of, const Workspace& work) const {
    const Layer& layer = network.layers[i];
    const LayerValues& values = network.values[i];
    const float* x = output_of(layer.inputs.front(), of, work);
    if (values.input_scale == 0) return x;
    const auto count = static_cast<std::size_t>(of.rows * layer.in.size());
    sparsity::fake_quantize(
        {x, count}, values.input_scale,
        values.input_unsigned ? sparsity::Codes::kUnsigned : sparsity::Codes::kSigned,
        {work.rounded, count});
    return work.rounded;
  }

  void apply(std::size_t i, const Piece& of, const Workspace& work) const {
    const Layer& layer = network.layers[i];
    const Step& step = steps[i];
    const std::int64_t rows = of.rows;
    float* y = work.slot(step.slot);
    const float* x = layer.inputs.empty() ? nullptr : output_of(layer.inputs.front(), of, work);
    switch (layer.op) {
      case Op::kConv:
        return convolve(layer, step.weights, input_of(i, of, work), rows, y, work.columns);
      case Op::kLinear:
        return apply_linear(layer, step.weights, input_of(i, of, work), rows, y);
      case Op::kBatchNorm:
        return apply_norm(step.norm, x, rows * layer.in.height * layer.in.width, y);
      case Op::kRelu:
        return rectify(x, rows * layer.in.size(), INFINITY, y);
      case Op::kRelu6:
        return rectify(x, rows * layer.in.size(), 6.0f, y);
      case Op::kMaxPool:
        return pool_maxima(layer, x, rows, y);
      case Op::kGlobalMean:
        return average_positions(layer, x, rows, y);
      case Op::kFlatten:
        return flatten(layer.in, x, rows, y);
      case Op::kAdd:
        return add(inputs_of(layer, of, work), rows * layer.out.size(), y);
      case Op::kConcat:
        return concatenate(layer, of, work, rows * layer.out.height * layer.out.width, y);
      case Op::kInteraction:
        return interact_inputs(layer, of, work, y);
      case Op::kFirstValues:
        return sum_first_values(layer.in, x, rows, y);
      case Op::kEmbedding:
        return copy_pooled(layer, of, y);
      case Op::kAttention:
        break;
    }
    TAUT_ASSERT(false);
  }

  [[nodiscard]] std::vector<const float*> inputs_of(const Layer& layer, const Piece& of,
                                                    const Workspace& work) const {
    std::vector<const float*> xs;
    for (const int input : layer.inputs) xs.push_back(output_of(input, of, work));
    return xs;
  }

  void concatenate(const Layer& layer, const Piece& of, const Workspace& work,
                   std::int64_t positions, float* y) const {
    std::vector<std::int64_t> widths;
    for (const int input : layer.inputs) widths.push_back(network.shape_of(input).channels);
    put_side_by_side(inputs_of(layer, of, work), widths, positions, y);
  }

  void interact_inputs(const Layer& layer, const Piece& of, const Workspace& work, float* y) const {
    std::vector<std::int64_t> widths;
    for (const int input : layer.inputs) widths.push_back(network.shape_of(input).size());
    put_side_by_side(inputs_of(layer, of, work), widths, of.rows, work.gathered);
    embedding::interact(
        {.vectors = vectors_of(layer), .dim = layer.in.channels, .copied = layer.copied}, of.rows,
        work.gathered, y);
  }

  // The pooled rows of the layer's tables from those of all.
  void copy_pooled(const Layer& layer, const Piece& of, float* y) const {
    const auto stride = static_cast<std::int64_t>(network.tables.size()) * dim;
    for (std::int64_t row = 0; row < of.rows; ++row) {
      for (const int table : layer.tables) {
        y = std::copy_n(of.embedded + row * stride + table * dim, dim, y);
      }
    }
  }

  // Winners of a layer's output, and what is pruned of it for all inputs alike, in place.
  void choose(std::size_t i, std::int64_t rows, float* y) const {
    const Layer& layer = network.layers[i];
    const sparsity::WinnersOptions options = graph::winners_at(network, layer);
    if (options.rate < 1) {
      const sparsity::WinnerSelector selector({.batch = rows,
                                               .channels = layer.out.channels,
                                               .height = layer.out.height,
                                               .width = layer.out.width},
                                              sparsity::Layout::kChannelsLast, options);
      selector.forward(y, y, 0, selector.items());
    }
    const std::span<const float> kept = network.values[i].kept_maps;
    if (kept.empty()) return;
    const std::int64_t positions = rows * layer.out.height * layer.out.width;
    for (std::int64_t p = 0; p < positions; ++p, y += kept.size()) {
      for (std::size_t c = 0; c < kept.size(); ++c) y[c] *= kept[c];
    }
  }

  const float* compute(const Piece& of, const Workspace& work) const {
    for (std::size_t i = 0; i < steps.size(); ++i) {
      apply(i, of, work);
      if (network.layers[i].winner_site >= 0) choose(i, of.rows, work.slot(steps[i].slot));
    }
    return work.slot(steps.back().slot);
  }

  const Network& network;
  const embedding::FrozenEmbedding* tables;
  std::int64_t dim = 0;  // of the tables' rows
  std::vector<Step> steps;
  std::vector<std::int64_t> slots;  // floats of each for one example
  std::int64_t rounded_floats = 0;
  std::int64_t gathered_floats = 0;
  std::int64_t columns_floats = 0;  // of a thread, whatever the piece
  std::int64_t piece = 1;           // examples computed at a time
};

Engine::Engine(const Network& network, const embedding::FrozenEmbedding* tables)
    : impl_(std::make_unique<Impl>(network, tables)) {}

Engine::~Engine() = default;

std::int64_t Engine::outputs() const noexcept {
  return impl_->network.layers.back().out.size();
}

void Engine::predict(const Inputs& inputs, std::span<float> logits, ThreadPool& pool) const {
  const Impl& engine = *impl_;
  const std::int64_t batch = inputs.batch;
  const auto tables = static_cast<std::int64_t>(engine.network.tables.size());
  const std::int64_t width = engine.network.input.size();
  if (batch < 0) throw_invalid_argument("batch", "0 or more", concat(batch));
  require_size("values", batch * width, inputs.values.size());
  require_size("ids", tables, inputs.ids.size());
  require_size("logits", batch * outputs(), logits.size());
  const std::int64_t pooled = tables * engine.dim;
  std::vector<float> embedded(static_cast<std::size_t>(batch * pooled));
  if (engine.tables != nullptr) engine.tables->lookup(inputs.ids, batch, embedded);
  pool.parallel_for(batch, engine.piece, [&](std::int64_t begin, std::int64_t end) {
    const Impl::Workspace work(engine, std::min(engine.piece, end - begin));
    for (std::int64_t first = begin; first < end; first += engine.piece) {
      const Piece of{.values = inputs.values.data() + first * width,
                     .embedded = embedded.data() + first * pooled,
                     .rows = std::min(engine.piece, end - first)};
      std::copy_n(engine.compute(of, work), of.rows * outputs(), logits.data() + first * outputs());
    }
  });
}

}  // namespace taut::infer
