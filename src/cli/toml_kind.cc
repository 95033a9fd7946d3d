#include "cli/toml_kind.h"

#include <array>
#include <filesystem>
#include <string_view>

#include "core/toml_text.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"

namespace taut::cli {
namespace {

// Files that people write are smaller; a table of data need not be read to see that it is none.
constexpr std::uintmax_t kLargestToml = std::uintmax_t{1} << 24;

struct TomlFacts {
  TomlKind kind;
  std::string_view key;  ///< that no other kind has
  std::string_view what;
  std::string_view who;
};

constexpr std::array<TomlFacts, 3> kTomlFacts = {{
    {TomlKind::kConfig, "data", "a training config (it has data)",
     "taut train, sweep, plan, simulate and info take it"},
    {TomlKind::kModel, "layer", "a model (it lists layers)",
     "taut plan, simulate, bench and info take it"},
    {TomlKind::kCluster, "level", "a cluster (it lists levels)",
     "give it as --cluster to taut plan, simulate or train"},
}};

const TomlFacts& facts_of(TomlKind kind) {
  return kTomlFacts[static_cast<std::size_t>(kind)];
}

}  // namespace

std::optional<TomlKind> toml_kind(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code failed;
  if (!fs::is_regular_file(path, failed)) return std::nullopt;
  const std::uintmax_t size = fs::file_size(path, failed);
  if (failed || size > kLargestToml) return std::nullopt;
  try {
    const std::string text = read_file(path);
    if (!is_utf8(text)) return std::nullopt;
    const toml::table file = parse_toml(text, path);
    for (const TomlFacts& facts : kTomlFacts) {
      if (file.contains(facts.key)) return facts.kind;
    }
  } catch (const Error&) {
    return std::nullopt;  // whoever reads it says what is wrong
  }
  return std::nullopt;
}

void expect_toml(const std::string& path, TomlKind wanted) {
  const std::optional<TomlKind> kind = toml_kind(path);
  if (!kind || *kind == wanted) return;
  throw Error(ErrorKind::kConfig,
              concat("this is ", facts_of(*kind).what, ", not ", facts_of(wanted).what), path,
              facts_of(*kind).who);
}

}  // namespace taut::cli
