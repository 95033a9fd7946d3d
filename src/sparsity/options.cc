#include <algorithm>
#include <cmath>
#include <string_view>

#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/sparsity/winners.h"

namespace taut::sparsity {
namespace {

void require_at_least(std::string_view argument, std::int64_t least, std::int64_t got) {
  if (got < least) throw_invalid_argument(argument, concat("at least ", least), concat(got));
}

}  // namespace

std::string to_string(Unit unit) {
  return std::string(spelling_of(unit));
}
std::string to_string(Score score) {
  return std::string(spelling_of(score));
}
std::string to_string(Select select) {
  return std::string(spelling_of(select));
}
Unit parse_unit(const std::string& text) {
  return parse_spelling<Unit>(text, ErrorKind::kConfig, "unit", "unit");
}
Score parse_score(const std::string& text) {
  return parse_spelling<Score>(text, ErrorKind::kConfig, "score", "score");
}
Select parse_select(const std::string& text) {
  return parse_spelling<Select>(text, ErrorKind::kConfig, "select", "select");
}

std::int64_t winner_count(std::int64_t n, double rate) noexcept {
  const double product = rate * static_cast<double>(n);
  const auto count = static_cast<std::int64_t>(std::ceil(product * (1 - 1e-9)));
  return std::clamp<std::int64_t>(count, 1, n);
}

void check_options(const Shape& shape, const WinnersOptions& options) {
  if (!(options.rate > 0 && options.rate <= 1)) {
    throw_invalid_argument("rate", "above 0, at most 1", concat(options.rate));
  }
  if (!(options.threshold >= 0)) {
    throw_invalid_argument("threshold", "0 or more", concat(options.threshold));
  }
  require_at_least("batch", 0, shape.batch);
  require_at_least("channels", 1, shape.channels);
  require_at_least("height", 1, shape.height);
  require_at_least("width", 1, shape.width);
  if (options.unit == Unit::kNeuron && shape.positions() != 1) {
    throw_invalid_argument("unit", "channel, position, element or block for maps",
                           concat("neuron for maps of ", shape.height, " x ", shape.width));
  }
  if (options.unit == Unit::kBlock) {
    require_at_least("block", 1, options.block);
    if (shape.channels % options.block != 0) {
      throw_invalid_argument("block", concat("a divisor of the ", shape.channels, " channels"),
                             concat(options.block));
    }
  }
}

}  // namespace taut::sparsity
