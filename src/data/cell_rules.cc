#include "cell_rules.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "datetime.h"
#include "taut/core/text.h"
#include "text_cells.h"

namespace taut::data {
namespace {

constexpr std::array<std::string_view, 9> kUsualNa = {"NA",   "N/A",  "n/a",  "#N/A", "<NA>",
                                                      "NULL", "null", "None", "\\N"};

constexpr const char* kNameMissing = " (if it means a missing value, name it in data.na_values)";

bool has_digits(std::string_view text) noexcept {
  return std::any_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Why a text is no number, as far as it shows.
std::string not_a_number(std::string_view text) {
  std::string reason = concat(shown(text), " is not a number");
  if (has_thousands(text)) {
    return reason + ": write thousands without separators, or set data.thousands";
  }
  if (has_decimal_comma(text)) return reason + ": write a point for the decimal comma";
  return has_digits(text) ? reason : reason + kNameMissing;
}

}  // namespace

bool is_dense_value(double value) noexcept {
  return std::fabs(value) <= static_cast<double>(std::numeric_limits<float>::max());
}

std::string not_dense(bool too_large, std::string_view shown) {
  return concat("the value is ", shown, ", must be a finite number",
                too_large ? " that float32 holds (up to 3.4e38)" : "");
}

bool is_usual_na(std::string_view text) noexcept {
  return std::find(kUsualNa.begin(), kUsualNa.end(), text) != kUsualNa.end();
}

CellRules::CellRules(const ReaderOptions& options)
    : na_values_(options.na_values), thousands_(options.thousands) {}

std::optional<double> CellRules::number(std::string_view text) const {
  const std::optional<double> plain = parse_number(text);
  if (plain || thousands_ == 0 || thousands_mark(text) != thousands_) return plain;
  return parse_thousands(text);
}

bool CellRules::is_named_na(std::string_view text) const noexcept {
  return std::find(na_values_.begin(), na_values_.end(), text) != na_values_.end();
}

float CellRules::label(std::int64_t row, std::string_view cell, BadCells& bad) const {
  const std::string_view text = trim(cell);
  const std::optional<float> label = parse_label(text);
  if (label && (na_values_.empty() || !is_named_na(text))) return *label;
  if (is_missing_number(text)) {
    bad.add(row, [] { return std::string("the label is missing"); });
  } else {
    bad.add(row, [&] { return concat("the label is ", shown(text), ", must be 0 or 1"); });
  }
  return 0;
}

std::int64_t CellRules::time(std::int64_t row, std::string_view cell, BadCells& bad) const {
  const std::string_view text = trim(cell);
  if (na_values_.empty() || !is_named_na(text)) {
    if (const std::optional<std::int64_t> time = parse_integer(text)) return *time;
    if (const std::optional<std::int64_t> time = parse_datetime(text)) return *time;
  }
  if (is_missing_number(text)) {
    bad.add(row, [] { return std::string("the time is missing"); });
  } else {
    bad.add(row, [&] {
      return concat("the time is ", shown(text),
                    ", must be a whole number or ISO 8601 (2017-05-06 00:00:00)");
    });
  }
  return 0;
}

double CellRules::dense(std::int64_t row, std::string_view cell, BadCells& bad) const {
  constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
  const std::string_view text = trim(cell);
  if (text.empty() || (!na_values_.empty() && is_named_na(text))) return kMissing;
  const std::optional<double> number = this->number(text);
  if (!number) {
    if (is_usual_na(text)) return kMissing;
    bad.add(row, [&] { return not_a_number(text); });
    return 0;
  }
  if (!is_dense_value(*number)) {
    bad.add(row, [&] {
      const bool too_large = !std::isnan(*number) && has_digits(text);
      return concat(not_dense(too_large, shown(text)), std::isnan(*number) ? kNameMissing : "");
    });
  }
  return *number;
}

void CellRules::append_ids(std::string_view cell, char separator,
                           std::vector<std::uint64_t>& ids) const {
  if (separator == 0 || cell.empty() || is_named_na(cell)) {
    ids.push_back(id(cell));
    return;
  }
  std::size_t begin = 0;
  while (begin <= cell.size()) {
    const std::size_t end = std::min(cell.find(separator, begin), cell.size());
    const std::uint64_t part = id(cell.substr(begin, end - begin));
    if (part != kMissingId) ids.push_back(part);
    begin = end + 1;
  }
}

}  // namespace taut::data
