#include "image_decode.h"

#include <jerror.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>

#include <algorithm>
#include <cstring>

#include <jpeglib.h>  // after stdio.h, which it needs

#include "taut/core/text.h"

// Both libraries leave a failed call by longjmp. So every function here that calls setjmp has
// nothing but plain data in scope, and what owns memory lives in the caller.

namespace taut::data {
namespace {

constexpr std::int64_t kMostSamples = std::int64_t{1} << 28;  // of one image, over all channels
constexpr int kFullScale = 8;                                 // libjpeg scales by eighths

std::string too_large(std::int64_t width, std::int64_t height) {
  return concat("the image has ", width, " x ", height, " pixels, more than can be read (2^28)");
}

bool is_too_large(const Image& image) {
  return image.height * image.width > kMostSamples / image.channels;
}

std::uint8_t* make_room(Image& image) {
  image.pixels.resize(static_cast<std::size_t>(image.height * image.width * image.channels));
  return image.pixels.data();
}

// --- JPEG ---

struct JpegErrors {
  jpeg_error_mgr base;  // first: libjpeg hands a pointer to it back
  jmp_buf leave;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void leave_jpeg(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  errors->base.format_message(info, errors->message);
  longjmp(errors->leave, 1);
}

// Warnings of damaged pixels are errors; others (unknown version, stray bytes) are not.
void on_jpeg_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
    case JWRN_BOGUS_PROGRESSION:
    case JWRN_NOT_SEQUENTIAL:
      leave_jpeg(info);
    default:
      return;
  }
}

void start_jpeg_errors(jpeg_decompress_struct& info, JpegErrors& errors) {
  info.err = jpeg_std_error(&errors.base);
  errors.base.error_exit = leave_jpeg;
  errors.base.emit_message = on_jpeg_message;
  errors.message[0] = '\0';
}

int jpeg_scale(const jpeg_decompress_struct& info, std::int64_t least_side) {
  if (least_side <= 0) return kFullScale;
  const std::int64_t shorter = std::min(info.image_height, info.image_width);
  for (const int scale : {1, 2, 4}) {
    if (shorter * scale / kFullScale >= 2 * least_side) return scale;
  }
  return kFullScale;
}

bool read_jpeg_header(jpeg_decompress_struct& info, JpegErrors& errors,
                      std::span<const std::byte> file, std::int64_t least_side) {
  if (setjmp(errors.leave) != 0) return false;
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(file.data()),
               static_cast<unsigned long>(file.size()));
  jpeg_read_header(&info, TRUE);
  info.out_color_space = info.jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
  info.scale_num = static_cast<unsigned int>(jpeg_scale(info, least_side));
  info.scale_denom = kFullScale;
  jpeg_calc_output_dimensions(&info);
  return true;
}

bool read_jpeg_pixels(jpeg_decompress_struct& info, JpegErrors& errors, std::uint8_t* pixels) {
  if (setjmp(errors.leave) != 0) return false;
  jpeg_start_decompress(&info);
  const std::size_t row_bytes =
      std::size_t{info.output_width} * static_cast<std::size_t>(info.output_components);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = pixels + info.output_scanline * row_bytes;
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  return true;
}

std::string decode_jpeg(jpeg_decompress_struct& info, JpegErrors& errors,
                        std::span<const std::byte> file, std::int64_t least_side, Image& image) {
  if (!read_jpeg_header(info, errors, file, least_side)) {
    return concat("the JPEG is damaged: ", errors.message);
  }
  image.height = info.output_height;
  image.width = info.output_width;
  image.channels = info.out_color_space == JCS_GRAYSCALE ? 1 : 3;
  if (is_too_large(image)) return too_large(image.width, image.height);
  if (!read_jpeg_pixels(info, errors, make_room(image))) {
    return concat("the JPEG is damaged: ", errors.message);
  }
  return {};
}

std::string decode_jpeg(std::span<const std::byte> file, std::int64_t least_side, Image& image) {
  jpeg_decompress_struct info{};
  JpegErrors errors;
  start_jpeg_errors(info, errors);
  std::string problem = decode_jpeg(info, errors, file, least_side, image);
  jpeg_destroy_decompress(&info);
  return problem;
}

// --- PNG ---

struct PngState {
  png_structp png = nullptr;
  png_infop info = nullptr;
  const std::byte* next = nullptr;
  std::size_t left = 0;
  int passes = 1;
  jmp_buf leave;
  char message[128] = {};
};

[[noreturn]] void leave_png(png_structp png, png_const_charp message) {
  auto* state = static_cast<PngState*>(png_get_error_ptr(png));
  snprintf(state->message, sizeof state->message, "%s", message);
  longjmp(state->leave, 1);
}

void on_png_warning(png_structp, png_const_charp) {}

void take_png_bytes(png_structp png, png_bytep out, std::size_t size) {
  auto* state = static_cast<PngState*>(png_get_io_ptr(png));
  if (size > state->left) png_error(png, "the file ends early");
  std::memcpy(out, state->next, size);
  state->next += size;
  state->left -= size;
}

bool read_png_header(PngState& state) {
  if (setjmp(state.leave) != 0) return false;
  state.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, leave_png, on_png_warning);
  if (state.png == nullptr) return false;
  state.info = png_create_info_struct(state.png);
  if (state.info == nullptr) return false;
  png_set_read_fn(state.png, &state, take_png_bytes);
  png_set_user_limits(state.png, kMostSamples, kMostSamples);
  png_read_info(state.png, state.info);
  png_set_expand(state.png);
  png_set_scale_16(state.png);
  png_set_strip_alpha(state.png);
  state.passes = png_set_interlace_handling(state.png);
  png_read_update_info(state.png, state.info);
  return true;
}

bool read_png_pixels(PngState& state, std::uint8_t* pixels) {
  if (setjmp(state.leave) != 0) return false;
  const std::size_t row_bytes = png_get_rowbytes(state.png, state.info);
  const png_uint_32 height = png_get_image_height(state.png, state.info);
  for (int pass = 0; pass < state.passes; ++pass) {
    for (png_uint_32 row = 0; row < height; ++row) {
      png_read_row(state.png, pixels + row * row_bytes, nullptr);
    }
  }
  png_read_end(state.png, nullptr);
  return true;
}

std::string decode_png(PngState& state, Image& image) {
  if (!read_png_header(state)) return concat("the PNG is damaged: ", state.message);
  image.height = png_get_image_height(state.png, state.info);
  image.width = png_get_image_width(state.png, state.info);
  image.channels = png_get_channels(state.png, state.info);
  if (is_too_large(image)) return too_large(image.width, image.height);
  if (!read_png_pixels(state, make_room(image))) {
    return concat("the PNG is damaged: ", state.message);
  }
  return {};
}

std::string decode_png(std::span<const std::byte> file, Image& image) {
  PngState state;
  state.next = file.data();
  state.left = file.size();
  std::string problem = decode_png(state, image);
  png_destroy_read_struct(&state.png, &state.info, nullptr);
  return problem;
}

bool begins_with(std::span<const std::byte> file, std::string_view magic) {
  return file.size() >= magic.size() && std::memcmp(file.data(), magic.data(), magic.size()) == 0;
}

}  // namespace

std::string decode_image(std::span<const std::byte> file, std::int64_t least_side, Image& image) {
  if (begins_with(file, "\xFF\xD8\xFF")) return decode_jpeg(file, least_side, image);
  if (begins_with(file, "\x89PNG\r\n\x1A\n")) return decode_png(file, image);
  if (file.empty()) return "the image is empty";
  return "the image is neither JPEG nor PNG";
}

}  // namespace taut::data
