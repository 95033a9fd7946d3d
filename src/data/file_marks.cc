#include "taut/data/file_marks.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>

#include "files.h"
#include "image_source.h"
#include "taut/core/error.h"
#include "taut/core/hash.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kBlock = std::uint64_t{1} << 16;
constexpr char kEndOfPath = '|';
constexpr const char* kAbsent = "not there";

// Bytes and checksum of a file's content.
std::string content_mark(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(ErrorKind::kIo, "cannot be read", path);
  const std::uint64_t size = fs::file_size(path);
  std::uint64_t hash = size;
  std::string block(kBlock, '\0');
  for (const std::uint64_t start :
       {std::uint64_t{0}, size / 2, size > kBlock ? size - kBlock : std::uint64_t{0}}) {
    file.clear();
    file.seekg(static_cast<std::streamoff>(start));
    file.read(block.data(), static_cast<std::streamsize>(kBlock));
    const auto got = static_cast<std::size_t>(file.gcount());
    hash = hash_combine(hash, hash_bytes(block.data(), got));
  }
  return concat(size, " bytes, ", hash);
}

std::string mark_of(const std::string& path) {
  if (fs::is_regular_file(path)) return concat(path, kEndOfPath, content_mark(path));
  if (!fs::is_directory(path)) {
    return concat(path, kEndOfPath, fs::exists(path) ? "no file" : kAbsent);
  }
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(path)) {
    if (!entry.is_regular_file()) continue;
    names.push_back(
        concat(fs::relative(entry.path(), path).string(), kEndOfPath, entry.file_size()));
  }
  std::sort(names.begin(), names.end());
  return concat(path, kEndOfPath, names.size(), " files, ", hash_string(join(names, "\n")));
}

std::vector<std::string> paths_of(const std::string& entry) {
  const std::string path = path_of_entry(entry);
  try {
    return expand_glob(path);
  } catch (const Error&) {
    return {path};  // a glob that matches nothing any more
  }
}

std::string path_of(const std::string& mark) {
  return mark.substr(0, mark.rfind(kEndOfPath));
}

}  // namespace

std::string path_of_entry(const std::string& entry) {
  const FileEntry table = parse_file_entry(entry);
  return table.path == entry ? parse_image_entry(entry).path : table.path;
}

std::vector<std::string> file_marks(std::span<const std::string> entries) {
  std::vector<std::string> marks;
  for (const std::string& entry : entries) {
    for (const std::string& path : paths_of(entry)) marks.push_back(mark_of(path));
  }
  return marks;
}

std::string mark_difference(std::span<const std::string> before, std::span<const std::string> now) {
  for (std::size_t i = 0; i < std::max(before.size(), now.size()); ++i) {
    if (i < before.size() && i < now.size() && before[i] == now[i]) continue;
    if (i >= now.size()) return concat(path_of(before[i]), " is no longer there");
    const std::string path = path_of(now[i]);
    if (i >= before.size() || path_of(before[i]) != path) return concat(path, " was not there");
    if (now[i].ends_with(kAbsent)) return concat(path, " is no longer there");
    return concat(path, " has other content");
  }
  return {};
}

}  // namespace taut::data
