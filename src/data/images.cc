#include "taut/data/images.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "bad_rows.h"
#include "class_table.h"
#include "file_kind.h"
#include "files.h"
#include "image_source.h"
#include "taut/core/error.h"
#include "taut/core/progress.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

constexpr std::int64_t kBlockRecords = 1024;  // decoded side by side, then appended in order

constexpr const char* kFormatHint =
    "name an IDX file, a CIFAR binary file, a Parquet file or a folder of images";

// Part of a source, or all of it.
struct Piece {
  std::shared_ptr<ImageSource> source;
  std::int64_t begin;
  std::int64_t end;
};

std::string image_size(std::int64_t height, std::int64_t width) {
  return concat(height, " x ", width);
}

// Collects records into a set, in order.
class SetBuilder {
 public:
  explicit SetBuilder(const ImageSourceOptions& options)
      : options_(options), classes_(options.classes, options.class_names) {}

  ClassTable& classes() noexcept { return classes_; }
  [[nodiscard]] std::int64_t count() const noexcept { return set_.count; }
  [[nodiscard]] bool is_full() const noexcept {
    return options_.limit > 0 && set_.count == options_.limit;
  }

  void add(ImageRecord& record, const ImageSource& source, std::int64_t index,
           std::int64_t expected) {
    std::int32_t label = 0;
    std::string problem = check(record, label);
    if (!problem.empty()) {
      leave_out(problem, source.where(index));
      blanks_ += options_.unlabelled ? 1 : 0;
      return;
    }
    append(record.image, expected);
    set_.labels.push_back(label);
    if (!set_.bad.empty()) set_.bad.push_back(0);
    ++set_.count;
  }

  ImageSet finish() {
    if (set_.count > 0) place_blanks();
    if (set_.count == 0) {
      throw Error(ErrorKind::kData, "no images", join(options_.files, ", "),
                  set_.bad_rows.count > 0 ? set_.bad_rows.first.front() : "");
    }
    classes_.finish(set_.labels);
    set_.classes = classes_.count();
    set_.class_names = classes_.names();
    return std::move(set_);
  }

 private:
  std::string check(ImageRecord& record, std::int32_t& label) {
    if (!record.problem.empty()) return std::move(record.problem);
    Image& image = record.image;
    if (options_.size > 0) resize_and_crop(image, options_.size);
    if (set_.count > 0 && (image.height != set_.height || image.width != set_.width)) {
      return concat("the image is ", image_size(image.height, image.width),
                    ", those before it are ", image_size(set_.height, set_.width),
                    "; a size makes them equal");
    }
    if (options_.unlabelled) return {};
    return classes_.resolve(record.label, record.class_name, label);
  }

  void leave_out(const std::string& problem, const std::string& where) {
    if (options_.on_bad == OnBadRow::kFail) {
      throw Error(ErrorKind::kData, problem, where, "mend the record or leave it out");
    }
    if (set_.bad_rows.first.size() < kNamedBadRows) {
      set_.bad_rows.first.push_back(concat(problem, ", ", where));
    }
    ++set_.bad_rows.count;
  }

  void append(const Image& image, std::int64_t expected) {
    if (set_.count == 0) {
      set_.height = image.height;
      set_.width = image.width;
      set_.channels = image.channels;
      set_.pixels.reserve(image.pixels.size() * static_cast<std::size_t>(expected));
    }
    place_blanks();
    if (image.channels > set_.channels) {
      set_.pixels = to_colour(set_.pixels);
      set_.channels = image.channels;
    }
    const std::vector<std::uint8_t> wide =
        image.channels < set_.channels ? to_colour(image.pixels) : std::vector<std::uint8_t>();
    const std::vector<std::uint8_t>& pixels = wide.empty() ? image.pixels : wide;
    set_.pixels.insert(set_.pixels.end(), pixels.begin(), pixels.end());
  }

  static std::vector<std::uint8_t> to_colour(const std::vector<std::uint8_t>& grey) {
    std::vector<std::uint8_t> colour;
    colour.reserve(3 * grey.size());
    for (const std::uint8_t value : grey) colour.insert(colour.end(), 3, value);
    return colour;
  }

