#pragma once
// taut info MODEL

#include <string>

#include "cli/command.h"

namespace taut::cli {

/// Whether the name is one of the zoo, an .onnx file or a model's .toml file.
[[nodiscard]] bool is_model(const std::string& name);

/// The table of the model's layers.
[[nodiscard]] Outcome model_info(const std::string& name, const Globals& globals);

}  // namespace taut::cli
