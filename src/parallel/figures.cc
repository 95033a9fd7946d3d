#include "taut/parallel/figures.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <variant>

#include "parallel/published.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/graph/zoo.h"
#include "taut/parallel/planner.h"
#include "taut/parallel/step_time.h"

namespace taut::parallel {
namespace {

constexpr std::int64_t kBatch = 256;
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kGigabytesPerWord = 4e-9;

/// One network on one array under HyPar's tables.
class Bench {
 public:
  Bench(const graph::Graph& graph, Cluster cluster, CostTable table = CostTable::kFig)
      : graph_(graph), cluster_(std::move(cluster)) {
    options_.cost.table = table;
    options_.cost.batch = kBatch;
    options_.objective = Objective::kWords;
  }

  [[nodiscard]] Plan plan(Method method) const {
    PlanOptions options = options_;
    options.method = method;
    PlanOutcome outcome = make_plan(graph_, cluster_, options);
    TAUT_ASSERT(std::holds_alternative<Planned>(outcome));
    return std::get<Planned>(std::move(outcome)).plan;
  }
  [[nodiscard]] CostModel model() const {
    CostOptions cost = options_.cost;
    cost.levels = cluster_.depth();
    return CostModel(graph_, cost);
  }
  [[nodiscard]] double seconds(const Plan& plan) const {
    return step_time(model(), cluster_, plan).serial_seconds;
  }
  [[nodiscard]] double joules(const Plan& plan) const {
    return step_energy(model(), cluster_, plan).total();
  }
  [[nodiscard]] double gigabytes(const Plan& plan) const {
    const std::vector<double> words = model().traffic(plan).words;
    return kGigabytesPerWord * std::accumulate(words.begin(), words.end(), 0.0);
  }

