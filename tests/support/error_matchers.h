#pragma once
// What a test expects of an error: its kind, and what its message names.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "taut/core/error.h"

namespace taut::test {

/// The taut::Error that a call throws; fails the test (and gives kInternal) if it throws none.
template <typename Call>
[[nodiscard]] Error error_of(Call&& call) {
  try {
    std::forward<Call>(call)();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no taut::Error was thrown";
  return {ErrorKind::kInternal, "nothing was thrown"};
}

/// Matches an Error of a kind whose message holds a text.
MATCHER_P2(IsError, kind, part, "") {
  *result_listener << "is \"" << to_string(arg.kind()) << "\": " << arg.what();
  return arg.kind() == kind && std::string(arg.what()).find(part) != std::string::npos;
}

}  // namespace taut::test
