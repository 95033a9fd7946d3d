// The paper's ten networks: every number of our prototype's (expected.json), and the paper's own
// figures.
#include <gtest/gtest.h>
#include <cmath>

#include "parallel/expected.h"
#include "parallel/published.h"

namespace taut::parallel {
namespace {

constexpr double kTolerance = 1e-5;

void expect_close(double value, const nlohmann::json& wanted, const std::string& what) {
  EXPECT_NEAR(value, wanted.get<double>(), kTolerance * std::abs(wanted.get<double>())) << what;
}

class PublishedNetwork : public testing::TestWithParam<std::string> {
 protected:
  const nlohmann::json& wanted_ = expected()["networks"][GetParam()];
  graph::Graph graph_ = graph::load_model(zoo_name(GetParam()));
  Cluster cluster_ = hypar_cluster(16);
  std::int64_t batch_ = wanted_["B"];

  Planned plan(Method method, CostTable table, int types) const {
    return planned(graph_, cluster_, plan_options(method, table, batch_, types));
  }
  CostModel model(CostTable table, int types = 3) const {
    CostOptions options;
    options.table = table;
    options.batch = batch_;
    options.types = types;
    return CostModel(graph_, options);
  }
};

TEST_P(PublishedNetwork, HasTheLayersOfTheSpecification) {
  const std::vector<int> nodes = weighted_nodes(graph_);
  ASSERT_EQ(nodes.size(), wanted_["layers"].size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const graph::Node& node = graph_.node(nodes[i]);
    const nlohmann::json& layer = wanted_["layers"][i];
    EXPECT_EQ(node.name, layer["name"].get<std::string>());
    EXPECT_EQ(node.weights, layer["W"]) << node.name;
    EXPECT_EQ(node.in_words, layer["F_in"]) << node.name;
    EXPECT_EQ(node.out_words, layer["F_out"]) << node.name;
    EXPECT_EQ(node.raw_words, layer["F_raw"]) << node.name;
    EXPECT_EQ(node.macs, layer["macs"]) << node.name;
    EXPECT_EQ(node.input_macs, layer["macs_in"]) << node.name;
    EXPECT_EQ(node.in_channels, layer["cin"]) << node.name;
    EXPECT_EQ(node.out_channels, layer["cout"]) << node.name;
  }
}

TEST_P(PublishedNetwork, HyparFindsThePublishedPlanAndItsWords) {
  const Planned hypar = plan(Method::kHypar, CostTable::kFig, 2);
  EXPECT_EQ(digits(graph_, hypar.plan), wanted_["hypar_plan"].get<std::vector<std::string>>());
  EXPECT_EQ(digits(graph_, hypar.plan),
            wanted_["paper"]["fig5_plan"].get<std::vector<std::string>>());
  EXPECT_EQ(hypar.objective, wanted_["words"]["hypar"]);
  EXPECT_EQ(model(CostTable::kFig).traffic(hypar.plan).words,
            wanted_["hypar_words_per_level"].get<std::vector<double>>());
}

TEST_P(PublishedNetwork, FixedPlansMoveTheirWords) {
  EXPECT_EQ(plan(Method::kData, CostTable::kFig, 2).objective, wanted_["words"]["dp"]);
  EXPECT_EQ(plan(Method::kModel, CostTable::kFig, 2).objective, wanted_["words"]["mp"]);
  EXPECT_EQ(plan(Method::kTrick, CostTable::kFig, 2).objective, wanted_["words"]["trick"]);
}

TEST_P(PublishedNetwork, JointSearchOfTheTablesFindsTheirLeastWords) {
  EXPECT_EQ(plan(Method::kExact, CostTable::kFig, 2).objective, wanted_["joint_words"]);
  EXPECT_EQ(plan(Method::kExact, CostTable::kPrinted, 2).objective,
            wanted_["printed"]["joint_words"]);
}

TEST_P(PublishedNetwork, PrintedTableGivesItsPlan) {
  const Planned printed = plan(Method::kHypar, CostTable::kPrinted, 2);
  EXPECT_EQ(digits(graph_, printed.plan),
            wanted_["printed"]["plan"].get<std::vector<std::string>>());
  EXPECT_EQ(printed.objective, wanted_["printed"]["words"]);
}

TEST_P(PublishedNetwork, StepTakesThePrototypesTimeAndEnergy) {
  const CostModel fig = model(CostTable::kFig, 2);
  const Cluster torus = hypar_cluster(16, Topology::kTorus);
  const Plan dp = plan(Method::kData, CostTable::kFig, 2).plan;
  const StepTime dp_time = step_time(fig, cluster_, dp);
  const double dp_energy = step_energy(fig, cluster_, dp).total();
  expect_close(dp_time.compute_seconds, wanted_["step_s"]["compute"], "compute");
  expect_close(dp_time.serial_seconds, wanted_["step_s"]["dp"], "dp");
  expect_close(dp_energy, wanted_["energy_J"]["dp"], "dp energy");
  const std::vector<std::pair<std::string, Method>> methods = {
      {"mp", Method::kModel}, {"trick", Method::kTrick}, {"hypar", Method::kHypar}};
  for (const auto& [name, method] : methods) {
    const Plan found = plan(method, CostTable::kFig, 2).plan;
    const double seconds = step_time(fig, cluster_, found).serial_seconds;
    const double joules = step_energy(fig, cluster_, found).total();
    expect_close(seconds, wanted_["step_s"][name], name);
    expect_close(joules, wanted_["energy_J"][name], name);
    expect_close(dp_time.serial_seconds / seconds, wanted_["speedup_vs_dp"][name], name);
    expect_close(dp_energy / joules, wanted_["energy_gain_vs_dp"][name], name);
    if (method != Method::kHypar) continue;
    const double torus_seconds = step_time(fig, torus, found).serial_seconds;
    expect_close(torus_seconds, wanted_["step_s"]["hypar_torus"], "torus");
    expect_close(dp_time.serial_seconds / torus_seconds, wanted_["torus_speedup_vs_dp"],
                 "torus gain over dp on the tree");
  }
}

// By how many percent ours differ from what the paper's figures 6, 7 and 8 print over HyPar's bars,
// as the table in docs/parallel.md has them: signed, so a step that comes closer by chance shows
// too.
struct PercentOff {
  double speed, energy, bytes;
};
constexpr std::array<PercentOff, published::kNetworks> kOffPaper = {{{-0.02, 0.86, -0.02},
                                                                     {0.00, 0.00, -0.33},
                                                                     {0.15, 0.89, -0.20},
                                                                     {0.18, 2.25, -0.06},
                                                                     {0.27, 0.07, -0.05},
                                                                     {0.06, -1.38, -0.09},
                                                                     {0.13, -0.56, 1.42},
                                                                     {0.03, -0.75, 0.26},
                                                                     {0.01, -0.11, -0.10},
                                                                     {-0.06, -0.31, 0.18}}};

TEST_P(PublishedNetwork, StepGainsWhatThePaperPrintsWithinTheListedDifference) {
  constexpr double kRounding = 0.006;  // of the list, in percent
  constexpr double kGigabytesPerWord = 4e-9;
  const std::vector<std::string> names = expected_networks();
  const auto n =
      static_cast<std::size_t>(std::find(names.begin(), names.end(), GetParam()) - names.begin());
  ASSERT_LT(n, published::kNetworks);
  const CostModel fig = model(CostTable::kFig, 2);
  const Plan data = plan(Method::kData, CostTable::kFig, 2).plan;
  const Plan hypar = plan(Method::kHypar, CostTable::kFig, 2).plan;
  const double speed = step_time(fig, cluster_, data).serial_seconds /
                       step_time(fig, cluster_, hypar).serial_seconds;
  const double energy =
      step_energy(fig, cluster_, data).total() / step_energy(fig, cluster_, hypar).total();
  const double bytes = kGigabytesPerWord * total_words(fig, hypar);
  EXPECT_NEAR(100 * (speed / published::kHyparSpeed[n] - 1), kOffPaper[n].speed, kRounding);
  EXPECT_NEAR(100 * (energy / published::kHyparEnergy[n] - 1), kOffPaper[n].energy, kRounding);
  EXPECT_NEAR(100 * (bytes / published::kHyparBytes[n] - 1), kOffPaper[n].bytes, kRounding);
}

TEST_P(PublishedNetwork, ExactVolumesAreThoseOfTheSpecification) {
  const nlohmann::json& exact = wanted_["exact"];
  const CostModel volume = model(CostTable::kVolume);
  const auto plan_from = [&](const nlohmann::json& levels) {
    return plan_of(graph_, levels.get<std::vector<std::string>>());
  };
  EXPECT_EQ(plan(Method::kData, CostTable::kVolume, 3).objective, exact["dp"]);
  EXPECT_EQ(total_words(volume, plan_from(wanted_["hypar_plan"])), exact["hypar_plan"]);
  EXPECT_EQ(plan(Method::kExact, CostTable::kVolume, 2).objective, exact["joint2"]);
  EXPECT_EQ(plan(Method::kGreedy, CostTable::kVolume, 3).objective, exact["greedy3"]);
  const Planned joint = plan(Method::kExact, CostTable::kVolume, 3);
  EXPECT_EQ(joint.objective, exact["joint3"]);
  EXPECT_TRUE(joint.optimal);
  EXPECT_EQ(total_words(volume, joint.plan), exact["joint3"]);
  EXPECT_EQ(total_words(volume, plan_from(exact["one_joint3_plan"])), exact["joint3"]);
  expect_close(step_time(volume, cluster_, joint.plan).serial_seconds, exact["step_s"], "step");
}

TEST_P(PublishedNetwork, RawSumsDensityAndLevelWeightsGiveTheirWords) {
  const nlohmann::json& exact = wanted_["exact"];
  PlanOptions options = plan_options(Method::kExact, CostTable::kVolume, batch_);
  options.cost.raw_sums = true;
  EXPECT_EQ(planned(graph_, cluster_, options).objective, exact["joint3_raw"]);
  options.cost.raw_sums = false;
  for (const int types : {2, 3}) {
    options.cost.types = types;
    for (const auto& [density, words] :
         exact[types == 2 ? "joint2_density" : "joint3_density"].items()) {
      options.cost.density = std::stod(density);
      expect_close(planned(graph_, cluster_, options).objective, words, density);
    }
  }
  options = plan_options(Method::kExact, CostTable::kVolume, batch_);
  options.objective = Objective::kSeconds;
  Cluster weighted = cluster_;
  const std::vector<double> seconds_per_word = {8, 4, 1, 1};
  for (int level = 0; level < 4; ++level) {
    weighted.levels[level].bytes_per_second = 4 / seconds_per_word[level];
  }
  expect_close(planned(graph_, weighted, options).objective, exact["joint3_weighted_8_4_1_1"],
               "weighted");
}

INSTANTIATE_TEST_SUITE_P(Ten, PublishedNetwork, testing::ValuesIn(expected_networks()),
                         [](const auto& network) {
                           std::string name = network.param;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace taut::parallel
