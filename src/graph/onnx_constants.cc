#include "graph/onnx_constants.h"

#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>

#include "graph/onnx_wire.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kLargestSize = std::int64_t{1} << 40;

/// Bits of an element in raw data; 0: texts, and types that this reader does not know.
int raw_bits(std::int32_t type) {
  switch (type) {
    case kOnnxUint8:
    case kOnnxInt8:
    case kOnnxBool:
    case 17:  // 8-bit floats
    case 18:
    case 19:
    case 20:
    case 24:
      return 8;
    case kOnnxUint16:
    case kOnnxInt16:
    case kOnnxFloat16:
    case kOnnxBfloat16:
      return 16;
    case kOnnxFloat:
    case kOnnxInt32:
    case kOnnxUint32:
      return 32;
    case kOnnxDouble:
    case kOnnxInt64:
    case kOnnxUint64:
    case 14:  // complex of two floats
      return 64;
    case 15:
      return 128;
    case 21:  // 4 bits: unsigned, signed, float
    case 22:
    case 23:
      return 4;
    case 25:  // 2 bits
    case 26:
      return 2;
    default:
      return 0;
  }
}

/// The list of TensorProto in which values of the type stand when they are not raw.
std::uint64_t list_field(std::int32_t type) {
  switch (type) {
    case kOnnxFloat:
      return 4;
    case kOnnxInt64:
      return 7;
    case kOnnxDouble:
      return 10;
    case kOnnxUint32:
    case kOnnxUint64:
      return 11;
    default:
      return 5;
  }
}

constexpr std::uint64_t kRawData = 9;

Number half(std::uint32_t bits) {
  const int exponent = static_cast<int>(bits >> 10 & 31);
  const auto mantissa = static_cast<Number>(bits & 1023);
  const Number sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == 31) return mantissa == 0 ? sign * INFINITY : NAN;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(mantissa + 1024, exponent - 25);
}

/// The number that little-endian bits mean.
Number number_of(std::uint64_t bits, std::int32_t type) {
  switch (type) {
    case kOnnxFloat:
      return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    case kOnnxDouble:
      return std::bit_cast<double>(bits);
    case kOnnxFloat16:
      return half(static_cast<std::uint32_t>(bits));
    case kOnnxBfloat16:
      return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
    case kOnnxInt8:
      return static_cast<std::int8_t>(bits);
    case kOnnxInt16:
      return static_cast<std::int16_t>(bits);
    case kOnnxInt32:
      return static_cast<std::int32_t>(bits);
    case kOnnxInt64:
      return static_cast<Number>(static_cast<std::int64_t>(bits));
    default:
      return static_cast<Number>(bits);
  }
}

bool is_known_type(std::int32_t type) {
  return is_whole_type(type) || type == kOnnxFloat || type == kOnnxDouble || type == kOnnxFloat16 ||
         type == kOnnxBfloat16;
}

[[noreturn]] void broken(const std::string& owner, const std::string& source,
                         const std::string& what) {
  throw Error(ErrorKind::kFormat, concat(owner, " ", what), source);
}

std::vector<Number> raw_numbers(std::string_view raw, std::int32_t type) {
  const auto width = static_cast<std::size_t>(raw_bits(type) / 8);
  std::vector<Number> numbers;
  for (std::size_t at = 0; at + width <= raw.size(); at += width) {
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < width; ++i) {
      bits |= static_cast<std::uint64_t>(static_cast<unsigned char>(raw[at + i])) << (8 * i);
    }
    numbers.push_back(number_of(bits, type));
  }
  return numbers;
}

