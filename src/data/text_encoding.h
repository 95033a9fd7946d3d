#pragma once
// Characters of text files as UTF-8.

#include <cstddef>
#include <string>
#include <string_view>

#include "taut/data/reader.h"

namespace taut::data {

/// The text with U+FFFD for each byte that is not UTF-8, for names and messages that files bring.
[[nodiscard]] std::string as_utf8(std::string_view text);

/// Turns the bytes of a file, chunk by chunk, into UTF-8 with lines that end in '\n'.
class TextDecoder {
 public:
  /// What a file is written in, by its first bytes and what the user says; they win. A byte order
  /// mark is left out of what decode() gives. UTF-16 without a mark is told by its zero bytes.
  /// Errors: kUnsupported for UTF-32; kConfig for an encoding that the byte order mark denies.
  TextDecoder(std::string_view first_bytes, Encoding told, const std::string& path);

  /// Appends a chunk. last: no more will come.
  void decode(std::string_view bytes, bool last, std::string& out);
  /// True if bytes go through as they are.
  [[nodiscard]] bool plain() const noexcept { return form_ == Form::kUtf8 && !returns_; }

 private:
  enum class Form { kUtf8, kLatin1, kWindows1252, kUtf16Little, kUtf16Big };

  void decode_utf16(std::string_view bytes, bool last, std::string& out);

  Form form_ = Form::kUtf8;
  std::size_t mark_bytes_ = 0;  // of the byte order mark, until it is skipped
  bool returns_ = false;        // lines end in '\r' alone
  std::string left_;            // the beginning of a character that is not whole yet
};

}  // namespace taut::data
