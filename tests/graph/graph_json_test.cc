// A cost graph as JSON: round trips and what is wrong with one member.
#include "taut/graph/graph_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/error_matchers.h"
#include "taut/core/error.h"
#include "taut/graph/cost_graph.h"
#include "taut/graph/zoo.h"

namespace taut::graph {
namespace {

using nlohmann::json;
using test::error_of;
using test::IsError;

json small() {
  return json::parse(R"({"name": "small",
    "nodes": [{"name": "fc", "op": "fc", "kind": "weighted", "weights": 6, "in_channels": 2,
               "out_channels": 3, "in_words": 2, "out_words": 3, "raw_words": 3, "macs": 6},
              {"name": "loss", "op": "loss", "kind": "batch only"}],
    "edges": [{"from": "fc", "to": "loss", "words": 3, "density": 0.5}]})");
}

TEST(GraphJson, EveryCostGraphOfTheZooComesBackTheSame) {
  for (const std::string& name : network_names()) {
    const std::string text = graph_json(cost_graph(make_network(name)));
    EXPECT_EQ(graph_json(parse_graph_json(text, name)), text) << name;
  }
}

TEST(GraphJson, MembersThatAreLeftOutHaveTheirDefaults) {
  const Graph graph = parse_graph_json(small().dump(), "small");
  ASSERT_EQ(graph.size(), 2);
  EXPECT_EQ(graph.node(0).channel_levels, 0);
  EXPECT_EQ(graph.edges()[0].raw_words, 3);
  EXPECT_EQ(graph.edges()[0].density, 0.5);
  EXPECT_TRUE(graph.tables().empty());
}

TEST(GraphJson, WhatIsWrongIsNamedWithItsPlace) {
  const auto refused = [](const char* pointer, const json& value, const char* said) {
    json forged = small();
    forged[json::json_pointer(pointer)] = value;
    EXPECT_THAT(error_of([&] { (void)parse_graph_json(forged.dump(), "it"); }),
                IsError(ErrorKind::kFormat, said))
        << pointer;
  };
  refused("/nodes/0/wieghts", 1, "weights");
  refused("/nodes/1/kind", "batch", "unknown kind");
  refused("/nodes/0/macs", -1, "must lie in");
  refused("/nodes/0/macs", kMostJsonCount + 1, "must lie in");
  refused("/nodes/0/macs", 1.5, "whole number");
  refused("/nodes/0/channel_levels", "2", "whole number");
  refused("/nodes/0", "fc", "node 0");
  refused("/edges/0/to", "lost", "no node is called");
  refused("/edges/0/words", nullptr, "edge 0");
  refused("/edges", 3, "must be a list");
  refused("/size", 3, "unknown member");
  refused("/tables",
          json::array({{{"name", "t"}, {"node", "loss"}, {"rows", kMostJsonCount}, {"dim", 2}}}),
          "more words");
  EXPECT_THAT(error_of([] { (void)parse_graph_json("[1]", "it"); }),
              IsError(ErrorKind::kFormat, "not an object"));
}

TEST(GraphJson, AGraphThatDoesNotHoldTogetherIsRefusedAsAnyOther) {
  json forged = small();
  forged["edges"][0]["words"] = 0;
  EXPECT_THAT(error_of([&] { (void)parse_graph_json(forged.dump(), "it"); }),
              IsError(ErrorKind::kInvalidArgument, "fc"));
  forged = small();
  forged["nodes"][1]["name"] = forged["edges"][0]["to"] = "fc";
  EXPECT_THAT(error_of([&] { (void)parse_graph_json(forged.dump(), "it"); }),
              IsError(ErrorKind::kInvalidArgument, "two layers"));
}

}  // namespace
}  // namespace taut::graph
