#include "graph/onnx_file.h"

#include "graph/onnx_wire.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

constexpr std::int64_t kMostParts = std::int64_t{1} << 21;
constexpr std::size_t kLongestName = 4096;
constexpr int kDeepest = 64;
constexpr std::int64_t kExternal = 1;  // TensorProto.DataLocation

class Parser {
 public:
  explicit Parser(const std::string& source) : source_(source) {}

  OnnxFile model(std::string_view bytes) {
    OnnxFile file;
    bool has_graph = false;
    each(bytes, [&](const WireMessage& at) {
      switch (at.field()) {
        case 7:
          has_graph = true;
          graph(at.bytes(), file.graph);
          break;
        case 8:
          set(at.bytes(), file.sets);
          break;
        case 14:
          part();
          metadata(at.bytes(), file.metadata.emplace_back());
          break;
        case 25:
          part(2);
          function(at.bytes(), file.functions.emplace_back());
          break;
        default:
          break;
      }
    });
    if (!has_graph) broken();
    return file;
  }

 private:
  [[noreturn]] void broken() const {
    throw Error(ErrorKind::kFormat, "not an ONNX model, or cut short", source_);
  }

  /// Counts what takes memory.
  void part(std::int64_t count = 1) {
    parts_ += count;
    if (parts_ <= kMostParts) return;
    throw Error(ErrorKind::kFormat,
                concat("more than ", kMostParts, " nodes, attributes, numbers and names"), source_);
  }

  template <typename Visit>
  void each(std::string_view bytes, const Visit& visit) {
    WireMessage message(bytes);
    while (message.next()) visit(message);
    if (!message.ok()) broken();
  }

  std::string_view name(const WireMessage& at) {
    part();
    if (at.bytes().size() > kLongestName) {
      throw Error(ErrorKind::kFormat,
                  concat("a name of ", at.bytes().size(), " bytes, above ", kLongestName), source_);
    }
    return at.bytes();
  }

  void whole(const WireMessage& at, std::vector<std::int64_t>& numbers) {
    const bool good = wire_numbers(at, [&](std::int64_t number) {
      part();
      numbers.push_back(number);
    });
    if (!good) broken();
  }

  void set(std::string_view bytes, OnnxSets& sets) {
    std::string_view domain;
    std::int64_t version = 0;
    each(bytes, [&](const WireMessage& at) {
      if (at.field() == 1) domain = name(at);
      if (at.field() == 2) version = at.number();
    });
    part();
    sets[onnx_domain(domain)] = version;
  }

  void metadata(std::string_view bytes, std::pair<std::string_view, std::string_view>& entry) {
    each(bytes, [&](const WireMessage& at) {
      if (at.field() == 1) entry.first = name(at);
      if (at.field() == 2) entry.second = at.bytes();
    });
  }

  void graph(std::string_view bytes, OnnxGraphBody& graph) {
    if (++depth_ > kDeepest) {
      throw Error(ErrorKind::kFormat, concat("graphs inside graphs deeper than ", kDeepest),
                  source_);
    }
    each(bytes, [&](const WireMessage& at) {
      switch (at.field()) {
        case 1:
          part();
          node(at.bytes(), graph.nodes.emplace_back());
          break;
        case 2:
          graph.name = name(at);
          break;
        case 5:
          part();
          tensor(at.bytes(), graph.constants.emplace_back());
          break;
        case 11:
          part();
          info(at.bytes(), graph.inputs.emplace_back());
          break;
        case 12:
          part();
          info(at.bytes(), graph.outputs.emplace_back());
          break;
        case 15:
          part();
          sparse(at.bytes(), graph.constants.emplace_back());
          break;
        default:
          break;
      }
    });
    --depth_;
  }

  void node(std::string_view bytes, OnnxNode& node) {
    each(bytes, [&](const WireMessage& at) {
      switch (at.field()) {
        case 1:
          node.inputs.push_back(name(at));
          break;
        case 2:
          node.outputs.push_back(name(at));
          break;
        case 3:
          node.name = name(at);
          break;
        case 4:
          node.op = name(at);
          break;
        case 5:
          part();
          attribute(at.bytes(), node.attributes.emplace_back());
          break;
        case 7:
          node.domain = onnx_domain(name(at));
          break;
        case 8:
          node.overload = name(at);
          break;
        default:
          break;
      }
    });
  }

  void attribute(std::string_view bytes, OnnxAttribute& attribute) {
    each(bytes, [&](const WireMessage& at) {
      switch (at.field()) {
        case 1:
          attribute.name = name(at);
          break;
        case 2:
          attribute.has_real = true;
          attribute.reals = {at.real()};
          break;
        case 3:
          attribute.has_number = true;
          attribute.numbers = {at.number()};
          break;
        case 4:
          attribute.has_text = true;
          attribute.text = at.bytes();
          break;
        case 5:
        case 10:
          part();
          tensor(at.bytes(), attribute.tensors.emplace_back());
          break;
        case 22:
          part();
          sparse(at.bytes(), attribute.tensors.emplace_back());
          break;
        case 6:
        case 11:
          part();
          graph(at.bytes(), attribute.graphs.emplace_back());
          break;
        case 7:
          reals(at, attribute.reals);
          break;
        case 8:
          whole(at, attribute.numbers);
          break;
        case 9:
          part();
          attribute.texts.push_back(at.bytes());
          break;
        case 21:
          attribute.reference = name(at);
          break;
        default:
          break;
      }
    });
  }

