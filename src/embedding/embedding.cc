#include "taut/embedding/embedding.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "batch.h"
#include "registry.h"
#include "taut/core/error.h"
#include "taut/core/memory.h"
#include "taut/core/text.h"

namespace taut::embedding {
namespace {

// The first value that is not finite, named, or nothing.
std::optional<std::string> not_finite(std::span<const float> values, const std::string& argument) {
  if (all_finite(values)) return std::nullopt;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) return concat(argument, "[", i, "] is ", values[i]);
  }
  TAUT_ASSERT(false);
  return std::nullopt;
}

std::optional<std::string> not_finite(std::span<const JaggedIds> tables,
                                      std::span<const float> gradient) {
  if (auto found = not_finite(gradient, "gradient")) return found;
  for (std::size_t t = 0; t < tables.size(); ++t) {
    if (auto found = not_finite(tables[t].weights, concat("tables[", t, "].weights"))) return found;
  }
  return std::nullopt;
}

}  // namespace

Embedding::Embedding(Options options, std::shared_ptr<ThreadPool> pool)
    : options_(std::move(options)), pool_(std::move(pool)), learning_rate_(options_.learning_rate) {
  TAUT_ASSERT(pool_ != nullptr);
}

void Embedding::set_learning_rate(double rate) {
  if (!std::isfinite(rate) || rate < 0) {
    throw_invalid_argument("learning_rate", "finite and 0 or more", concat(rate));
  }
  learning_rate_ = rate;
  take_learning_rate();
}

void Embedding::lookup(std::span<const JaggedIds> tables, std::int64_t batch,
                       std::span<float> out) const {
  with_checked_tables(tables, options_.tables.size(), batch, options_.dim, out.size(), "out",
                      [&](std::span<const JaggedIds> checked) {
                        check_ready();
                        do_lookup(checked, batch, out);
                      });
}

void Embedding::update(std::span<const JaggedIds> tables, std::int64_t batch,
                       std::span<const float> gradient) {
  with_checked_tables(tables, options_.tables.size(), batch, options_.dim, gradient.size(),
                      "gradient", [&](std::span<const JaggedIds> checked) {
                        check_ready();
                        const auto bad = not_finite(checked, gradient);
                        if (bad && options_.on_nan == OnNan::kFail) {
                          throw Error(ErrorKind::kInvalidArgument, *bad, {},
                                      "every value must be finite; on_nan = skip leaves such "
                                      "batches out");
                        }
                        if (!leaves_out(bad.has_value())) do_update(checked, batch, gradient);
                      });
}

bool Embedding::leaves_out(bool bad) {
  if (bad) skip_update();
  return bad;
}

void Embedding::count(std::span<const JaggedIds> tables, std::int64_t batch) {
  const std::size_t values = static_cast<std::size_t>(std::max<std::int64_t>(batch, 0)) *
                             options_.tables.size() * static_cast<std::size_t>(options_.dim);
  with_checked_tables(tables, options_.tables.size(), batch, options_.dim, values, "values",
                      [&](std::span<const JaggedIds> checked) { do_count(checked, batch); });
}

void Embedding::do_count(std::span<const JaggedIds>, std::int64_t) {
  throw Error(ErrorKind::kInvalidArgument,
              concat("method ", options_.method, " does not count ids"));
}

void Embedding::finish_counting() {
  throw Error(ErrorKind::kInvalidArgument,
              concat("method ", options_.method, " does not count ids"));
}

void Embedding::resize_budget(Bytes) {
  throw Error(ErrorKind::kUnsupported,
              concat("method ", options_.method, " cannot change its budget"), {},
              "elastic, row and cafe can");
}

namespace {

// Calls make(method, options) with options that were checked and are whole.
template <typename Make>
auto make_checked(const Options& options, const std::shared_ptr<ThreadPool>& pool, Make&& make) {
  if (pool == nullptr) throw_invalid_argument("pool", "a thread pool", "null");
  const Method& method = find_method(options.method, ErrorKind::kConfig, "embedding.method");
  check_options(options);
  if (options.method != "full") {
    check_memory(options.budget, "a budget", "embedding.budget", "give less");
  }
  Options resolved = options;
  resolved.chunk = resolved_chunk(options);
  return make(method, resolved);
}

}  // namespace

std::unique_ptr<Embedding> make_embedding(const Options& options,
                                          std::shared_ptr<ThreadPool> pool) {
  return make_checked(options, pool, [&](const Method& method, const Options& resolved) {
    return method.make != nullptr ? method.make(resolved, pool)
                                  : method.make_part(resolved, pool, nullptr).rows;
  });
}

EmbeddingPart make_embedding_part(const Options& options, std::shared_ptr<ThreadPool> pool,
                                  std::shared_ptr<Peers> peers) {
  if (peers == nullptr) throw_invalid_argument("peers", "the processes of a collection", "null");
  return make_checked(options, pool, [&](const Method& method, const Options& resolved) {
    if (method.make_part != nullptr) return method.make_part(resolved, pool, std::move(peers));
    throw Error(ErrorKind::kUnsupported,
                concat("tables of method ", options.method, " cannot be divided among processes"),
                "embedding.method", "full, hash, row, cafe and elastic can");
  });
}

}  // namespace taut::embedding
