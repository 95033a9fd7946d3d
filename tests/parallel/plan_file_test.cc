// Plans as files: one form for all that write and read them.
#include <gtest/gtest.h>

#include <fstream>

#include "parallel/plan_file.h"
#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/graph/model_builder.h"

namespace taut::parallel {
namespace {

using test::error_of;
using test::IsError;

class PlanFile : public ::testing::Test {
 protected:
  static graph::Graph perceptron() {
    graph::ModelBuilder model("perceptron");
    graph::Tensor x = model.input({.channels = 8, .height = 1, .width = 1});
    x = model.linear("fc1", x, 16);
    return model.finish(model.linear("fc2", x, 4));
  }

  std::string write(const std::string& text) const {
    const std::string path = folder_.path() + "/plan.json";
    std::ofstream(path) << text;
    return path;
  }

  void expect_refused(const std::string& text, ErrorKind kind, const std::string& part) const {
    const std::string path = write(text);
    const Error error = error_of([&] { (void)read_plan(path, graph_, 2); });
    EXPECT_THAT(error, IsError(kind, part)) << text;
    EXPECT_THAT(error, IsError(kind, path)) << text;
  }

  test::TemporaryDirectory folder_;
  graph::Graph graph_ = perceptron();
};

TEST_F(PlanFile, IsReadAsItWasWritten) {
  Plan plan{.levels = 2, .states = {}};
  for (int node = 0; node < graph_.size(); ++node) {
    LayerState state(2, Split::kOutput);
    state.set(node % 2, Split::kInput);
    state.set_gathers(node == 1);
    plan.states.push_back(state);
  }
  const nlohmann::json layers = layers_json(graph_, plan);
  EXPECT_EQ(layers[0], nlohmann::json({{"name", "fc1"}, {"splits", {"II", "III"}}}));
  EXPECT_EQ(layers[1].value("gathers", false), true);
  EXPECT_EQ(splits_json(plan.states[1]), nlohmann::json({"III", "II"}));
  EXPECT_EQ(read_plan(write(nlohmann::json({{"layers", layers}}).dump()), graph_, 2), plan);
}

TEST_F(PlanFile, IsReadInAnyOrderBesideOtherThings) {
  const Plan plan = read_plan(write(R"({"bytes_per_step": 7, "layers": [
      {"name": "loss", "splits": ["I", "I"], "op": "loss"},
      {"name": "fc2", "splits": ["III", "C"]},
      {"name": "fc1", "splits": ["I", "II"], "memory_bytes": 3}]})"),
                              graph_, 2);
  EXPECT_EQ(level_digits(plan, 0, {0, 1, 2}), "020");
  EXPECT_EQ(level_digits(plan, 1, {0, 1, 2}), "130");
}

TEST_F(PlanFile, ThatDoesNotFitIsRefusedByName) {
  const std::string fc1 = R"({"name": "fc1", "splits": ["I", "I"]})";
  const std::string fc2 = R"({"name": "fc2", "splits": ["I", "I"]})";
  const std::string loss = R"({"name": "loss", "splits": ["I", "I"]})";
  const auto layers = [](const std::string& list) { return R"({"layers": [)" + list + "]}"; };
  expect_refused("[]", ErrorKind::kFormat, "not a JSON object");
  expect_refused("{}", ErrorKind::kFormat, "\"layers\" is missing");
  expect_refused(R"({"layers": 3})", ErrorKind::kFormat, "\"layers\" must be a list");
  expect_refused(layers(R"({"layer": "fc1", "splits": []})"), ErrorKind::kFormat,
                 "\"name\" is missing");
  expect_refused(layers(R"({"name": "fc1", "splits": "I"})"), ErrorKind::kFormat, "layer fc1");
  expect_refused(layers(R"({"name": "fc1", "splits": ["I"]})"), ErrorKind::kData,
                 "for 1 levels, not 2");
  expect_refused(layers(R"({"name": "fc1", "splits": ["I", "IV"]})"), ErrorKind::kData,
                 "unknown split \"IV\"");
  expect_refused(layers(fc1 + "," + fc1), ErrorKind::kData, "names it twice");
  expect_refused(layers(fc1 + "," + loss), ErrorKind::kData, "the plan has no layer fc2");
  expect_refused(layers(fc1 + "," + fc2 + "," + loss + R"(, {"name": "x", "splits": ["I", "I"]})"),
                 ErrorKind::kData, "a layer that the model has not: x");
  EXPECT_THAT(error_of([&] { (void)read_plan(folder_.path() + "/none", graph_, 2); }),
              IsError(ErrorKind::kNotFound, "none"));
}

}  // namespace
}  // namespace taut::parallel
