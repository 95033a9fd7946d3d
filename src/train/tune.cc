#include "taut/train/tune.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>

#include "taut/core/error.h"
#include "taut/core/progress.h"
#include "taut/core/text.h"
#include "taut/infer/measures.h"
#include "taut/train/run.h"
#include "train/classifier_data.h"
#include "train/tune_search.h"

namespace taut::train {
namespace {

using Json = nlohmann::json;
using sparsity::Unit;

constexpr std::int64_t kDensityImages = 256;  // that densities are measured on
constexpr std::int64_t kNormImages = 1024;    // that normalizations are measured anew on
constexpr std::int64_t kNormBatch = 128;
constexpr std::int64_t kTriesPerSite = 10;
constexpr std::int64_t kLeastTries = 64;
constexpr double kFineTuning = 0.5;  // of the run's learning rate

void require(bool holds, std::string_view what, std::string_view wanted, const auto& got) {
  if (holds) return;
  throw Error(ErrorKind::kConfig, concat(what, " must be ", wanted, ", got ", got));
}

// count images of a set, evenly spaced, so that sets in class order give all classes.
data::ImageSet spaced(const data::ImageSet& all, std::int64_t count) {
  if (count >= all.count) return all;
  data::ImageSet some = data::slice(all, 0, count);
  const std::int64_t size = all.height * all.width * all.channels;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t from = i * all.count / count;
    std::copy_n(all.pixels.begin() + from * size, size, some.pixels.begin() + i * size);
    some.labels[static_cast<std::size_t>(i)] = all.labels[static_cast<std::size_t>(from)];
  }
  return some;
}

std::vector<data::ImageBatch> batches_of(const data::ImageSet& images,
                                         const data::Normalization& normalization,
                                         std::int64_t batch_size) {
  data::ImageBatches reader(
      images, {.batch_size = batch_size, .normalization = normalization, .prefetch = false},
      nullptr);
  std::vector<data::ImageBatch> batches(static_cast<std::size_t>(reader.batches()));
  for (data::ImageBatch& batch : batches) reader.next(batch);
  return batches;
}

bool has_maps(const nn::Network& spec) {
  const std::vector<int> sites = spec.winner_sites();
  return std::any_of(sites.begin(), sites.end(), [&](int site) {
    return spec.layers[static_cast<std::size_t>(site)].out.is_map();
  });
}

class Tuner {
 public:
  explicit Tuner(const TuneOptions& options)
      : options_(checked(options)),
        pool_(std::make_shared<ThreadPool>(options.threads)),
        opened_(open_run(options.run, pool_)),
        run_(images_of(opened_, "tune")) {
    images_ = spaced(read(measured_files()), options.images);
    some_ =
        first_images(spaced(images_, kDensityImages), run_.format.normalization, kDensityImages);
    if (options.recalibrate) {
      norm_batches_ = batches_of(spaced(read(run_.config.data.train), kNormImages),
                                 run_.format.normalization, kNormBatch);
    }
    sites_ = network().spec().winner_sites().size();
    start_ = rates_by_site(network());
  }

  Tuned run() {
    Json candidates = Json::array();
    std::optional<Json> best;
    double least = std::numeric_limits<double>::infinity();
    for (const Unit unit : units()) {
      Json found = tune(unit);
      const double cost = found["multiply_adds"]["after"];
      candidates.push_back(
          {{"unit", found["unit"]}, {"multiply_adds", cost}, {"top1", found["accuracy"]["after"]}});
      if (cost >= least) continue;
      least = cost;
      best = std::move(found);
    }
    (*best)["candidates"] = std::move(candidates);
    (*best)["images"] = images_.count;
    (*best)["recalibrated"] = options_.recalibrate;
    ImageConfig config = config_for(*best);
    return {.summary = std::move(*best), .config = std::move(config)};
  }

 private:
  [[nodiscard]] nn::ImageNetwork& network() const { return *run_.network; }

  static const TuneOptions& checked(const TuneOptions& options) {
    require(options.accuracy_drop >= 0 && options.accuracy_drop < 1, "--accuracy-drop", "in [0, 1)",
            options.accuracy_drop);
    require(options.images >= 1, "--images", "at least 1", options.images);
    require(options.epochs >= 1, "--epochs", "at least 1", options.epochs);
    for (const double rate : options.rates) {
      require(rate > 0 && rate <= 1, "--rates", "in (0, 1]", rate);
    }
    return options;
  }

  [[nodiscard]] const std::vector<std::string>& measured_files() const {
    const std::vector<std::string>& files =
        options_.data.empty() ? run_.config.data.valid : options_.data;
    if (files.empty()) {
      throw Error(ErrorKind::kConfig, "the run's config names no valid images", options_.run,
                  "name some with --data");
    }
    return files;
  }

