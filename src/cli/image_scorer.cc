#include <algorithm>
#include <utility>

#include "cli/scorers.h"
#include "taut/core/error.h"
#include "taut/core/log.h"
#include "taut/core/text.h"
#include "taut/data/images.h"
#include "taut/infer/quality.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;

class ImagePass final : public ScoringPass {
 public:
  ImagePass(data::ImageSet images, const data::ImageBatchOptions& options,
            const std::shared_ptr<ThreadPool>& pool, std::int64_t classes)
      : images_(std::move(images)), batches_(images_, options, pool), classes_(classes) {}

  bool next() override { return batches_.next(batch_); }
  [[nodiscard]] infer::Inputs inputs() const override {
    return {.batch = batch_.size, .values = batch_.pixels};
  }
  [[nodiscard]] std::int64_t known_examples() const override { return images_.count; }
  void judge(std::span<const float> logits) override {
    quality_.add(classes_, logits, batch_.labels);
  }
  [[nodiscard]] Json quality() const override {
    return {{"top1", quality_.top1()},
            {"log_loss", quality_.log_loss()},
            {"examples", quality_.examples()}};
  }

 private:
  data::ImageSet images_;
  data::ImageBatches batches_;
  data::ImageBatch batch_;
  std::int64_t classes_;
  infer::ClassQuality quality_;
};

class ImageScorer final : public Scorer {
 public:
  explicit ImageScorer(std::unique_ptr<const infer::Package> package)
      : Scorer(std::move(package)), input_(infer::parse_image_input(model().input)) {
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
    source.on_bad = input_.skip_bad ? data::OnBadRow::kSkip : data::OnBadRow::kFail;
    source.threads = options.threads;
    data::ImageSet images = data::read_images(source);
    if (images.bad_rows.count > 0) {
      log_warning(concat(images.bad_rows.count, " bad images left out; the first:"));
      for (const std::string& row : images.bad_rows.first) log_warning("  " + row);
    }
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
    return std::make_unique<ImagePass>(
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
      best.push_back(names_[static_cast<std::size_t>(most - of.begin())]);
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

std::unique_ptr<const Scorer> make_image_scorer(std::unique_ptr<const infer::Package> package) {
  return std::make_unique<const ImageScorer>(std::move(package));
}

}  // namespace taut::cli
