#pragma once
// What checkpoints of all methods share: the options that must agree, and blocks of plain bytes.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "taut/core/file.h"
#include "taut/embedding/options.h"

namespace taut::embedding {

/// Every option that decides the shape or the bits of a collection, one "key = value" line each.
[[nodiscard]] std::string describe(const Options& options);

void save_options(SectionSink& file, const std::string& prefix, const Options& options);
/// Throws kFormat naming the first option that differs, with both values.
void check_saved_options(const SectionSource& file, const std::string& prefix,
                         const Options& options);

/// Throws kFormat: section `name` is not of the size that the options ask for.
void check_section_bytes(const SectionSource& file, const std::string& name, std::size_t wanted,
                         std::size_t got);
/// Throws kFormat: the header's row count cannot be, or section "rows" is not of as many bytes.
void check_row_count(const SectionSource& file, const std::string& prefix, std::int64_t rows,
                     std::int64_t row_bytes, std::size_t bytes);
[[noreturn]] void throw_damaged(const SectionSource& file, const std::string& name,
                                const std::string& what);

/// Throws kFormat, naming file, section, field and value, unless low <= value <= high.
void check_number(const SectionSource& file, const std::string& section, std::string_view field,
                  std::int64_t value, std::int64_t low, std::int64_t high);
/// Throws kFormat: what a frozen file's header says cannot be.
void check_frozen_shape(const SectionSource& file, const std::string& prefix, std::int64_t tables,
                        std::int64_t dim, std::int64_t value_type);

/// Whether a saved counter is one that can be: far from where the next steps overflow it.
[[nodiscard]] constexpr bool is_count(std::int64_t value) noexcept {
  return value >= 0 && value <= std::int64_t{1} << 53;
}

/// A section that is one value of a plain type.
template <typename T>
void save_value(SectionSink& file, const std::string& name, const T& value) {
  file.add(name, std::as_bytes(std::span(&value, 1)));
}
template <typename T>
[[nodiscard]] T load_value(const SectionSource& file, const std::string& name) {
  const std::span<const std::byte> bytes = file.section(name);
  check_section_bytes(file, name, sizeof(T), bytes.size());
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

}  // namespace taut::embedding
