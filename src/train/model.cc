#include "taut/train/model.h"

#include <map>

#include "taut/core/error.h"
#include "taut/core/log.h"
#include "taut/core/progress.h"
#include "taut/core/text.h"
#include "taut/infer/package.h"
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
  options.seed = config.train.seed;
  return options;
}

// Parameters by name, weights turned to input-major; keeps the values that a spec looks at.
class LayerStore {
 public:
  explicit LayerStore(const std::vector<nn::NamedTensor>& parameters) {
    for (const nn::NamedTensor& parameter : parameters) {
      values_[parameter.name] =
          parameter.shape.size() == 2
              ? transposed(parameter.values, parameter.shape[0], parameter.shape[1])
              : parameter.values;
    }
  }

  [[nodiscard]] std::vector<infer::LinearLayer> layers(const std::string& name) const {
    std::vector<infer::LinearLayer> layers;
    while (values_.contains(concat(name, ".", layers.size(), ".weight"))) {
      const std::vector<float>& weight = values_.at(concat(name, ".", layers.size(), ".weight"));
      const std::vector<float>& bias = values_.at(concat(name, ".", layers.size(), ".bias"));
      const auto outputs = static_cast<std::int64_t>(bias.size());
      layers.push_back({.inputs = static_cast<std::int64_t>(weight.size()) / outputs,
                        .outputs = outputs,
                        .weight = weight,
                        .bias = bias});
    }
    return layers;
  }

  [[nodiscard]] std::span<const float> vector(const std::string& name) const {
    const auto found = values_.find(name);
    return found == values_.end() ? std::span<const float>() : found->second;
  }

 private:
  static std::vector<float> transposed(const std::vector<float>& values, std::int64_t rows,
                                       std::int64_t columns) {
    std::vector<float> turned(values.size());
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < columns; ++c) {
        turned[static_cast<std::size_t>(c * rows + r)] =
            values[static_cast<std::size_t>(r * columns + c)];
      }
    }
    return turned;
  }

  std::map<std::string, std::vector<float>> values_;
};

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
  return options;
}

std::int64_t planned_bytes(const RecommenderConfig& config, const data::DataProfile& profile) {
  if (config.schema.categorical.empty()) return 0;
  const embedding::Options options = table_options(config, profile);
  return config.embedding.method == "full" ? embedding::full_bytes(options).count
                                           : options.budget.count;
}

Model::Model(const RecommenderConfig& config, const data::DataProfile& profile,
             std::shared_ptr<ThreadPool> pool) {
  if (!config.schema.categorical.empty()) {
    const embedding::Options options = table_options(config, profile);
    full_bytes_ = embedding::full_bytes(options).count;
    tables_ = embedding::make_embedding(options, pool);
  }
  dense_ = std::make_unique<nn::Recommender>(dense_options(config), std::move(pool));
}

void Model::view_ids(const data::Batch& batch) {
  infer::view_ids(batch.categorical, ids_);
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
  if (tables_ != nullptr) {
    view_ids(batch);
    vectors_.resize(static_cast<std::size_t>(batch.size) * ids_.size() *
                    static_cast<std::size_t>(tables_->options().dim));
    tables_->lookup(ids_, batch.size, vectors_);
  }
  return {.batch = batch.size, .dense = batch.dense, .vectors = vectors_};
}

void Model::set_winner_rate(double rate) {
  dense_->set_winner_rate(rate);
}

double Model::train_step(const data::Batch& batch, std::vector<float>& logits) {
  const nn::RecommenderInput input = look_up(batch);
  logits.resize(static_cast<std::size_t>(batch.size));
  gradient_.resize(vectors_.size());
  const double loss = dense_->train_step(input, batch.labels, logits, gradient_);
  if (tables_ != nullptr) tables_->update(ids_, batch.size, gradient_);
  return loss;
}

void Model::predict(const data::Batch& batch, std::vector<float>& logits) {
  const nn::RecommenderInput input = look_up(batch);
  logits.resize(static_cast<std::size_t>(batch.size));
  dense_->predict(input, logits);
}

Quality Model::evaluate(const data::ReaderOptions& options, data::BadRows* bad_rows) {
  dense_->set_winner_rate(dense_->options().winner_rate);
  data::BatchReader reader(options);
  data::Batch batch;
  std::vector<float> logits;
  std::vector<float> all_logits;
  std::vector<float> all_labels;
  while (reader.next(batch)) {
    predict(batch, logits);
    all_logits.insert(all_logits.end(), logits.begin(), logits.end());
    all_labels.insert(all_labels.end(), batch.labels.begin(), batch.labels.end());
  }
  if (bad_rows != nullptr) *bad_rows = reader.bad_rows();
  return measure_quality(all_logits, all_labels);
}

void Model::save(SectionSink& file) const {
  dense_->save(file, "model/");
  if (tables_ != nullptr) tables_->save(file, "embedding/");
}

void Model::load(const SectionSource& file) {
  dense_->load(file, "model/");
  if (tables_ != nullptr) tables_->load(file, "embedding/");
}

Bytes Model::export_package(const std::string& path, std::string_view metadata) const {
  const LayerStore store(dense_->parameters());
  const nn::RecommenderOptions& options = dense_->options();
  const infer::RecommenderSpec spec{.kind = options.kind,
                                    .interaction = options.interaction,
                                    .dense = options.dense,
                                    .tables = options.tables,
                                    .dim = options.dim,
                                    .bottom = store.layers("bottom"),
                                    .top = store.layers("top"),
                                    .winner_rate = options.winner_rate,
                                    .wide = store.vector("wide.weight")};
  SectionWriter file(path, infer::kPackageKind, infer::kPackageVersion);
  file.add("metadata", metadata);
  infer::write_recommender(file, spec);
  if (tables_ != nullptr) tables_->export_frozen(file, "embedding/");
  return file.commit();
}

}  // namespace taut::train
