#pragma once
// Points in time written as ISO 8601.

#include <cstdint>
#include <optional>
#include <string_view>

namespace taut::data {

/// Microseconds since 1970 in UTC of "2017-05-06", "2017-05-06 07:08", "2017-05-06T07:08:09.5",
/// each with "Z", " UTC", "+02", "+0200" or "+02:00" behind the time or without a zone (then UTC).
/// Digits beyond the microsecond are cut. Nothing for anything else.
[[nodiscard]] std::optional<std::int64_t> parse_datetime(std::string_view text) noexcept;

}  // namespace taut::data
