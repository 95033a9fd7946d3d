#include "planted.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace taut::data {
namespace {

constexpr std::size_t kBins = std::size_t{1} << 18;
constexpr std::uint64_t kCalibrationRows = 1 << 16;
constexpr std::size_t kSearchEvery = 8;  // of the sample, sorted, for the search of the scale
constexpr int kScaleSteps = 30;
constexpr int kInterceptSteps = 40;
constexpr double kQuarterTurn = 1.5707963267948966;

// Shares of the logit's variance.
constexpr double kBiasShare = 0.50;
constexpr double kDotShare = 0.30;
constexpr double kDenseShare = 0.20;

// Sample rows are drawn far from the numbers of real ones.
constexpr std::uint64_t kSampleStart = std::uint64_t{1} << 62;

// Counters of one row's random numbers: dense values, then for each column its bag's length and
// ids.
constexpr std::uint64_t kColumnCounters = std::uint64_t{1} << 32;
constexpr std::uint64_t kIdCounters = std::uint64_t{1} << 16;

double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

// Uniform with mean 0 and variance 1: as good as normal here and much cheaper.
double unit(const CounterRandom& random, std::uint64_t counter) {
  return (2.0 * random.uniform(counter) - 1.0) * 1.7320508075688772;
}

double deviation(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / n);
}

// The intercept that gives the mean probability.
double intercept_for(const std::vector<double>& scores, double scale, double rate) {
  double low = -100;
  double high = 100;
  for (int step = 0; step < kInterceptSteps; ++step) {
    const double middle = (low + high) / 2;
    double sum = 0;
    for (const double score : scores) sum += sigmoid(middle + scale * score);
    (sum < rate * static_cast<double>(scores.size()) ? low : high) = middle;
  }
  return (low + high) / 2;
}

// Expected AUC of scores in ascending order.
double auc_for(const std::vector<double>& scores, double scale, double intercept) {
  double negatives = 0;
  double positives = 0;
  double ranked = 0;
  for (const double score : scores) {
    const double p = sigmoid(intercept + scale * score);
    ranked += p * negatives;
    positives += p;
    negatives += 1 - p;
  }
  return ranked / (positives * negatives);
}

}  // namespace

ExpectedAuc::ExpectedAuc() : positive_(kBins), negative_(kBins) {}

void ExpectedAuc::add(double probability) {
  const auto bin = std::min(static_cast<std::size_t>(probability * kBins), kBins - 1);
  positive_[bin] += probability;
  negative_[bin] += 1 - probability;
  self_ += probability * (1 - probability);
}

double ExpectedAuc::value() const {
  double positives = 0;
  double negatives = 0;
  double ranked = -self_ / 2;
  for (std::size_t bin = 0; bin < kBins; ++bin) {
    ranked += positive_[bin] * (negatives + negative_[bin] / 2);
    positives += positive_[bin];
    negatives += negative_[bin];
  }
  const double pairs = positives * negatives - self_;
  return pairs > 1e-9 ? ranked / pairs : 0.5;
}

PlantedModel::PlantedModel(const SynthOptions& options)
    : options_(options),
      inputs_(CounterRandom(options.seed).with(1)),
      hidden_(CounterRandom(options.seed).with(2)),
      labels_(CounterRandom(options.seed).with(3)) {
  for (const std::int64_t ids : synthetic_ids(options)) zipf_.emplace_back(ids, options.exponent);
  calibrate();
}

void PlantedModel::draw(std::uint64_t row, PlantedRow& into) const {
  const CounterRandom random = inputs_.with(row);
  into.dense.resize(static_cast<std::size_t>(options_.dense));
  for (std::size_t d = 0; d < into.dense.size(); ++d) {
    into.dense[d] = static_cast<float>(random.normal(d));
  }
  into.ids.resize(zipf_.size());
  for (std::size_t c = 0; c < zipf_.size(); ++c) {
    const std::uint64_t first = (c + 1) * kColumnCounters;
    const bool multiple = static_cast<int>(c) >= options_.categorical - options_.multi_columns;
    const std::uint64_t count =
        multiple ? 1 + random.below(first, static_cast<std::uint64_t>(options_.multi_ids)) : 1;
    into.ids[c].resize(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      into.ids[c][i] = zipf_[c].sample(random, first + (i + 1) * kIdCounters);
    }
  }
}

