#pragma once
// Whether the texts of a column are lists, and what separates their parts.

#include <array>
#include <cstdint>
#include <string_view>

namespace taut::data {

/// Sees the texts of a column one by one.
class ListLook {
 public:
  void add(std::string_view text) noexcept;
  /// The separator of lists: of | ^ ; ~ one that is in half of the texts or more; comma and space
  /// only where in addition all parts are whole numbers. 0: these are no lists.
  [[nodiscard]] char separator() const noexcept;
  /// True if a text holds the character, which must be one of the above.
  [[nodiscard]] bool holds(char separator) const noexcept;

 private:
  static constexpr std::string_view kSeparators = "|^;~, ";
  static constexpr std::size_t kStrong = 4;  // of these need no numbers between them

  std::int64_t texts_ = 0;
  std::array<std::int64_t, kSeparators.size()> holding_{};  // texts with the separator
  std::array<bool, kSeparators.size()> other_{};            // a part is no whole number
};

}  // namespace taut::data
