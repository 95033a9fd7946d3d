#include "datetime.h"

#include <chrono>

namespace taut::data {
namespace {

constexpr std::int64_t kMicrosecondsPerSecond = 1000000;

// Reads a text from its front.
class Scanner {
 public:
  explicit Scanner(std::string_view text) noexcept : text_(text) {}

  [[nodiscard]] bool ended() const noexcept { return text_.empty(); }
  [[nodiscard]] bool starts(char c) const noexcept { return text_.starts_with(c); }
  [[nodiscard]] bool starts_digit() const noexcept {
    return !text_.empty() && text_.front() >= '0' && text_.front() <= '9';
  }
  bool take(std::string_view wanted) noexcept {
    if (!text_.starts_with(wanted)) return false;
    text_.remove_prefix(wanted.size());
    return true;
  }
  int digit() noexcept {
    const int value = text_.front() - '0';
    text_.remove_prefix(1);
    return value;
  }
  // Exactly `count` digits; false where there are fewer.
  bool number(int count, int& value) noexcept {
    value = 0;
    for (int i = 0; i < count; ++i) {
      if (!starts_digit()) return false;
      value = 10 * value + digit();
    }
    return true;
  }

 private:
  std::string_view text_;
};

// Hours, minutes, seconds and fraction behind a date.
bool take_time(Scanner& scan, std::int64_t& microseconds) noexcept {
  int hours = 0;
  int minutes = 0;
  int seconds = 0;
  std::int64_t fraction = 0;
  if (!scan.number(2, hours) || !scan.take(":") || !scan.number(2, minutes)) return false;
  if (scan.take(":")) {
    if (!scan.number(2, seconds)) return false;
    if (scan.take(".") || scan.take(",")) {
      if (!scan.starts_digit()) return false;
      for (std::int64_t unit = kMicrosecondsPerSecond / 10; scan.starts_digit(); unit /= 10) {
        fraction += unit * scan.digit();
      }
    }
  }
  if (hours > 23 || minutes > 59 || seconds > 60) return false;
  microseconds += (hours * 3600LL + minutes * 60LL + seconds) * kMicrosecondsPerSecond + fraction;
  return true;
}

// Z, UTC or a distance from UTC; nothing is UTC.
bool take_zone(Scanner& scan, std::int64_t& microseconds) noexcept {
  if (scan.ended() || scan.take("Z") || scan.take(" UTC")) return true;
  (void)scan.take(" ");
  const bool behind = scan.starts('-');
  if (!scan.take("+") && !scan.take("-")) return false;
  int hours = 0;
  int minutes = 0;
  if (!scan.number(2, hours)) return false;
  if ((scan.take(":") || scan.starts_digit()) && !scan.number(2, minutes)) return false;
  if (hours > 23 || minutes > 59) return false;
  const std::int64_t ahead = (hours * 3600LL + minutes * 60LL) * kMicrosecondsPerSecond;
  microseconds += behind ? ahead : -ahead;
  return true;
}

}  // namespace

std::optional<std::int64_t> parse_datetime(std::string_view text) noexcept {
  Scanner scan(text);
  int year = 0;
  int month = 0;
  int day = 0;
  if (!scan.number(4, year) || !scan.take("-") || !scan.number(2, month) || !scan.take("-") ||
      !scan.number(2, day)) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date(std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day)));
  if (!date.ok()) return std::nullopt;
  std::int64_t microseconds =
      std::chrono::sys_days(date).time_since_epoch().count() * 86400LL * kMicrosecondsPerSecond;
  if (!scan.ended()) {
    if (!scan.take("T") && !scan.take(" ")) return std::nullopt;
    if (!take_time(scan, microseconds) || !take_zone(scan, microseconds)) return std::nullopt;
  }
  return scan.ended() ? std::optional(microseconds) : std::nullopt;
}

}  // namespace taut::data
