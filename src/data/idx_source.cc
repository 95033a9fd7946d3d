#include <filesystem>

#include "gzip_bytes.h"
#include "image_source.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostImageBytes = 1 << 28;
constexpr std::uint8_t kUnsignedBytes = 0x08;  // the element type that images and labels have

// An IDX file: big-endian, 0 0 type dimensions, then each dimension in 4 bytes, then the values.
struct IdxFile {
  std::vector<std::uint64_t> shape;
  std::vector<std::uint8_t> values;
};

[[noreturn]] void throw_short_header(const std::string& path, std::uint64_t bytes) {
  throw Error(ErrorKind::kFormat,
              concat("the IDX header is cut short: the file has ", bytes, " bytes"), path,
              "copy it again");
}

std::string shape_text(const std::vector<std::uint64_t>& shape) {
  std::vector<std::string> sizes;
  for (const std::uint64_t size : shape) sizes.push_back(concat(size));
  return join(sizes, " x ");
}

IdxFile read_header(UnpackedBytes& bytes, const std::string& path, std::size_t least_dimensions,
                    std::size_t most_dimensions) {
  const std::vector<std::uint8_t> magic = bytes.read(4);
  if (magic.size() < 4) throw_short_header(path, bytes.position());
  if (magic[0] != 0 || magic[1] != 0 || magic[2] != kUnsignedBytes || magic[3] < least_dimensions ||
      magic[3] > most_dimensions) {
    throw Error(ErrorKind::kFormat,
                concat("not an IDX file of bytes with ", least_dimensions, " to ", most_dimensions,
                       " dimensions: it begins with ", +magic[0], " ", +magic[1], " ", +magic[2],
                       " ", +magic[3]),
                path, "images begin with 0 0 8 3, labels with 0 0 8 1");
  }
  IdxFile file;
  for (int d = 0; d < magic[3]; ++d) {
    const std::vector<std::uint8_t> size = bytes.read(4);
    if (size.size() < 4) throw_short_header(path, bytes.position());
    std::uint64_t value = 0;
    for (const std::uint8_t byte : size) value = value << 8 | byte;
    file.shape.push_back(value);
  }
  return file;
}

// Bytes of one record; throws where there is none.
std::uint64_t record_bytes(const std::vector<std::uint64_t>& shape, const std::string& path) {
  std::uint64_t bytes = 1;
  for (std::size_t d = 1; d < shape.size(); ++d) {
    if (shape[d] == 0 || shape[d] > kMostImageBytes / bytes) {
      throw Error(ErrorKind::kFormat,
                  concat("the header says ", shape_text(shape), " values, which are no images"),
                  path, "copy it again");
    }
    bytes *= shape[d];
  }
  return bytes;
}

IdxFile read_idx(const std::string& path, std::size_t least_dimensions,
                 std::size_t most_dimensions) {
  UnpackedBytes bytes(path);
  IdxFile file = read_header(bytes, path, least_dimensions, most_dimensions);
  const std::uint64_t header = bytes.position();
  const std::uint64_t record = record_bytes(file.shape, path);
  const std::uint64_t wanted = file.shape[0] * record;
  file.values = bytes.read(wanted);
  const std::uint64_t got = file.values.size();
  if (got < wanted) {
    throw Error(ErrorKind::kFormat,
                concat("cut short: the header says ", shape_text(file.shape), " values, ",
                       header + wanted, " bytes with it, but there are ", header + got),
                concat(path, ", record ", got / record), "copy it again");
  }
  if (!bytes.read(1).empty()) {
    throw Error(ErrorKind::kFormat,
                concat("there are bytes after the last of the ", shape_text(file.shape),
                       " values that the header says"),
                path, "copy it again");
  }
  return file;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.rfind(from);
  if (at != std::string::npos) text.replace(at, from.size(), to);
  return text;
}

// The labels of an image file: the same name with labels for images, packed or not.
std::string find_labels(const std::string& path) {
  const fs::path images(path);
  const std::string name = images.filename();
  std::string wanted = replaced(name, "images", "labels");
  wanted = replaced(replaced(wanted, "idx3", "idx1"), "idx4", "idx1");
  const std::string plain = wanted.ends_with(".gz") ? wanted.substr(0, wanted.size() - 3) : wanted;
  if (wanted != name) {
    for (const std::string& candidate : {wanted, plain, plain + ".gz"}) {
      const fs::path beside = images.parent_path() / candidate;
      if (fs::exists(beside)) return beside;
    }
  }
  throw Error(ErrorKind::kNotFound,
              wanted == name ? std::string("the labels of an IDX file are not known by its name")
                             : concat("no labels (", wanted, ") beside the IDX file"),
              path, "name the file of labels as the next entry");
}

class IdxSource final : public ImageSource {
 public:
  IdxSource(const std::string& path, const std::string& labels, bool unlabelled)
      : path_(path), images_(read_idx(path, 3, 4)) {
    if (unlabelled) {
      labels_.values.assign(images_.shape[0], 0);
    } else {
      read_labels(labels.empty() ? find_labels(path) : labels);
    }
    if (images_.shape.size() == 3) images_.shape.push_back(1);
    if (images_.shape[3] != 1 && images_.shape[3] != 3) {
      throw Error(ErrorKind::kFormat,
                  concat("images of ", images_.shape[3], " channels, must be 1 or 3"), path);
    }
  }

  [[nodiscard]] std::int64_t count() const override {
    return static_cast<std::int64_t>(images_.shape[0]);
  }

  [[nodiscard]] std::vector<ImageRecord> read(std::int64_t begin, std::int64_t end,
                                              ThreadPool&) override {
    std::vector<ImageRecord> records(static_cast<std::size_t>(end - begin));
    const auto size =
        static_cast<std::int64_t>(images_.shape[1] * images_.shape[2] * images_.shape[3]);
    for (std::int64_t i = begin; i < end; ++i) {
      ImageRecord& record = records[static_cast<std::size_t>(i - begin)];
      const auto first = images_.values.begin() + i * size;
      record.image = {static_cast<std::int64_t>(images_.shape[1]),
                      static_cast<std::int64_t>(images_.shape[2]),
                      static_cast<std::int64_t>(images_.shape[3]),
                      {first, first + size}};
      record.label = labels_.values[static_cast<std::size_t>(i)];
    }
    return records;
  }

  [[nodiscard]] std::string where(std::int64_t record) const override {
    return concat(path_, ", record ", record);
  }

 private:
  void read_labels(const std::string& path) {
    labels_ = read_idx(path, 1, 1);
    if (labels_.shape[0] == images_.shape[0]) return;
    throw Error(ErrorKind::kFormat,
                concat(images_.shape[0], " images but ", labels_.shape[0], " labels"),
                concat(path_, " and ", path), "take files that belong together");
  }

  std::string path_;
  IdxFile images_;
  IdxFile labels_;
};

}  // namespace

ImageFormat detect_packed_idx(const std::string& path) {
  UnpackedBytes bytes(path);
  const IdxFile file = read_header(bytes, path, 1, 4);
  return file.shape.size() == 1 ? ImageFormat::kIdxLabels : ImageFormat::kIdxImages;
}

std::unique_ptr<ImageSource> open_idx(const std::string& path, const std::string& labels,
                                      bool unlabelled) {
  return std::make_unique<IdxSource>(path, labels, unlabelled);
}

}  // namespace taut::data
