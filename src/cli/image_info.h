#pragma once
// taut info IMAGES

#include <string>

#include "cli/command.h"

namespace taut::cli {

/// What a set of images holds; reads all of it.
[[nodiscard]] Outcome image_info(const std::string& name, const Globals& globals);

}  // namespace taut::cli
