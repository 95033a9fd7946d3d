#pragma once
// The bytes of a file from its start, unpacked if it is a gzip file.

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "taut/core/file.h"

namespace taut::data {

/// Reads forwards. Errors: kNotFound, kIo; kFormat for gzip that is damaged or ends early.
class UnpackedBytes {
 public:
  explicit UnpackedBytes(const std::string& path);
  ~UnpackedBytes();
  UnpackedBytes(const UnpackedBytes&) = delete;
  UnpackedBytes& operator=(const UnpackedBytes&) = delete;

  /// The next size bytes, fewer at the end of the file. Memory grows with what is there, not with
  /// what is asked for.
  [[nodiscard]] std::vector<std::uint8_t> read(std::uint64_t size);
  /// Bytes given out so far.
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }

 private:
  std::size_t take(std::uint8_t* out, std::size_t size);
  std::size_t inflate_some(std::uint8_t* out, std::size_t size);
  [[nodiscard]] bool starts_gzip() const;

  std::string path_;
  MappedFile file_;
  std::span<const std::byte> left_;
  std::uint64_t position_ = 0;
  bool packed_ = false;
  z_stream stream_{};
};

}  // namespace taut::data
