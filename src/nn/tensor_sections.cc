#include "nn/tensor_sections.h"

#include <cstring>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::nn {
namespace {

using Json = nlohmann::json;
using torch::Tensor;

constexpr const char* kIndex = "tensors";

}  // namespace

TensorWriter::TensorWriter(SectionSink& file, std::string prefix)
    : file_(file), prefix_(std::move(prefix)) {}

void TensorWriter::add(const std::string& name, const Tensor& tensor) {
  const Tensor plain = tensor.detach().to(torch::kFloat32).contiguous();
  file_.add(prefix_ + name, std::as_bytes(std::span(plain.const_data_ptr<float>(),
                                                    static_cast<std::size_t>(plain.numel()))));
  shapes_[name] = plain.sizes().vec();
}

void TensorWriter::finish() {
  file_.add(prefix_ + kIndex, Json{{"shapes", shapes_}, {"facts", facts_}}.dump());
}

TensorReader::TensorReader(const SectionSource& file, std::string prefix)
    : file_(file), prefix_(std::move(prefix)) {
  const Json index = parse_json_section(file, prefix_ + kIndex);
  const std::string where = section_of(file, prefix_ + kIndex);
  shapes_ = json_at(index, "shapes", where);
  facts_ = json_at(index, "facts", where);
  if (!shapes_.is_object() || !facts_.is_object()) throw_wrong(kIndex, "not two objects");
}

bool TensorReader::has(const std::string& name) const {
  return shapes_.contains(name);
}

Tensor TensorReader::read(const std::string& name, at::IntArrayRef shape) const {
  std::vector<std::int64_t> stored;
  try {
    stored = shapes_.at(name).get<std::vector<std::int64_t>>();
  } catch (const Json::exception& failed) {
    throw_wrong(name, concat("has no shape: ", failed.what()));
  }
  if (!shape.equals(stored)) {
    throw_wrong(name, concat("shape differs: wanted ", shape, ", got ", at::IntArrayRef(stored)));
  }
  const std::span<const std::byte> bytes = file_.section(prefix_ + name);
  Tensor tensor = torch::empty(shape);
  if (bytes.size() != tensor.nbytes()) {
    throw_wrong(name, concat("wanted ", tensor.nbytes(), " bytes, got ", bytes.size()));
  }
  if (!bytes.empty()) std::memcpy(tensor.mutable_data_ptr<float>(), bytes.data(), bytes.size());
  return tensor;
}

Tensor TensorReader::read_like(const std::string& name, const Tensor& like) const {
  const torch::NoGradGuard no_grad;
  return torch::empty_like(like.detach()).copy_(read(name, like.sizes()));
}

void TensorReader::throw_wrong(std::string_view name, std::string_view what) const {
  throw Error(ErrorKind::kFormat, concat("\"", prefix_, name, "\" does not fit: ", what),
              file_.path(), "use the config that it was made with");
}

}  // namespace taut::nn
