#pragma once
// A frozen model in one memory-mapped file: whatever was trained, its network is kept as layers and
// arrays. Layout: docs/architecture.md, "Packages".

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "taut/core/file.h"
#include "taut/core/units.h"
#include "taut/embedding/embedding.h"
#include "taut/infer/model.h"

namespace taut::infer {

/// Kind and version of package files.
inline constexpr std::string_view kPackageKind = "package";
inline constexpr std::uint32_t kPackageVersion = 4;

/// Writes the model and the frozen form of its tables, null where the network has none. Returns the
/// size of the file. Errors: kInvalidArgument (check_model, tables that do not fit), kIo; then
/// path is as it was.
Bytes write_package(const std::string& path, const Model& model,
                    const embedding::Embedding* tables = nullptr);

/// An opened package, wholly verified but for the rows of its tables. Not to be moved: the arrays
/// of its network lie in the mapping, of a file or of a copy of bytes. Threads: reading is free.
/// Errors: kNotFound; kIo; kFormat naming file and section or layer, and for packages of earlier
/// versions naming kind and version.
class Package {
 public:
  explicit Package(const std::string& path);
  /// Bytes of such a file, which are copied; name is what errors call them.
  Package(std::span<const std::byte> bytes, const std::string& name);
  Package(const Package&) = delete;
  Package& operator=(const Package&) = delete;

  /// Valid while the package lives.
  [[nodiscard]] const Model& model() const noexcept { return model_; }
  /// The tables, or null when there are none. Valid while the package lives.
  [[nodiscard]] const embedding::FrozenEmbedding* tables() const noexcept { return tables_.get(); }
  [[nodiscard]] const SectionReader& file() const noexcept { return file_; }

 private:
  Package(MappedFile file, const std::string& path);

  SectionReader file_;
  Model model_;
  std::unique_ptr<embedding::FrozenEmbedding> tables_;
};

}  // namespace taut::infer
