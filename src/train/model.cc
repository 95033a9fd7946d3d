#include "taut/train/model.h"

#include <algorithm>
#include <cstring>

#include "taut/core/error.h"
#include "taut/core/log.h"
#include "taut/core/progress.h"
#include "taut/core/text.h"
#include "taut/dist/worker_tables.h"
#include "taut/infer/engine.h"
#include "train/rows.h"

namespace taut::train {
namespace {

embedding::Options table_options(const RecommenderConfig& config,
                                 const data::DataProfile& profile) {
  embedding::Options options = config.embedding;
  options.seed = config.train.seed;
  for (std::size_t i = 0; i < config.schema.categorical.size(); ++i) {
    options.tables.push_back(
        {.name = config.schema.categorical[i], .distinct_ids = profile.distinct_ids[i]});
  }
  options.budget = resolve_budget(config.budget, embedding::full_bytes(options));
  return options;
}

nn::RecommenderOptions dense_options(const RecommenderConfig& config) {
  nn::RecommenderOptions options = config.model;
  options.dense = static_cast<std::int64_t>(config.schema.dense.size());
  options.tables = static_cast<std::int64_t>(config.schema.categorical.size());
  options.dim = config.embedding.dim;
  options.learning_rate = config.train.learning_rate;
  options.piece = config.piece_size();
  options.seed = config.train.seed;
  return options;
}

// The first values of a buffer, which grows where it is too small.
std::span<float> room_in(AlignedBuffer<float>& buffer, std::size_t size) {
  if (buffer.size() < size) buffer = AlignedBuffer<float>(size);
  return buffer.span().first(size);
}

}  // namespace

data::ReaderOptions reader_options(const RecommenderConfig& config,
                                   const std::vector<std::string>& files,
                                   const data::DataProfile& profile) {
  data::ReaderOptions options;
  options.files = files;
  options.format = config.format;
  options.schema = config.schema;
  options.scaling = profile.scaling;
  options.batch_size = config.train.batch_size;
  options.seed = config.train.seed;
  options.on_bad_row = config.data.on_bad_row;
  data::set_text_options(config.text, "", options);
  return options;
}

std::int64_t planned_bytes(const RecommenderConfig& config, const data::DataProfile& profile) {
  if (config.schema.categorical.empty()) return 0;
  const embedding::Options options = table_options(config, profile);
  return config.embedding.method == "full" ? embedding::full_bytes(options).count
                                           : options.budget.count;
}

Model::Model(const RecommenderConfig& config, const data::DataProfile& profile,
             std::shared_ptr<ThreadPool> pool, std::shared_ptr<dist::ProcessGroup> workers)
    : workers_(std::move(workers)), piece_(config.piece_size()) {
  if (!config.schema.categorical.empty()) {
    const embedding::Options options = table_options(config, profile);
    full_bytes_ = embedding::full_bytes(options).count;
    const auto sums = piece_ > 0 ? dist::GradientSums::kInOrder : dist::GradientSums::kByWorker;
    tables_ = workers_ != nullptr ? dist::make_worker_tables(options, pool, workers_, sums)
                                  : embedding::make_embedding(options, pool);
  }
  dense_ = std::make_unique<nn::Recommender>(dense_options(config), std::move(pool));
  dense_->set_workers(workers_);
}

void Model::view_ids(const data::Batch& batch) {
  taut::view_ids(batch.categorical, ids_);
}

// Ids of the examples that are this worker's.
void Model::view_part(const data::Batch& batch) {
  view_ids(batch);
  if (workers_ == nullptr) return;
  offsets_.resize(ids_.size());
  for (std::size_t t = 0; t < ids_.size(); ++t) {
    const auto all = ids_[t].offsets.subspan(static_cast<std::size_t>(mine_.begin),
                                             static_cast<std::size_t>(mine_.size) + 1);
    offsets_[t].assign(all.begin(), all.end());
    for (std::int64_t& offset : offsets_[t]) offset -= all.front();
    ids_[t].ids = ids_[t].ids.subspan(static_cast<std::size_t>(all.front()),
                                      static_cast<std::size_t>(offsets_[t].back()));
    ids_[t].offsets = offsets_[t];
  }
}

void Model::count_ids(const data::ReaderOptions& options) {
  if (tables_ == nullptr || !tables_->wants_counts()) return;
  data::BatchReader reader(options);
  ProgressBar bar("counting ids", reader.known_rows(), "examples");
  std::int64_t done = 0;
  for (data::Batch batch; reader.next(batch); bar.update(done += batch.size)) {
    view_ids(batch);
    tables_->count(ids_, batch.size);
  }
  tables_->finish_counting();
}

void Model::load_initial_rows(const RecommenderConfig& config) {
  if (config.initial_rows.empty()) return;
  if (tables_ == nullptr) {
    throw Error(ErrorKind::kConfig, "there are no tables to load rows into", "embedding.initial");
  }
  const embedding::LoadedRows loaded = load_row_file(config.initial_rows, *tables_);
  log_info(concat(config.initial_rows, ": ", loaded.held, " rows loaded, ", loaded.left_out,
                  " left out for want of room"));
}

nn::RecommenderInput Model::look_up(const data::Batch& batch) {
  mine_ = {.begin = 0, .size = batch.size};
  if (workers_ != nullptr) {
    mine_ = part_of(batch.size, workers_->rank());
  }
  std::span<float> vectors;
  if (tables_ != nullptr) {
    view_part(batch);
    vectors = room_in(vectors_, static_cast<std::size_t>(mine_.size) * ids_.size() *
                                    static_cast<std::size_t>(tables_->options().dim));
    tables_->lookup(ids_, mine_.size, vectors);
  }
  const std::int64_t columns = dense_->options().dense;
  return {.batch = mine_.size,
          .dense = std::span(batch.dense)
                       .subspan(static_cast<std::size_t>(mine_.begin * columns),
                                static_cast<std::size_t>(mine_.size * columns)),
          .vectors = vectors,
          .whole = batch.size};
}

// A worker's part of so many examples, cut where gradients' sums are.
Range Model::part_of(std::int64_t examples, int rank) const {
  return workers_->part_of(rank, examples, std::max<std::int64_t>(1, piece_));
}

// logits: of this worker's part; then of the whole batch.
void Model::gather_logits(std::int64_t batch, std::vector<float>& logits) const {
  if (workers_ == nullptr) return;
  std::vector<std::int64_t> sizes;
  for (int rank = 0; rank < workers_->size(); ++rank) {
    const Range theirs = part_of(batch, rank);
    sizes.push_back(theirs.size * static_cast<std::int64_t>(sizeof(float)));
  }
  const std::vector<std::byte> all =
      workers_->gather(std::as_bytes(std::span(logits)), sizes, dist::Cause::kControl);
  logits.resize(static_cast<std::size_t>(batch));
  std::memcpy(logits.data(), all.data(), all.size());
}

void Model::set_winner_rate(double rate) {
  dense_->set_winner_rate(rate);
}

double Model::train_step(const data::Batch& batch, std::vector<float>& logits) {
  const nn::RecommenderInput input = look_up(batch);
  logits.resize(static_cast<std::size_t>(mine_.size));
  const std::span<float> gradient = room_in(gradient_, input.vectors.size());
  const std::span<const float> labels =
      std::span(batch.labels)
          .subspan(static_cast<std::size_t>(mine_.begin), static_cast<std::size_t>(mine_.size));
  const double loss = dense_->train_step(input, labels, logits, gradient);
  if (tables_ != nullptr) tables_->update(ids_, mine_.size, gradient);
  gather_logits(batch.size, logits);
  return loss;
}

void Model::predict(const data::Batch& batch, std::vector<float>& logits) {
  const nn::RecommenderInput input = look_up(batch);
  logits.resize(static_cast<std::size_t>(mine_.size));
  if (mine_.size > 0) dense_->predict(input, logits);
  gather_logits(batch.size, logits);
}

std::vector<double> Model::densities(const data::Batch& batch) {
  dense_->set_winner_rate(dense_->options().winner_rate);
  const nn::RecommenderInput input = look_up(batch);
  if (workers_ == nullptr) return dense_->densities(input);
  // Means over the examples of each worker, by how many it has.
  std::vector<double> own(dense_->network().winner_sites().size(), 0.0);
  if (mine_.size > 0) own = dense_->densities(input);
  for (double& one : own) {
    const double sum = one * static_cast<double>(mine_.size);
    one = 0;
    for (const double theirs : workers_->each(sum)) one += theirs;
    one /= static_cast<double>(batch.size);
  }
  return own;
}

Quality Model::evaluate(const data::ReaderOptions& options, data::BadRows* bad_rows) {
  dense_->set_winner_rate(dense_->options().winner_rate);
  data::ReaderOptions in_place = options;
  in_place.keep_bad_rows = true;
  data::BatchReader reader(in_place);
  data::Batch batch;
  std::vector<float> logits;
  ClickQuality quality;
  while (reader.next(batch)) {
    predict(batch, logits);
    quality.add(logits, batch.labels, batch.bad,
                [&](std::size_t i) { return reader.row_name(batch.origin[i]); });
  }
  if (bad_rows != nullptr) *bad_rows = reader.bad_rows();
  quality.unscored().warn();
  return quality.measure();
}

void Model::save(SectionSink& file) const {
  dense_->save(file, "model/");
  if (tables_ != nullptr) tables_->save(file, "embedding/");
}

void Model::load(const SectionSource& file) {
  dense_->load(file, "model/");
  if (tables_ != nullptr) tables_->load(file, "embedding/");
}

}  // namespace taut::train