 private:
  const graph::Graph& graph_;
  Cluster cluster_;
  PlanOptions options_;
};

std::vector<graph::Graph> networks() {
  std::vector<graph::Graph> graphs;
  for (const std::string& name : graph::hypar_names()) graphs.push_back(graph::load_model(name));
  return graphs;
}

/// Values of the networks and their geometric mean.
template <typename Value>
FigureSeries by_network(const std::string& name, const std::vector<graph::Graph>& graphs,
                        Value value, const published::ByNetwork* values, double mean) {
  FigureSeries series{name, {}, {}};
  for (const graph::Graph& graph : graphs) series.ours.push_back(value(graph));
  series.ours.push_back(geometric_mean(series.ours));
  if (values != nullptr) {
    series.published.assign(values->begin(), values->end());
  } else {
    series.published.assign(graphs.size(), kNone);
  }
  series.published.push_back(mean);
  return series;
}

std::vector<std::string> network_labels() {
  std::vector<std::string> labels(graph::hypar_names().begin(), graph::hypar_names().end());
  labels.emplace_back("geometric mean");
  return labels;
}

std::string plan_text(const graph::Graph& graph, const Plan& plan) {
  std::vector<int> weighted;
  for (int v = 0; v < graph.size(); ++v) {
    if (graph.node(v).kind == graph::NodeKind::kWeighted) weighted.push_back(v);
  }
  std::string text;
  for (int level = 0; level < plan.levels; ++level) {
    text += (level > 0 ? " " : "") + level_digits(plan, level, weighted);
  }
  return text;
}

Figure plans_figure(const std::vector<graph::Graph>& graphs) {
  Figure figure;
  figure.id = "figure 5";
  figure.title = "Plans: layers at H1 H2 H3 H4, 0 data parallel, 1 model parallel";
  figure.note =
      "The reading of HyPar's tables (fig) was chosen on these plans and on figure 8 together.";
  figure.text_columns = {"network", "ours", "published", "equal"};
  for (std::size_t n = 0; n < graphs.size(); ++n) {
    const std::string ours =
        plan_text(graphs[n], Bench(graphs[n], hypar_cluster(16)).plan(Method::kHypar));
    const std::string& theirs = published::kPlans[n];
    figure.text_rows.push_back({graphs[n].name(), ours, theirs, ours == theirs ? "yes" : "no"});
  }
  return figure;
}

/// Speed or energy efficiency over data parallelism.
template <typename Measure>
std::vector<FigureSeries> gains(const std::vector<graph::Graph>& graphs, Measure measure,
                                const published::ByNetwork& model, double model_mean,
                                const published::ByNetwork& hypar, double hypar_mean) {
  const auto gain = [&](Method method) {
    return [&, method](const graph::Graph& graph) {
      const Bench bench(graph, hypar_cluster(16));
      return measure(bench, bench.plan(Method::kData)) / measure(bench, bench.plan(method));
    };
  };
  return {by_network("model parallel", graphs, gain(Method::kModel), &model, model_mean),
          by_network("one weird trick", graphs, gain(Method::kTrick), nullptr, kNone),
          by_network("HyPar", graphs, gain(Method::kHypar), &hypar, hypar_mean)};
}

Figure speed_figure(const std::vector<graph::Graph>& graphs) {
  Figure figure;
  figure.id = "figure 6";
  figure.title = "Speed over data parallelism, 16 accelerators, batch 256";
  figure.unit = "times";
  figure.note =
      "One constant (the accelerators' rate) and the input-size count of multiply-adds were chosen "
      "on HyPar's bars. The model parallel bars are not reproduced: the bytes under them are not "
      "(figure 8).";
  figure.labels = network_labels();
  figure.series = gains(
      graphs, [](const Bench& bench, const Plan& plan) { return bench.seconds(plan); },
      published::kModelSpeed, published::kModelSpeedMean, published::kHyparSpeed,
      published::kHyparSpeedMean);
  return figure;
}

Figure energy_figure(const std::vector<graph::Graph>& graphs) {
  Figure figure;
  figure.id = "figure 7";
  figure.title = "Energy efficiency over data parallelism";
  figure.unit = "times";
  figure.note =
      "Two constants (SRAM accesses a multiply-add, DRAM words a sent word) were chosen on HyPar's "
      "bars.";
  figure.labels = network_labels();
  figure.series = gains(
      graphs, [](const Bench& bench, const Plan& plan) { return bench.joules(plan); },
      published::kModelEnergy, published::kModelEnergyMean, published::kHyparEnergy,
      published::kHyparEnergyMean);
  return figure;
}

Figure bytes_figure(const std::vector<graph::Graph>& graphs) {
  Figure figure;
  figure.id = "figure 8";
  figure.title = "Bytes communicated in a step";
  figure.unit = "GB";
  figure.note =
      "Model parallel: 0.74 to 1.76 times the published bytes; no simple rule for theirs was "
      "found. "
      "VGG-B under HyPar: the label 1.47 looks like a misprint, the figure's own mean needs 1.49.";
  figure.labels = network_labels();
  const auto bytes = [](Method method) {
    return [method](const graph::Graph& graph) {
      const Bench bench(graph, hypar_cluster(16));
      return bench.gigabytes(bench.plan(method));
    };
  };
  figure.series = {by_network("data parallel", graphs, bytes(Method::kData), &published::kDataBytes,
                              published::kDataBytesMean),
                   by_network("model parallel", graphs, bytes(Method::kModel),
                              &published::kModelBytes, published::kModelBytesMean),
                   by_network("HyPar", graphs, bytes(Method::kHypar), &published::kHyparBytes,
                              published::kHyparBytesMean)};
  return figure;
}

Figure plan_space_figure() {
  Figure figure;
  figure.id = "figure 9";
  figure.title = "All 256 plans of Lenet-c's levels H1 and H4, the others as HyPar has them";
  figure.unit = "speed over data parallelism";
  figure.lines = true;
  const graph::Graph graph = graph::load_model("lenet-c");
  const Bench bench(graph, hypar_cluster(16));
  const double data = bench.seconds(bench.plan(Method::kData));
  const Plan hypar = bench.plan(Method::kHypar);
  FigureSeries series{"H1 x H4", {}, {}};
  constexpr int kLayers = 4;
  int best = 0;
  for (int point = 0; point < 1 << (2 * kLayers); ++point) {
    Plan plan = hypar;
    std::string label;
    for (const int level : {0, 3}) {
      for (int layer = 0; layer < kLayers; ++layer) {
        const int bit = 2 * kLayers - 1 - (level == 0 ? 0 : kLayers) - layer;
        const bool split_model = ((point >> bit) & 1) != 0;
        plan.states[layer].set(level, split_model ? Split::kInput : Split::kBatch);
        label += split_model ? '1' : '0';
      }
      if (level == 0) label += ',';
    }
    series.ours.push_back(data / bench.seconds(plan));
    series.published.push_back(kNone);
    figure.labels.push_back(label);
    if (series.ours.back() > series.ours[best]) best = point;
  }
  series.published[best] = published::kPeakSpeed;
  figure.note = concat("The best is ", figure.labels[best], ", HyPar's own plan.");
  figure.series = {std::move(series)};
  return figure;
}

Figure scaling_figure() {
  Figure figure;
  figure.id = "figure 11";
  figure.title = "VGG-E on 2 to 64 accelerators";
  figure.unit = "gain over one accelerator; GB";
  figure.note = "Nothing was chosen on this figure. Published points were read off the plot.";
  figure.lines = true;
  const graph::Graph graph = graph::load_model("vgg-e");
  const auto values = [](const std::array<double, 6>& points) {
    return std::vector<double>(points.begin(), points.end());
  };
  FigureSeries hypar{"HyPar gain", {}, values(published::kScalingHypar)};
  FigureSeries data{"data parallel gain", {}, values(published::kScalingData)};
  FigureSeries bytes{"HyPar GB", {}, values(published::kScalingBytes)};
  for (int count = 2; count <= 64; count *= 2) {
    const Cluster cluster = hypar_cluster(count);
    const Bench bench(graph, cluster);
    const double one = step_macs(graph, cluster, kBatch) / cluster.accelerator.macs_per_second;
    const Plan plan = bench.plan(Method::kHypar);
    hypar.ours.push_back(one / bench.seconds(plan));
    data.ours.push_back(one / bench.seconds(bench.plan(Method::kData)));
    bytes.ours.push_back(bench.gigabytes(plan));
    figure.labels.push_back(std::to_string(count));
  }
  figure.series = {hypar, data, bytes};
  return figure;
}

Figure topology_figure(const std::vector<graph::Graph>& graphs) {
  Figure figure;
  figure.id = "figure 12";
  figure.title = "HyPar on an H-tree and on a torus, over data parallelism on the H-tree";
  figure.unit = "times";
  figure.note =
      "The torus's busiest link carries twice an H-tree's traffic; the width of its links was "
      "chosen "
      "on this figure. The published mean is about 2.2.";
  figure.labels = network_labels();
  const auto gain = [](Topology topology) {
    return [topology](const graph::Graph& graph) {
      const Bench tree(graph, hypar_cluster(16));
      const Bench other(graph, hypar_cluster(16, topology));
      return tree.seconds(tree.plan(Method::kData)) / other.seconds(other.plan(Method::kHypar));
    };
  };
  figure.series = {
      by_network("H-tree", graphs, gain(Topology::kTree), &published::kHyparSpeed,
                 published::kHyparSpeedMean),
      by_network("torus", graphs, gain(Topology::kTorus), nullptr, published::kTorusMean)};
  return figure;
}

Figure bandwidth_figure(const std::vector<graph::Graph>& graphs) {
  Figure figure;
  figure.id = "bandwidth";
  figure.title =
      "What the headline rests on: HyPar's mean speed over data parallelism by bandwidth";
  figure.unit = "times";
  figure.note = "Factor on HyPar's 1600 Mb/s a level; not in the paper.";
  figure.lines = true;
  FigureSeries series{"HyPar", {}, {}};
  for (const double factor : {0.25, 1.0, 4.0, 16.0, 64.0, 256.0}) {
    Cluster cluster = hypar_cluster(16);
    for (Level& level : cluster.levels) level.bytes_per_second *= factor;
    std::vector<double> gains;
    for (const graph::Graph& graph : graphs) {
      const Bench bench(graph, cluster);
      gains.push_back(bench.seconds(bench.plan(Method::kData)) /
                      bench.seconds(bench.plan(Method::kHypar)));
    }
    figure.labels.push_back(concat("x", factor));
    series.ours.push_back(geometric_mean(gains));
  }
  figure.series = {std::move(series)};
  return figure;
}

}  // namespace

double geometric_mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += std::log(value);
  return std::exp(sum / static_cast<double>(values.size()));
}

std::vector<Figure> reproduce_figures() {
  const std::vector<graph::Graph> graphs = networks();
  return {plans_figure(graphs),    speed_figure(graphs),    energy_figure(graphs),
          bytes_figure(graphs),    plan_space_figure(),     scaling_figure(),
          topology_figure(graphs), bandwidth_figure(graphs)};
}

std::vector<FigureDifference> figure_differences(const std::vector<Figure>& figures) {
  std::vector<FigureDifference> differences;
  for (const Figure& figure : figures) {
    for (const FigureSeries& series : figure.series) {
      for (std::size_t i = 0; i < series.published.size(); ++i) {
        const double wanted = series.published[i];
        if (std::isnan(wanted)) continue;
        if (std::abs(series.ours[i] - wanted) <= kFigureTolerance * wanted) continue;
        differences.push_back(
            {figure.id, figure.labels[i] + ", " + series.name, series.ours[i], wanted});
      }
    }
  }
  return differences;
}

}  // namespace taut::parallel
