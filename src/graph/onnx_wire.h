#pragma once
// The encoding of protobuf, read without copying: what ONNX files are written in. Fields that a
// reader does not know are passed over, so files of newer versions of the format are readable.

#include <cstdint>
#include <optional>
#include <string_view>

namespace taut::graph {

/// A message as a run of fields. next() steps to the next field; its value is valid until the next
/// call. A message that breaks the encoding (cut short, a wire type that is none) ends with ok()
/// false. Not for sharing between threads.
class WireMessage {
 public:
  explicit WireMessage(std::string_view bytes) noexcept : rest_(bytes) {}

  /// False at the end of the message and where it is broken.
  bool next() noexcept;
  [[nodiscard]] bool ok() const noexcept { return ok_; }

  [[nodiscard]] std::uint64_t field() const noexcept { return field_; }
  /// The value as a number: of a varint, or the bits of a fixed number.
  [[nodiscard]] std::int64_t number() const noexcept { return static_cast<std::int64_t>(number_); }
  /// A fixed number of 4 bytes, else of 8, as the float that it is.
  [[nodiscard]] double real() const noexcept;
  /// A text, a message or a packed list; empty for numbers.
  [[nodiscard]] std::string_view bytes() const noexcept { return bytes_; }
  [[nodiscard]] bool is_bytes() const noexcept { return wire_ == 2; }

 private:
  std::optional<std::uint64_t> varint() noexcept;
  std::optional<std::uint64_t> fixed(std::size_t width) noexcept;
  bool read_value() noexcept;

  std::string_view rest_;
  std::string_view bytes_;
  std::uint64_t field_ = 0;
  std::uint64_t number_ = 0;
  unsigned wire_ = 0;
  bool ok_ = true;
};

/// Numbers of a repeated field, one by one, packed or not.
/// Calls give(number) for each; false where the packed list is broken.
template <typename Give>
bool wire_numbers(const WireMessage& field, const Give& give);

/// Takes one varint off a packed list; nothing where it is broken.
std::optional<std::uint64_t> take_varint(std::string_view& packed) noexcept;

template <typename Give>
bool wire_numbers(const WireMessage& field, const Give& give) {
  if (!field.is_bytes()) {
    give(field.number());
    return true;
  }
  std::string_view packed = field.bytes();
  while (!packed.empty()) {
    const std::optional<std::uint64_t> number = take_varint(packed);
    if (!number) return false;
    give(static_cast<std::int64_t>(*number));
  }
  return true;
}

}  // namespace taut::graph
