#include "taut/embedding/embedding.h"

#include <cmath>
#include <utility>

#include "batch.h"
#include "registry.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::embedding {
namespace {

// Finite values times 0 add up to 0; anything else spoils the sum. Vectorizes.
bool all_finite(std::span<const float> values) noexcept {
  float sum = 0;
  for (const float value : values) sum += value * 0.0f;
  return sum == 0.0f;
}

void check_finite(std::span<const float> values, const std::string& argument) {
  if (all_finite(values)) return;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      throw_invalid_argument(concat(argument, "[", i, "]"), "finite", concat(values[i]));
    }
  }
}

}  // namespace

Embedding::Embedding(Options options, std::shared_ptr<ThreadPool> pool)
    : options_(std::move(options)), pool_(std::move(pool)) {
  TAUT_ASSERT(pool_ != nullptr);
}

void Embedding::lookup(std::span<const JaggedIds> tables, std::int64_t batch,
                       std::span<float> out) const {
  with_checked_tables(tables, options_.tables.size(), batch, options_.dim, out.size(), "out",
                      [&](std::span<const JaggedIds> checked) { do_lookup(checked, batch, out); });
}

void Embedding::update(std::span<const JaggedIds> tables, std::int64_t batch,
                       std::span<const float> gradient) {
  with_checked_tables(tables, options_.tables.size(), batch, options_.dim, gradient.size(),
                      "gradient", [&](std::span<const JaggedIds> checked) {
                        check_finite(gradient, "gradient");
                        for (std::size_t t = 0; t < checked.size(); ++t) {
                          check_finite(checked[t].weights, concat("tables[", t, "].weights"));
                        }
                        do_update(checked, batch, gradient);
                      });
}

std::unique_ptr<Embedding> make_embedding(const Options& options,
                                          std::shared_ptr<ThreadPool> pool) {
  if (pool == nullptr) throw_invalid_argument("pool", "a thread pool", "null");
  const Method& method = find_method(options.method, ErrorKind::kConfig, "embedding.method");
  check_options(options);
  return method.make(options, std::move(pool));
}

}  // namespace taut::embedding
