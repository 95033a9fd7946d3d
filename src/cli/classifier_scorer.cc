#include <algorithm>
#include <cmath>
#include <utility>

#include "cli/data_settings.h"
#include "cli/scorers.h"
#include "core/json_text.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/data/images.h"
#include "taut/infer/quality.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;

class ClassifierPass final : public ScoringPass {
 public:
  ClassifierPass(data::ImageSet images, const data::ImageBatchOptions& options,
                 const std::shared_ptr<ThreadPool>& pool, std::int64_t classes)
      : images_(std::move(images)), batches_(images_, options, pool), classes_(classes) {}

  bool next() override {
    before_ += batch_.size;
    return batches_.next(batch_);
  }
  [[nodiscard]] infer::Inputs inputs() const override {
    return {.batch = batch_.size, .values = batch_.pixels};
  }
  [[nodiscard]] std::span<const std::uint8_t> left_out() const override {
    if (images_.bad.empty()) return {};
    return std::span(images_.bad)
        .subspan(static_cast<std::size_t>(before_), static_cast<std::size_t>(batch_.size));
  }
  [[nodiscard]] std::string name(std::size_t example) const override {
    return concat("image ", before_ + static_cast<std::int64_t>(example));
  }
  [[nodiscard]] data::BadRows bad_rows() const override { return images_.bad_rows; }
  [[nodiscard]] std::int64_t known_examples() const override { return images_.count; }
  void judge(std::span<const float> logits) override {
    unscored_.add(logits, classes_, {}, [&](std::size_t i) { return name(i); });
    quality_.add(classes_, logits, batch_.labels);
  }
  [[nodiscard]] Json quality() const override {
    unscored_.warn();
    Json told = {{"top1", json_number(quality_.top1())},
                 {"log_loss", json_number(quality_.log_loss())},
                 {"examples", quality_.examples()}};
    if (quality_.unscored() > 0) told["unscored_rows"] = quality_.unscored();
    return told;
  }

 private:
  data::ImageSet images_;
  data::ImageBatches batches_;
  data::ImageBatch batch_;
  std::int64_t classes_;
  infer::ClassQuality quality_;
  infer::UnscoredRows unscored_;
  std::int64_t before_ = 0;  // images of earlier batches
};

class ClassifierScorer final : public Scorer {
 public:
  explicit ClassifierScorer(OpenedModel opened)
      : Scorer(std::move(opened)), input_(infer::parse_image_input(model().input)) {
    names_ = input_.class_names;
    for (std::int64_t c = 0; names_.size() < static_cast<std::size_t>(outputs()); ++c) {
      names_.push_back(std::to_string(c));
    }
  }

 private:
  [[nodiscard]] std::unique_ptr<ScoringPass> open(
      const ScoringOptions& options, const std::shared_ptr<ThreadPool>& pool) const override {
    data::ImageSourceOptions source{.files = options.files};
    source.labels = input_.labels;
    source.size = input_.size;
    source.classes = outputs();
    source.class_names = input_.class_names;
    data::ReaderOptions reading;  // what settings may say of images
    reading.on_bad_row = input_.skip_bad ? data::OnBadRow::kSkip : data::OnBadRow::kFail;
    DataSettings(options.sets).apply(reading);
    source.on_bad = reading.on_bad_row;
    source.unlabelled = !options.labelled;
    source.threads = options.threads;
    data::ImageSet images = data::read_images(source);
    const graph::Shape& wanted = model().network.input;
    const graph::Shape shape{images.channels, images.height, images.width};
    if (!(shape == wanted)) {
      const auto spelled = [](const graph::Shape& s) {
        return concat(s.channels, "x", s.height, "x", s.width);
      };
      throw Error(ErrorKind::kData,
                  concat("images are ", spelled(shape), ", the network reads ", spelled(wanted)),
                  options.files.front());
    }
    return std::make_unique<ClassifierPass>(
        std::move(images),
        data::ImageBatchOptions{
            .batch_size = options.batch,
            .normalization = {.mean = input_.mean, .deviation = input_.deviation}},
        pool, outputs());
  }

  [[nodiscard]] std::vector<data::ScoreColumn> columns(bool all) const override {
    std::vector<data::ScoreColumn> columns = {{.name = "class", .is_text = true},
                                              {.name = "probability"}};
    for (std::size_t c = 0; all && c < names_.size(); ++c) {
      columns.push_back({.name = "probability_" + names_[c]});
    }
    return columns;
  }

  [[nodiscard]] std::vector<data::ScoreValues> values(std::span<const float> probabilities,
                                                      bool all) const override {
    const std::size_t classes = names_.size();
    const std::size_t rows = probabilities.size() / classes;
    std::vector<std::string> best;
    std::vector<float> highest;
    std::vector<std::vector<float>> each(all ? classes : 0);
    for (std::size_t row = 0; row < rows; ++row) {
      const std::span<const float> of = probabilities.subspan(row * classes, classes);
      const auto most = std::max_element(of.begin(), of.end());
      best.push_back(std::isnan(of.front()) ? std::string()
                                            : names_[static_cast<std::size_t>(most - of.begin())]);
      highest.push_back(*most);
      for (std::size_t c = 0; c < each.size(); ++c) each[c].push_back(of[c]);
    }
    std::vector<data::ScoreValues> columns = {std::move(best), std::move(highest)};
    for (std::vector<float>& column : each) columns.emplace_back(std::move(column));
    return columns;
  }

  infer::ImageInput input_;
  std::vector<std::string> names_;  // of the classes
};

}  // namespace

std::unique_ptr<const Scorer> make_classifier_scorer(OpenedModel opened) {
  return std::make_unique<const ClassifierScorer>(std::move(opened));
}

}  // namespace taut::cli
