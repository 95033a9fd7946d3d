#pragma once
// Recommenders as networks: written once, for the zoo, training, export and serving.

#include <cstdint>
#include <string>
#include <vector>

#include "taut/graph/network.h"

namespace taut::graph {

/// What a recommender is made of.
struct RecommenderShape {
  std::string kind = "dlrm";         ///< dlrm (Naumov et al. 2019) or wide_deep (Cheng et al. 2016)
  std::string interaction = "dots";  ///< dlrm: dots (dots and the dense vector) or dots_vectors
                                     ///< (dots and all vectors)
  std::int64_t dense = 0;            ///< dense columns
  std::vector<Table> tables;  ///< one a categorical column; dim 0: `dim`; rows 0: not known yet
  std::int64_t dim = 16;      ///< values of an embedded row
  std::vector<std::int64_t> bottom;  ///< dlrm: hidden widths before the layer of `dim` outputs
  std::vector<std::int64_t> top;     ///< hidden widths before the logit
};

/// The network, named after its kind, with one logit. Input: [dense, 1, 1]; channels 0 without
/// dense columns. Layers with weights, in this order: "bottom.0" .. (dlrm with dense columns),
/// "top.0" .., "wide" (wide_deep with dense columns; no bias). Every linear layer of the bottom and
/// every hidden one of the top is followed by a ReLU with a site of winners.
///   dlrm:      interaction of [bottom's output, embedded rows] -> top
///   wide_deep: top([dense, embedded rows]) + first values of the rows + wide(dense)
/// Errors: kConfig naming model.kind, model.interaction, model.dim, model.top, model.bottom or
/// model.inputs, with the value; kInvalidArgument for tables of another dim.
[[nodiscard]] Network recommender_network(const RecommenderShape& shape);

}  // namespace taut::graph
