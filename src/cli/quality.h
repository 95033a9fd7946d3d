#pragma once
// Quality in words.

#include <nlohmann/json.hpp>
#include <string>

namespace taut::cli {

/// "AUC 0.7000, log loss 0.4000, normalized entropy 0.9000 (1000 examples)" from an object with
/// measures.
[[nodiscard]] std::string quality_text(const nlohmann::json& quality);

}  // namespace taut::cli
