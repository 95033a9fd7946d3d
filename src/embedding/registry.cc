#include "registry.h"

#include <array>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::embedding {
namespace {

constexpr std::array kMethods = {
    Method{"full", make_full, open_full},
    Method{"hash", make_hash, open_hash},
    Method{"qr", make_qr, open_qr},
    Method{"md", make_md, open_popularity},
    Method{"frequency", make_frequency, open_popularity},
    Method{"row", make_row, open_elastic},
    Method{"cafe", make_cafe, open_elastic},
    Method{"fiited", make_fiited, open_fiited},
    Method{"elastic", make_elastic, open_elastic},
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
