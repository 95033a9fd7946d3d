#include "taut/core/error.h"

#include <cstdio>
#include <cstdlib>

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

std::string_view to_string(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::kInvalidArgument:
      return "invalid argument";
    case ErrorKind::kConfig:
      return "config";
    case ErrorKind::kData:
      return "data";
    case ErrorKind::kNotFound:
      return "not found";
    case ErrorKind::kFormat:
      return "format";
    case ErrorKind::kBudget:
      return "budget";
    case ErrorKind::kUnsupported:
      return "unsupported";
    case ErrorKind::kIo:
      return "io";
    case ErrorKind::kInternal:
      return "internal";
  }
  return "unknown";
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
