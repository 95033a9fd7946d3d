// Checkpoints and frozen forms of tables of every method, sealed again with right checksums: only
// kFormat errors may come out.
#include <vector>

#include "embedding/forged_sections.h"
#include "fuzz/fuzz.h"

namespace taut::fuzz {
namespace {

using embedding::Sealed;

const std::vector<Sealed>& collections() {
  static const std::vector<Sealed> kAll = [] {
    const std::list<Sealed> all = embedding::sealed_collections();
    return std::vector<Sealed>(all.begin(), all.end());
  }();
  return kAll;
}

constexpr const char* kWhich = " collection";  // an input's own section: which it was made from

void spoil(std::string& bytes, const Sections& sections, Random& random) {
  switch (random.below(8)) {
    case 0:
      return spoil_bytes(bytes, random);
    case 1:
      bytes = random.pick(sections).second;
      return;
    default:
      return spoil_numbers(bytes, random);
  }
}

}  // namespace

Target target() {
  return {.name = "tables",
          .make =
              [](Random& random) {
                const std::size_t which = random.below(collections().size());
                Sealed sealed = collections()[which];
                Sections sections(sealed.sections.contents().begin(),
                                  sealed.sections.contents().end());
                for (std::uint64_t n = random.below(4) + 1; n > 0; --n) {
                  // Short sections hold the numbers, so they are spoilt as often as long ones.
                  const std::string& name = random.pick(sections).first;
                  if (!name.ends_with("options")) spoil(sections[name], sections, random);
                }
                sections[kWhich] = std::to_string(which);
                return join_sections(sections);
              },
          .read =
              [](std::string_view text) {
                Sections sections = split_sections(text);
                const std::size_t which = std::strtoul(sections[kWhich].c_str(), nullptr, 10);
                sections.erase(kWhich);
                Sealed forged = collections()[which % collections().size()];
                forged.sections.contents().clear();
                forged.sections.contents().insert(sections.begin(), sections.end());
                return embedding::read_forged(forged).has_value();
              }};
}

}  // namespace taut::fuzz
