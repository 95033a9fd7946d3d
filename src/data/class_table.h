#pragma once
// Which classes a set of images has, learnt while it is read.

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "image_source.h"

namespace taut::data {

/// Most classes; a label beyond is taken for a mistake in the file.
inline constexpr std::int64_t kMostClasses = std::int64_t{1} << 20;

/// Turns what records say into labels 0, 1, ... Classes come either as numbers or as names, in all
/// sources of a set the same way.
class ClassTable {
 public:
  /// classes, names: as ImageSourceOptions has them (0 and empty: to be found out).
  /// Errors: kConfig if both are given and differ in number, or a name comes twice.
  ClassTable(std::int64_t classes, std::vector<std::string> names);

  /// What a source knows of its classes. Errors: kData if it contradicts an earlier source or the
  /// names asked for.
  void add(const SourceClasses& source, const std::string& where);
  /// The label of a record, provisional until finish(); or what is wrong with it.
  [[nodiscard]] std::string resolve(std::int64_t number, const std::string& name,
                                    std::int32_t& label);
  /// Makes the labels final: names found in files are numbered in sorted order.
  void finish(std::span<std::int32_t> labels);

  [[nodiscard]] std::int64_t count() const noexcept { return count_; }
  [[nodiscard]] const std::vector<std::string>& names() const noexcept { return names_; }

 private:
  std::string resolve_number(std::int64_t number, std::int32_t& label);
  std::string resolve_name(const std::string& name, std::int32_t& label);
  std::int32_t number_of(const std::string& name);

  std::int64_t count_;        // classes fixed or met so far
  bool fixed_;                // count_ is a limit
  bool names_given_;          // by the caller
  bool numbers_met_ = false;  // some record had a number
  bool names_met_ = false;    // some record had a name
  std::vector<std::string> names_;
  std::unordered_map<std::string, std::int32_t> index_;
};

}  // namespace taut::data
