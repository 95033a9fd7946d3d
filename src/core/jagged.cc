#include "taut/core/jagged.h"

#include <string>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut {

void check_jagged(const JaggedIds& jagged, std::int64_t batch, std::string_view name) {
  const auto require = [&](bool good, std::string_view member, std::string_view wanted,
                           std::int64_t got) {
    if (!good) throw_invalid_argument(concat(name, member), wanted, std::to_string(got));
  };
  const auto ids = static_cast<std::int64_t>(jagged.ids.size());
  const auto weights = static_cast<std::int64_t>(jagged.weights.size());
  require(weights == 0 || weights == ids, ".weights", concat("empty or of ids' size ", ids),
          weights);
  if (jagged.offsets.empty()) {
    require(ids == batch, ".ids", concat("one an example, ", batch), ids);
    return;
  }
  const auto offsets = static_cast<std::int64_t>(jagged.offsets.size());
  require(offsets == batch + 1, ".offsets", concat("of size batch + 1 = ", batch + 1), offsets);
  require(jagged.offsets.front() == 0, ".offsets[0]", "0", jagged.offsets.front());
  for (std::size_t i = 1; i < jagged.offsets.size(); ++i) {
    if (jagged.offsets[i] >= jagged.offsets[i - 1]) continue;
    throw_invalid_argument(concat(name, ".offsets[", i, "]"),
                           concat("at least ", jagged.offsets[i - 1]),
                           std::to_string(jagged.offsets[i]));
  }
  require(jagged.offsets.back() == ids, ".offsets.back()", concat("ids' size ", ids),
          jagged.offsets.back());
}

}  // namespace taut
