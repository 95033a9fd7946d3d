#pragma once
// Where labelled images come from: one source for each kind of file.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "image_decode.h"
#include "taut/core/thread_pool.h"
#include "taut/data/images.h"

namespace taut::data {

/// One record as it stands in the file.
struct ImageRecord {
  Image image;
  std::int64_t label = -1;  ///< a number, or with class_name: not used
  std::string class_name;   ///< where the file names classes
  std::string problem;      ///< why the record cannot be used; then the rest does not count
};

/// The classes that a source knows beforehand.
struct SourceClasses {
  std::int64_t count = 0;               ///< 0: what the labels say
  std::vector<std::string> names{};     ///< of labels 0, 1, ..., or empty
  std::vector<std::string> in_files{};  ///< names that records use, in any order
};

/// The records of one file or folder.
class ImageSource {
 public:
  ImageSource() = default;
  virtual ~ImageSource() = default;
  ImageSource(const ImageSource&) = delete;
  ImageSource& operator=(const ImageSource&) = delete;

  [[nodiscard]] virtual std::int64_t count() const = 0;
  /// Records [begin, end), decoded on the pool. Errors: kFormat, kIo for the file as a whole.
  [[nodiscard]] virtual std::vector<ImageRecord> read(std::int64_t begin, std::int64_t end,
                                                      ThreadPool& pool) = 0;
  /// The record for messages: "train.parquet, record 17".
  [[nodiscard]] virtual std::string where(std::int64_t record) const = 0;
  [[nodiscard]] virtual SourceClasses classes() const { return {}; }
};

/// What the first bytes of a path say that it is.
enum class ImageFormat { kIdxImages, kIdxLabels, kCifar, kParquet, kFolder };

/// Errors: kNotFound, kIo, kFormat (none of them, naming all).
[[nodiscard]] ImageFormat detect_image_format(const std::string& path);

/// The same for a gzip file: IDX images or labels. Errors: kFormat.
[[nodiscard]] ImageFormat detect_packed_idx(const std::string& path);

/// labels: the file of labels, "" to look for it beside; not read when unlabelled. Errors: kFormat
/// (cut short, counts that differ), kNotFound (no labels).
[[nodiscard]] std::unique_ptr<ImageSource> open_idx(const std::string& path,
                                                    const std::string& labels,
                                                    bool unlabelled = false);
/// labels: "", "fine" or "coarse".
[[nodiscard]] std::unique_ptr<ImageSource> open_cifar(const std::string& path,
                                                      const std::string& labels);
/// True if a file of this size could be CIFAR by its size.
[[nodiscard]] bool is_cifar_size(std::uint64_t bytes);

/// size: as in ImageSourceOptions, so that large JPEGs are not decoded in full.
[[nodiscard]] std::unique_ptr<ImageSource> open_image_parquet(const std::string& path,
                                                              const ImageSourceOptions& options);
/// Whether a Parquet file has a column that could be image files.
[[nodiscard]] bool parquet_holds_images(const std::string& path);
/// unlabelled: images beside the sub-folders too, and none of these is needed.
[[nodiscard]] std::unique_ptr<ImageSource> open_image_folder(const std::string& path,
                                                             std::int64_t size,
                                                             bool unlabelled = false);
/// One file of an image, without a label.
[[nodiscard]] std::unique_ptr<ImageSource> open_image_file(const std::string& path,
                                                           std::int64_t size);
/// Whether a path ends as files of images do: .jpg, .jpeg, .png, in any case.
[[nodiscard]] bool is_image_name(const std::string& path);

/// An entry of ImageSourceOptions::files without its range.
struct ImageEntry {
  std::string path;
  std::string range;       ///< "[0:55000]", or "" for all
  std::int64_t begin = 0;  ///< may be negative
  std::int64_t end = 0;    ///< may be negative; see open_end
  bool open_end = true;
};

/// Errors: kConfig for a range that is none ("[::2]", "[5]" stays part of the path).
[[nodiscard]] ImageEntry parse_image_entry(const std::string& entry);

/// The range among count images, as begin and end. Errors: kConfig (empty or outside).
struct ImageRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};
[[nodiscard]] ImageRange resolve_range(const ImageEntry& entry, std::int64_t count);

}  // namespace taut::data
