#pragma once
// Image files made by tests.

#include <cstdint>
#include <string>
#include <vector>

namespace taut::data::testing {

/// Pixels [height, width, channels] that differ from place to place and with the seed.
[[nodiscard]] std::vector<std::uint8_t> make_pixels(std::int64_t height, std::int64_t width,
                                                    std::int64_t channels, std::uint64_t seed);
/// The same, smooth, so that JPEG keeps them nearly.
[[nodiscard]] std::vector<std::uint8_t> make_smooth_pixels(std::int64_t height, std::int64_t width,
                                                           std::int64_t channels);

/// A PNG file of pixels with 1 to 4 channels (grey, grey and alpha, colour, colour and alpha).
/// bits: 8 or 16 (each value v as 257 v).
[[nodiscard]] std::string encode_png(const std::vector<std::uint8_t>& pixels, int height, int width,
                                     int channels, int bits = 8);
/// A JPEG file of grey, colour or (4 channels) CMYK pixels at quality 95.
[[nodiscard]] std::string encode_jpeg(const std::vector<std::uint8_t>& pixels, int height,
                                      int width, int channels);

/// An IDX file of unsigned bytes.
[[nodiscard]] std::string encode_idx(const std::vector<std::uint32_t>& shape,
                                     const std::vector<std::uint8_t>& values);
[[nodiscard]] std::string gzip(const std::string& bytes);

/// A CIFAR binary file: planes from channel-last pixels of 32 x 32 x 3; label bytes before each.
[[nodiscard]] std::string encode_cifar(const std::vector<std::vector<std::uint8_t>>& labels,
                                       const std::vector<std::vector<std::uint8_t>>& pixels);

/// A Parquet file of labels (int64, or texts) and image files; "" is a null.
void write_image_parquet(const std::string& path, const std::vector<std::string>& images,
                         const std::vector<std::int64_t>& labels, std::int64_t row_group_rows);
void write_named_image_parquet(const std::string& path, const std::vector<std::string>& images,
                               const std::vector<std::string>& labels);

/// Images i of 4 x 5 with label i % classes, written as PATH-images-idx3 and PATH-labels-idx1.
void write_idx_pair(const std::string& path, std::int64_t count, std::int64_t classes);

}  // namespace taut::data::testing
