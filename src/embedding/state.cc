#include "state.h"

#include <algorithm>
#include <concepts>
#include <string_view>
#include <vector>

#include "taut/core/checked.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/embedding/option_list.h"

namespace taut::embedding {

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
  const auto wanted = checked_product({rows, row_bytes});
  if (rows < 1 || !wanted) throw_damaged(file, prefix + "header", "holds impossible values");
  check_section_bytes(file, prefix + "rows", static_cast<std::size_t>(*wanted), bytes);
}

void check_frozen_shape(const SectionSource& file, const std::string& prefix, std::int64_t tables,
                        std::int64_t dim, std::int64_t value_type) {
  if (tables >= 1 && dim >= 4 && dim <= 512 && dim % 4 == 0 && value_type >= 0 &&
      value_type <= static_cast<std::int64_t>(ValueType::kMixed)) {
    return;
  }
  throw_damaged(file, prefix + "header", "holds impossible values");
}

void throw_damaged(const SectionSource& file, const std::string& name, const std::string& what) {
  throw Error(ErrorKind::kFormat, concat("section \"", name, "\" ", what), file.path(),
              "restore it from a copy or an earlier checkpoint");
}

}  // namespace taut::embedding
