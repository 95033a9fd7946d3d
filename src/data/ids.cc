#include <charconv>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "taut/core/hash.h"
#include "taut/data/batch.h"

namespace taut::data {
namespace {

constexpr std::size_t kLongestInteger = 20;  // 18446744073709551615, -9223372036854775808
constexpr std::size_t kLongestFloat = 64;
constexpr double kTwoTo63 = 9223372036854775808.0;

bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}

// The shortest decimal form only, so that two texts never share a number.
bool parse_shortest_integer(std::string_view text, std::uint64_t& id) noexcept {
  if (text.size() > kLongestInteger) return false;
  const bool negative = text.front() == '-';
  const std::string_view digits = text.substr(negative ? 1 : 0);
  if (digits.empty() || !is_digit(digits.front())) return false;
  if (digits.front() == '0' && (digits.size() > 1 || negative)) return false;
  const char* end = text.data() + text.size();
  if (negative) {
    std::int64_t value = 0;
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    id = static_cast<std::uint64_t>(value);
    return error == std::errc() && stop == end;
  }
  const auto [stop, error] = std::from_chars(text.data(), end, id);
  return error == std::errc() && stop == end;
}

// A whole number as floats and decimals are written: "42.0", "-7.00", "1.5e+16". Exact: the digits
// are moved, no double is made. Exponents need their sign, which ids in hexadecimal never have.
bool parse_whole_float(std::string_view text, std::uint64_t& id) noexcept {
  if (text.size() > kLongestFloat) return false;
  char digits[kLongestFloat + kLongestInteger];
  std::size_t count = 0;
  std::size_t at = 0;
  const bool negative = text[0] == '-';
  if (negative) digits[count++] = text[at++];
  const std::size_t first = at;
  const auto copy_digits = [&] {
    const std::size_t begin = at;
    while (at < text.size() && is_digit(text[at])) digits[count++] = text[at++];
    return at - begin;
  };
  const std::size_t whole = copy_digits();
  if (whole == 0 || (whole > 1 && text[first] == '0')) return false;
  std::size_t after_point = 0;
  if (at < text.size() && text[at] == '.') {
    ++at;
    after_point = copy_digits();
    if (after_point == 0) return false;
  }
  std::size_t exponent = 0;
  if (text.substr(at).starts_with("e+")) {
    const char* begin = text.data() + at + 2;
    const auto [stop, error] = std::from_chars(begin, text.data() + text.size(), exponent);
    if (error != std::errc() || stop == begin || exponent > kLongestInteger) return false;
    at = static_cast<std::size_t>(stop - text.data());
  }
  if (at != text.size() || at == first + whole) return false;  // an integer is read elsewhere
  for (; exponent > after_point; ++after_point) digits[count++] = '0';
  for (; after_point > exponent; --after_point) {
    if (digits[--count] != '0') return false;
  }
  std::size_t begin = negative ? 1 : 0;
  while (begin + 1 < count && digits[begin] == '0') ++begin;
  if (digits[begin] == '0') {
    id = 0;  // "-0.0" too
    return true;
  }
  if (negative) digits[--begin] = '-';
  return parse_shortest_integer({digits + begin, count - begin}, id);
}

bool parse_truth(std::string_view text, std::uint64_t& id) noexcept {
  const bool is_true = text == "true" || text == "True" || text == "TRUE";
  id = is_true ? 1 : 0;
  return is_true || text == "false" || text == "False" || text == "FALSE";
}

// As Python and those who follow it write floats: fixed from 1e-4 up to 1e16, else scientific.
template <typename Float>
std::uint64_t id_of_float(Float value) noexcept {
  if (std::isnan(value)) return kMissingId;
  if (std::trunc(value) == value) {
    const auto wide = static_cast<double>(value);
    if (wide >= -kTwoTo63 && wide < kTwoTo63) {
      return static_cast<std::uint64_t>(static_cast<std::int64_t>(wide));
    }
    if (wide >= 0 && wide < 2 * kTwoTo63) return static_cast<std::uint64_t>(wide);
  }
  char text[kLongestFloat];
  const double size = std::fabs(static_cast<double>(value));
  const bool fixed = size >= 1e-4 && size < 1e16;
  const auto [end, error] =
      std::to_chars(text, text + sizeof(text), value,
                    fixed ? std::chars_format::fixed : std::chars_format::scientific);
  return hash_string({text, static_cast<std::size_t>(end - text)});
}

}  // namespace

std::uint64_t id_of_text(std::string_view text) noexcept {
  if (text.empty()) return kMissingId;
  std::uint64_t id = 0;
  const char first = text.front();
  if ((first == '-' || is_digit(first)) &&
      (parse_shortest_integer(text, id) || parse_whole_float(text, id))) {
    return id;
  }
  if ((first == 't' || first == 'T' || first == 'f' || first == 'F') && parse_truth(text, id)) {
    return id;
  }
  return hash_string(text);
}

std::uint64_t id_of_number(double value) noexcept {
  return id_of_float(value);
}

std::uint64_t id_of_number(float value) noexcept {
  return id_of_float(value);
}

}  // namespace taut::data
