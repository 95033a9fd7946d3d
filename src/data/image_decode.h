#pragma once
// JPEG and PNG files in memory to pixels.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace taut::data {

/// One image, 8 bits a channel.
struct Image {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;         ///< 1 or 3
  std::vector<std::uint8_t> pixels;  ///< [height, width, channels]
};

/// Decodes a JPEG or PNG file, told apart by its first bytes; alpha is dropped, 16 bits become 8,
/// an orientation tag is ignored. least_side: a JPEG may come out smaller than it is, by a power of
/// two, as long as both its sides stay at least twice that; 0: as it is.
/// "" or what is wrong with the file: neither format, cut short, damaged, CMYK, too large. Damage
/// that a viewer would paper over is a fault here.
[[nodiscard]] std::string decode_image(std::span<const std::byte> file, std::int64_t least_side,
                                       Image& image);

/// Scales the shorter side to size (triangle filter, widened when shrinking) and keeps the middle
/// square, [size, size, channels].
void resize_and_crop(Image& image, std::int64_t size);

}  // namespace taut::data
