#include <algorithm>
#include <filesystem>
#include <span>

#include "image_source.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

constexpr std::int64_t kSide = 32;
constexpr std::int64_t kPlane = kSide * kSide;
constexpr std::int64_t kChannels = 3;
constexpr std::int64_t kPixelBytes = kPlane * kChannels;

// The binary version of CIFAR: label bytes, then the red, the green and the blue plane.
struct Layout {
  const char* name;
  std::int64_t label_bytes;
  std::int64_t first_classes;  // classes of the first label byte
  [[nodiscard]] std::int64_t record_bytes() const { return label_bytes + kPixelBytes; }
};
constexpr Layout kCifar10 = {"CIFAR-10", 1, 10};
constexpr Layout kCifar100 = {"CIFAR-100", 2, 20};

std::int64_t size_of(std::span<const std::byte> bytes) {
  return static_cast<std::int64_t>(bytes.size());
}

std::uint8_t byte_at(std::span<const std::byte> bytes, std::int64_t at) {
  return std::to_integer<std::uint8_t>(bytes[static_cast<std::size_t>(at)]);
}

// Labels that fit, if the file has that layout.
bool labels_fit(std::span<const std::byte> bytes, const Layout& layout) {
  for (std::int64_t at = 0; at < size_of(bytes); at += layout.record_bytes()) {
    if (byte_at(bytes, at) >= layout.first_classes) return false;
  }
  return true;
}

// The layout whose records fill the file; where both or neither do, the one whose labels fit.
const Layout& find_layout(std::span<const std::byte> bytes) {
  const bool fills_10 = size_of(bytes) % kCifar10.record_bytes() == 0;
  const bool fills_100 = size_of(bytes) % kCifar100.record_bytes() == 0;
  if (fills_10 != fills_100) return fills_10 ? kCifar10 : kCifar100;
  return labels_fit(bytes, kCifar10) || !labels_fit(bytes, kCifar100) ? kCifar10 : kCifar100;
}

// The names of the classes that come with the original files, or nothing.
std::vector<std::string> names_beside(const std::string& path, const std::string& file,
                                      std::int64_t classes) {
  const std::filesystem::path list = std::filesystem::path(path).parent_path() / file;
  if (!std::filesystem::exists(list)) return {};
  std::vector<std::string> names;
  for (std::string& name : split(read_file(list), '\n')) {
    if (name.ends_with("\r")) name.pop_back();
    if (!name.empty()) names.push_back(std::move(name));
  }
  if (static_cast<std::int64_t>(names.size()) != classes) names.clear();
  return names;
}

class CifarSource final : public ImageSource {
 public:
  CifarSource(const std::string& path, const std::string& labels)
      : path_(path), file_(path), layout_(find_layout(file_.bytes())) {
    if (!labels.empty() && labels != "fine" && labels != "coarse") {
      throw Error(ErrorKind::kConfig, concat("no labels \"", labels, "\" in a CIFAR file"), path,
                  "say fine or coarse");
    }
    if (layout_.label_bytes == 1 && !labels.empty()) {
      throw Error(ErrorKind::kConfig,
                  concat("CIFAR-10 has one kind of labels, not \"", labels, "\""), path,
                  "leave the name of the labels out");
    }
    coarse_ = labels == "coarse";
    const std::int64_t rest = size_of(file_.bytes()) % layout_.record_bytes();
    if (rest != 0) {
      throw Error(ErrorKind::kFormat,
                  concat("cut short: a ", layout_.name, " record has ", layout_.record_bytes(),
                         " bytes, the last one ", rest, " (the file ", size_of(file_.bytes()), ")"),
                  where(count()), "copy it again");
    }
  }

  [[nodiscard]] std::int64_t count() const override {
    return size_of(file_.bytes()) / layout_.record_bytes();
  }

  [[nodiscard]] std::vector<ImageRecord> read(std::int64_t begin, std::int64_t end,
                                              ThreadPool& pool) override {
    std::vector<ImageRecord> records(static_cast<std::size_t>(end - begin));
    pool.parallel_for(end - begin, 64, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        read_record(begin + i, records[static_cast<std::size_t>(i)]);
      }
    });
    return records;
  }

  [[nodiscard]] std::string where(std::int64_t record) const override {
    return concat(path_, ", record ", record);
  }

  [[nodiscard]] SourceClasses classes() const override {
    if (layout_.label_bytes == 1) return {10, names_beside(path_, "batches.meta.txt", 10)};
    if (coarse_) return {20, names_beside(path_, "coarse_label_names.txt", 20)};
    return {100, names_beside(path_, "fine_label_names.txt", 100)};
  }

 private:
  void read_record(std::int64_t index, ImageRecord& record) const {
    const std::int64_t at = index * layout_.record_bytes();
    record.label = byte_at(file_.bytes(), coarse_ ? at : at + layout_.label_bytes - 1);
    record.image = {kSide, kSide, kChannels, {}};
    record.image.pixels.resize(kPixelBytes);
    const std::byte* planes = file_.bytes().data() + at + layout_.label_bytes;
    std::uint8_t* out = record.image.pixels.data();
    for (std::int64_t i = 0; i < kPlane; ++i) {
      for (std::int64_t c = 0; c < kChannels; ++c) {
        *out++ = std::to_integer<std::uint8_t>(planes[c * kPlane + i]);
      }
    }
  }

  std::string path_;
  MappedFile file_;
  const Layout& layout_;
  bool coarse_ = false;
};

}  // namespace

bool is_cifar_size(std::uint64_t bytes) {
  const auto size = static_cast<std::int64_t>(bytes);
  return size > 0 && (size % kCifar10.record_bytes() == 0 || size % kCifar100.record_bytes() == 0);
}

std::unique_ptr<ImageSource> open_cifar(const std::string& path, const std::string& labels) {
  return std::make_unique<CifarSource>(path, labels);
}

}  // namespace taut::data
