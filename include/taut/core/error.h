#pragma once
// The one family of exceptions, and assertions for our own mistakes.

#include <stdexcept>
#include <string>
#include <string_view>

namespace taut {

/// What went wrong, by who can mend it. The CLI maps kinds to exit codes with exit_code().
enum class ErrorKind {
  kInvalidArgument,  ///< the caller passed something out of range, of the wrong shape or type
  kConfig,           ///< a config file, key or command-line option is wrong
  kData,             ///< a row or column of the user's data is wrong
  kNotFound,         ///< a file, column or name does not exist
  kFormat,           ///< a file is not of the format, version or checksum that it should be
  kBudget,           ///< something does not fit the budget that was given
  kUnsupported,      ///< a kernel, operator or option that this build does not have
  kIo,               ///< the operating system refused: disk full, permission, broken pipe
  kInternal,         ///< our own mistake
};

/// Name of a kind as shown to users ("invalid argument", "config", ...).
[[nodiscard]] std::string_view to_string(ErrorKind kind) noexcept;

/// The exception of every area. A message has three parts, in this order:
/// what is wrong, where (file, row, key, argument; may be empty) and how to mend it (may be empty).
/// what() joins them: "what, where, mend".
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, std::string_view what, std::string_view where = {},
        std::string_view mend = {});

  [[nodiscard]] ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

/// 2 for what the user can mend (config, options, data, files, budget), 1 for the rest.
[[nodiscard]] int exit_code(ErrorKind kind) noexcept;

/// Throws kInvalidArgument: "ARGUMENT must be WANTED, got GOT".
[[noreturn]] void throw_invalid_argument(std::string_view argument, std::string_view wanted,
                                         std::string_view got);

/// Ends the process with a message: a broken invariant of ours. Use TAUT_ASSERT.
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace taut

/// Checks an invariant of our own, never reachable from input. Checked in debug builds and where
/// TAUT_ASSERTS is defined; elsewhere compiled but not evaluated.
#if defined(TAUT_ASSERTS) || !defined(NDEBUG)
#define TAUT_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : ::taut::assertion_failed(#condition, __FILE__, __LINE__))
#else
#define TAUT_ASSERT(condition) static_cast<void>(sizeof(static_cast<bool>(condition)))
#endif
