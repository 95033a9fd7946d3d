#include "row_array.h"

#include <algorithm>
#include <utility>

#include "dense_update.h"
#include "state.h"
#include "taut/core/aligned_buffer.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::embedding {

std::int64_t rows_in_budget(const Options& options, const DenseRowFormat& format) {
  return bytes_within(options.budget.count) / format.row_bytes();
}

void throw_budget(const Options& options, std::string_view what, std::int64_t least_bytes) {
  throw Error(ErrorKind::kBudget, concat(options.budget.count, " bytes hold not ", what),
              "embedding.budget", concat("give at least ", rounded_bytes(least_bytes), " bytes"));
}

RowArrayEmbedding::RowArrayEmbedding(const Options& options, std::shared_ptr<ThreadPool> pool,
                                     int shards, Dealt dealt)
    : RowwiseEmbedding(options, std::move(pool), shards),
      dealt_(std::move(dealt)),
      format_(options, options.dim),
      rows_(static_cast<std::size_t>(dealt_.mine().size * format_.row_bytes()), &counter_) {}

Statistics RowArrayEmbedding::statistics() const {
  Statistics result;
  result.memory_bytes = memory_bytes();
  result.budget_bytes = options_.budget.count;
  result.skipped_updates = skipped_updates_;
  result.resident_rows = dealt_.mine().size;
  result.parts = {{"rows", static_cast<std::int64_t>(rows_.size())},
                  {"free", memory_bytes() - static_cast<std::int64_t>(rows_.size())}};
  result.rows_by_width.assign(static_cast<std::size_t>(options_.dim / options_.chunk) + 1, 0);
  result.rows_by_width.back() = result.resident_rows;
  return result;
}

void RowArrayEmbedding::save(SectionSink& file, const std::string& prefix) const {
  save_options(file, prefix, options_);
  save_progress(file, prefix);
  file.begin(prefix + "rows");
  if (!dealt_.is_divided()) return file.append(rows_.data(), rows_.size());
  dealt_.append_all(file, std::as_bytes(rows_.span()));
}

void RowArrayEmbedding::load(const SectionSource& file, const std::string& prefix) {
  check_saved_options(file, prefix, options_);
  const Progress progress = load_progress(file, prefix);
  const auto rows = file.array<std::uint8_t>(prefix + "rows");
  const auto stride = static_cast<std::size_t>(format_.row_bytes());
  check_section_bytes(file, prefix + "rows", row_count() * stride, rows.size());
  std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(first_row() * stride), rows_.size(),
              rows_.begin());
  set_progress(progress);
}

void RowArrayEmbedding::update_rows(const TouchedRows& rows) {
  const RowOptimizer optimizer(options_, learning_rate());
  DenseUpdater steps({.optimizer = &optimizer, .seed = options_.seed, .step = steps_});
  const auto dim = static_cast<std::size_t>(options_.dim);
  for (std::size_t i = 0; i < rows.keys.size(); ++i) {
    steps.add({.row = row(rows.keys[i]),
               .gradient = rows.gradients.data() + i * dim,
               .name = rows.keys[i],
               .format = &format_});
  }
  steps.flush();
}

void RowArrayEmbedding::export_rows(SectionSink& file, const std::string& prefix) const {
  file.begin(prefix + "rows");
  const auto stride = static_cast<std::size_t>(format_.row_bytes());
  const auto state = static_cast<std::size_t>(format_.state_bytes());
  for (std::uint64_t i = 0; i < row_count(); ++i) {
    file.append(rows_.data() + i * stride + state, stride - state);
  }
}

}  // namespace taut::embedding