  [[nodiscard]] data::ImageSet read(const std::vector<std::string>& files) const {
    return read_run_images(run_, files, pool_);
  }

  // A dense run of features alone may still say position.
  [[nodiscard]] std::vector<Unit> units() const {
    if (!options_.units.empty()) return options_.units;
    const Unit unit = run_.config.model.winners.unit;
    const bool of_maps = unit == Unit::kPosition || unit == Unit::kChannel;
    if (of_maps && !has_maps(network().spec())) return {Unit::kNeuron};
    return {unit};
  }

  // Rates of one site, falling: 1, the run's own, and those to try.
  [[nodiscard]] std::vector<double> levels_of(std::size_t site) const {
    std::vector<double> levels = options_.rates;
    levels.push_back(1.0);
    levels.push_back(start_[site]);
    std::sort(levels.begin(), levels.end(), std::greater<>());
    levels.erase(std::unique(levels.begin(), levels.end()), levels.end());
    return levels;
  }

  void use(Unit unit, const std::vector<double>& rates) {
    nn::WinnerPolicy policy = run_.config.model.winners;
    policy.unit = unit;
    policy.rates = rates;
    network().set_winner_policy(policy);
  }

  [[nodiscard]] std::vector<double> rates_at(const Levels& levels) const {
    std::vector<double> rates;
    for (std::size_t s = 0; s < sites_; ++s) {
      rates.push_back(levels_[s][static_cast<std::size_t>(levels[s])]);
    }
    return rates;
  }

  // Top-1 with these rates. At the run's own rates its normalizations stay as they are.
  double accuracy(Unit unit, const std::vector<double>& rates) {
    use(unit, rates);
    const bool anew = options_.recalibrate && rates != start_;
    if (anew) {
      std::vector<nn::ImageInput> views;
      for (const data::ImageBatch& batch : norm_batches_) views.push_back(view_of(batch));
      network().recalibrate_batch_norm(views);
    }
    const double top1 = evaluate(network(), images_, run_.format.normalization, pool_).top1;
    if (anew) {
      load_weights(network(), run_.checkpoint);
    }
    return top1;
  }

  // What each layer computes with these rates, as measured on some images.
  std::vector<nn::LayerReport> layers_at(Unit unit, const std::vector<double>& rates) {
    use(unit, rates);
    return network().report_layers(view_of(some_));
  }

  static double needed(const std::vector<nn::LayerReport>& layers) {
    double sum = 0;
    for (const nn::LayerReport& layer : layers) sum += layer.needed();
    return sum;
  }

  // The multiply-adds of each layer that reads a site, at each of the site's levels while the
  // others stay as they are; and the rest, which no site changes.
  void measure_costs(Unit unit) {
    const std::vector<nn::LayerReport> before = layers_at(unit, start_);
    dense_ = 0;
    fixed_ = 0;
    readers_.assign(sites_, 0.0);
    std::vector<int> site_of;
    for (const nn::LayerReport& layer : before) {
      dense_ += layer.multiply_adds;
      site_of.push_back(site_read_by(layer.layer));
      if (site_of.back() < 0) {
        fixed_ += layer.needed();
      } else {
        readers_[static_cast<std::size_t>(site_of.back())] += layer.multiply_adds;
      }
    }
    costs_.assign(sites_, {});
    for (std::size_t s = 0; s < sites_; ++s) {
      for (const double rate : levels_[s]) {
        std::vector<double> rates = start_;
        rates[s] = rate;
        const std::vector<nn::LayerReport> layers = layers_at(unit, rates);
        double cost = 0;
        for (std::size_t i = 0; i < layers.size(); ++i) {
          if (site_of[i] == static_cast<int>(s)) cost += layers[i].needed();
        }
        costs_[s].push_back(cost);
      }
    }
  }

  [[nodiscard]] int site_read_by(const std::string& name) const {
    const nn::Network& spec = network().spec();
    const auto found = std::find_if(spec.layers.begin(), spec.layers.end(),
                                    [&](const nn::Layer& layer) { return layer.name == name; });
    return graph::site_read_by(spec, *found);
  }

  [[nodiscard]] double cost(const Levels& levels) const {
    double sum = fixed_;
    for (std::size_t s = 0; s < sites_; ++s) sum += costs_[s][static_cast<std::size_t>(levels[s])];
    return sum;
  }