  // Bad records that keep their place, from the moment that the images' size is known.
  void place_blanks() {
    if (blanks_ == 0) return;
    const auto count = static_cast<std::size_t>(blanks_);
    set_.bad.resize(static_cast<std::size_t>(set_.count));
    set_.bad.insert(set_.bad.end(), count, 1);
    set_.labels.insert(set_.labels.end(), count, 0);
    const auto size = static_cast<std::size_t>(set_.height * set_.width * set_.channels);
    set_.pixels.insert(set_.pixels.end(), count * size, 0);
    set_.count += blanks_;
    blanks_ = 0;
  }

  std::int64_t blanks_ = 0;
  const ImageSourceOptions& options_;
  ClassTable classes_;
  ImageSet set_;
};

void check_options(const ImageSourceOptions& options) {
  const auto check = [](const char* name, std::int64_t value, std::int64_t most) {
    if (value >= 0 && value <= most) return;
    throw Error(ErrorKind::kConfig, concat(name, " must be 0 to ", most, ", got ", value));
  };
  check("size", options.size, 1 << 14);
  check("limit", options.limit, std::int64_t{1} << 40);
  check("classes", options.classes, kMostClasses);
  if (options.files.empty()) throw Error(ErrorKind::kConfig, "no files of images", {}, kFormatHint);
}

std::unique_ptr<ImageSource> open_one(const std::string& path, const std::string& idx_labels,
                                      const ImageSourceOptions& options) {
  if (options.unlabelled && is_image_name(path) && std::filesystem::is_regular_file(path)) {
    return open_image_file(path, options.size);
  }
  switch (detect_image_format(path)) {
    case ImageFormat::kIdxImages:
      return open_idx(path, idx_labels, options.unlabelled);
    case ImageFormat::kCifar:
      return open_cifar(path, options.labels);
    case ImageFormat::kParquet:
      return open_image_parquet(path, options);
    case ImageFormat::kFolder:
      return open_image_folder(path, options.size, options.unlabelled);
    case ImageFormat::kIdxLabels:
      break;
  }
  throw Error(ErrorKind::kConfig, "an IDX file of labels that no IDX file of images stands before",
              path, "name the file of images first");
}

// A path of an entry, with the labels that were named after it.
struct Opened {
  std::size_t entry;
  std::shared_ptr<ImageSource> source;
};

std::vector<Opened> open_all(const std::vector<ImageEntry>& entries,
                             const ImageSourceOptions& options) {
  std::vector<std::pair<std::size_t, std::string>> paths;
  for (std::size_t e = 0; e < entries.size(); ++e) {
    for (std::string& path : expand_glob(entries[e].path)) paths.emplace_back(e, std::move(path));
  }
  std::vector<Opened> opened;
  for (std::size_t p = 0; p < paths.size(); ++p) {
    const auto& [entry, path] = paths[p];
    std::string labels;
    if (p + 1 < paths.size() && detect_image_format(path) == ImageFormat::kIdxImages &&
        detect_image_format(paths[p + 1].second) == ImageFormat::kIdxLabels) {
      labels = paths[++p].second;
    }
    opened.push_back({entry, open_one(path, labels, options)});
  }
  return opened;
}

// The sources with their ranges; a range is over all files of its entry together.
std::vector<Piece> open_pieces(const ImageSourceOptions& options) {
  std::vector<ImageEntry> entries;
  for (const std::string& file : options.files) entries.push_back(parse_image_entry(file));
  const std::vector<Opened> opened = open_all(entries, options);
  std::vector<Piece> pieces;
  for (std::size_t e = 0; e < entries.size(); ++e) {
    std::vector<std::shared_ptr<ImageSource>> sources;
    std::int64_t total = 0;
    for (const Opened& one : opened) {
      if (one.entry != e) continue;
      sources.push_back(one.source);
      total += one.source->count();
    }
    if (sources.empty()) {
      if (entries[e].range.empty()) continue;  // the labels of the entry before
      throw Error(ErrorKind::kConfig, "a range of labels", entries[e].path + entries[e].range,
                  "give the range to the file of images");
    }
    const ImageRange range = resolve_range(entries[e], total);
    std::int64_t first = 0;
    for (std::shared_ptr<ImageSource>& source : sources) {
      const std::int64_t count = source->count();
      const std::int64_t begin = std::clamp<std::int64_t>(range.begin - first, 0, count);
      const std::int64_t end = std::clamp<std::int64_t>(range.end - first, 0, count);
      if (begin < end) pieces.push_back({std::move(source), begin, end});
      first += count;
    }
  }
  return pieces;
}

}  // namespace

