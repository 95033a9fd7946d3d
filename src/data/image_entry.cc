#include <charconv>
#include <optional>
#include <string_view>

#include "image_source.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

// A whole number; nothing for another text.
std::optional<std::int64_t> parse_bound(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

[[noreturn]] void throw_bad_range(const std::string& entry) {
  throw Error(ErrorKind::kConfig, "the range is not [begin:end]", entry,
              "write whole numbers, as in [0:55000], [55000:] or [-5000:]");
}

}  // namespace

ImageEntry parse_image_entry(const std::string& entry) {
  const std::size_t open = entry.rfind('[');
  if (open == std::string::npos || !entry.ends_with("]")) return {entry, {}};
  const std::string_view inside = std::string_view(entry).substr(open + 1, entry.size() - open - 2);
  const std::size_t colon = inside.find(':');
  if (colon == std::string_view::npos) return {entry, {}};
  ImageEntry parsed{entry.substr(0, open), entry.substr(open)};
  const auto bound = [&](std::string_view text) {
    const std::optional<std::int64_t> value = parse_bound(text);
    if (!value) throw_bad_range(entry);
    return *value;
  };
  if (colon > 0) parsed.begin = bound(inside.substr(0, colon));
  parsed.open_end = colon + 1 == inside.size();
  if (!parsed.open_end) parsed.end = bound(inside.substr(colon + 1));
  return parsed;
}

ImageRange resolve_range(const ImageEntry& entry, std::int64_t count) {
  const auto from_start = [&](std::int64_t bound) { return bound < 0 ? count + bound : bound; };
  const std::int64_t begin = from_start(entry.begin);
  const std::int64_t end = entry.open_end ? count : from_start(entry.end);
  if (begin < 0 || begin > count || end < 0 || end > count) {
    throw Error(ErrorKind::kConfig,
                concat("the range ", entry.range, " goes beyond the ", count, " images"),
                entry.path, "make it smaller");
  }
  if (begin >= end && !entry.range.empty()) {
    throw Error(ErrorKind::kConfig,
                concat("the range ", entry.range, " of ", count, " images is empty"), entry.path,
                "its end must be above its begin");
  }
  return {begin, end};
}

}  // namespace taut::data
