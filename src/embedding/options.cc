#include "taut/embedding/options.h"

#include <concepts>
#include <limits>
#include <string_view>
#include <utility>

#include "taut/core/checked.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/embedding/embedding.h"
#include "taut/embedding/option_list.h"

namespace taut::embedding {
namespace {

constexpr std::int64_t kUncounted = std::numeric_limits<std::int64_t>::max();

void require(bool good, std::string_view key, std::string_view wanted, const std::string& got) {
  if (good) return;
  throw Error(ErrorKind::kConfig, concat("must be ", wanted, ", got ", got),
              concat("embedding.", key));
}

}  // namespace

Bytes full_bytes(std::int64_t rows, std::int64_t dim) noexcept {
  const std::int64_t row =
      checked_sum({checked_product({4, dim}).value_or(kUncounted), 4}).value_or(kUncounted);
  return Bytes{checked_product({rows, row}).value_or(kUncounted)};
}

Bytes full_bytes(const Options& options) {
  std::int64_t rows = 0;
  for (const TableOptions& table : options.tables) {
    rows = checked_sum({rows, table.distinct_ids}).value_or(kUncounted);
  }
  return full_bytes(rows, options.dim);
}

int resolved_chunk(const Options& options) noexcept {
  if (options.chunk != 0) return options.chunk;
  int chunk = 2;
  while (options.dim % chunk != 0 || options.dim / chunk > 32) chunk += 2;
  return chunk;
}

void check_options(const Options& options) {
  visit_options(options, [](const auto& option) {
    require(option.good, option.key, option.wanted.empty() ? option.range : option.wanted,
            option_text(option.value));
    if constexpr (std::same_as<OptionValue<decltype(option)>, std::vector<TableOptions>>) {
      for (const TableOptions& table : option.value) {
        require(table.distinct_ids >= 0 && table.distinct_ids <= kMostIds,
                concat("distinct_ids of ", table.name), concat("in 0..", kMostIds),
                option_text(table.distinct_ids));
      }
    }
  });
}

std::vector<OptionFacts> option_facts() {
  std::vector<OptionFacts> facts;
  const Options initial;
  visit_options(initial, [&](const auto& option) {
    using T = OptionValue<decltype(option)>;
    std::string range(option.range);
    if constexpr (std::same_as<T, std::string>) range = join(methods(), ", ");
    if constexpr (Spelled<T>) range = join(spelling_names<T>(), ", ");
    const bool given = std::same_as<T, Bytes> || std::same_as<T, std::vector<TableOptions>>;
    facts.push_back({.key = std::string(option.key),
                     .initial = given ? std::string() : option_text(option.value),
                     .range = std::move(range),
                     .help = std::string(option.help),
                     .in_config = option.in_config(),
                     .in_python = option.in_python()});
  });
  return facts;
}

std::string option_table() {
  std::string table =
      "| option | default | range | meaning | given in |\n"
      "| --- | --- | --- | --- | --- |\n";
  for (const OptionFacts& one : option_facts()) {
    if (!one.in_config && !one.in_python) continue;
    const std::string_view place = !one.in_python   ? "config"
                                   : !one.in_config ? "Python"
                                                    : "config, Python";
    table += concat("| `", one.key, "` | ", one.initial, " | ", one.range, " | ", one.help, " | ",
                    place, " |\n");
  }
  return table;
}

}  // namespace taut::embedding
