#pragma once
// --set data.X=Y of the commands that read data for a model or a config that is made already.

#include <string>
#include <vector>

#include "taut/data/reader.h"

namespace taut::cli {

/// Settings of how files are read, as --set gives them.
class DataSettings {
 public:
  /// Errors: kConfig for anything but the keys of apply(), naming the nearest, and for their
  /// values.
  explicit DataSettings(const std::vector<std::string>& sets);

  /// Lays data.format, on_bad_row, separator, list_separator and encoding over options.
  void apply(data::ReaderOptions& options) const;
  /// Whether data.format is among them, so that it is not guessed.
  [[nodiscard]] bool gives_format() const noexcept;

 private:
  struct Given {
    std::size_t key;  ///< in the list of keys
    std::string value;
  };
  std::vector<Given> given_;
};

}  // namespace taut::cli
