#include "graph/onnx_wire.h"

#include <bit>
#include <cstddef>

namespace taut::graph {
namespace {

constexpr unsigned kVarint = 0;
constexpr unsigned kEightBytes = 1;
constexpr unsigned kBytes = 2;
constexpr unsigned kFourBytes = 5;

}  // namespace

std::optional<std::uint64_t> take_varint(std::string_view& packed) noexcept {
  std::uint64_t number = 0;
  for (unsigned i = 0; i < 10 && i < packed.size(); ++i) {
    const auto byte = static_cast<unsigned char>(packed[i]);
    number |= static_cast<std::uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      packed.remove_prefix(i + 1);
      return number;
    }
  }
  return std::nullopt;
}

std::optional<std::uint64_t> WireMessage::varint() noexcept {
  return take_varint(rest_);
}

std::optional<std::uint64_t> WireMessage::fixed(std::size_t width) noexcept {
  if (rest_.size() < width) return std::nullopt;
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < width; ++i) {
    number |= static_cast<std::uint64_t>(static_cast<unsigned char>(rest_[i])) << (8 * i);
  }
  rest_.remove_prefix(width);
  return number;
}

bool WireMessage::read_value() noexcept {
  std::optional<std::uint64_t> number;
  switch (wire_) {
    case kVarint:
      number = varint();
      break;
    case kEightBytes:
      number = fixed(8);
      break;
    case kFourBytes:
      number = fixed(4);
      break;
    case kBytes:
      number = varint();
      if (!number || *number > rest_.size()) return false;
      bytes_ = rest_.substr(0, *number);
      rest_.remove_prefix(*number);
      return true;
    default:
      return false;
  }
  number_ = number.value_or(0);
  return number.has_value();
}

bool WireMessage::next() noexcept {
  bytes_ = {};
  number_ = 0;
  if (!ok_ || rest_.empty()) return false;
  const std::optional<std::uint64_t> key = varint();
  field_ = key.value_or(0) >> 3;
  wire_ = static_cast<unsigned>(key.value_or(0) & 7);
  ok_ = key && field_ > 0 && field_ < (std::uint64_t{1} << 29) && read_value();
  return ok_;
}

double WireMessage::real() const noexcept {
  if (wire_ == kFourBytes) return std::bit_cast<float>(static_cast<std::uint32_t>(number_));
  return std::bit_cast<double>(number_);
}

}  // namespace taut::graph
