// Speed of the planner and quality of its plans: taut_parallel_bench [--json FILE] [--plot FILE].
// Prints a table; the JSON list has the fields of the evidence contract. Every answer is checked.
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "parallel/search.h"
#include "taut/core/chart.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/page.h"
#include "taut/core/text.h"
#include "taut/graph/model_builder.h"
#include "taut/graph/zoo.h"
#include "taut/parallel/figures.h"
#include "taut/parallel/planner.h"

namespace taut::parallel {
namespace {

using nlohmann::json;

/// Seconds of this thread's processor time: the planner runs on one thread, and other programs on
/// the machine should not count.
double thread_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Timing {
  double median_seconds = 0;
  double spread = 0;  ///< (90th - 10th percentile) / median
};

Timing time_of(const std::function<void()>& work, int repetitions) {
  std::vector<double> seconds;
  for (int i = 0; i < repetitions; ++i) {
    const double start = thread_seconds();
    work();
    seconds.push_back(thread_seconds() - start);
  }
  std::sort(seconds.begin(), seconds.end());
  const auto at = [&](double share) {
    return seconds[static_cast<std::size_t>(share * static_cast<double>(seconds.size() - 1))];
  };
  return {at(0.5), (at(0.9) - at(0.1)) / at(0.5)};
}

double peak_megabytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

void require(bool holds, const std::string& what) {
  if (!holds) throw Error(ErrorKind::kInternal, "wrong answer: " + what);
}

/// Collects rows, prints them as they come.
class Report {
 public:
  void add(const std::string& name, const std::string& unit, double ours, double peer,
           const std::string& peer_name, double spread, double goal, bool met) {
    rows_.push_back({{"name", name},
                     {"threads", 1},
                     {"unit", unit},
                     {"ours", ours},
                     {"peer", peer},
                     {"peer_name", peer_name},
                     {"ratio", peer / ours},
                     {"spread", spread},
                     {"goal", goal},
                     {"met", met}});
    std::printf("%-44s %12.5g %-8s %-28s %12.5g  ratio %8.3f  %s\n", name.c_str(), ours,
                unit.c_str(), peer_name.c_str(), peer, peer / ours, met ? "met" : "NOT MET");
  }
  [[nodiscard]] const json& rows() const { return rows_; }

 private:
  json rows_ = json::array();
};

json machine() {
  utsname system{};
  ::uname(&system);
  std::string cpu = "unknown";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) {
      cpu = line.substr(line.find(':') + 2);
      break;
    }
  }
  return {{"cpu", cpu}, {"system", system.release}, {"compiler", __VERSION__}};
}

PlanOptions words(Method method, std::int64_t batch) {
  PlanOptions options;
  options.method = method;
  options.objective = Objective::kWords;
  options.cost.batch = batch;
  return options;
}

Planned plan(const graph::Graph& graph, const Cluster& cluster, const PlanOptions& options) {
  return std::get<Planned>(make_plan(graph, cluster, options));
}

void zoo_speed(Report& report) {
  constexpr double kSparseGoalSeconds = 5e-3;
  constexpr double kDenseGoalSeconds = 2;  // dense connections: tables over all neighbours are out
  for (const std::string& name : graph::network_names()) {
    const double goal = name.starts_with("densenet") ? kDenseGoalSeconds : kSparseGoalSeconds;
    const graph::Graph graph = graph::load_model(name);
    const Cluster cluster = hypar_cluster(16);
    Planned found;
    const Timing timing =
        time_of([&] { found = plan(graph, cluster, words(Method::kExact, 256)); }, 21);
    require(found.optimal, name);
    report.add("exact plan " + name, "ms", 1e3 * timing.median_seconds, 1e3 * goal, "goal",
               timing.spread, 1, timing.median_seconds < goal);
  }
}

graph::Graph deep_network(int layers) {
  graph::ModelBuilder model(concat("deep-", layers));
  graph::Tensor x = model.input({512, 1, 1});
  for (int l = 0; l < layers; ++l) {
    x = model.fc(concat("fc", l), x, 1024 + (l * 7919) % 2048);
  }
  return model.finish(x);
}

Cluster two_speed_cluster(int accelerators) {
  Cluster cluster = hypar_cluster(accelerators);
  for (int level = 0; level < 4; ++level) cluster.levels[level].bytes_per_second /= 8;
  return cluster;
}