  void reals(const WireMessage& at, std::vector<double>& numbers) {
    if (!at.is_bytes()) {
      part();
      numbers.push_back(at.real());
      return;
    }
    if (at.bytes().size() % 4 != 0) broken();
    part(static_cast<std::int64_t>(at.bytes().size() / 4));
    // A packed float is a fixed number without its key.
    for (std::size_t i = 0; i < at.bytes().size(); i += 4) {
      std::string one = "\x0d";
      one += at.bytes().substr(i, 4);
      WireMessage number(one);
      number.next();
      numbers.push_back(number.real());
    }
  }

  void tensor(std::string_view bytes, OnnxTensor& tensor) {
    tensor.bytes = bytes;
    each(bytes, [&](const WireMessage& at) {
      if (at.field() == 1) whole(at, tensor.dims);
      if (at.field() == 2) tensor.type = static_cast<std::int32_t>(at.number());
      if (at.field() == 8) tensor.name = name(at);
      if (at.field() == 14) tensor.external = at.number() == kExternal;
    });
  }

  /// A sparse constant counts as the dense one that it stands for.
  void sparse(std::string_view bytes, OnnxTensor& made) {
    std::vector<std::int64_t> dims;
    each(bytes, [&](const WireMessage& at) {
      if (at.field() == 1) tensor(at.bytes(), made);
      if (at.field() == 3) whole(at, dims);
    });
    made.values_of = made.dims.empty() ? 0 : made.dims[0];
    made.dims = std::move(dims);
  }

  void info(std::string_view bytes, OnnxInfo& info) {
    each(bytes, [&](const WireMessage& at) {
      if (at.field() == 1) info.name = name(at);
      if (at.field() == 2) type(at.bytes(), info);
    });
  }

  void type(std::string_view bytes, OnnxInfo& info) {
    each(bytes, [&](const WireMessage& at) {
      if (at.field() != 1) return;
      info.is_tensor = true;
      each(at.bytes(), [&](const WireMessage& inner) {
        if (inner.field() == 1) info.type = static_cast<std::int32_t>(inner.number());
        if (inner.field() == 2) shape(inner.bytes(), info);
      });
    });
  }

  void shape(std::string_view bytes, OnnxInfo& info) {
    info.has_shape = true;
    each(bytes, [&](const WireMessage& at) {
      if (at.field() != 1) return;
      part();
      OnnxDimension& dim = info.dims.emplace_back();
      each(at.bytes(), [&](const WireMessage& inner) {
        if (inner.field() == 1) dim.size = inner.number();
        if (inner.field() == 2) dim.name = name(inner);
      });
    });
  }

  void function(std::string_view bytes, OnnxFunction& function) {
    each(bytes, [&](const WireMessage& at) {
      switch (at.field()) {
        case 1:
          function.name = name(at);
          break;
        case 4:
          function.inputs.push_back(name(at));
          break;
        case 5:
          function.outputs.push_back(name(at));
          break;
        case 7:
          part();
          node(at.bytes(), function.nodes.emplace_back());
          break;
        case 9:
          set(at.bytes(), function.sets);
          break;
        case 10:
          function.domain = onnx_domain(name(at));
          break;
        case 11:
          part();
          attribute(at.bytes(), function.defaults.emplace_back());
          break;
        case 13:
          function.overload = name(at);
          break;
        default:
          break;
      }
    });
  }

  const std::string& source_;
  std::int64_t parts_ = 0;
  int depth_ = 0;
};

}  // namespace

bool is_whole_type(std::int32_t type) noexcept {
  switch (type) {
    case kOnnxUint8:
    case kOnnxInt8:
    case kOnnxUint16:
    case kOnnxInt16:
    case kOnnxInt32:
    case kOnnxInt64:
    case kOnnxBool:
    case kOnnxUint32:
    case kOnnxUint64:
      return true;
    default:
      return false;
  }
}

OnnxFile parse_onnx_file(std::string_view bytes, const std::string& source) {
  return Parser(source).model(bytes);
}

std::string_view onnx_domain(std::string_view domain) noexcept {
  return domain == "ai.onnx" ? std::string_view() : domain;
}

std::string onnx_label(const OnnxNode& node) {
  if (!node.name.empty()) return std::string(node.name);
  return node.outputs.empty() ? "without a name" : std::string(node.outputs[0]);
}

}  // namespace taut::graph
