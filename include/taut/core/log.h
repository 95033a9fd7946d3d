#pragma once
// Messages to people, on stderr; stdout belongs to results.

#include <string_view>

namespace taut {

enum class LogLevel { kDebug, kInfo, kWarning, kSilent };

/// Messages below the level are dropped; the default is kInfo, or what TAUT_LOG names
/// (debug, info, warning, silent).
void set_log_level(LogLevel level);
void log_debug(std::string_view message);
void log_info(std::string_view message);
void log_warning(std::string_view message);

}  // namespace taut
