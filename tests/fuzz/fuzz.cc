#include "fuzz/fuzz.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <vector>

namespace taut::fuzz {
namespace {

namespace fs = std::filesystem;

void put(std::string& bytes, std::size_t at, std::uint64_t value, std::size_t size) {
  if (at + size <= bytes.size()) std::memcpy(bytes.data() + at, &value, size);
}

}  // namespace

void spoil_bytes(std::string& bytes, Random& random) {
  if (bytes.empty()) {
    bytes.assign(random.below(64), static_cast<char>(random.below(256)));
    return;
  }
  const std::size_t at = random.below(bytes.size());
  switch (random.below(6)) {
    case 0:
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
      break;
    case 1:
      bytes[at] = static_cast<char>(random.below(256));
      break;
    case 2:
      bytes.insert(at, 1 + random.below(16), static_cast<char>(random.below(256)));
      break;
    case 3:
      bytes.erase(at, 1 + random.below(16));
      break;
    case 4:  // a part again somewhere else
      bytes.insert(random.below(bytes.size()), std::string(bytes, at, 1 + random.below(64)));
      break;
    default:
      if (random.one_in(4)) bytes.resize(at);
      break;
  }
}

void spoil_numbers(std::string& bytes, Random& random) {
  static constexpr std::array<std::uint64_t, 15> kNumbers = {0,
                                                             1,
                                                             2,
                                                             3,
                                                             7,
                                                             0x7fffffff,
                                                             0x80000000,
                                                             0xffffffff,
                                                             std::uint64_t{1} << 50,
                                                             std::uint64_t{1} << 55,
                                                             std::uint64_t{1} << 58,
                                                             std::uint64_t{1} << 61,
                                                             std::uint64_t{1} << 63,
                                                             UINT64_MAX,
                                                             UINT64_MAX >> 1};
  if (bytes.empty()) return spoil_bytes(bytes, random);
  const std::size_t at = random.below(bytes.size());
  const std::size_t size = random.one_in(2) ? 8 : 4;
  const std::size_t place = at / size * size;
  if (random.one_in(3) && place + size <= bytes.size()) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data() + place, size);
    return put(bytes, place, value + random.below(5) - 2, size);
  }
  put(bytes, place, random.pick(kNumbers), size);
}

void spoil_text(std::string& text, Random& random) {
  static constexpr std::array kValues = {"0",
                                         "1",
                                         "2",
                                         "3",
                                         "-1",
                                         "7",
                                         "1048576",
                                         "17179869184",
                                         "4294967296",
                                         "1e308",
                                         "0.5",
                                         "-0.5",
                                         "null",
                                         "true",
                                         "[]",
                                         "{}",
                                         "9223372036854775807",
                                         "-9223372036854775808",
                                         "18446744073709551615",
                                         "1e-40",
                                         "nan",
                                         "[0,1]",
                                         "\"conv\"",
                                         "\"\xff\"",
                                         "\"\""};
  std::vector<std::size_t> places;
  for (std::size_t i = 1; i < text.size(); ++i) {
    const bool begins = std::strchr(":,[=", text[i - 1]) != nullptr ||
                        (text[i - 1] == ' ' && i > 1 && text[i - 2] == '=');
    if (begins && std::strchr("{[ ", text[i]) == nullptr) places.push_back(i);
  }
  if (places.empty() || random.one_in(8)) return spoil_bytes(text, random);
  const std::size_t at = random.pick(places);
  const std::size_t end = std::min(text.find_first_of(",]}\n", at), text.size());
  const std::size_t deep = 1 + random.below(5000);
  const std::string value = random.one_in(40) ? std::string(deep, '[') + std::string(deep, ']')
                                              : std::string(random.pick(kValues));
  text.replace(at, end - at, value);
}

std::string join_sections(const Sections& sections) {
  std::string text;
  for (const auto& [name, bytes] : sections) {
    text += name + "\n" + std::to_string(bytes.size()) + "\n" + bytes;
  }
  return text;
}

Sections split_sections(std::string_view text) {
  Sections sections;
  while (!text.empty()) {
    const std::size_t name = std::min(text.find('\n'), text.size() - 1);
    const std::size_t end = text.find('\n', name + 1);
    std::size_t size = 0;
    if (end != std::string_view::npos) {
      std::from_chars(text.data() + name + 1, text.data() + end, size);
    }
    const std::size_t begin = end == std::string_view::npos ? text.size() : end + 1;
    sections[std::string(text.substr(0, name))] = text.substr(begin, size);
    text.remove_prefix(std::min(begin + std::min(size, text.size()), text.size()));
  }
  return sections;
}

std::string scratch(const std::string& name) {
  struct Folder {
    fs::path path;
    Folder() {
      const fs::path memory = "/dev/shm";
      const bool usable = ::access(memory.c_str(), W_OK) == 0;
      path = (usable ? memory : fs::temp_directory_path()) /
             ("taut-fuzz." + std::to_string(::getpid()));
      fs::create_directories(path);
    }
    ~Folder() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
  };
  static const Folder folder;
  return (folder.path / name).string();
}

}  // namespace taut::fuzz