Cluster all_different_cluster(int accelerators) {
  Cluster cluster = hypar_cluster(accelerators);
  for (int level = 0; level < cluster.depth(); ++level) {
    cluster.levels[level].bytes_per_second *= 1 + 0.3 * level;
  }
  return cluster;
}

void deep_speed(Report& report) {
  constexpr double kGoalSeconds = 1;
  const graph::Graph graph = deep_network(1000);
  const std::vector<std::pair<std::string, Cluster>> clusters = {
      {"equal levels", hypar_cluster(1024)},
      {"two speeds of levels", two_speed_cluster(1024)},
      {"ten speeds of levels", all_different_cluster(1024)}};
  for (const auto& [name, cluster] : clusters) {
    PlanOptions options = words(Method::kExact, 4096);
    options.objective = Objective::kSeconds;
    Planned found;
    const Timing timing = time_of([&] { found = plan(graph, cluster, options); }, 3);
    report.add("1000 layers x 1024, " + name, "s", timing.median_seconds, kGoalSeconds, "goal",
               timing.spread, 1, timing.median_seconds < kGoalSeconds);
    std::printf("    %s; peak memory %.0f MB\n", found.guarantee.c_str(), peak_megabytes());
  }
}

/// Seconds over layers and over levels, as a page of two charts.
void growth(const std::string& path) {
  Chart by_layers{.series = {{"16 accelerators", {}}, {"1024 accelerators", {}}}, .y_title = "ms"};
  by_layers.y_scale = ChartScale::kLogarithmic;
  for (const int layers : {10, 30, 100, 300, 1000}) {
    const graph::Graph graph = deep_network(layers);
    by_layers.labels.push_back(concat(layers, " layers"));
    for (const int series : {0, 1}) {
      const Cluster cluster = hypar_cluster(series == 0 ? 16 : 1024);
      const Timing timing =
          time_of([&] { (void)plan(graph, cluster, words(Method::kExact, 4096)); }, 3);
      by_layers.series[series].y.push_back(1e3 * timing.median_seconds);
      std::printf("    %5d layers, %5d accelerators: %9.3f ms\n", layers, cluster.accelerators(),
                  1e3 * timing.median_seconds);
    }
  }
  const std::vector<std::string> names = {"vgg-e", "resnet-50", "bert-base"};
  Chart by_levels{.x_title = "accelerators", .y_title = "ms"};
  by_levels.y_scale = ChartScale::kLogarithmic;
  for (const std::string& name : names) by_levels.series.push_back({name, {}});
  for (int levels = 1; levels <= 10; ++levels) {
    by_levels.labels.push_back(concat(1 << levels));
    for (std::size_t n = 0; n < names.size(); ++n) {
      const graph::Graph graph = graph::load_model(names[n]);
      const Cluster cluster = hypar_cluster(1 << levels);
      Planned found;
      const Timing timing =
          time_of([&] { found = plan(graph, cluster, words(Method::kExact, 4096)); }, 3);
      by_levels.series[n].y.push_back(1e3 * timing.median_seconds);
      std::printf("    %-10s %5d accelerators: %9.3f ms, %s\n", names[n].c_str(),
                  cluster.accelerators(), 1e3 * timing.median_seconds, found.guarantee.c_str());
    }
  }
  if (path.empty()) return;
  write_file(path, html_page("Growth of planning time",
                             "<h2>Over layers</h2>\n<div class=\"card\">" + svg_chart(by_layers) +
                                 "</div>\n<h2>Over accelerators</h2>\n<div class=\"card\">" +
                                 svg_chart(by_levels) + "</div>\n"));
}

/// What a layer may have at each level in a plan of the Megatron kind: the top `data_levels` by the
/// batch; below, layers alternate output and input channels.
Plan hybrid_plan(const CostModel& model, int data_levels) {
  Plan plan{model.levels(), {}};
  bool column = true;
  for (int v = 0; v < model.graph().size(); ++v) {
    const graph::Node& node = model.graph().node(v);
    LayerState state(model.levels(), Split::kBatch);
    if (node.kind == graph::NodeKind::kWeighted && !node.grouped) {
      for (int level = data_levels; level < model.levels(); ++level) {
        LayerState split = state;
        split.set(level, column ? Split::kOutput : Split::kInput);
        if (model.feasible(v, split)) state = split;
      }
      column = !column;
    } else if (node.op == "attention") {  // whole heads, between a column and a row split
      for (int level = data_levels; level < model.levels(); ++level) {
        LayerState split = state;
        split.set(level, Split::kChannels);
        if (model.feasible(v, split)) state = split;
      }
    }
    plan.states.push_back(state);
  }
  return plan;
}