ImageFormat detect_image_format(const std::string& path) {
  struct stat info{};
  if (stat(path.c_str(), &info) != 0) {
    const bool missing = errno == ENOENT || errno == ENOTDIR;
    throw Error(missing ? ErrorKind::kNotFound : ErrorKind::kIo,
                missing ? "no such file or folder" : std::strerror(errno), path,
                "check the path; paths in a config are relative to the config");
  }
  if (S_ISDIR(info.st_mode)) return ImageFormat::kFolder;
  refuse_stream(path);
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(ErrorKind::kIo, std::strerror(errno), path);
  std::array<char, 4> start{};
  file.read(start.data(), start.size());
  if (file.gcount() == 0) {
    throw Error(ErrorKind::kFormat, "the file is empty", path, "write it again");
  }
  const std::string_view magic(start.data(), static_cast<std::size_t>(file.gcount()));
  if (magic == "PAR1") return ImageFormat::kParquet;
  if (magic.starts_with("\x1F\x8B")) return detect_packed_idx(path);
  if (magic.size() == 4 && magic[0] == 0 && magic[1] == 0 && magic[2] == 8 && magic[3] <= 4) {
    return magic[3] == 1 ? ImageFormat::kIdxLabels : ImageFormat::kIdxImages;
  }
  if (path.ends_with(".bin") || is_cifar_size(static_cast<std::uint64_t>(info.st_size))) {
    return ImageFormat::kCifar;
  }
  throw Error(ErrorKind::kFormat, "not a format of images that is known", path, kFormatHint);
}

bool holds_images(const std::string& entry) {
  const std::string path = parse_image_entry(entry).path;
  if (!std::filesystem::exists(path)) return false;
  if (std::filesystem::exists(path + "/config.toml")) return false;
  try {
    switch (detect_image_format(path)) {
      case ImageFormat::kCifar:
        return path.ends_with(".bin");
      case ImageFormat::kParquet:
        return parquet_holds_images(path);
      case ImageFormat::kFolder:
        return open_image_folder(path, 0)->count() > 0;
      case ImageFormat::kIdxImages:
        return true;
      case ImageFormat::kIdxLabels:
        return false;
    }
  } catch (const Error&) {
    // Another kind of file, or none at all.
  }
  return false;
}

ImageSet read_images(const ImageSourceOptions& options) {
  check_options(options);
  SetBuilder set(options);
  const std::vector<Piece> pieces = open_pieces(options);
  std::int64_t expected = 0;
  for (const Piece& piece : pieces) {
    expected += piece.end - piece.begin;
    if (options.unlabelled) continue;
    set.classes().add(piece.source->classes(), piece.source->where(piece.begin));
  }
  if (options.limit > 0) expected = std::min(expected, options.limit);
  const std::shared_ptr<ThreadPool> pool =
      options.pool != nullptr ? options.pool : std::make_shared<ThreadPool>(options.threads);
  ProgressBar bar("reading images", expected, "images");
  for (const Piece& piece : pieces) {
    for (std::int64_t at = piece.begin; at < piece.end && !set.is_full(); at += kBlockRecords) {
      const std::int64_t end = std::min(piece.end, at + kBlockRecords);
      std::vector<ImageRecord> records = piece.source->read(at, end, *pool);
      for (std::int64_t i = at; i < end && !set.is_full(); ++i) {
        set.add(records[static_cast<std::size_t>(i - at)], *piece.source, i, expected);
      }
      bar.update(set.count());
    }
  }
  return set.finish();
}

}  // namespace taut::data
