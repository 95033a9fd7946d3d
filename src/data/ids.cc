#include <charconv>
#include <cstdint>
#include <string_view>

#include "taut/core/hash.h"
#include "taut/data/batch.h"

namespace taut::data {
namespace {

constexpr std::size_t kLongestInteger = 20;  // 18446744073709551615, -9223372036854775808

// The shortest decimal form only, so that two texts never share a number.
bool parse_shortest_integer(std::string_view text, std::uint64_t& id) noexcept {
  if (text.size() > kLongestInteger) return false;
  const bool negative = text.front() == '-';
  const std::string_view digits = text.substr(negative ? 1 : 0);
  if (digits.empty() || digits.front() < '0' || digits.front() > '9') return false;
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

}  // namespace

std::uint64_t id_of_text(std::string_view text) noexcept {
  if (text.empty()) return kMissingId;
  std::uint64_t id = 0;
  const char first = text.front();
  if ((first == '-' || (first >= '0' && first <= '9')) && parse_shortest_integer(text, id)) {
    return id;
  }
  return hash_string(text);
}

}  // namespace taut::data
