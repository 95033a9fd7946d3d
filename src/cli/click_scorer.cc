#include <cmath>
#include <utility>

#include "cli/data_settings.h"
#include "cli/scorers.h"
#include "core/json_text.h"
#include "taut/core/error.h"
#include "taut/core/jagged.h"
#include "taut/core/text.h"
#include "taut/data/format_choice.h"
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
  [[nodiscard]] std::span<const std::uint8_t> left_out() const override { return batch_.bad; }
  [[nodiscard]] std::string name(std::size_t example) const override {
    return reader_.row_name(batch_.origin[example]);
  }
  [[nodiscard]] data::BadRows bad_rows() const override { return reader_.bad_rows(); }
  void judge(std::span<const float> logits) override {
    quality_.add(logits, batch_.labels, batch_.bad, [&](std::size_t i) { return name(i); });
  }
  [[nodiscard]] Json quality() const override {
    quality_.unscored().warn();
    const infer::Quality quality = quality_.measure();
    Json facts = {{"examples", quality.examples},
                  {"auc", json_number(quality.auc)},
                  {"log_loss", json_number(quality.log_loss)},
                  {"normalized_entropy", json_number(quality.normalized_entropy)}};
    if (quality.unscored > 0) facts["unscored_rows"] = quality.unscored;
    if (!std::isfinite(quality.auc) && quality.examples > 0) facts["note"] = infer::kOneClass;
    return facts;
  }

 private:
  data::BatchReader reader_;
  data::Batch batch_;
  std::vector<embedding::JaggedIds> ids_;
  infer::ClickQuality quality_;
};

class ClickScorer final : public Scorer {
 public:
  explicit ClickScorer(OpenedModel opened)
      : Scorer(std::move(opened)),
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
    reader.keep_bad_rows = true;
    const DataSettings settings(options.sets);
    if (!settings.gives_format()) reader.format = data::choose_format(options.files, reader);
    settings.apply(reader);
    return std::make_unique<ClickPass>(reader);
  }
  [[nodiscard]] std::vector<data::ScoreColumn> columns(bool) const override {
    return {{.name = "score"}};
  }
  [[nodiscard]] std::vector<data::ScoreValues> values(std::span<const float> probabilities,
                                                      bool) const override {
    return {std::vector<float>(probabilities.begin(), probabilities.end())};
  }
  // The dense columns, then a column for each value of the tables' pooled rows.
  [[nodiscard]] std::vector<data::ScoreColumn> input_columns() const override {
    std::vector<data::ScoreColumn> columns;
    for (const std::string& name : options_.schema.dense) columns.push_back({.name = name});
    for (const graph::Table& table : model().network.tables) {
      for (std::int64_t k = 0; k < table.dim; ++k) {
        columns.push_back({.name = concat(table.name, ".", k)});
      }
    }
    return columns;
  }
  [[nodiscard]] std::vector<data::ScoreValues> input_values(
      const infer::Inputs& inputs) const override {
    std::vector<data::ScoreValues> columns;
    const auto take = [&](std::span<const float> rows) {
      const std::size_t width = rows.size() / static_cast<std::size_t>(inputs.batch);
      for (std::size_t c = 0; c < width; ++c) {
        std::vector<float> column;
        for (std::size_t at = c; at < rows.size(); at += width) column.push_back(rows[at]);
        columns.emplace_back(std::move(column));
      }
    };
    take(inputs.values);
    if (tables() == nullptr) return columns;
    std::int64_t width = 0;
    for (const graph::Table& table : model().network.tables) width += table.dim;
    std::vector<float> pooled(static_cast<std::size_t>(inputs.batch * width));
    tables()->lookup(inputs.ids, inputs.batch, pooled);
    take(pooled);
    return columns;
  }

  data::ReaderOptions options_;
};

}  // namespace

std::unique_ptr<const Scorer> make_click_scorer(OpenedModel opened) {
  return std::make_unique<const ClickScorer>(std::move(opened));
}

}  // namespace taut::cli
