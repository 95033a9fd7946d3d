#include <algorithm>
#include <cctype>
#include <filesystem>

#include "image_source.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

namespace fs = std::filesystem;

// What is in a folder and passes, in name order; hidden entries are left out.
template <typename Keep>
std::vector<std::string> list(const std::string& folder, Keep&& keep) {
  std::vector<std::string> names;
  try {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      std::string name = entry.path().filename();
      if (!name.starts_with(".") && keep(entry)) names.push_back(std::move(name));
    }
  } catch (const fs::filesystem_error& error) {
    throw Error(ErrorKind::kIo, error.code().message(), folder, "check its permissions");
  }
  std::sort(names.begin(), names.end());
  return names;
}

class FolderSource final : public ImageSource {
 public:
  // One file of the folder.
  FolderSource(std::string path, std::string file, std::int64_t size)
      : path_(std::move(path)), size_(size), classes_{""}, files_{{0, std::move(file)}} {}

  FolderSource(std::string path, std::int64_t size, bool unlabelled)
      : path_(std::move(path)), size_(size) {
    classes_ = list(path_, [](const fs::directory_entry& entry) { return entry.is_directory(); });
    if (unlabelled) classes_.insert(classes_.begin(), std::string());  // the folder itself
    if (classes_.empty()) {
      throw Error(ErrorKind::kData, "no sub-folders, one for each class, in the folder of images",
                  path_, "name a file of images, or sort the images into sub-folders");
    }
    for (std::size_t c = 0; c < classes_.size(); ++c) {
      const auto names = list(folder_of(c), [](const fs::directory_entry& entry) {
        return is_image_name(entry.path().string());
      });
      for (const std::string& name : names) files_.push_back({c, name});
    }
    if (files_.empty()) {
      throw Error(
          ErrorKind::kData,
          concat("no .jpg, .jpeg or .png in the ", unlabelled ? "folder" : "class sub-folders"),
          path_);
    }
  }

  [[nodiscard]] std::int64_t count() const override {
    return static_cast<std::int64_t>(files_.size());
  }

  [[nodiscard]] std::vector<ImageRecord> read(std::int64_t begin, std::int64_t end,
                                              ThreadPool& pool) override {
    std::vector<ImageRecord> records(static_cast<std::size_t>(end - begin));
    pool.run(end - begin, [&](std::int64_t i) {
      ImageRecord& record = records[static_cast<std::size_t>(i)];
      record.class_name = classes_[files_[static_cast<std::size_t>(begin + i)].class_index];
      const std::string bytes = read_file(where(begin + i));
      record.problem = decode_image(std::as_bytes(std::span(bytes)), size_, record.image);
    });
    return records;
  }

  [[nodiscard]] std::string where(std::int64_t record) const override {
    const File& file = files_[static_cast<std::size_t>(record)];
    return concat(folder_of(file.class_index), "/", file.name);
  }

  [[nodiscard]] SourceClasses classes() const override { return {0, {}, classes_}; }

 private:
  [[nodiscard]] std::string folder_of(std::size_t class_index) const {
    const std::string& name = classes_[class_index];
    return name.empty() ? path_ : concat(path_, "/", name);
  }

  struct File {
    std::size_t class_index;
    std::string name;
  };

  std::string path_;
  std::int64_t size_;
  std::vector<std::string> classes_;
  std::vector<File> files_;
};

}  // namespace

bool is_image_name(const std::string& path) {
  std::string ending = fs::path(path).extension();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return ending == ".jpg" || ending == ".jpeg" || ending == ".png";
}

std::unique_ptr<ImageSource> open_image_folder(const std::string& path, std::int64_t size,
                                               bool unlabelled) {
  return std::make_unique<FolderSource>(path, size, unlabelled);
}

std::unique_ptr<ImageSource> open_image_file(const std::string& path, std::int64_t size) {
  const fs::path file(path);
  const std::string folder = file.has_parent_path() ? file.parent_path().string() : ".";
  return std::make_unique<FolderSource>(folder, file.filename().string(), size);
}

}  // namespace taut::data