  Json tune(Unit unit) {
    levels_.clear();
    SearchProblem problem;
    std::int64_t alone = 1;
    for (std::size_t s = 0; s < sites_; ++s) {
      levels_.push_back(levels_of(s));
      const std::vector<double>& levels = levels_.back();
      problem.levels.push_back(static_cast<int>(levels.size()));
      problem.start.push_back(
          static_cast<int>(std::find(levels.begin(), levels.end(), start_[s]) - levels.begin()));
      alone += problem.levels.back() - 1;
    }
    measure_costs(unit);
    problem.drop = options_.accuracy_drop;
    problem.resolution = 1.0 / static_cast<double>(images_.count);
    problem.tries = std::max(kLeastTries, kTriesPerSite * static_cast<std::int64_t>(sites_));
    // The most that there can be: each site alone, steps down, and the refinement.
    ProgressBar bar(concat("tuning ", to_string(unit)),
                    2 * alone + static_cast<std::int64_t>(sites_) + problem.tries, "choices");
    std::int64_t done = 0;
    problem.accuracy = [&](const Levels& levels) {
      const double top1 = accuracy(unit, rates_at(levels));
      bar.update(++done, infer::measure_text("top1", top1));
      return top1;
    };
    problem.cost = [this](const Levels& levels) { return cost(levels); };
    const SearchResult found = search_rates(problem);
    return describe(unit, problem, found);
  }

  Json describe(Unit unit, const SearchProblem& problem, const SearchResult& found) {
    const std::vector<double> rates = rates_at(found.levels);
    const nn::Network& spec = network().spec();
    const std::vector<int> sites = spec.winner_sites();
    Json rows = Json::array();
    for (std::size_t s = 0; s < sites_; ++s) {
      Json sensitivity = Json::array();
      for (std::size_t level = 0; level < levels_[s].size(); ++level) {
        sensitivity.push_back({{"rate", levels_[s][level]},
                               {"top1", found.alone[s][level]},
                               {"drop", found.before - found.alone[s][level]},
                               {"multiply_adds", costs_[s][level]}});
      }
      rows.push_back({{"layer", spec.layers[static_cast<std::size_t>(sites[s])].name},
                      {"rate_before", start_[s]},
                      {"rate", rates[s]},
                      {"multiply_adds", readers_[s]},
                      {"sensitivity", sensitivity}});
    }
    const double before = cost(problem.start);
    const double after = cost(found.levels);
    return {{"run", options_.run},
            {"unit", to_string(unit)},
            {"sites", rows},
            {"multiply_adds",
             {{"dense", dense_},
              {"before", before},
              {"after", after},
              {"measured", needed(layers_at(unit, rates))}}},
            {"predicted_speedup", before / after},
            {"accuracy",
             {{"before", found.before},
              {"after", found.after},
              {"drop", found.before - found.after},
              {"allowed", problem.drop}}},
            {"evaluations", found.measured}};
  }

  [[nodiscard]] ImageConfig config_for(const Json& found) const {
    ImageConfig config = run_.config;
    const std::string run = std::filesystem::absolute(options_.run).lexically_normal().string();
    config.initial = run;
    config.teacher = {.run = run};
    config.model.winners.unit = sparsity::parse_unit(found.at("unit").get<std::string>());
    config.model.winners.rates.clear();
    for (const Json& site : found.at("sites")) {
      config.model.winners.rates.push_back(site.at("rate").get<double>());
    }
    // What the run reached over time is there from the first step.
    config.winners = {};
    config.prune.from = 0;
    config.prune.ramp = 0;
    config.quantize.from = 0;
    config.train.epochs = options_.epochs;
    config.train.learning_rate *= kFineTuning;
    return config;
  }

  const TuneOptions& options_;
  std::shared_ptr<ThreadPool> pool_;
  OpenedRun opened_;
  ImageRun run_;
  data::ImageSet images_;
  data::ImageBatch some_;
  std::vector<data::ImageBatch> norm_batches_;
  std::size_t sites_ = 0;
  std::vector<double> start_;                ///< the run's own rates by site
  std::vector<std::vector<double>> levels_;  ///< rates by site and level
  std::vector<std::vector<double>> costs_;   ///< multiply-adds of its readers by site and level
  std::vector<double> readers_;              ///< and when nothing is left out
  double dense_ = 0;
  double fixed_ = 0;
};

}  // namespace

Tuned tune_run(const TuneOptions& options) {
  return Tuner(options).run();
}

double parse_accuracy_drop(const std::string& text) {
  const bool percent = text.ends_with('%');
  const char* end = text.data() + text.size() - (percent ? 1 : 0);
  double value = 0;
  const auto [stop, failed] = std::from_chars(text.data(), end, value);
  if (percent) value /= 100;
  const bool whole = failed == std::errc() && stop == end && end != text.data();
  require(whole && value >= 0 && value < 1, "--accuracy-drop",
          "a share in [0, 1) (0.005) or per cent (0.5%)", concat('"', text, '"'));
  return value;
}

}  // namespace taut::train
