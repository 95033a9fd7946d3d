#pragma once
// A whole recommender: tables, dense half, and what its inputs look like.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "taut/core/aligned_buffer.h"
#include "taut/core/share.h"
#include "taut/core/thread_pool.h"
#include "taut/data/reader.h"
#include "taut/dist/process_group.h"
#include "taut/embedding/embedding.h"
#include "taut/nn/recommender.h"
#include "taut/train/metrics.h"
#include "taut/train/recommender.h"

namespace taut::train {

/// Reader options for files of the config's schema, in file order, scaled as the profile says.
[[nodiscard]] data::ReaderOptions reader_options(const RecommenderConfig& config,
                                                 const std::vector<std::string>& files,
                                                 const data::DataProfile& profile);

/// Bytes that the tables may take: the budget, or all of the method full.
[[nodiscard]] std::int64_t planned_bytes(const RecommenderConfig& config,
                                         const data::DataProfile& profile);

/// A recommender as config and data profile describe it.
/// Workers that share it are all given the same whole batches, of which each works on a part
/// (share_of() of the examples, or of pieces of train.piece where that is given: then all that is
/// computed has the bits of one process); tables are dealt to them (dist::make_worker_tables), the
/// dense half each has whole. All then know all logits. Threads: one call at a time; work is spread
/// over the pool; the same bits for any pool.
class Model {
 public:
  /// workers: null for a process alone. Errors: those of make_embedding, dist::make_worker_tables
  /// and nn::Recommender.
  Model(const RecommenderConfig& config, const data::DataProfile& profile,
        std::shared_ptr<ThreadPool> pool, std::shared_ptr<dist::ProcessGroup> workers = nullptr);

  /// The pass over the training files that methods with offline counts want before the first step;
  /// nothing is read for the others.
  void count_ids(const data::ReaderOptions& options);

  /// Puts the rows of the config's embedding.initial into the tables, if it names a file. After
  /// count_ids(). Errors: those of the file; kUnsupported for methods without rows.
  void load_initial_rows(const RecommenderConfig& config);

  /// See nn::Recommender::set_winner_rate; evaluate() and packages use the config's rate all the
  /// same.
  void set_winner_rate(double rate);

  /// One step on a batch; writes logits of the model before the step. Returns the summed loss.
  double train_step(const data::Batch& batch, std::vector<float>& logits);
  void predict(const data::Batch& batch, std::vector<float>& logits);

  /// See nn::Recommender::densities; at the config's winner rate.
  [[nodiscard]] std::vector<double> densities(const data::Batch& batch);

  /// Quality on files. Rows without a score are left out and named in a warning. bad_rows, if
  /// given, receives what was skipped.
  [[nodiscard]] Quality evaluate(const data::ReaderOptions& options,
                                 data::BadRows* bad_rows = nullptr);

  void save(SectionSink& file) const;
  void load(const SectionSource& file);

  /// nullptr when there are no categorical columns.
  [[nodiscard]] const embedding::Embedding* tables() const noexcept { return tables_.get(); }
  [[nodiscard]] const nn::Recommender& dense() const noexcept { return *dense_; }
  /// Bytes of the full tables: distinct ids * (4 * dim + 4).
  [[nodiscard]] std::int64_t full_bytes() const noexcept { return full_bytes_; }
  [[nodiscard]] std::int64_t memory_bytes() const {
    return tables_ == nullptr ? 0 : tables_->memory_bytes();
  }

 private:
  [[nodiscard]] nn::RecommenderInput look_up(const data::Batch& batch);
  void view_ids(const data::Batch& batch);
  void view_part(const data::Batch& batch);
  [[nodiscard]] Range part_of(std::int64_t examples, int rank) const;
  void gather_logits(std::int64_t batch, std::vector<float>& logits) const;

  std::shared_ptr<dist::ProcessGroup> workers_;
  std::int64_t piece_;  ///< 0: none that all keep to
  Range mine_;          ///< this worker's part of the batch that was looked up last
  std::unique_ptr<embedding::Embedding> tables_;
  std::unique_ptr<nn::Recommender> dense_;
  std::int64_t full_bytes_ = 0;
  std::vector<embedding::JaggedIds> ids_;
  std::vector<std::vector<std::int64_t>> offsets_;  ///< of a part's ids, by table
  // Aligned, so that no vector of 16 floats lies in two cache lines.
  AlignedBuffer<float> vectors_;
  AlignedBuffer<float> gradient_;
};

}  // namespace taut::train
