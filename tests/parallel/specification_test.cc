// The other numbers of parallel_expected.json: worked example, figures, graphs, overlap, unequal
// arrays, AccPar's program, memory, geometric means.
#include <gtest/gtest.h>
#include <cmath>

#include "parallel/expected.h"
#include "taut/graph/model_builder.h"
#include "taut/parallel/unequal.h"

namespace taut::parallel {
namespace {

constexpr double kTolerance = 1e-5;

void expect_close(double value, const nlohmann::json& wanted, const std::string& what,
                  double tolerance = kTolerance) {
  EXPECT_NEAR(value, wanted.get<double>(), tolerance * std::abs(wanted.get<double>())) << what;
}

CostModel cost_model(const graph::Graph& graph, CostTable table, std::int64_t batch, int levels) {
  CostOptions options;
  options.table = table;
  options.batch = batch;
  options.levels = levels;
  return CostModel(graph, options);
}

TEST(LenetC, BreakdownOfHyparsPlanIsTheWorkedExample) {
  const graph::Graph graph = graph::load_model("lenet-c");
  const CostModel model = cost_model(graph, CostTable::kFig, 256, 4);
  const Plan plan =
      planned(graph, hypar_cluster(16), plan_options(Method::kHypar, CostTable::kFig, 256)).plan;
  for (const nlohmann::json& part : expected()["lenet_c_breakdown"]) {
    const int level = part["level"].get<int>() - 1;
    int node = 0;
    while (graph.node(node).name != part["layer"].get<std::string>()) ++node;
    const bool inside = part["what"].get<std::string>().starts_with("intra");
    const double words =
        inside ? model.node_traffic(node, plan.states[node]).words[level]
               : model.edge_traffic(graph.inputs(node)[0], plan.states[node - 1], plan.states[node])
                     .words[level];
    EXPECT_EQ(words, part["words"]) << part;
  }
}

TEST(LenetC, EveryEntryOfTheWorkedTableComesOut) {
  // c[I] and c[II] of conv1, conv2, fc1, fc2 at levels H1..H4 (docs/parallel.md, "Worked example"):
  // the least words of the level up to a layer that has the type, the levels above being those of
  // the plan.
  const double table[4][4][2] = {
      {{1000, 1474560}, {51000, 1147880}, {851000, 511800}, {521800, 516920}},
      {{1000, 737280}, {51000, 574440}, {451000, 409400}, {414400, 414520}},
      {{1000, 368640}, {51000, 287720}, {251000, 358200}, {256000, 285560}},
      {{1000, 184320}, {51000, 144360}, {251000, 204600}, {209600, 205880}}};
  const graph::Graph graph = graph::load_model("lenet-c");
  const CostModel model = cost_model(graph, CostTable::kFig, 256, 4);
  const Plan plan =
      planned(graph, hypar_cluster(16), plan_options(Method::kHypar, CostTable::kFig, 256)).plan;
  const Split types[2] = {Split::kBatch, Split::kInput};
  for (int level = 0; level < 4; ++level) {
    const double groups = 1 << level;
    double before[2] = {0, 0};
    for (int layer = 0; layer < 4; ++layer) {
      double now[2];
      for (int t = 0; t < 2; ++t) {
        LayerState state = plan.states[layer];
        state.set(level, types[t]);
        const double node = model.node_traffic(layer, state).words[level] / groups;
        double least = layer == 0 ? 0 : INFINITY;
        for (int p = 0; p < 2 && layer > 0; ++p) {
          LayerState from = plan.states[layer - 1];
          from.set(level, types[p]);
          const double edge =
              model.edge_traffic(graph.inputs(layer)[0], from, state).words[level] / groups;
          least = std::min(least, before[p] + edge);
        }
        now[t] = least + node;
        EXPECT_EQ(now[t], table[level][layer][t]) << "H" << level + 1 << " layer " << layer;
      }
      before[0] = now[0];
      before[1] = now[1];
    }
  }
}

TEST(LenetC, HyparsPlanCountedExactlyIsTheWorkedExample) {
  const graph::Graph graph = graph::load_model("lenet-c");
  const CostModel volume = cost_model(graph, CostTable::kVolume, 256, 4);
  const Plan plan = plan_of(graph, {"0011", "0010", "0000", "0011"});
  EXPECT_EQ(volume.traffic(plan).words,
            expected()["lenet_c_exact_per_level_of_hypar_plan"].get<std::vector<double>>());
}

TEST(Figure9, BestOfTheTopAndBottomLevelPlansIsHypars) {
  const graph::Graph graph = graph::load_model("lenet-c");
  const Cluster cluster = hypar_cluster(16);
  const CostModel model = cost_model(graph, CostTable::kFig, 256, 4);
  const double dp =
      step_time(model, cluster, plan_of(graph, {"0000", "0000", "0000", "0000"})).serial_seconds;
  const nlohmann::json& wanted = expected()["fig9_lenet_c_H1_H4"];
  std::pair<double, std::string> best{0, ""};
  std::pair<double, std::string> worst{INFINITY, ""};
  const auto name = [](int bits) {
    std::string text;
    for (int i = 3; i >= 0; --i) text += (bits >> i) & 1 ? '1' : '0';
    return text;
  };
  for (int top = 0; top < 16; ++top) {
    for (int bottom = 0; bottom < 16; ++bottom) {
      const Plan plan = plan_of(graph, {name(top), "0010", "0000", name(bottom)});
      const std::pair<double, std::string> gain{dp / step_time(model, cluster, plan).serial_seconds,
                                                name(top) + "," + name(bottom)};
      best = std::max(best, gain);
      worst = std::min(worst, gain);
      if (const auto corner = wanted["corners"].find(gain.second);
          corner != wanted["corners"].end()) {
        expect_close(gain.first, *corner, gain.second);
      }
    }
  }
  EXPECT_EQ(best.second, wanted["peak"].get<std::string>());
  EXPECT_EQ(worst.second, wanted["minimum"].get<std::string>());
  expect_close(best.first, wanted["peak_value"], "peak");
  expect_close(worst.first, wanted["minimum_value"], "minimum");
}

TEST(Figure11, VggEScalesAsPlotted) {
  const graph::Graph graph = graph::load_model("vgg-e");
  const nlohmann::json& wanted = expected()["fig11_vgg_e"];
  const double one = step_macs(graph, hypar_cluster(2), 256) / 33.6e9;
  expect_close(one, wanted["one_accelerator_s"], "one accelerator");
  for (const auto& [count, values] : wanted["by_accelerators"].items()) {
    const Cluster cluster = hypar_cluster(std::stoll(count));
    const CostModel model = cost_model(graph, CostTable::kFig, 256, cluster.depth());
    for (const auto& [name, method] :
         {std::pair("hypar", Method::kHypar), std::pair("dp", Method::kData)}) {
      const Planned plan = planned(graph, cluster, plan_options(method, CostTable::kFig, 256));
      const std::string prefix = name;
      expect_close(one / step_time(model, cluster, plan.plan).serial_seconds,
                   values[prefix + "_gain"], prefix + " gain on " + count);
      expect_close(4e-9 * plan.objective, values[prefix + "_GB"], prefix + " GB on " + count, 1e-6);
    }
  }
}

TEST(Figure13, SingleLayersGainOverTheTrickAsCalculated) {
  const auto gain = [](const graph::Graph& graph, std::int64_t batch, int levels) {
    const Cluster cluster = hypar_cluster(1 << levels);
    const CostModel model = cost_model(graph, CostTable::kFig, batch, levels);
    const auto seconds = [&](Method method) {
      const Planned plan = planned(graph, cluster, plan_options(method, CostTable::kFig, batch));
      return step_time(model, cluster, plan.plan).serial_seconds;
    };
    return seconds(Method::kTrick) / seconds(Method::kHypar);
  };
  graph::ModelBuilder fc("fc3");
  const graph::Graph fc3 = fc.finish(fc.fc("fc3", fc.input({4096, 1, 1}), 1000));
  graph::ModelBuilder conv("conv5");
  const graph::Graph conv5 =
      conv.finish(conv.conv("conv5", conv.input({512, 14, 14}), 512, {3, 1, 1}));
  for (const int levels : {2, 3, 4}) {
    const std::string level = "h" + std::to_string(levels);
    const nlohmann::json& wanted = expected()["fig13_single_layers"];
    expect_close(gain(fc3, 4096, levels), wanted["fc3-b4096-" + level]["ours"], "fc3 " + level);
    expect_close(gain(conv5, 32, levels), wanted["conv5-b32-" + level]["ours"], "conv5 " + level);
  }
}

TEST(Graphs, HaveTheWordsOfTheSpecification) {
  const std::vector<std::pair<std::string, std::string>> names = {
      {"AlexNet-full", "alexnet-accpar"},
      {"ResNet-50", "resnet-50"},
      {"BERT-base-S128", "bert-base"},
      {"DLRM-MLP", "dlrm"}};
  for (const auto& [key, wanted] : expected()["graphs"].items()) {
    const auto name = std::find_if(names.begin(), names.end(), [&, &key = key](const auto& entry) {
      return key.starts_with(entry.first);
    });
    ASSERT_NE(name, names.end()) << key;
    const graph::Graph graph = graph::load_model(name->second);
    const std::int64_t batch = wanted["B"];
    EXPECT_EQ(graph.size(), wanted["nodes"]) << key;
    EXPECT_EQ(graph.edges().size(), wanted["edges"].get<std::size_t>()) << key;
    EXPECT_EQ(graph.weights(), wanted["weights"]) << key;
    EXPECT_EQ(graph.macs(), wanted["macs"]) << key;
    const auto words = [&](Method method, int types) {
      return planned(graph, hypar_cluster(16),
                     plan_options(method, CostTable::kVolume, batch, types))
          .objective;
    };
    EXPECT_EQ(words(Method::kData, 3), wanted["dp_words"]) << key;
    EXPECT_EQ(words(Method::kExact, 2), wanted["joint2_words"]) << key;
    EXPECT_EQ(words(Method::kExact, 3), wanted["joint3_words"]) << key;
    expect_close(words(Method::kGreedy, 3), wanted["greedy3_words_loose"], key + " greedy", 0.01);
  }
}

TEST(Overlap, OptimumAndFixedPlansTakeTheSecondsOfTheSpecification) {
  for (const auto& [name, by_bandwidth] : expected()["overlap_step_s"].items()) {
    const graph::Graph graph = graph::load_model(zoo_name(name));
    const CostModel model = cost_model(graph, CostTable::kVolume, 256, 4);
    const nlohmann::json& plans = expected()["networks"][name];
    for (const auto& [key, wanted] : by_bandwidth.items()) {
      Cluster cluster = hypar_cluster(16);
      for (Level& level : cluster.levels) level.bytes_per_second *= std::stod(key.substr(4));
      const Plan hypar = plan_of(graph, plans["hypar_plan"].get<std::vector<std::string>>());
      const Plan dp{4, std::vector<LayerState>(graph.size(), LayerState(4, Split::kBatch))};
      const auto seconds = [&](const Plan& plan) {
        return step_time(model, cluster, plan).overlapped_seconds;
      };
      PlanOptions options = plan_options(Method::kExact, CostTable::kVolume, 256);
      options.objective = Objective::kOverlap;
      const Planned best = planned(graph, cluster, options);
      expect_close(seconds(dp), wanted["dp"], name + key);
      expect_close(seconds(hypar), wanted["hypar_plan"], name + key);
      expect_close(best.objective, wanted["optimum"], name + key);
      EXPECT_TRUE(best.optimal);
    }
  }
}

TEST(AccPar, PlansEqualTheAuthorsProgram) {
  const nlohmann::json& check = expected()["accpar_program_check"];
  for (const auto& [name, network] : check["networks"].items()) {
    // The file gives sizes after pooling; a layer reads what the one before it gives.
    std::vector<graph::Node> nodes;
    std::vector<graph::Edge> edges;
    for (const nlohmann::json& layer : network["layers"]) {
      graph::Node node{.name = layer["name"], .op = layer["type"]};
      const auto get = [&, &layer = layer](const char* key) {
        return layer[key].get<std::int64_t>();
      };
      node.in_channels = get("cin");
      node.out_channels = get("cout");
      node.weights = get("cin") * get("cout") * get("k") * get("k");
      node.in_words = get("cin") * get("hin") * get("hin");
      node.out_words = node.raw_words = get("cout") * get("hp") * get("hp");
      const int index = static_cast<int>(nodes.size());
      if (index > 0) edges.push_back({index - 1, index, node.in_words, node.in_words});
      nodes.push_back(std::move(node));
    }
    const graph::Graph graph(name, nodes, edges);
    for (const int types : {2, 3}) {
      PlanOptions options = plan_options(Method::kGreedy, CostTable::kPrinted, check["B"], types);
      options.cost.charge_first_layer = true;
      const Planned plan = planned(graph, hypar_cluster(1 << check["H"].get<int>()), options);
      EXPECT_EQ(digits(graph, plan.plan),
                network[types == 2 ? "two_types" : "three_types"].get<std::vector<std::string>>())
          << name << ", " << types << " types";
    }
  }
}

TEST(Unequal, GainsOverEqualDataParallelAreThoseOfTheSpecification) {
  for (const auto& [key, networks] : expected()["hetero_gain_over_equal_dp"].items()) {
    Cluster slow = hypar_cluster(16);
    for (Level& level : slow.levels) level.bytes_per_second *= std::stod(key.substr(4));
    for (const auto& [name, wanted] : networks.items()) {
      if (name == "gmean") continue;
      const graph::Graph graph = graph::load_model(zoo_name(name));
      const CostModel model = cost_model(graph, CostTable::kVolume, 256, 4);
      const auto levels =
          expected()["networks"][name]["hypar_plan"].get<std::vector<std::string>>();
      const auto seconds = [&](const Plan& plan) {
        return unequal_seconds(model, slow, {}, plan, 0.5);
      };
      const Plan dp{4, std::vector<LayerState>(graph.size(), LayerState(4, Split::kBatch))};
      PlanOptions options = plan_options(Method::kExact, CostTable::kVolume, 256);
      options.objective = Objective::kSeconds;
      const Plan equal = planned(graph, slow, options).plan;
      const UnequalPlan best = plan_unequal(graph, slow, {}, options);
      const double base = seconds(dp);
      expect_close(base / seconds(plan_of(graph, levels)), wanted["hypar"], name + key, 1e-4);
      expect_close(base / seconds(equal), wanted["three_types_equal"], name + key, 1e-4);
      expect_close(base / best.seconds, wanted["three_types_ratio"], name + key, 1e-4);
      expect_close(best.slow_share, wanted["slow_share"], name + key, 1e-9);
    }
  }
}

TEST(Memory, VggEHoldsTheBytesOfTheSpecification) {
  const graph::Graph graph = graph::load_model("vgg-e");
  const CostModel model = cost_model(graph, CostTable::kVolume, 256, 4);
  const nlohmann::json& wanted = expected()["memory_vgg_e_bytes_per_accelerator"];
  const Plan dp{4, std::vector<LayerState>(graph.size(), LayerState(4, Split::kBatch))};
  EXPECT_EQ(memory_bytes(model, dp), wanted["dp"]);
  const auto levels =
      expected()["networks"]["VGG-E"]["exact"]["one_joint3_plan"].get<std::vector<std::string>>();
  EXPECT_EQ(memory_bytes(model, plan_of(graph, levels)), wanted["one_joint3_plan"]);
}

TEST(GeometricMeans, AreThePublishedOnes) {
  double speed = 0;
  double energy = 0;
  double torus = 0;
  double exact = 0;
  for (const std::string& name : expected_networks()) {
    const graph::Graph graph = graph::load_model(zoo_name(name));
    const Cluster cluster = hypar_cluster(16);
    const CostModel fig = cost_model(graph, CostTable::kFig, 256, 4);
    const Plan dp = planned(graph, cluster, plan_options(Method::kData, CostTable::kFig, 256)).plan;
    const Plan hypar =
        planned(graph, cluster, plan_options(Method::kHypar, CostTable::kFig, 256)).plan;
    const double base = step_time(fig, cluster, dp).serial_seconds;
    speed += std::log(base / step_time(fig, cluster, hypar).serial_seconds);
    torus +=
        std::log(base / step_time(fig, hypar_cluster(16, Topology::kTorus), hypar).serial_seconds);
    energy +=
        std::log(step_energy(fig, cluster, dp).total() / step_energy(fig, cluster, hypar).total());
    const CostModel volume = cost_model(graph, CostTable::kVolume, 256, 4);
    const Planned joint =
        planned(graph, cluster, plan_options(Method::kExact, CostTable::kVolume, 256));
    exact += std::log(joint.objective / total_words(volume, dp));
  }
  const nlohmann::json& wanted = expected()["gmeans"];
  expect_close(std::exp(speed / 10), wanted["speedup"]["hypar"], "speed");
  expect_close(std::exp(energy / 10), wanted["energy"]["hypar"], "energy");
  expect_close(std::exp(torus / 10), wanted["torus"], "torus");
  expect_close(std::exp(exact / 10), wanted["exact_words_over_dp"]["joint3"], "exact");
}

}  // namespace
}  // namespace taut::parallel
