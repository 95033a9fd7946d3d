#include "taut/infer/engine.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <vector>

#include "infer/grain.h"
#include "infer/runner.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::infer {
namespace {

void require_size(const char* argument, std::int64_t wanted, std::size_t got) {
  if (wanted < 0 || static_cast<std::size_t>(wanted) != got) {
    throw_invalid_argument(concat("size of ", argument), concat(wanted), concat(got));
  }
}

constexpr double kFloatBytes = sizeof(float);

double share(std::int64_t part, std::int64_t whole, double otherwise) {
  return whole == 0 ? otherwise : static_cast<double>(part) / static_cast<double>(whole);
}

// What is known of a step before it is timed.
LayerTimes described(const Runner& runner, std::size_t number) {
  const graph::Network& network = runner.network();
  const Step& step = runner.plan().steps[number];
  constexpr double kNever = std::numeric_limits<double>::infinity();
  const Product* product = runner.product(number);
  LayerTimes times{.layers = {},
                   .op = network.layers[step.layer].op,
                   .in = network.layers[step.layer].in,
                   .out = network.layers[step.last].out,
                   .has_lists = product != nullptr && product->may_list(),
                   .seconds = kNever,
                   .all_seconds = kNever,
                   .lists_seconds = kNever,
                   .selection_seconds = kNever};
  for (const std::size_t layer : step.layers) times.layers.push_back(network.layers[layer].name);
  return times;
}

double bytes_moved(const Runner& runner, std::size_t number, const LayerTimes& times,
                   std::int64_t batch) {
  const Step& step = runner.plan().steps[number];
  const graph::Layer& layer = runner.network().layers[step.layer];
  std::int64_t values = times.out.size();
  for (const int input : layer.inputs) values += runner.network().shape_of(input).size();
  if (step.added != Step::kNone) values += times.out.size();
  double bytes = kFloatBytes * static_cast<double>(values * batch);
  if (const Product* product = runner.product(number)) {
    const bool rows_alone = batch == 1 && layer.op == graph::Op::kLinear && !layer.in.is_map();
    const double touched = rows_alone ? 1 - times.listed * (1 - times.density) : 1;
    bytes += touched * static_cast<double>(product->weight_bytes());
  }
  return bytes;
}

}  // namespace

struct Engine::Impl {
  Impl(const graph::Network& network, const embedding::FrozenEmbedding* held,
       const EngineOptions& options)
      : tables(held), runner(network, options) {
    const auto count = static_cast<std::int64_t>(network.tables.size());
    if ((tables == nullptr ? 0 : tables->tables()) != count) {
      throw_invalid_argument("tables", concat(count),
                             concat(tables == nullptr ? 0 : tables->tables()));
    }
    dim = count == 0 ? 0 : network.tables.front().dim;
  }

  [[nodiscard]] std::int64_t outputs() const { return runner.network().layers.back().out.size(); }

  // Checks a batch and looks its ids up.
  std::vector<float> embedded_of(const Inputs& inputs) const {
    const auto count = static_cast<std::int64_t>(runner.network().tables.size());
    if (inputs.batch < 0) throw_invalid_argument("batch", "0 or more", concat(inputs.batch));
    require_size("values", inputs.batch * runner.network().input.size(), inputs.values.size());
    require_size("ids", count, inputs.ids.size());
    std::vector<float> embedded(static_cast<std::size_t>(inputs.batch * count * dim));
    if (tables != nullptr) tables->lookup(inputs.ids, inputs.batch, embedded);
    return embedded;
  }

  [[nodiscard]] Piece piece_of(const Inputs& inputs, const std::vector<float>& embedded,
                               std::int64_t first, std::int64_t end) const {
    const auto pooled = static_cast<std::int64_t>(runner.network().tables.size()) * dim;
    return {.values = inputs.values.data() + first * runner.network().input.size(),
            .embedded = embedded.data() + first * pooled,
            .rows = std::min(runner.piece(), end - first)};
  }

