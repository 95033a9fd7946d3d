#pragma once
// --set data.X=Y of the commands that read data for a model or a config that is made already.

#include <string>
#include <vector>

#include "cli/settings.h"
#include "taut/data/reader.h"

namespace taut::cli {

/// Settings of how files are read, as --set gives them.
class DataSettings {
 public:
  /// Errors: kConfig for anything but the keys of apply(), naming the nearest, and for their
  /// values.
  explicit DataSettings(const std::vector<std::string>& sets);

  /// Lays data.format, data.on_bad_row and what says how texts are read (data.separator,
  /// data.list_separator, data.thousands, data.na_values, split at commas, data.encoding) over
  /// options.
  void apply(data::ReaderOptions& options) const;
  /// Whether data.format is among them, so that it is not guessed.
  [[nodiscard]] bool gives_format() const noexcept;

 private:
  std::vector<KnownSetting> given_;
};

}  // namespace taut::cli
