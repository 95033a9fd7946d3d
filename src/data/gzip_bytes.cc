#include "gzip_bytes.h"

#include <algorithm>
#include <cstring>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

constexpr std::uint64_t kStepBytes = 1 << 24;  // of memory taken at a time
constexpr std::size_t kMostInput = 1 << 30;    // zlib counts in 32 bits
constexpr int kGzipWindow = 16 + MAX_WBITS;    // largest window, gzip header expected

}  // namespace

UnpackedBytes::UnpackedBytes(const std::string& path)
    : path_(path), file_(path), left_(file_.bytes()), packed_(starts_gzip()) {
  if (packed_ && inflateInit2(&stream_, kGzipWindow) != Z_OK) {
    throw Error(ErrorKind::kIo, "zlib could not start", path_);
  }
}

UnpackedBytes::~UnpackedBytes() {
  if (packed_) inflateEnd(&stream_);
}

bool UnpackedBytes::starts_gzip() const {
  return left_.size() >= 2 && left_[0] == std::byte{0x1F} && left_[1] == std::byte{0x8B};
}

std::vector<std::uint8_t> UnpackedBytes::read(std::uint64_t size) {
  std::vector<std::uint8_t> bytes;
  while (bytes.size() < size) {
    const std::size_t before = bytes.size();
    const auto step = static_cast<std::size_t>(std::min(size - before, kStepBytes));
    bytes.resize(before + step);
    const std::size_t got = take(bytes.data() + before, step);
    bytes.resize(before + got);
    if (got < step) break;
  }
  position_ += bytes.size();
  return bytes;
}

std::size_t UnpackedBytes::take(std::uint8_t* out, std::size_t size) {
  if (packed_) return inflate_some(out, size);
  const std::size_t got = std::min(size, left_.size());
  if (got > 0) std::memcpy(out, left_.data(), got);
  left_ = left_.subspan(got);
  return got;
}

std::size_t UnpackedBytes::inflate_some(std::uint8_t* out, std::size_t size) {
  std::size_t got = 0;
  while (got < size) {
    const std::size_t input = std::min(left_.size(), kMostInput);
    // zlib does not write to its input but has no const in its interface.
    stream_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(left_.data()));
    stream_.avail_in = static_cast<uInt>(input);
    stream_.next_out = out + got;
    stream_.avail_out = static_cast<uInt>(size - got);
    const int status = inflate(&stream_, Z_NO_FLUSH);
    left_ = left_.subspan(input - stream_.avail_in);
    got = size - stream_.avail_out;
    if (status == Z_STREAM_END) {
      // Files joined by cat are one file; anything else that follows is padding, as for gunzip.
      if (!starts_gzip()) {
        left_ = {};
        break;
      }
      inflateReset(&stream_);
    } else if (status == Z_BUF_ERROR || (status == Z_OK && left_.empty() && got < size)) {
      throw Error(ErrorKind::kFormat,
                  concat("the gzip file ends early, after ", position_ + got, " unpacked bytes"),
                  path_, "copy it again");
    } else if (status != Z_OK) {
      throw Error(ErrorKind::kFormat,
                  concat("the gzip file is damaged (",
                         stream_.msg != nullptr ? stream_.msg : "unknown reason", ") after ",
                         position_ + got, " unpacked bytes"),
                  path_, "copy it again");
    }
  }
  return got;
}

}  // namespace taut::data
