// ONNX files, cost graphs and networks with memory that runs out at each allocation in turn.
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <string>

#include "graph/onnx_builder.h"
#include "support/failing_allocations.h"
#include "support/temporary_directory.h"
#include "taut/core/file.h"
#include "taut/core/text.h"
#include "taut/graph/cost_graph.h"
#include "taut/graph/graph_json.h"
#include "taut/graph/network_json.h"
#include "taut/graph/onnx_network.h"
#include "taut/graph/zoo.h"

namespace taut::graph {
namespace {

using test::fail_making;

class OnnxAllocation : public testing::TestWithParam<int> {
 protected:
  OnnxAllocation() {
    const std::array<OnnxBuilder, 3> models = {with_values(onnx_residual()), onnx_expressed(),
                                               with_values(onnx_lenet_c())};
    write_file(path(), models.at(static_cast<std::size_t>(GetParam())).bytes());
  }
  [[nodiscard]] std::string path() const { return folder_.file("m.onnx"); }

 private:
  test::TemporaryDirectory folder_;
};

TEST_P(OnnxAllocation, AFileIsReadWholeOrNotAtAll) {
  const auto told = [](const OnnxNetwork& read) {
    double sum = 0;
    for (const LayerValues& values : read.network.values) {
      for (const float weight : values.weight) sum += weight;
    }
    return concat(network_json(read.network), sum, read.widened);
  };
  EXPECT_GT(fail_making([&] { return read_onnx_network(path()); }, told), 100);
}

TEST_P(OnnxAllocation, AFileIsPlannedWholeOrNotAtAll) {
  const auto told = [](const OnnxSummary& summary) {
    return concat(graph_json(summary.graph), summary.network ? network_json(*summary.network) : "");
  };
  EXPECT_GT(fail_making([&] { return summarize_onnx(path()); }, told), 100);
  EXPECT_GT(fail_making([&] { return read_onnx(path()); },
                        [](const Graph& graph) { return graph_json(graph); }),
            100);
}

INSTANTIATE_TEST_SUITE_P(Models, OnnxAllocation, testing::Range(0, 3));

TEST(Allocation, ANetworkOfTheZooIsMadeWholeOrNotAtAll) {
  const ZooOptions options{.classes = 3, .width = 0.1};
  EXPECT_GT(fail_making([&] { return make_network("lenet-c", options); },
                        [](const Network& network) { return network_json(network); }),
            10);
}

}  // namespace
}  // namespace taut::graph
