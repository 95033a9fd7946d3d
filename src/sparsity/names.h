#pragma once
// Enumerations by name, as configs and operators spell them.

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::sparsity {

template <typename Value, std::size_t N>
using Names = std::array<std::pair<Value, std::string_view>, N>;

template <typename Value, std::size_t N>
std::string name_of(const Names<Value, N>& names, Value value) {
  for (const auto& [known, name] : names) {
    if (known == value) return std::string(name);
  }
  TAUT_ASSERT(false);
  return {};
}

// Throws kConfig with the nearest known name.
template <typename Value, std::size_t N>
Value parse_name(const Names<Value, N>& names, std::string_view key, const std::string& text) {
  std::vector<std::string> candidates;
  for (const auto& [known, name] : names) {
    if (name == text) return known;
    candidates.emplace_back(name);
  }
  throw Error(ErrorKind::kConfig, concat("unknown ", key, " \"", text, "\""), key,
              suggest(text, candidates));
}

}  // namespace taut::sparsity