/// The best plan of states that keep() accepts.
double restricted(const CostModel& model, const std::function<bool(int, const LayerState&)>& keep) {
  const std::optional<Found> found =
      JointSearch(model, LevelWeights::words(model.levels()), keep).run();
  return found ? found->cost : std::numeric_limits<double>::infinity();
}

/// Peers on the same cost model, all words of a step.
void quality(Report& report) {
  struct Case {
    std::string network;
    std::int64_t batch;
  };
  std::vector<Case> cases;
  for (const std::string& name : graph::hypar_names()) cases.push_back({name, 256});
  cases.insert(cases.end(), {{"alexnet-accpar", 256},
                             {"resnet-50", 32},
                             {"bert-base", 16},
                             {"gpt2-small", 16},
                             {"mobilenet-v2", 32},
                             {"dlrm", 256}});
  std::vector<std::vector<double>> ratios(5);
  const std::vector<std::string> peers = {"uniform data parallel", "uniform tensor parallel",
                                          "hybrid (Megatron-like)", "OptCNN-like", "Alpa-like"};
  for (const Case& one : cases) {
    const graph::Graph graph = graph::load_model(one.network);
    const Cluster cluster = hypar_cluster(16);
    const PlanOptions options = words(Method::kExact, one.batch);
    const CostModel model(graph, cost_options(cluster, options));
    const LevelWeights weights = LevelWeights::words(4);
    const double ours = plan(graph, cluster, options).objective;
    double hybrid = std::numeric_limits<double>::infinity();
    for (int data = 0; data <= 4; ++data) {
      hybrid = std::min(hybrid, plan_cost(model, weights, hybrid_plan(model, data)));
    }
    // OptCNN: each layer one degree of each kind of split; levels in one fixed order of kinds.
    const double optcnn = restricted(model, [](int, const LayerState& state) {
      for (int level = 1; level < state.levels(); ++level) {
        if (state.at(level) < state.at(level - 1)) return false;
      }
      return true;
    });
    // Alpa: a two-dimensional mesh; each layer one split along each of its two axes.
    const double alpa = restricted(model, [](int, const LayerState& state) {
      return state.at(0) == state.at(1) && state.at(2) == state.at(3);
    });
    const std::vector<double> theirs = {plan_cost(model, weights, hybrid_plan(model, 4)),
                                        plan_cost(model, weights, hybrid_plan(model, 0)), hybrid,
                                        optcnn, alpa};
    for (std::size_t p = 0; p < peers.size(); ++p) {
      ratios[p].push_back(theirs[p] / ours);
      report.add(concat("words ", one.network, " B ", one.batch), "GB", 4e-9 * ours,
                 4e-9 * theirs[p], peers[p], 0, 1, ours <= theirs[p] * (1 + 1e-12));
    }
  }
  for (std::size_t p = 0; p < peers.size(); ++p) {
    std::printf("    geometric mean of words, %s over ours: %.3f, worst %.3f\n", peers[p].c_str(),
                geometric_mean(ratios[p]), *std::max_element(ratios[p].begin(), ratios[p].end()));
  }
}

int run(int argc, char** argv) {
  std::string json_path;
  std::string plot_path;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--json") == 0) json_path = argv[i + 1];
    if (std::strcmp(argv[i], "--plot") == 0) plot_path = argv[i + 1];
  }
  Report report;
  zoo_speed(report);
  deep_speed(report);
  growth(plot_path);
  quality(report);
  std::printf("    peak memory of all this %.0f MB\n", peak_megabytes());
  if (!json_path.empty()) {
    write_file(json_path, json{{"machine", machine()},
                               {"peak_megabytes", peak_megabytes()},
                               {"results", report.rows()}}
                                  .dump(2) +
                              "\n");
  }
  return 0;
}

}  // namespace
}  // namespace taut::parallel

int main(int argc, char** argv) {
  try {
    return taut::parallel::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
