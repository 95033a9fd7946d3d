#include "row_part.h"

#include <charconv>
#include <filesystem>
#include <optional>

#include "taut/core/error.h"
#include "taut/core/hash.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

template <typename Number>
std::optional<Number> parse_whole(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

[[noreturn]] void throw_bad_part(const std::string& entry, std::string_view what) {
  throw Error(ErrorKind::kConfig, concat("the part of the file's rows is ", what), entry,
              "write [0%:80%], or [COLUMN=A:B] with whole numbers");
}

double parse_share(std::string_view text, double open, const std::string& entry) {
  if (text.empty()) return open;
  if (!text.ends_with('%')) throw_bad_part(entry, "not understood");
  const std::optional<double> percent = parse_whole<double>(text.substr(0, text.size() - 1));
  if (!percent || !(*percent >= 0 && *percent <= 100)) {
    throw_bad_part(entry, "not between 0% and 100%");
  }
  return *percent / 100;
}

std::int64_t parse_time(std::string_view text, std::int64_t open, const std::string& entry) {
  if (text.empty()) return open;
  const std::optional<std::int64_t> time = parse_whole<std::int64_t>(text);
  if (!time) throw_bad_part(entry, "not understood");
  return *time;
}

}  // namespace

FileEntry parse_file_entry(const std::string& entry) {
  const std::size_t open = entry.rfind('[');
  if (open == std::string::npos || !entry.ends_with(']')) return {entry, {}};
  const std::string_view inside = std::string_view(entry).substr(open + 1, entry.size() - open - 2);
  const std::size_t colon = inside.rfind(':');
  const std::size_t equals = inside.rfind('=', colon);
  const bool shares = inside.find('%') != std::string_view::npos;
  if (colon == std::string_view::npos || (equals == std::string_view::npos && !shares) ||
      std::filesystem::exists(entry)) {
    return {entry, {}};
  }
  FileEntry parsed{.path = entry.substr(0, open), .part = {}};
  RowPart& part = parsed.part;
  if (equals != std::string_view::npos) {
    part.kind = RowPart::Kind::kTime;
    part.column = std::string(inside.substr(0, equals));
    part.begin = parse_time(inside.substr(equals + 1, colon - equals - 1), part.begin, entry);
    part.end = parse_time(inside.substr(colon + 1), part.end, entry);
    if (part.begin >= part.end) throw_bad_part(entry, "empty");
  } else {
    part.kind = RowPart::Kind::kShare;
    part.from = parse_share(inside.substr(0, colon), 0, entry);
    part.to = parse_share(inside.substr(colon + 1), 1, entry);
    if (part.from >= part.to) throw_bad_part(entry, "empty");
  }
  return parsed;
}

bool is_in_share(const RowPart& part, std::int64_t row) noexcept {
  if (part.kind != RowPart::Kind::kShare) return true;
  const std::uint64_t hash = hash_combine(0x70617274, static_cast<std::uint64_t>(row));
  const double place = static_cast<double>(hash >> 11) * 0x1p-53;
  return place >= part.from && place < part.to;
}

}  // namespace taut::data
