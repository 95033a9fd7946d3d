#include "taut/infer/engine.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

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

}  // namespace

struct Engine::Impl {
  Impl(const graph::Network& network, const embedding::FrozenEmbedding* held)
      : tables(held), runner(network) {
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

  const embedding::FrozenEmbedding* tables;
  std::int64_t dim = 0;  // of the tables' rows
  Runner runner;
};

Engine::Engine(const graph::Network& network, const embedding::FrozenEmbedding* tables)
    : impl_(std::make_unique<Impl>(network, tables)) {}

Engine::~Engine() = default;

std::int64_t Engine::outputs() const noexcept {
  return impl_->outputs();
}

void Engine::predict(const Inputs& inputs, std::span<float> logits, ThreadPool& pool) const {
  const Impl& engine = *impl_;
  const std::vector<float> embedded = engine.embedded_of(inputs);
  require_size("logits", inputs.batch * outputs(), logits.size());
  const std::int64_t most = engine.runner.piece();
  const auto run = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin; first < end; first += most) {
      engine.runner.run(engine.piece_of(inputs, embedded, first, end), Kernel::kMeasured,
                        logits.data() + first * outputs(), pool, {});
    }
  };
  // Many pieces: each thread takes some. Few: threads share the layers of one after another.
  if (inputs.batch / most >= pool.threads()) {
    pool.parallel_for(inputs.batch, most, run);
  } else {
    run(0, inputs.batch);
  }
}

}  // namespace taut::infer
