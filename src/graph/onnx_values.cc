#include "graph/onnx_values.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <optional>
#include <utility>

#include "graph/onnx_constants.h"
#include "graph/onnx_value.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

std::string owner_of(const OnnxTensor& tensor) {
  return tensor.name.empty() ? std::string("constant without a name")
                             : concat("constant ", tensor.name);
}

bool is_aligned(std::string_view bytes) {
  return reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(float) == 0;
}

}  // namespace

void OnnxValues::Freed::operator()(void* memory) const noexcept {
  std::free(memory);
}

// What lies beside the model need not be there where sizes are all that is asked for.
bool OnnxValues::leaves_out(const OnnxTensor& tensor, std::int64_t count) const noexcept {
  return content_ == OnnxContent::kSizes && (tensor.external || !reads(count));
}

template <typename T>
std::span<T> OnnxValues::stand_in(std::int64_t count, const std::string& owner) {
  constexpr auto kWidth = static_cast<std::int64_t>(sizeof(T));
  if (count > kMostCopied / kWidth) refuse_large(owner);
  if (stand_ins_.empty() || count * kWidth > stand_in_bytes_) {
    const std::int64_t bytes = std::max<std::int64_t>(1, count * kWidth);
    std::unique_ptr<void, Freed> made(std::calloc(static_cast<std::size_t>(bytes), 1));
    if (made == nullptr) refuse_large(owner);
    stand_ins_.push_back(std::move(made));
    stand_in_bytes_ = bytes;
  }
  return {static_cast<T*>(stand_ins_.back().get()), static_cast<std::size_t>(count)};
}

void OnnxValues::refuse_large(const std::string& owner) const {
  throw Error(
      ErrorKind::kUnsupported,
      concat(owner, ": values that cannot be used as they lie in the file come to more than ",
             kMostCopied, " bytes"),
      source_);
}

void OnnxValues::charge(std::int64_t count, std::int64_t width, const std::string& owner) {
  if (count <= (kMostCopied - copied_) / width) {
    copied_ += count * width;
    return;
  }
  refuse_large(owner);
}

std::span<float> OnnxValues::make(std::int64_t count, const std::string& owner) {
  if (!reads(count)) return stand_in<float>(count, owner);
  charge(count, sizeof(float), owner);
  return floats_.emplace_back(static_cast<std::size_t>(count), 0.0f);
}

std::span<std::int8_t> OnnxValues::make_codes(std::int64_t count, const std::string& owner) {
  if (!reads(count)) return stand_in<std::int8_t>(count, owner);
  charge(count, 1, owner);
  return codes_.emplace_back(static_cast<std::size_t>(count), std::int8_t{0});
}

std::string_view OnnxValues::stored(const OnnxTensor& tensor, std::int64_t count,
                                    const std::string& owner) {
  const ExternalValues place = external_values(tensor, owner, folder_, source_);
  const auto file = files_.find(place.path);
  const MappedFile& mapped = file != files_.end()
                                 ? file->second
                                 : files_.emplace(place.path, MappedFile(place.path)).first->second;
  const std::string_view bytes = external_bytes(place, mapped, tensor, count, owner, source_);
  if (place.length != 0 && place.length != bytes.size()) {
    throw Error(ErrorKind::kFormat,
                concat(owner, " has ", place.length, " bytes of values, its shape ", bytes.size()),
                source_);
  }
  return bytes;
}

std::span<const float> OnnxValues::floats(const OnnxTensor& tensor) {
  const auto [at, added] = read_.try_emplace(&tensor);
  if (added) at->second = read(tensor, owner_of(tensor));
  return at->second;
}

std::span<const float> OnnxValues::read(const OnnxTensor& tensor, const std::string& owner) {
  check_constant(tensor, owner, source_);
  if (tensor.values_of >= 0) {
    throw Error(ErrorKind::kUnsupported, owner + " has sparse values", source_);
  }
  const std::int64_t count = *element_count(tensor.dims);
  if (leaves_out(tensor, count)) return stand_in<float>(count, owner);
  const bool wants_copy = tensor.type != kOnnxFloat || std::endian::native != std::endian::little;
  std::optional<std::string_view> raw = raw_bytes(tensor);
  if (tensor.external) raw = stored(tensor, count, owner);
  if (raw && !wants_copy && is_aligned(*raw) &&
      raw->size() == sizeof(float) * static_cast<std::size_t>(count)) {
    return {reinterpret_cast<const float*>(raw->data()), static_cast<std::size_t>(count)};
  }
  // Sizes are checked before memory is taken: a listed value takes a byte at least.
  const bool too_many = !raw && count > static_cast<std::int64_t>(tensor.bytes.size());
  const std::span<float> values = make(too_many ? 0 : count, owner);
  if (!too_many && (raw ? decode_raw(*raw, tensor.type, values) : decode_listed(tensor, values))) {
    return values;
  }
  if (content_ == OnnxContent::kSizes) return stand_in<float>(count, owner);
  if (!raw && (tensor.type == kOnnxFloat || tensor.type == kOnnxDouble)) {
    throw Error(ErrorKind::kData, owner + " has no values in the file", source_,
                "a model without its weights is one to plan alone");
  }
  throw Error(
      ErrorKind::kData,
      concat(owner, " has no numbers that a network computes with (type ", tensor.type, ")"),
      source_);
}

std::span<const std::int8_t> OnnxValues::codes(const OnnxTensor& tensor) {
  const std::string owner = owner_of(tensor);
  check_constant(tensor, owner, source_);
  const std::int64_t count = *element_count(tensor.dims);
  if (tensor.values_of < 0 && tensor.type == kOnnxInt8) {
    if (leaves_out(tensor, count)) return stand_in<std::int8_t>(count, owner);
    std::optional<std::string_view> raw = raw_bytes(tensor);
    if (tensor.external) raw = stored(tensor, count, owner);
    if (raw && static_cast<std::int64_t>(raw->size()) == count) {
      return {reinterpret_cast<const std::int8_t*>(raw->data()), raw->size()};
    }
    if (!raw && count <= static_cast<std::int64_t>(tensor.bytes.size())) {
      const std::span<const float> listed = floats(tensor);
      const std::span<std::int8_t> codes = make_codes(count, owner);
      for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::int8_t>(listed[i]);
      return codes;
    }
  }
  throw Error(ErrorKind::kData, owner + " has no signed 8-bit codes", source_);
}

}  // namespace taut::graph
