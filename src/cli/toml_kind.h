#pragma once
// What a TOML file is for, whatever its name ends in.

#include <optional>
#include <string>

namespace taut::cli {

/// What a TOML file of ours describes, by its first-level keys however they are spelled.
enum class TomlKind {
  kConfig,   ///< of training: it has `data`
  kModel,    ///< layers of a network: it has `layer`
  kCluster,  ///< levels of an array of accelerators: it has `level`
};

/// Nothing for a path that is no regular file of at most 16 MiB, for text that is no TOML, and for
/// TOML of another kind. Reads the file; throws nothing for what it finds there.
[[nodiscard]] std::optional<TomlKind> toml_kind(const std::string& path);

/// Throws kConfig where the file is of another kind than wanted, saying what it is and who takes
/// it. What cannot be told is left to the reader.
void expect_toml(const std::string& path, TomlKind wanted);

}  // namespace taut::cli
