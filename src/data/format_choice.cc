#include "taut/data/format_choice.h"

#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

#include "files.h"
#include "taut/core/error.h"

namespace taut::data {
namespace {

constexpr std::streamsize kLookedAt = 1 << 16;

std::string first_bytes(const std::string& path) {
  std::error_code unknown;
  if (std::filesystem::is_other(path, unknown)) return {};  // opening a pipe would not end
  std::string bytes(static_cast<std::size_t>(kLookedAt), '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(bytes.data(), kLookedAt);
  bytes.resize(static_cast<std::size_t>(file.gcount()));
  return bytes;
}

// Whether the first line could be a header with the model's columns.
bool names_columns(std::string_view text, const Schema& schema) {
  const std::string_view line = text.substr(0, text.find_first_of("\r\n"));
  const auto is_there = [&](const std::string& name) {
    return line.find(name) != std::string_view::npos;
  };
  for (const auto* names : {&schema.dense, &schema.categorical}) {
    if (!names->empty()) return is_there(names->front());
  }
  return false;
}

std::string format_of(const std::string& path, const ReaderOptions& learnt) {
  const std::string start = first_bytes(path);
  if (start.starts_with("PAR1")) return "parquet";
  if (start.starts_with("ARROW1")) return "arrow";
  const bool by_ending = path.ends_with(".csv") || path.ends_with(".tsv");
  const bool headless = learnt.format == "criteo" && !names_columns(start, learnt.schema);
  if (by_ending && !headless) return path.substr(path.size() - 3);
  return learnt.format == "parquet" || learnt.format == "arrow" ? "auto" : learnt.format;
}

}  // namespace

std::string choose_format(std::span<const std::string> files, const ReaderOptions& learnt) {
  std::string chosen;
  for (const std::string& pattern : files) {
    std::vector<std::string> paths;
    try {
      paths = expand_glob(parse_file_entry(pattern).path);
    } catch (const Error&) {
      return learnt.format;
    }
    for (const std::string& path : paths) {
      const std::string format = format_of(path, learnt);
      if (!chosen.empty() && chosen != format) return "auto";
      chosen = format;
    }
  }
  return chosen.empty() ? learnt.format : chosen;
}

}  // namespace taut::data
