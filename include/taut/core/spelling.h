#pragma once
// Enumerations by name: one table of (name, value) an enum, declared beside it, from which its
// values are read, written and listed.
//
//   enum class Ramp { kStep, kLinear };
//   constexpr auto spellings(std::type_identity<Ramp>) {
//     return std::to_array<Spelling<Ramp>>({{"step", Ramp::kStep}, {"linear", Ramp::kLinear}});
//   }
//
// The function lies in the namespace of its enum and is found by it. The order of the table is that
// of lists in messages and help; of two names of one value, spelling_of gives the first.

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut {

/// One name of one value of an enum.
template <typename Enum>
struct Spelling {
  std::string_view name;
  Enum value;
};

/// An enum that has a table of spellings.
template <typename Enum>
concept Spelled =
    std::is_enum_v<Enum> && requires { spellings(std::type_identity<Enum>{}).begin()->name; };

/// The table of an enum.
template <Spelled Enum>
inline constexpr auto kSpellings = spellings(std::type_identity<Enum>{});

/// The names of an enum, in the order of its table.
template <Spelled Enum>
[[nodiscard]] std::vector<std::string> spelling_names() {
  std::vector<std::string> names;
  for (const Spelling<Enum>& one : kSpellings<Enum>) names.emplace_back(one.name);
  return names;
}

/// The value of a name, or nothing.
template <Spelled Enum>
[[nodiscard]] constexpr std::optional<Enum> find_spelling(std::string_view name) noexcept {
  for (const Spelling<Enum>& one : kSpellings<Enum>) {
    if (one.name == name) return one.value;
  }
  return std::nullopt;
}

/// The name of a value, which must be in the table. Lives as long as the program.
template <Spelled Enum>
[[nodiscard]] constexpr std::string_view spelling_of(Enum value) noexcept {
  for (const Spelling<Enum>& one : kSpellings<Enum>) {
    if (one.value == value) return one.name;
  }
  TAUT_ASSERT(false);
  return "?";
}

/// The value of a name. Throws `kind`: unknown WHAT "NAME", where, the nearest name or all of them.
template <Spelled Enum>
[[nodiscard]] Enum parse_spelling(std::string_view name, ErrorKind kind,
                                  std::string_view what = "value", std::string_view where = {}) {
  if (const std::optional<Enum> value = find_spelling<Enum>(name)) return *value;
  throw Error(kind, concat("unknown ", what, " \"", name, "\""), where,
              suggest(name, spelling_names<Enum>()));
}

}  // namespace taut
