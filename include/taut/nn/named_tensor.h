#pragma once
// A parameter as plain numbers, for those who know nothing of LibTorch.

#include <cstdint>
#include <string>
#include <vector>

namespace taut::nn {

/// One tensor, row-major.
struct NamedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

}  // namespace taut::nn
