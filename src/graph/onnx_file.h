#pragma once
// An ONNX file as it stands: texts and weights are views into the bytes of the file.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace taut::graph {

/// The newest operator set and what comes with it: PyPI's onnx 1.23.
inline constexpr std::int64_t kNewestOperatorSet = 28;

/// Element types of ONNX that the reader must tell apart (TensorProto.DataType).
enum OnnxType : std::int32_t {
  kOnnxFloat = 1,
  kOnnxUint8 = 2,
  kOnnxInt8 = 3,
  kOnnxUint16 = 4,
  kOnnxInt16 = 5,
  kOnnxInt32 = 6,
  kOnnxInt64 = 7,
  kOnnxString = 8,
  kOnnxBool = 9,
  kOnnxFloat16 = 10,
  kOnnxDouble = 11,
  kOnnxUint32 = 12,
  kOnnxUint64 = 13,
  kOnnxBfloat16 = 16,
};

/// Whether values of the type are whole numbers (bool among them).
[[nodiscard]] bool is_whole_type(std::int32_t type) noexcept;

/// A constant of the file. Its values are decoded when they are asked for (onnx_constants.h).
struct OnnxTensor {
  std::string_view name;
  std::vector<std::int64_t> dims;
  std::int32_t type = 0;
  std::string_view bytes;       ///< the whole message
  bool external = false;        ///< its values lie in another file
  std::int64_t values_of = -1;  ///< of a sparse tensor's values: elements; -1: a dense tensor
};

struct OnnxGraphBody;

struct OnnxAttribute {
  std::string_view name;
  std::string_view reference;  ///< of a function's attribute, which gives the value
  std::string_view text;
  std::vector<std::int64_t> numbers;  ///< i or ints
  std::vector<double> reals;          ///< f or floats
  std::vector<std::string_view> texts;
  std::vector<OnnxTensor> tensors;    ///< t or tensors
  std::vector<OnnxGraphBody> graphs;  ///< g or graphs
  bool has_number = false;
  bool has_real = false;
  bool has_text = false;
};

struct OnnxNode {
  std::string_view name;
  std::string_view op;
  std::string_view domain;
  std::string_view overload;
  std::vector<std::string_view> inputs;
  std::vector<std::string_view> outputs;
  std::vector<OnnxAttribute> attributes;
};

struct OnnxDimension {
  std::int64_t size = -1;  ///< below 1: none given
  std::string_view name;
};

/// An input or output.
struct OnnxInfo {
  std::string_view name;
  bool is_tensor = false;
  bool has_shape = false;
  std::int32_t type = 0;
  std::vector<OnnxDimension> dims;
};

struct OnnxGraphBody {
  std::string_view name;
  std::vector<OnnxNode> nodes;
  std::vector<OnnxTensor> constants;
  std::vector<OnnxInfo> inputs;
  std::vector<OnnxInfo> outputs;
};

/// Operator sets by domain; "" and "ai.onnx" are one.
using OnnxSets = std::map<std::string_view, std::int64_t>;

struct OnnxFunction {
  std::string_view name;
  std::string_view domain;
  std::string_view overload;
  std::vector<std::string_view> inputs;
  std::vector<std::string_view> outputs;
  std::vector<OnnxNode> nodes;
  std::vector<OnnxAttribute> defaults;
  OnnxSets sets;
};

struct OnnxFile {
  OnnxGraphBody graph;
  std::vector<OnnxFunction> functions;
  OnnxSets sets;
  std::vector<std::pair<std::string_view, std::string_view>> metadata;  ///< key, value
};

/// Reads the message; the views in the result live as long as the bytes. Takes memory in proportion
/// to at most 2^21 messages and numbers, whatever the file says.
/// Errors: kFormat (not ONNX, cut short, a name of more than 4 KiB, more messages, graphs inside
/// graphs deeper than 64), naming source.
[[nodiscard]] OnnxFile parse_onnx_file(std::string_view bytes, const std::string& source);

/// "ai.onnx" is the default domain, "".
[[nodiscard]] std::string_view onnx_domain(std::string_view domain) noexcept;

/// The name of a node, else of its first output.
[[nodiscard]] std::string onnx_label(const OnnxNode& node);

}  // namespace taut::graph
