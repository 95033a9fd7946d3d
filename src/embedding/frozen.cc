// Opening the read-only form: the file says which method wrote it.
#include <string>

#include "registry.h"
#include "taut/core/error.h"

namespace taut::embedding {

std::unique_ptr<FrozenEmbedding> open_frozen(const SectionSource& file, const std::string& prefix) {
  const std::string name(file.text(prefix + "method"));
  return find_method(name, ErrorKind::kFormat, file.path()).open_frozen(file, prefix);
}

}  // namespace taut::embedding
