// Files of images: IDX, CIFAR, and Parquet of PNG and JPEG files, whose checksums are made right
// again.
#include <array>
#include <vector>

#include <zlib.h>

#include "data/image_files.h"
#include "fuzz/fuzz.h"
#include "taut/core/file.h"
#include "taut/data/images.h"

namespace taut::fuzz {
namespace {

namespace files = data::testing;

// An input is its kind, as the ending of a file, a line break and the bytes.
constexpr std::array<const char*, 5> kKinds = {"idx", "bin", "png", "jpeg", "gz"};

std::string valid(const std::string& kind) {
  const std::vector<std::uint8_t> pixels = files::make_pixels(6, 5, 3, 1);
  if (kind == "png") return files::encode_png(pixels, 6, 5, 3);
  if (kind == "jpeg") return files::encode_jpeg(files::make_smooth_pixels(16, 16, 3), 16, 16, 3);
  if (kind == "bin") {
    return files::encode_cifar(
        {{1}, {2}}, {files::make_pixels(32, 32, 3, 1), files::make_pixels(32, 32, 3, 2)});
  }
  const std::string idx = files::encode_idx({4, 4, 5}, files::make_pixels(4, 5, 4, 1));
  return kind == "gz" ? files::gzip(idx) : idx;
}

std::uint32_t big_endian(const std::string& bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

void put_big_endian(std::string& bytes, std::size_t at, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<char>(value >> (24 - 8 * i));
}

// Makes the checksum of every chunk of a PNG file right.
void seal_png(std::string& bytes) {
  std::size_t at = 8;
  while (at + 12 <= bytes.size()) {
    const std::size_t size = big_endian(bytes, at);
    if (size > bytes.size() - at - 12) return;
    const auto* chunk = reinterpret_cast<const Bytef*>(bytes.data() + at + 4);
    put_big_endian(bytes, at + 8 + size,
                   static_cast<std::uint32_t>(crc32(0, chunk, static_cast<uInt>(size + 4))));
    at += size + 12;
  }
}

// A number of a header: its sizes lie in the first bytes, big-endian.
void spoil_header(std::string& bytes, Random& random) {
  constexpr std::array<std::uint32_t, 8> kSizes = {0,       1,          2,          0x10000,
                                                   1 << 20, 0x7fffffff, 0x80000000, 0xffffffff};
  const std::size_t at = random.below(std::min<std::size_t>(bytes.size(), 40));
  if (at + 4 <= bytes.size()) put_big_endian(bytes, at, random.pick(kSizes));
}

bool read_images(const std::string& path) {
  data::ImageSourceOptions options{.files = {path}};
  options.labels = "label";
  options.threads = 1;
  options.limit = 100;
  return is_refused([&] { (void)data::read_images(options); });
}

}  // namespace

Target target() {
  return {.name = "images",
          .make =
              [](Random& random) {
                const std::string kind = random.pick(kKinds);
                std::string bytes = valid(kind);
                for (std::uint64_t n = random.below(4); n > 0; --n) {
                  random.one_in(2) ? spoil_header(bytes, random) : spoil_bytes(bytes, random);
                }
                if (kind == "png") seal_png(bytes);
                return kind + "\n" + bytes;
              },
          .read =
              [](std::string_view text) {
                const std::size_t end = std::min(text.find('\n'), text.size());
                const std::string kind(text.substr(0, end));
                const std::string bytes(text.substr(std::min(end + 1, text.size())));
                if (kind == "png" || kind == "jpeg") {
                  const std::string path = scratch("images.parquet");
                  files::write_image_parquet(path, {bytes, bytes}, {0, 1}, 10);
                  return read_images(path);
                }
                const std::string path = scratch(kind == "bin"  ? "images.bin"
                                                 : kind == "gz" ? "t-images-idx3.gz"
                                                                : "t-images-idx3");
                write_file(path, bytes);
                write_file(scratch("t-labels-idx1"), files::encode_idx({4}, {0, 1, 2, 3}));
                write_file(scratch("t-labels-idx1.gz"),
                           files::gzip(files::encode_idx({4}, {0, 1, 2, 3})));
                return read_images(path);
              }};
}

}  // namespace taut::fuzz
