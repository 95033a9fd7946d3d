#pragma once
// A frozen network for images in one memory-mapped file. Layout: docs/sparsity.md, "Export".

#include <cstdint>
#include <string>
#include <string_view>

#include "taut/core/file.h"
#include "taut/core/units.h"
#include "taut/infer/image_model.h"

namespace taut::infer {

/// Kind and version of these files.
inline constexpr std::string_view kImagePackageKind = "imgpkg";
inline constexpr std::uint32_t kImagePackageVersion = 1;

/// Writes the model; facts: JSON text of an object that is kept beside it (origin, quality).
/// Returns the size of the file. Errors: kInvalidArgument (check_image_model), kIo.
Bytes write_image_package(const std::string& path, const ImageModel& model, std::string_view facts);

/// An opened package, wholly verified. Threads: reading is free.
/// Errors: kNotFound, kIo, kFormat naming file and section or layer.
class ImagePackage {
 public:
  explicit ImagePackage(const std::string& path);

  /// Its arrays lie in the mapping and live as long as the package.
  [[nodiscard]] const ImageModel& model() const noexcept { return model_; }
  /// Everything but the arrays as JSON text: input, classes, layers, winners, facts.
  [[nodiscard]] std::string_view metadata() const;
  [[nodiscard]] const SectionReader& file() const noexcept { return file_; }

 private:
  SectionReader file_;
  ImageModel model_;
};

}  // namespace taut::infer
