#include "registry.h"

#include <array>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::embedding {
namespace {

constexpr std::array kMethods = {
    Method{"full", nullptr, make_full_part, open_full},
    Method{"hash", nullptr, make_hash_part, open_hash},
    Method{"qr", make_qr, nullptr, open_qr},
    Method{"md", make_md, nullptr, open_popularity},
    Method{"frequency", make_frequency, nullptr, open_popularity},
    Method{"row", nullptr, make_row_part, open_elastic},
    Method{"cafe", nullptr, make_cafe_part, open_elastic},
    Method{"fiited", make_fiited, nullptr, open_fiited},
    Method{"elastic", nullptr, make_elastic_part, open_elastic},
};

}  // namespace

std::span<const Method> method_list() noexcept {
  return kMethods;
}

const Method& find_method(const std::string& name, ErrorKind kind, const std::string& where) {
  for (const Method& method : kMethods) {
    if (method.name == name) return method;
  }
  throw Error(kind, concat("unknown method \"", name, "\""), where, suggest(name, methods()));
}

std::vector<std::string> methods() {
  std::vector<std::string> names;
  for (const Method& method : kMethods) names.emplace_back(method.name);
  return names;
}

}  // namespace taut::embedding