/// Calls give(bits) for each value of a list in which values of the type stand.
template <typename Give>
bool listed_numbers(const WireMessage& at, std::int32_t type, const Give& give) {
  if (type != kOnnxFloat && type != kOnnxDouble) {
    return wire_numbers(at, [&](std::int64_t one) { give(static_cast<std::uint64_t>(one)); });
  }
  if (!at.is_bytes()) {
    give(static_cast<std::uint64_t>(at.number()));
    return true;
  }
  const std::size_t width = type == kOnnxFloat ? 4 : 8;
  if (at.bytes().size() % width != 0) return false;
  for (std::size_t start = 0; start < at.bytes().size(); start += width) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, at.bytes().data() + start, width);
    give(bits);
  }
  return true;
}

/// Where the values of an external constant lie.
struct Place {
  std::string location;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

Place external_place(const OnnxTensor& tensor, const std::string& owner,
                     const std::string& source) {
  std::map<std::string, std::string> entries;
  WireMessage message(tensor.bytes);
  while (message.next()) {
    if (message.field() != 13) continue;
    std::string key;
    std::string value;
    WireMessage entry(message.bytes());
    while (entry.next()) (entry.field() == 1 ? key : value) = entry.bytes();
    entries[key] = value;
  }
  const auto number = [&](const char* key) {
    const std::string& text = entries[key];
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (!text.empty() && (error != std::errc() || end != text.data() + text.size())) {
      broken(owner, source, concat("has an external ", key, " of \"", text, "\""));
    }
    return value;
  };
  return {entries["location"], number("offset"), number("length")};
}

/// The file of external values, if it lies in the folder of the model: no path leads out of it.
fs::path external_file(const Place& place, const std::string& owner, const std::string& folder,
                       const std::string& source) {
  const fs::path location(place.location);
  bool inside = !location.empty() && location.is_relative();
  for (const fs::path& part : location) inside = inside && part != "..";
  const fs::path path = fs::path(folder) / location;
  if (inside) {
    std::error_code error;
    const fs::path root = fs::canonical(folder, error);
    const fs::path whole = fs::weakly_canonical(path, error);
    inside = !error && !fs::relative(whole, root, error).empty() &&
             *fs::relative(whole, root, error).begin() != "..";
  }
  if (!inside) {
    broken(owner, source,
           concat("has its values in \"", place.location, "\", outside of the model's folder"));
  }
  if (!fs::is_regular_file(path)) {
    throw Error(ErrorKind::kNotFound,
                concat(owner, " has its values in \"", place.location, "\", which is no file here"),
                source, "keep the file of weights beside the model");
  }
  return path;
}

}  // namespace

ExternalValues external_values(const OnnxTensor& tensor, const std::string& owner,
                               const std::string& folder, const std::string& source) {
  const Place place = external_place(tensor, owner, source);
  if (folder.empty()) {
    broken(owner, source, concat("has its values in another file, \"", place.location, "\""));
  }
  return {external_file(place, owner, folder, source).string(), place.location, place.offset,
          place.length};
}

std::string_view external_bytes(const ExternalValues& values, const MappedFile& file,
                                const OnnxTensor& tensor, std::int64_t count,
                                const std::string& owner, const std::string& source) {
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()),
                               file.bytes().size());
  const auto wanted = static_cast<std::uint64_t>(count * raw_bits(tensor.type) / 8);
  if (values.offset > bytes.size() || bytes.size() - values.offset < wanted) {
    broken(owner, source,
           concat("has ", wanted, " bytes from ", values.offset, " on in \"", values.location,
                  "\", which has ", bytes.size()));
  }
  return bytes.substr(values.offset, wanted);
}

std::optional<std::string_view> raw_bytes(const OnnxTensor& tensor) {
  std::optional<std::string_view> raw;
  WireMessage message(tensor.bytes);
  while (message.next()) {
    if (message.field() == kRawData) raw = message.bytes();
  }
  return raw;
}

bool decode_raw(std::string_view raw, std::int32_t type, std::span<float> out) {
  const auto width = static_cast<std::size_t>(raw_bits(type) / 8);
  if (!is_known_type(type) || width == 0 || raw.size() != width * out.size()) return false;
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, raw.data() + i * width, width);
    out[i] = static_cast<float>(number_of(bits, type));
  }
  return true;
}

