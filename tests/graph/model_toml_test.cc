// The TOML form of models.
#include <gtest/gtest.h>

#include "support/error_matchers.h"
#include "taut/core/file.h"
#include "taut/graph/cost_graph.h"
#include "taut/graph/model_file.h"
#include "taut/graph/zoo.h"

namespace taut::graph {
namespace {

using test::error_of;
using test::IsError;

constexpr const char* kResidual = R"(
name = "mine"
[input]
channels = 3
height = 16
width = 16
[[layer]]
name = "sum"
op = "add"
from = ["b", "a"]
[[layer]]
name = "a"
op = "conv"
out = 8
kernel = 3
pad = 1
from = "input"
[[layer]]
name = "b"
op = "conv"
out = 8
kernel = 3
pad = 1
[[layer]]
name = "half"
op = "pool"
kernel = 2
from = "sum"
[[layer]]
name = "classes"
op = "fc"
out = 10
)";

/// The error of the text with one part replaced.
Error with(const std::string& part, const std::string& other) {
  std::string text = kResidual;
  text.replace(text.find(part), part.size(), other);
  return error_of([&] { (void)parse_model_toml(text, "mine.toml"); });
}

TEST(ModelToml, ReadsLayersInAnyOrder) {
  const Graph graph = cost_graph(parse_model_toml(kResidual, "mine.toml"));
  EXPECT_EQ(graph.name(), "mine");
  ASSERT_EQ(graph.size(), 5);  // a, b, sum, classes, loss
  EXPECT_EQ(graph.node(0).name, "a");
  EXPECT_EQ(graph.node(2).name, "sum");
  EXPECT_EQ(graph.node(2).kind, NodeKind::kElementwise);
  EXPECT_EQ(graph.node(3).weights, 8 * 64 * 10) << "the pool halves the sides";
}

TEST(ModelToml, ShippedExampleHasTheLayersOfLenetC) {
  const std::string path = std::string(TAUT_SOURCE_DIR) + "/examples/model.toml";
  const Graph graph = load_model(path);
  const Graph zoo = load_model("lenet-c");
  EXPECT_EQ(graph.weights(), zoo.weights());
  EXPECT_EQ(graph.macs(), zoo.macs());
}

TEST(ModelToml, MistakesAreNamedWithTheirLine) {
  EXPECT_THAT(with("kernel = 2", "kernel = "), IsError(ErrorKind::kConfig, "mine.toml, line 27"));
  EXPECT_THAT(with("kernel = 2", "kernal = 2"), IsError(ErrorKind::kConfig, "did you mean kernel"));
  EXPECT_THAT(with("op = \"fc\"", "op = \"fs\""), IsError(ErrorKind::kConfig, "did you mean fc"));
  EXPECT_THAT(with("out = 10", ""), IsError(ErrorKind::kConfig, "layer classes needs out"));
  EXPECT_THAT(with("out = 10", "out = \"ten\""), IsError(ErrorKind::kConfig, "whole number"));
  EXPECT_THAT(with("out = 10", "out = 0"),
              IsError(ErrorKind::kInvalidArgument, "layer classes: out"));
  EXPECT_THAT(with("[input]", "[output]"), IsError(ErrorKind::kConfig, "unknown key output"));
  EXPECT_THAT(with("from = \"sum\"", "from = \"sun\""), IsError(ErrorKind::kConfig, "reads sun"));
  EXPECT_THAT(with("name = \"b\"", "name = \"a\""), IsError(ErrorKind::kConfig, "two layers"));
  EXPECT_THAT(error_of([] { (void)parse_model_toml("", "empty.toml"); }),
              IsError(ErrorKind::kConfig, "no [[layer]]"));
}

TEST(ModelToml, CyclesAndBranchesThatNeverJoinAreNamed) {
  EXPECT_THAT(with("from = \"input\"", "from = \"sum\""),
              IsError(ErrorKind::kConfig, "cycle: sum, a, b"));
  EXPECT_THAT(with("from = [\"b\", \"a\"]", "from = [\"a\", \"a\"]"),
              IsError(ErrorKind::kConfig, "branch that ends in b never joins"));
}

}  // namespace
}  // namespace taut::graph
