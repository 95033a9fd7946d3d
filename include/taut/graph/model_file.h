#pragma once
// Models from files: our own TOML form and ONNX.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "taut/graph/graph.h"
#include "taut/graph/network.h"

namespace taut::graph {

/// Reads the small TOML form (docs/parallel.md, "A model of your own"):
///     name = "mine"
///     [input]            # channels, height, width; or features
///     [[layer]]          # op, name, from (default: the layer before), and what the op needs
/// Operators: conv, fc (on the whole example), linear (on each position), pool, global-pool,
/// batch_norm, relu, relu6, flatten, add, concat, attention, embedding, interaction, first_values.
/// [input] may be left out where an embedding is.
/// Layers may stand in any order. source names the text in errors.
/// Errors: kConfig for syntax, unknown keys and operators, missing values, names that no layer has,
/// cycles and branches that never join; kInvalidArgument for sizes that do not fit, naming the
/// layer.
[[nodiscard]] Network parse_model_toml(std::string_view text, const std::string& source);

/// Sizes for the dimensions that an ONNX file leaves open, by name ("sequence" -> 128) or by input
/// and place ("x.2" -> 224). An open first dimension of an input is the batch and needs none.
using DimensionSizes = std::map<std::string, std::int64_t>;

/// Reads an ONNX model (operator sets up to 28). Shapes are worked out from the inputs' sizes and
/// from numbers that flow through the model; functions and branches of If whose condition is known
/// are entered; what no output depends on is left out. Convolutions, products and recurrent layers
/// with constant weights, on either side, become weighted nodes; activations, normalisations, pools
/// and reshapes belong to the layer before them; sums, concatenations and products of activations
/// become element-wise nodes. Weights that several layers share count once for each; what depends
/// on no input is a constant and counts nothing. Weights in external files are not read; shapes in
/// them are, from the model's folder and nowhere else. Takes less than 2 GiB and some seconds,
/// whatever the file says. Errors: kNotFound, kIo; kFormat (not ONNX, cut short, above 1 GiB,
/// shapes that disagree); kUnsupported (an operator that is not known, loops, shapes that depend on
/// values), naming node and operator; kData (a dimension without a size), naming it; kConfig (a
/// size that no dimension takes). Threads: calls are independent.
[[nodiscard]] Graph read_onnx(const std::string& path, const DimensionSizes& sizes = {});

/// The same from bytes in memory; source names them in errors.
[[nodiscard]] Graph parse_onnx(std::string_view bytes, const std::string& source,
                               const DimensionSizes& sizes = {});

}  // namespace taut::graph
