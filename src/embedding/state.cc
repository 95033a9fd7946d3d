#include "state.h"

#include <algorithm>
#include <concepts>
#include <string_view>
#include <vector>

#include "codec.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/embedding/option_list.h"

namespace taut::embedding {
namespace {

constexpr std::int64_t kMostTables = 1 << 24;
constexpr std::int64_t kLeastDim = 4;  // and of which every dim is a multiple

}  // namespace

std::string describe(const Options& options) {
  constexpr int kAllDigits = 17;
  std::string text;
  const auto line = [&](std::string_view key, const std::string& value) {
    text += concat(key, " = ", value, "\n");
  };
  visit_options(options, [&](const auto& option) {
    line(option.key, option_text(option.value, kAllDigits));
    if constexpr (std::same_as<OptionValue<decltype(option)>, std::vector<TableOptions>>) {
      for (const TableOptions& table : option.value) {
        line(concat("distinct_ids of ", table.name), option_text(table.distinct_ids));
      }
    }
  });
  return text;
}

void save_options(SectionSink& file, const std::string& prefix, const Options& options) {
  file.add(prefix + "options", describe(options));
}

void check_saved_options(const SectionSource& file, const std::string& prefix,
                         const Options& options) {
  const std::vector<std::string> saved = split(file.text(prefix + "options"), '\n');
  const std::vector<std::string> wanted = split(describe(options), '\n');
  for (std::size_t i = 0; i < std::max(saved.size(), wanted.size()); ++i) {
    const std::string there = i < saved.size() ? saved[i] : "";
    const std::string here = i < wanted.size() ? wanted[i] : "";
    if (there == here) continue;
    throw Error(ErrorKind::kFormat,
                concat("saved with other options: \"", there, "\" where this collection has \"",
                       here, "\""),
                file.path(), "use the options that it was saved with");
  }
}

void check_section_bytes(const SectionSource& file, const std::string& name, std::size_t wanted,
                         std::size_t got) {
  if (wanted == got) return;
  throw_damaged(file, name, concat("holds ", got, " bytes where ", wanted, " are wanted"));
}

void check_row_count(const SectionSource& file, const std::string& prefix, std::int64_t rows,
                     std::int64_t row_bytes, std::size_t bytes) {
  const auto most = static_cast<std::int64_t>(bytes) / row_bytes;
  check_number(file, prefix + "header", "rows", rows, 1, std::max<std::int64_t>(most, 1));
  check_section_bytes(file, prefix + "rows", static_cast<std::size_t>(rows * row_bytes), bytes);
}

void check_number(const SectionSource& file, const std::string& section, std::string_view field,
                  std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value >= low && value <= high) return;
  throw_damaged(file, section,
                concat("says ", field, " = ", value, ", which must be in ", low, "..", high));
}

void check_frozen_shape(const SectionSource& file, const std::string& prefix, std::int64_t tables,
                        std::int64_t dim, std::int64_t value_type) {
  const std::string header = prefix + "header";
  check_number(file, header, "tables", tables, 1, kMostTables);
  check_number(file, header, "dim", dim, kLeastDim, kLongestRow);
  if (dim % kLeastDim != 0) {
    throw_damaged(file, header,
                  concat("says dim = ", dim, ", which must be a multiple of ", kLeastDim));
  }
  check_number(file, header, "value type", value_type, 0,
               static_cast<std::int64_t>(ValueType::kMixed));
}

void throw_damaged(const SectionSource& file, const std::string& name, const std::string& what) {
  throw Error(ErrorKind::kFormat, concat("section \"", name, "\" ", what), file.path(),
              "restore it from a copy or an earlier checkpoint");
}

}  // namespace taut::embedding