bool decode_listed(const OnnxTensor& tensor, std::span<float> out) {
  std::size_t at = 0;
  bool fits = is_known_type(tensor.type);
  WireMessage message(tensor.bytes);
  while (fits && message.next()) {
    if (message.field() != list_field(tensor.type)) continue;
    fits = listed_numbers(message, tensor.type, [&](std::uint64_t bits) {
      if (at < out.size()) out[at] = static_cast<float>(number_of(bits, tensor.type));
      ++at;
    });
  }
  return fits && at == out.size();
}

namespace {

std::vector<Number> external_numbers(const OnnxTensor& tensor, std::int64_t count,
                                     const std::string& owner, const std::string& folder,
                                     const std::string& source) {
  const ExternalValues values = external_values(tensor, owner, folder, source);
  const MappedFile file(values.path);
  return raw_numbers(external_bytes(values, file, tensor, count, owner, source), tensor.type);
}

}  // namespace

void check_constant(const OnnxTensor& tensor, const std::string& owner, const std::string& source) {
  if (tensor.dims.size() > kMostRank) {
    broken(owner, source, concat("has rank ", tensor.dims.size()));
  }
  for (const std::int64_t size : tensor.dims) {
    if (size >= 0 && size <= kLargestSize) continue;
    throw Error(ErrorKind::kData, concat(owner, " has a dimension of ", size), source);
  }
  const std::optional<std::int64_t> count = element_count(tensor.dims);
  if (!count) {
    throw Error(ErrorKind::kData, concat(owner, " has more than 2^50 elements"), source);
  }
  if (tensor.external || tensor.values_of >= 0) return;
  const int bits = raw_bits(tensor.type);
  if (bits == 0 || bits > 64) return;
  std::int64_t listed = 0;
  bool any = false;
  WireMessage message(tensor.bytes);
  while (message.next()) {
    if (message.field() == kRawData) {
      any = true;
      const auto wanted = static_cast<std::uint64_t>((*count * bits + 7) / 8);
      if (message.bytes().size() != wanted) {
        broken(owner, source,
               concat("has ", message.bytes().size(), " bytes of values, its shape ", wanted));
      }
      listed = *count;
    } else if (message.field() == list_field(tensor.type) && is_known_type(tensor.type)) {
      any = true;
      if (!listed_numbers(message, tensor.type, [&](std::uint64_t) { ++listed; })) {
        broken(owner, source, "has values that are no numbers");
      }
    }
  }
  if ((any || is_whole_type(tensor.type)) && is_known_type(tensor.type) && listed != *count) {
    broken(owner, source, concat("has ", listed, " values, its shape ", *count));
  }
}

std::shared_ptr<const std::vector<Number>> constant_numbers(const OnnxTensor& tensor,
                                                            const std::string& owner,
                                                            const std::string& folder,
                                                            const std::string& source) {
  const std::int64_t count = *element_count(tensor.dims);
  if (count > kMostKnown || !is_known_type(tensor.type) || tensor.values_of >= 0) return nullptr;
  std::vector<Number> numbers;
  if (tensor.external) {
    numbers = external_numbers(tensor, count, owner, folder, source);
  } else {
    WireMessage message(tensor.bytes);
    while (message.next()) {
      if (message.field() == kRawData) {
        numbers = raw_numbers(message.bytes(), tensor.type);
      } else if (message.field() == list_field(tensor.type)) {
        (void)listed_numbers(message, tensor.type, [&](std::uint64_t bits) {
          numbers.push_back(number_of(bits, tensor.type));
        });
      }
    }
  }
  if (static_cast<std::int64_t>(numbers.size()) != count) return nullptr;
  return std::make_shared<const std::vector<Number>>(std::move(numbers));
}

}  // namespace taut::graph
