#pragma once
// A network's description as JSON text: what runs and packages keep.

#include <string>
#include <string_view>

#include "taut/graph/network.h"

namespace taut::graph {

/// Where runs and packages keep it: a file in a run's folder, a section of a package.
inline constexpr const char* kNetworkFile = "network.json";
inline constexpr const char* kNetworkSection = "network";

/// Everything but arrays of values: input, layers (with the scales of 8-bit inputs, where there are
/// values), tables, winners, densities.
[[nodiscard]] std::string network_json(const Network& network);

/// Reads what network_json wrote; values holds an entry for each layer, without arrays, when the
/// text told of values. source names the text in errors. Errors: kFormat for text that is not such
/// a description, or describes a network that wrong_layer() refuses.
[[nodiscard]] Network parse_network_json(std::string_view text, const std::string& source);

}  // namespace taut::graph