  // One pass, piece by piece, each step of which is timed.
  std::vector<StepTimes> time_steps(const Inputs& inputs, const std::vector<float>& embedded,
                                    Kernel kernel, std::span<float> logits,
                                    ThreadPool& pool) const {
    std::vector<StepTimes> times(runner.plan().steps.size());
    for (std::int64_t first = 0; first < inputs.batch; first += runner.piece()) {
      runner.run(piece_of(inputs, embedded, first, inputs.batch), kernel,
                 logits.data() + first * outputs(), pool, times);
    }
    return times;
  }

  const embedding::FrozenEmbedding* tables;
  std::int64_t dim = 0;  // of the tables' rows
  Runner runner;
};

Engine::Engine(const graph::Network& network, const embedding::FrozenEmbedding* tables,
               const EngineOptions& options)
    : impl_(std::make_unique<Impl>(network, tables, options)) {}

Engine::~Engine() = default;

std::int64_t Engine::outputs() const noexcept {
  return impl_->outputs();
}

void Engine::predict(const Inputs& inputs, std::span<float> logits, ThreadPool& pool) const {
  const Impl& engine = *impl_;
  const std::vector<float> embedded = engine.embedded_of(inputs);
  require_size("logits", inputs.batch * outputs(), logits.size());
  const ThreadPool::Awake awake(pool);  // layers are short
  const std::int64_t most = engine.runner.piece();
  const auto run = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin; first < end; first += most) {
      engine.runner.run(engine.piece_of(inputs, embedded, first, end), Kernel::kMeasured,
                        logits.data() + first * outputs(), pool, {});
    }
  };
  // Many pieces: each thread takes some. Few: threads share the layers of one after another.
  const std::int64_t grain = std::max(most, grain_of(engine.runner.work(), kTaskProducts));
  if (inputs.batch / grain >= pool.threads()) {
    pool.parallel_for(inputs.batch, grain, run);
  } else {
    run(0, inputs.batch);
  }
}

NetworkTimes Engine::measure(const Inputs& inputs, int repetitions, ThreadPool& pool) const {
  if (repetitions < 1) throw_invalid_argument("repetitions", "1 or more", concat(repetitions));
  const Impl& engine = *impl_;
  const ThreadPool::Awake awake(pool);
  const std::vector<float> embedded = engine.embedded_of(inputs);
  std::vector<float> logits(static_cast<std::size_t>(inputs.batch * outputs()));
  predict(inputs, logits, pool);
  NetworkTimes found;
  const std::size_t steps = engine.runner.plan().steps.size();
  for (std::size_t i = 0; i < steps; ++i) found.layers.push_back(described(engine.runner, i));
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    const auto start = std::chrono::steady_clock::now();
    predict(inputs, logits, pool);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    found.seconds.push_back(taken.count());
    for (const Kernel kernel : {Kernel::kMeasured, Kernel::kAll, Kernel::kLists}) {
      const std::vector<StepTimes> times =
          engine.time_steps(inputs, embedded, kernel, logits, pool);
      for (std::size_t i = 0; i < steps; ++i) {
        LayerTimes& layer = found.layers[i];
        double& least = kernel == Kernel::kMeasured ? layer.seconds
                        : kernel == Kernel::kAll    ? layer.all_seconds
                                                    : layer.lists_seconds;
        least = std::min(least, times[i].seconds);
        layer.selection_seconds = std::min(layer.selection_seconds, times[i].selection_seconds);
        if (kernel != Kernel::kMeasured) continue;
        layer.density = share(times[i].counts.nonzeros, times[i].counts.sampled, 1);
        layer.listed = share(times[i].counts.listed, times[i].counts.strips, 0);
      }
    }
  }
  for (std::size_t i = 0; i < steps; ++i) {
    LayerTimes& layer = found.layers[i];
    layer.bytes = bytes_moved(engine.runner, i, layer, inputs.batch);
    const Product* product = engine.runner.product(i);
    found.weight_bytes += product == nullptr ? 0 : product->weight_bytes();
    if (layer.has_lists) continue;
    layer.seconds = std::min({layer.seconds, layer.all_seconds, layer.lists_seconds});
    layer.all_seconds = layer.lists_seconds = layer.seconds;
  }
  std::sort(found.seconds.begin(), found.seconds.end());
  return found;
}

}  // namespace taut::infer
