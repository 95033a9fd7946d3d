#include "taut/core/units.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut {
namespace {

constexpr std::int64_t kLargestBytes = std::int64_t{1} << 62;

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Reads a whole number with decimals from the front of text and drops it; false if there is none.
bool take_number(std::string_view& text, double& value) {
  const auto result =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::general);
  if (result.ec != std::errc{} || !std::isfinite(value)) return false;
  text.remove_prefix(static_cast<std::size_t>(result.ptr - text.data()));
  return true;
}

// A plain number of bytes, exact where a double is not; nothing if it is anything else.
std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc{} || result.ptr != end) return std::nullopt;
  return value;
}

[[noreturn]] void throw_bad_size(std::string_view text) {
  throw Error(ErrorKind::kConfig, concat("not a size in bytes: \"", text, "\""), {},
              "write a number above 0 with a unit, as in 16MiB");
}

[[noreturn]] void throw_bad_ratio(std::string_view text) {
  throw Error(ErrorKind::kConfig, concat("not a ratio: \"", text, "\""), {},
              "write a share above 0 and at most 1, as in 1/10, 0.1 or 10%");
}

double unit_bytes(std::string_view unit, std::string_view text) {
  constexpr std::string_view kPrefixes = "KMGT";
  if (unit.empty() || unit == "B") return 1.0;
  const auto power = kPrefixes.find(unit[0] == 'k' ? 'K' : unit[0]);
  if (power == std::string_view::npos) throw_bad_size(text);
  const std::string_view rest = unit.substr(1);
  if (rest == "iB" || rest == "i") return std::pow(1024.0, static_cast<double>(power + 1));
  if (rest == "B" || rest.empty()) return std::pow(1000.0, static_cast<double>(power + 1));
  throw_bad_size(text);
}

}  // namespace

Bytes parse_bytes(std::string_view text) {
  std::string_view rest = trim(text);
  if (const std::optional<std::int64_t> whole = whole_number(rest)) {
    if (*whole < 1 || *whole > kLargestBytes) throw_bad_size(text);
    return Bytes{*whole};
  }
  double value = 0;
  if (!take_number(rest, value)) throw_bad_size(text);
  const double bytes = std::floor(value * unit_bytes(trim(rest), text));
  if (!(bytes >= 1) || bytes > static_cast<double>(kLargestBytes)) throw_bad_size(text);
  return Bytes{static_cast<std::int64_t>(bytes)};
}

Ratio parse_ratio(std::string_view text) {
  std::string_view rest = trim(text);
  double value = 0;
  if (!take_number(rest, value)) throw_bad_ratio(text);
  rest = trim(rest);
  if (rest == "%") {
    value /= 100;
  } else if (!rest.empty() && rest[0] == '/') {
    rest = trim(rest.substr(1));
    double divisor = 0;
    if (!take_number(rest, divisor) || !trim(rest).empty() || !(divisor > 0)) {
      throw_bad_ratio(text);
    }
    value /= divisor;
  } else if (!rest.empty()) {
    throw_bad_ratio(text);
  }
  if (!(value > 0) || value > 1) throw_bad_ratio(text);
  return Ratio{value};
}

Budget parse_budget(std::string_view text) {
  const std::string_view trimmed = trim(text);
  const bool has_mark = trimmed.find_first_of("/%") != std::string_view::npos;
  const bool is_plain = trimmed.find_first_not_of("0123456789.eE-") == std::string_view::npos;
  const bool is_fraction = is_plain && trimmed.find_first_of(".eE-") != std::string_view::npos;
  if (has_mark || is_fraction || trimmed == "1") return parse_ratio(text);
  return parse_bytes(text);
}

Bytes resolve_budget(const Budget& budget, Bytes full) {
  if (const Bytes* bytes = std::get_if<Bytes>(&budget)) return *bytes;
  const double share = std::get<Ratio>(budget).value;
  return Bytes{static_cast<std::int64_t>(std::floor(share * static_cast<double>(full.count)))};
}

std::string format_bytes(Bytes bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes.count);
  std::size_t unit = 0;
  // What would round to 1024.0 is 1.0 of the next unit.
  while (std::abs(value) >= (unit == 0 ? 1024 : 1023.95) && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text.data();
}

std::string format_budget(const Budget& budget) {
  if (const Bytes* bytes = std::get_if<Bytes>(&budget)) {
    return std::to_string(bytes->count) + (bytes->count == 1 ? "B" : "");  // "1" is a ratio
  }
  std::array<char, 32> text{};
  const auto result =
      std::to_chars(text.data(), text.data() + text.size() - 2, std::get<Ratio>(budget).value);
  std::string spelled(text.data(), result.ptr);
  if (spelled.find_first_of(".e") == std::string::npos) spelled += ".0";
  return spelled;
}

}  // namespace taut
