#include "text_cells.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

#include "text_encoding.h"

namespace taut::data {
namespace {

constexpr std::size_t kShownCharacters = 40;
constexpr int kExactPowers = 23;  // 10^0 .. 10^22 are exact doubles

constexpr std::array<double, kExactPowers> kPowersOfTen = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

// Digits with an optional point whose digits fit 2^53: one exact integer over one exact power of
// ten, so the quotient is correctly rounded (Clinger 1990, the fast path). False: take the long
// way.
bool parse_short(const char* at, const char* end, double& value) noexcept {
  const bool negative = *at == '-';
  if (negative) ++at;
  std::uint64_t digits = 0;
  int count = 0;
  int after_point = 0;
  bool point = false;
  for (; at != end; ++at) {
    const auto digit = static_cast<unsigned>(*at - '0');
    if (digit < 10) {
      digits = 10 * digits + digit;
      ++count;
      after_point += point ? 1 : 0;
    } else if (*at == '.' && !point) {
      point = true;
    } else {
      return false;
    }
  }
  if (count == 0 || count > 18 || digits > (std::uint64_t{1} << 53)) return false;
  const double magnitude =
      static_cast<double>(digits) / kPowersOfTen[static_cast<std::size_t>(after_point)];
  value = negative ? -magnitude : magnitude;
  return true;
}

bool equals_ignoring_case(std::string_view text, std::string_view lower) noexcept {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(), [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == b;
  });
}

std::size_t count_digits(std::string_view text) noexcept {
  std::size_t count = 0;
  while (count < text.size() && text[count] >= '0' && text[count] <= '9') ++count;
  return count;
}

std::string_view without_plus(std::string_view text) noexcept {
  return text.size() > 1 && text[0] == '+' && text[1] != '-' ? text.substr(1) : text;
}

}  // namespace

std::string_view trim(std::string_view cell) noexcept {
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  while (!cell.empty() && is_space(cell.front())) cell.remove_prefix(1);
  while (!cell.empty() && is_space(cell.back())) cell.remove_suffix(1);
  return cell;
}

std::optional<double> parse_number(std::string_view cell) noexcept {
  const std::string_view text = without_plus(cell);
  if (text.empty()) return std::nullopt;
  double value = 0;
  const char* end = text.data() + text.size();
  if (parse_short(text.data(), end, value)) return value;
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (stop != end) return std::nullopt;
  if (error == std::errc()) return value;
  // Out of range: from_chars leaves the value; a huge exponent is infinity, a tiny one 0.
  const std::size_t exponent = text.find_first_of("eE");
  const bool tiny =
      exponent != std::string_view::npos && text.substr(exponent + 1).starts_with('-');
  return tiny ? 0.0 : (text.front() == '-' ? -HUGE_VAL : HUGE_VAL);
}

std::optional<std::int64_t> parse_integer(std::string_view cell) noexcept {
  const std::string_view text = without_plus(cell);
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || stop != end || error != std::errc()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> parse_unsigned(std::string_view cell) noexcept {
  const std::string_view text = without_plus(cell);
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || stop != end || error != std::errc()) return std::nullopt;
  return value;
}

char thousands_mark(std::string_view cell) noexcept {
  std::string_view text = cell;
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  std::size_t at = count_digits(text);
  if (at == 0 || at > 3 || text[0] == '0' || at == text.size()) return 0;
  const char mark = text[at];
  if (mark != ',' && mark != '\'' && mark != ' ' && mark != '_') return 0;
  while (at < text.size() && text[at] == mark) {
    if (count_digits(text.substr(at + 1)) != 3) return 0;
    at += 4;
  }
  if (at < text.size() && text[at] == '.') at += 1 + count_digits(text.substr(at + 1));
  return at == text.size() ? mark : '\0';
}

std::optional<double> parse_thousands(std::string_view cell) {
  std::string plain(cell);
  std::erase(plain, thousands_mark(cell));
  return parse_number(plain);
}

bool has_decimal_comma(std::string_view cell) noexcept {
  const std::size_t comma = cell.find(',');
  if (comma == std::string_view::npos) return false;
  const std::string_view whole = cell.substr(0, comma);
  const std::string_view part = cell.substr(comma + 1);
  return parse_integer(whole) && !part.empty() && count_digits(part) == part.size();
}

std::optional<float> parse_label(std::string_view cell) noexcept {
  if (cell.size() == 1) {
    if (cell[0] == '0') return 0.0F;
    if (cell[0] == '1') return 1.0F;
  }
  if (equals_ignoring_case(cell, "false")) return 0.0F;
  if (equals_ignoring_case(cell, "true")) return 1.0F;
  const std::optional<double> number = parse_number(cell);
  if (number && (*number == 0 || *number == 1)) return static_cast<float>(*number);
  return std::nullopt;
}

std::string shown(std::string_view cell) {
  constexpr const char* kDigits = "0123456789ABCDEF";
  std::string text = "\"";
  std::string_view rest = cell;
  while (!rest.empty() && cell.size() - rest.size() < kShownCharacters) {
    const auto byte = static_cast<unsigned char>(rest.front());
    const std::size_t size = utf8_size(rest);
    if (size == 0) {
      text += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    } else if (byte < 0x20 || byte == 0x7F) {
      text += '?';
    } else {
      text += rest.substr(0, size);
    }
    rest.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return text + (rest.empty() ? "\"" : "...\"");
}

}  // namespace taut::data
