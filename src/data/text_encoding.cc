#include "text_encoding.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

using namespace std::string_view_literals;

constexpr std::uint32_t kReplacement = 0xFFFD;

// 0x80 .. 0x9F of Windows-1252; the rest is Latin-1. The five bytes that stand for nothing keep
// their Latin-1 meaning.
constexpr std::array<std::uint16_t, 32> kWindows = {
    0x20AC, 0x81,   0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x8D,   0x017D, 0x8F,   0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D,   0x017E, 0x0178};

void append_utf8(std::uint32_t point, std::string& out) {
  const auto add = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (point < 0x80) return add(point);
  if (point < 0x800) {
    add(0xC0 | point >> 6);
  } else {
    if (point < 0x10000) {
      add(0xE0 | point >> 12);
    } else {
      add(0xF0 | point >> 18);
      add(0x80 | (point >> 12 & 0x3F));
    }
    add(0x80 | (point >> 6 & 0x3F));
  }
  add(0x80 | (point & 0x3F));
}

// Zero bytes at every second place of what should be ASCII for the most part: 0 for little-endian,
// 1 for big-endian, -1 for neither.
int zero_places(std::string_view bytes) {
  const std::string_view looked_at = bytes.substr(0, 4096);
  std::array<std::size_t, 2> zeros{};
  for (std::size_t i = 0; i < looked_at.size(); ++i) zeros[i % 2] += looked_at[i] == '\0' ? 1 : 0;
  const std::size_t many = looked_at.size() / 4;
  if (looked_at.size() < 4) return -1;
  if (zeros[1] > many && zeros[0] == 0) return 0;
  if (zeros[0] > many && zeros[1] == 0) return 1;
  return -1;
}

}  // namespace

std::string as_utf8(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t size = utf8_size(text);
    if (size == 0) {
      append_utf8(kReplacement, out);
    } else {
      out += text.substr(0, size);
    }
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return out;
}

TextDecoder::TextDecoder(std::string_view first_bytes, Encoding told, const std::string& path) {
  const auto starts = [&](std::string_view mark) { return first_bytes.starts_with(mark); };
  if (starts("\xFF\xFE\0\0"sv) || starts("\0\0\xFE\xFF"sv)) {
    throw Error(ErrorKind::kUnsupported, "text in UTF-32", path, "write it in UTF-8");
  }
  if (told == Encoding::kLatin1) {
    form_ = Form::kLatin1;
  } else if (told == Encoding::kWindows1252) {
    form_ = Form::kWindows1252;
  } else if (starts("\xFF\xFE"sv) || starts("\xFE\xFF"sv)) {
    if (told == Encoding::kUtf8) {
      throw Error(ErrorKind::kConfig, "the byte order mark says UTF-16, data.encoding UTF-8", path,
                  "set data.encoding = \"utf-16\" or leave it out");
    }
    form_ = starts("\xFF\xFE"sv) ? Form::kUtf16Little : Form::kUtf16Big;
    mark_bytes_ = 2;
  } else if (starts("\xEF\xBB\xBF"sv)) {
    mark_bytes_ = 3;
  } else if (told != Encoding::kUtf8) {
    const int zeros = zero_places(first_bytes);
    if (told == Encoding::kUtf16 || zeros >= 0) {
      form_ = zeros == 1 ? Form::kUtf16Big : Form::kUtf16Little;
    }
  }
  const auto holds = [&](char c) { return first_bytes.find(c) != std::string_view::npos; };
  returns_ = holds('\r') && !holds('\n');
}

void TextDecoder::decode(std::string_view bytes, bool last, std::string& out) {
  const std::size_t before = out.size();
  bytes.remove_prefix(std::min(mark_bytes_, bytes.size()));
  mark_bytes_ = 0;
  switch (form_) {
    case Form::kUtf8:
      out += bytes;
      break;
    case Form::kLatin1:
    case Form::kWindows1252:
      for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        const bool windows = form_ == Form::kWindows1252 && byte >= 0x80 && byte < 0xA0;
        append_utf8(windows ? kWindows[byte - 0x80] : byte, out);
      }
      break;
    case Form::kUtf16Little:
    case Form::kUtf16Big:
      decode_utf16(bytes, last, out);
      break;
  }
  if (returns_)
    std::replace(out.begin() + static_cast<std::ptrdiff_t>(before), out.end(), '\r', '\n');
}

void TextDecoder::decode_utf16(std::string_view bytes, bool last, std::string& out) {
  left_ += bytes;
  const auto unit = [&](std::size_t at) -> std::uint32_t {
    const auto first = static_cast<unsigned char>(left_[at]);
    const auto second = static_cast<unsigned char>(left_[at + 1]);
    return form_ == Form::kUtf16Little ? first | second << 8 : first << 8 | second;
  };
  std::size_t at = 0;
  while (at + 2 <= left_.size()) {
    const std::uint32_t high = unit(at);
    const bool is_high = high >= 0xD800 && high < 0xDC00;
    if (is_high && at + 4 > left_.size() && !last) break;
    const std::uint32_t low = is_high && at + 4 <= left_.size() ? unit(at + 2) : 0;
    const bool is_pair = low >= 0xDC00 && low < 0xE000;
    const bool is_alone = !is_pair && high >= 0xD800 && high < 0xE000;
    append_utf8(is_pair    ? 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
                : is_alone ? kReplacement
                           : high,
                out);
    at += is_pair ? 4 : 2;
  }
  left_.erase(0, at);
  if (last && !left_.empty()) append_utf8(kReplacement, out);
}

}  // namespace taut::data
