#pragma once
// Batches, options and files that the embedding tests share.

#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/temporary_directory.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/random.h"
#include "taut/embedding/embedding.h"

namespace taut::embedding {

inline std::shared_ptr<ThreadPool> threads(int count) {
  return std::make_shared<ThreadPool>(count);
}

/// Ids, offsets and gradients of one step.
struct TestBatch {
  std::int64_t size = 0;
  std::vector<std::vector<std::uint64_t>> ids;
  std::vector<std::vector<std::int64_t>> offsets;
  std::vector<std::vector<float>> weights;
  std::vector<float> gradient;

  [[nodiscard]] std::vector<JaggedIds> tables() const {
    std::vector<JaggedIds> views;
    for (std::size_t t = 0; t < ids.size(); ++t) {
      views.push_back({.ids = ids[t], .offsets = offsets[t], .weights = weights[t]});
    }
    return views;
  }
};

struct BatchShape {
  std::int64_t size = 64;
  std::size_t tables = 3;
  int dim = 16;
  std::uint64_t ids = 2000;  // distinct, skewed towards the first
  bool bags = true;          // several ids a bag, with weights in table 1; else one id each
};

/// The batch that (seed, step) names. Small ids are frequent, some are 64 bits wide.
inline TestBatch make_batch(const BatchShape& shape, std::uint64_t seed, std::uint64_t step) {
  const CounterRandom random = CounterRandom(seed).with(step);
  std::uint64_t counter = 0;
  TestBatch batch;
  batch.size = shape.size;
  for (std::size_t t = 0; t < shape.tables; ++t) {
    std::vector<std::uint64_t> ids;
    std::vector<std::int64_t> offsets = {0};
    std::vector<float> weights;
    for (std::int64_t bag = 0; bag < shape.size; ++bag) {
      const std::uint64_t count = shape.bags ? random.below(counter++, 4) : 1;
      for (std::uint64_t i = 0; i < count; ++i) {
        const double u = random.uniform(counter++);
        auto id = static_cast<std::uint64_t>(static_cast<double>(shape.ids) * u * u * u);
        if (id % 7 == 3) id |= std::uint64_t{1} << 63;
        ids.push_back(id);
        if (shape.bags && t == 1) weights.push_back(static_cast<float>(random.uniform(counter++)));
      }
      offsets.push_back(static_cast<std::int64_t>(ids.size()));
    }
    batch.ids.push_back(std::move(ids));
    batch.offsets.push_back(shape.bags ? std::move(offsets) : std::vector<std::int64_t>());
    batch.weights.push_back(std::move(weights));
  }
  const std::size_t values =
      static_cast<std::size_t>(shape.size) * shape.tables * static_cast<std::size_t>(shape.dim);
  for (std::size_t i = 0; i < values; ++i) {
    batch.gradient.push_back(static_cast<float>(random.normal(counter++)) * 0.3f);
  }
  return batch;
}

inline Options make_options(const std::string& method, const BatchShape& shape,
                            std::int64_t budget_bytes) {
  Options options;
  options.method = method;
  options.dim = shape.dim;
  options.budget = Bytes{budget_bytes};
  for (std::size_t t = 0; t < shape.tables; ++t) {
    options.tables.push_back({.name = "table" + std::to_string(t), .distinct_ids = 0});
  }
  return options;
}

/// make_embedding(), and the first pass for methods that want one.
inline std::unique_ptr<Embedding> make_ready(const Options& options, int thread_count,
                                             const BatchShape& shape) {
  auto embedding = make_embedding(options, threads(thread_count));
  if (!embedding->wants_counts()) return embedding;
  for (std::uint64_t step = 0; step < 50; ++step) {
    const TestBatch batch = make_batch(shape, 1, step);
    embedding->count(batch.tables(), batch.size);
  }
  embedding->finish_counting();
  return embedding;
}

template <typename Collection>
std::vector<float> look_up(const Collection& collection, const TestBatch& batch, int dim) {
  std::vector<float> out(static_cast<std::size_t>(batch.size) * batch.ids.size() *
                         static_cast<std::size_t>(dim));
  collection.lookup(batch.tables(), batch.size, out);
  return out;
}

inline void train(Embedding& embedding, const BatchShape& shape, std::uint64_t seed, int first,
                  int last) {
  for (int step = first; step < last; ++step) {
    const TestBatch batch = make_batch(shape, seed, static_cast<std::uint64_t>(step));
    embedding.update(batch.tables(), batch.size, batch.gradient);
  }
}

inline void save_to(const Embedding& embedding, const std::string& path) {
  SectionWriter file(path, "ckpt", 1);
  embedding.save(file, "table/");
  (void)file.commit();
}

inline void load_from(Embedding& embedding, const std::string& path) {
  const SectionReader file(path, "ckpt", 1);
  embedding.load(file, "table/");
}

/// The kind and text of the error that a call ends with; kInternal and "" if it does not.
inline std::pair<ErrorKind, std::string> error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return {error.kind(), error.what()};
  }
  return {ErrorKind::kInternal, ""};
}

}  // namespace taut::embedding
