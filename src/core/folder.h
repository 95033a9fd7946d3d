#pragma once
// Folders, and the files that processes which are gone left half written in them.

#include <string>
#include <string_view>
#include <vector>

namespace taut {

/// The folder that a path lies in; "." where it names none.
[[nodiscard]] std::string folder_of(const std::string& path);

/// What lies in a folder; nothing where it cannot be read. (std::filesystem's iterator ends the
/// process where memory runs out.)
[[nodiscard]] std::vector<std::string> names_in(const std::string& folder);

/// What AtomicFile puts between the name of its file and the number of its process.
inline constexpr std::string_view kTemporaryMark = ".taut.tmp.";

/// Removes what processes that are gone left half written in a folder that may be anybody's: files
/// of our mark, and NAME.tmp.PID of the one name.
void remove_abandoned_files(const std::string& folder, const std::string& name);

}  // namespace taut
