#include <cmath>
#include <utility>

#include "cli/scorers.h"
#include "core/json_text.h"
#include "taut/core/error.h"
#include "taut/core/jagged.h"
#include "taut/core/text.h"
#include "taut/data/input_spec.h"
#include "taut/data/reader.h"
#include "taut/infer/quality.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;

class ClickPass final : public ScoringPass {
 public:
  explicit ClickPass(const data::ReaderOptions& options) : reader_(options) {}

  bool next() override {
    if (!reader_.next(batch_)) return false;
    view_ids(batch_.categorical, ids_);
    return true;
  }
  [[nodiscard]] infer::Inputs inputs() const override {
    return {.batch = batch_.size, .values = batch_.dense, .ids = ids_};
  }
  [[nodiscard]] std::int64_t known_examples() const override { return reader_.known_rows(); }
  void judge(std::span<const float> logits) override {
    logits_.insert(logits_.end(), logits.begin(), logits.end());
    labels_.insert(labels_.end(), batch_.labels.begin(), batch_.labels.end());
  }
  [[nodiscard]] Json quality() const override {
    const infer::Quality quality = infer::measure_quality(logits_, labels_);
    const auto number = [](double value) {
      return std::isfinite(value) ? Json(value) : Json(nullptr);
    };
    return {{"examples", quality.examples},
            {"auc", number(quality.auc)},
            {"log_loss", number(quality.log_loss)},
            {"normalized_entropy", number(quality.normalized_entropy)}};
  }

 private:
  data::BatchReader reader_;
  data::Batch batch_;
  std::vector<embedding::JaggedIds> ids_;
  std::vector<float> logits_;
  std::vector<float> labels_;
};

class ClickScorer final : public Scorer {
 public:
  explicit ClickScorer(std::unique_ptr<const infer::Package> package)
      : Scorer(std::move(package)),
        options_(data::parse_input_spec(parse_json(model().input, path()), path())) {
    const auto dense = static_cast<std::int64_t>(options_.schema.dense.size());
    const std::size_t categorical = options_.schema.categorical.size();
    if (dense != model().network.input.channels ||
        options_.scaling.size() != static_cast<std::size_t>(dense) ||
        categorical != model().network.tables.size()) {
      throw Error(ErrorKind::kFormat,
                  concat("the input has ", dense, " dense and ", categorical,
                         " categorical columns, the network reads ", model().network.input.channels,
                         " and ", model().network.tables.size()),
                  path(), "export the run again");
    }
  }

 private:
  [[nodiscard]] std::unique_ptr<ScoringPass> open(
      const ScoringOptions& options, const std::shared_ptr<ThreadPool>&) const override {
    data::ReaderOptions reader = options_;
    if (!options.labelled) reader.schema.label.clear();
    reader.files = options.files;
    reader.batch_size = options.batch;
    return std::make_unique<ClickPass>(reader);
  }
  [[nodiscard]] std::vector<data::ScoreColumn> columns(bool) const override {
    return {{.name = "score"}};
  }
  [[nodiscard]] std::vector<data::ScoreValues> values(std::span<const float> probabilities,
                                                      bool) const override {
    return {std::vector<float>(probabilities.begin(), probabilities.end())};
  }

  data::ReaderOptions options_;
};

}  // namespace

std::unique_ptr<const Scorer> make_click_scorer(std::unique_ptr<const infer::Package> package) {
  return std::make_unique<const ClickScorer>(std::move(package));
}

}  // namespace taut::cli
