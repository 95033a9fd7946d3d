#include "train/network_memory.h"

#include <cstdint>
#include <limits>

#include "taut/core/checked.h"
#include "taut/core/memory.h"
#include "taut/core/text.h"

namespace taut::train {
namespace {

constexpr std::int64_t kValues = 4;  // the parameter, its gradient, the optimizer's two
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

}  // namespace

void check_network_memory(const graph::Network& network, std::string_view where) {
  const std::int64_t parameters = graph::parameter_count(network);
  const std::int64_t bytes =
      checked_product({parameters, kValues, std::int64_t{sizeof(float)}}).value_or(kMost);
  check_memory(Bytes{bytes}, concat("training the network's ", parameters, " parameters"), where,
               "make the layers smaller");
}

}  // namespace taut::train
