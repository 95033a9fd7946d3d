#include "taut/core/error.h"

#include <cstdio>
#include <cstdlib>

#include "taut/core/spelling.h"
#include "taut/core/text.h"

namespace taut {
namespace {

std::string join_message(std::string_view what, std::string_view where, std::string_view mend) {
  std::string message(what);
  for (const std::string_view part : {where, mend}) {
    if (part.empty()) continue;
    message += ", ";
    message += part;
  }
  return message;
}

}  // namespace

// Here and not beside the enum: tables of spellings throw what error.h declares.
constexpr auto spellings(std::type_identity<ErrorKind>) {
  return std::to_array<Spelling<ErrorKind>>({{"invalid argument", ErrorKind::kInvalidArgument},
                                             {"config", ErrorKind::kConfig},
                                             {"data", ErrorKind::kData},
                                             {"not found", ErrorKind::kNotFound},
                                             {"format", ErrorKind::kFormat},
                                             {"budget", ErrorKind::kBudget},
                                             {"unsupported", ErrorKind::kUnsupported},
                                             {"io", ErrorKind::kIo},
                                             {"internal", ErrorKind::kInternal}});
}

std::string_view to_string(ErrorKind kind) noexcept {
  return spelling_of(kind);
}

Error::Error(ErrorKind kind, std::string_view what, std::string_view where, std::string_view mend)
    : std::runtime_error(join_message(what, where, mend)), kind_(kind) {}

int exit_code(ErrorKind kind) noexcept {
  return kind == ErrorKind::kInternal ? 1 : 2;
}

void throw_invalid_argument(std::string_view argument, std::string_view wanted,
                            std::string_view got) {
  throw Error(ErrorKind::kInvalidArgument, concat(argument, " must be ", wanted, ", got ", got));
}

void assertion_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "taut: internal assertion failed: %s (%s:%d)\n", expression, file, line);
  std::abort();
}

}  // namespace taut
