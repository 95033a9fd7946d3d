#pragma once
// The networks of the zoo that are not chains.

#include "taut/graph/graph.h"

namespace taut::graph {

Graph resnet_18();
Graph resnet_20();
Graph resnet_50();
Graph mobilenet_v1();
Graph mobilenet_v2();
Graph bert_base();
Graph gpt2_small();
Graph dlrm();

}  // namespace taut::graph
