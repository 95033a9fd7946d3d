#include "image_files.h"

#include <arrow/array/builder_binary.h>
#include <arrow/array/builder_nested.h>
#include <arrow/array/builder_primitive.h>
#include <arrow/table.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include <jpeglib.h>  // after stdio.h, which it needs

#include <stdexcept>

#include "taut/core/random.h"
#include "test_files.h"

namespace taut::data::testing {
namespace {

void check(const arrow::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.ToString());
}

std::shared_ptr<arrow::Array> finish(arrow::ArrayBuilder& builder) {
  std::shared_ptr<arrow::Array> array;
  check(builder.Finish(&array));
  return array;
}

std::shared_ptr<arrow::Array> build_images(const std::vector<std::string>& images) {
  arrow::BinaryBuilder builder;
  for (const std::string& image : images) {
    check(image.empty() ? builder.AppendNull() : builder.Append(image));
  }
  return finish(builder);
}

void append_png(png_structp png, png_bytep bytes, std::size_t size) {
  static_cast<std::string*>(png_get_io_ptr(png))
      ->append(reinterpret_cast<const char*>(bytes), size);
}

int png_color(int channels) {
  constexpr int kTypes[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                            PNG_COLOR_TYPE_RGB_ALPHA};
  return kTypes[channels - 1];
}

J_COLOR_SPACE jpeg_color(int channels) {
  if (channels == 1) return JCS_GRAYSCALE;
  return channels == 3 ? JCS_RGB : JCS_CMYK;
}

}  // namespace

std::vector<std::uint8_t> make_pixels(std::int64_t height, std::int64_t width,
                                      std::int64_t channels, std::uint64_t seed) {
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(height * width * channels));
  const CounterRandom random(seed);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<std::uint8_t>(random.below(i, 256));
  }
  return pixels;
}

std::vector<std::uint8_t> make_smooth_pixels(std::int64_t height, std::int64_t width,
                                             std::int64_t channels) {
  std::vector<std::uint8_t> pixels;
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      for (std::int64_t c = 0; c < channels; ++c) {
        pixels.push_back(static_cast<std::uint8_t>(40 + 60 * y / height + 60 * x / width + 20 * c));
      }
    }
  }
  return pixels;
}

std::string encode_png(const std::vector<std::uint8_t>& pixels, int height, int width, int channels,
                       int bits) {
  std::vector<std::uint8_t> values;
  for (const std::uint8_t pixel : pixels) {
    for (int byte = 0; byte < bits / 8; ++byte) values.push_back(pixel);
  }
  std::string file;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(png, &file, append_png, nullptr);
  png_set_IHDR(png, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), bits,
               png_color(channels), PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  for (int y = 0; y < height; ++y)
    png_write_row(png, values.data() + y * width * channels * bits / 8);
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return file;
}

std::string encode_jpeg(const std::vector<std::uint8_t>& pixels, int height, int width,
                        int channels) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &bytes, &size);
  info.image_width = static_cast<JDIMENSION>(width);
  info.image_height = static_cast<JDIMENSION>(height);
  info.input_components = channels;
  info.in_color_space = jpeg_color(channels);
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 95, TRUE);
  jpeg_start_compress(&info, TRUE);
  std::vector<std::uint8_t> row;
  for (int y = 0; y < height; ++y) {
    row.assign(pixels.begin() + y * width * channels, pixels.begin() + (y + 1) * width * channels);
    JSAMPROW rows = row.data();
    jpeg_write_scanlines(&info, &rows, 1);
  }
  jpeg_finish_compress(&info);
  std::string file(reinterpret_cast<char*>(bytes), size);
  jpeg_destroy_compress(&info);
  free(bytes);
  return file;
}

std::string encode_idx(const std::vector<std::uint32_t>& shape,
                       const std::vector<std::uint8_t>& values) {
  std::string file = {0, 0, 8, static_cast<char>(shape.size())};
  for (const std::uint32_t size : shape) {
    for (int shift = 24; shift >= 0; shift -= 8) file.push_back(static_cast<char>(size >> shift));
  }
  return file.append(values.begin(), values.end());
}

std::string gzip(const std::string& bytes) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, bytes.size()), '\0');
  std::string input = bytes;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

std::string encode_cifar(const std::vector<std::vector<std::uint8_t>>& labels,
                         const std::vector<std::vector<std::uint8_t>>& pixels) {
  std::string file;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    file.append(labels[i].begin(), labels[i].end());
    for (std::size_t c = 0; c < 3; ++c) {
      for (std::size_t p = 0; p < 1024; ++p)
        file.push_back(static_cast<char>(pixels[i][3 * p + c]));
    }
  }
  return file;
}

void write_image_parquet(const std::string& path, const std::vector<std::string>& images,
                         const std::vector<std::int64_t>& labels, std::int64_t row_group_rows) {
  arrow::Int64Builder builder;
  check(builder.AppendValues(labels));
  const auto schema =
      arrow::schema({arrow::field("label", arrow::int64()), arrow::field("jpeg", arrow::binary())});
  write_parquet(path, *arrow::Table::Make(schema, {finish(builder), build_images(images)}),
                row_group_rows);
}

void write_named_image_parquet(const std::string& path, const std::vector<std::string>& images,
                               const std::vector<std::string>& labels) {
  arrow::StringBuilder builder;
  for (const std::string& label : labels) {
    check(label.empty() ? builder.AppendNull() : builder.Append(label));
  }
  const auto bytes = build_images(images);
  const auto fields = arrow::StructArray::Make({bytes}, {arrow::field("bytes", arrow::binary())});
  check(fields.status());
  const auto schema = arrow::schema(
      {arrow::field("image", (*fields)->type()), arrow::field("label", arrow::utf8())});
  write_parquet(path, *arrow::Table::Make(schema, {*fields, finish(builder)}));
}

void write_idx_pair(const std::string& path, std::int64_t count, std::int64_t classes) {
  std::vector<std::uint8_t> pixels;
  std::vector<std::uint8_t> labels;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto image = make_pixels(4, 5, 1, static_cast<std::uint64_t>(i));
    pixels.insert(pixels.end(), image.begin(), image.end());
    labels.push_back(static_cast<std::uint8_t>(i % classes));
  }
  const auto size = static_cast<std::uint32_t>(count);
  write_text(path + "-images-idx3-ubyte", encode_idx({size, 4, 5}, pixels));
  write_text(path + "-labels-idx1-ubyte", encode_idx({size}, labels));
}

}  // namespace taut::data::testing