void PlantedModel::pool(int column, const std::vector<std::int64_t>& bag, double angle,
                        double* hidden) const {
  const auto size = static_cast<std::uint64_t>(options_.factors) + 1;
  std::fill_n(hidden, size, 0.0);
  const CounterRandom of_column = hidden_.with(static_cast<std::uint64_t>(column));
  const double share = 1.0 / static_cast<double>(bag.size());
  const double now = share * std::cos(angle);
  const double later = share * std::sin(angle);
  for (const std::int64_t id : bag) {
    const CounterRandom random = of_column.with(static_cast<std::uint64_t>(id));
    for (std::uint64_t k = 0; k < size; ++k) hidden[k] += now * unit(random, k);
    if (later == 0) continue;
    for (std::uint64_t k = 0; k < size; ++k) hidden[k] += later * unit(random, size + k);
  }
}

PlantedModel::Parts PlantedModel::parts(double time, const PlantedRow& inputs) const {
  const double angle = options_.drift * kQuarterTurn * time;
  Parts sum;
  std::array<double, kMostFactors + 1> hidden{};
  std::array<double, kMostFactors + 1> partner{};
  const int columns = options_.categorical;
  for (int c = 0; 2 * c < columns; ++c) {
    pool(c, inputs.ids[static_cast<std::size_t>(c)], angle, hidden.data());
    sum.bias += hidden[0];
    const int other = columns - 1 - c;
    if (other == c) break;
    pool(other, inputs.ids[static_cast<std::size_t>(other)], angle, partner.data());
    sum.bias += partner[0];
    for (int k = 1; k <= options_.factors; ++k) sum.dots += hidden[k] * partner[k];
  }
  for (std::size_t d = 0; d < inputs.dense.size(); ++d) {
    sum.dense += inputs.dense[d] * unit(hidden_.with(~std::uint64_t{0}), d);
  }
  return sum;
}

double PlantedModel::when(std::uint64_t row) const {
  if (row >= kSampleStart) {
    return static_cast<double>(row - kSampleStart) / static_cast<double>(kCalibrationRows);
  }
  return static_cast<double>(row) / static_cast<double>(options_.rows);
}

// Weighs the parts by their shares, then searches the scale of the whole that gives the AUC: the
// order of the rows does not depend on it, so one sort serves all.
void PlantedModel::calibrate() {
  std::array<std::vector<double>, 3> sampled;
  PlantedRow row;
  for (std::uint64_t r = kSampleStart; r < kSampleStart + kCalibrationRows; ++r) {
    draw(r, row);
    const Parts part = parts(when(r), row);
    sampled[0].push_back(part.bias);
    sampled[1].push_back(part.dots);
    sampled[2].push_back(part.dense);
  }
  const std::array<double, 3> shares = {kBiasShare, kDotShare, kDenseShare};
  std::array<double, 3> weights{};
  std::vector<double> scores(kCalibrationRows, 0.0);
  for (std::size_t part = 0; part < sampled.size(); ++part) {
    const double spread = deviation(sampled[part]);
    weights[part] = spread > 1e-12 ? std::sqrt(shares[part]) / spread : 0.0;
    for (std::size_t i = 0; i < scores.size(); ++i) scores[i] += weights[part] * sampled[part][i];
  }
  std::sort(scores.begin(), scores.end());
  std::vector<double> thinned;
  for (std::size_t i = kSearchEvery / 2; i < scores.size(); i += kSearchEvery) {
    thinned.push_back(scores[i]);
  }
  double low = 0;
  double high = 100;
  for (int step = 0; step < kScaleSteps; ++step) {
    const double middle = (low + high) / 2;
    intercept_ = intercept_for(thinned, middle, options_.positive_rate);
    (auc_for(thinned, middle, intercept_) < options_.bayes_auc ? low : high) = middle;
  }
  weights_ = {high * weights[0], high * weights[1], high * weights[2]};
  intercept_ = intercept_for(scores, high, options_.positive_rate);
}

double PlantedModel::probability(std::uint64_t row, const PlantedRow& inputs) const {
  const Parts part = parts(when(row), inputs);
  return sigmoid(intercept_ + weights_.bias * part.bias + weights_.dots * part.dots +
                 weights_.dense * part.dense);
}

bool PlantedModel::label(std::uint64_t row, double probability) const {
  return labels_.uniform(row) < probability;
}

}  // namespace taut::data
