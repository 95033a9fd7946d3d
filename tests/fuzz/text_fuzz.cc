// TOML of models and clusters: values, keys and nests changed.
#include <array>

#include "fuzz/fuzz.h"
#include "taut/core/file.h"
#include "taut/graph/model_file.h"
#include "taut/parallel/cluster.h"

namespace taut::fuzz {
namespace {

const std::array<std::string, 2>& texts() {
  static const std::array<std::string, 2> kTexts = {
      read_file(TAUT_SOURCE_DIR "/examples/model.toml"),
      read_file(TAUT_SOURCE_DIR "/examples/cluster.toml")};
  return kTexts;
}

// Deep and dotted keys, unfinished strings and the like.
constexpr std::array<std::string_view, 12> kPieces = {
    "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a = 1\n",
    "[b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b]\n",
    "[[layer]]\n",
    "name = \"x\"\n",
    "x = {a={a={a={a={a={a={a={a={a={a={a={a={a={a={a={a={a={a=1}}}}}}}}}}}}}}}}}}\n",
    "\"",
    "'''",
    "\"\"\"",
    "from = [\"conv1\", \"conv1\"]\n",
    "a = 1979-05-27T07:32:00Z\n",
    "[level]\n",
    "# \xff\n"};

}  // namespace

Target target() {
  return {.name = "text",
          .make =
              [](Random& random) {
                std::string text = random.pick(texts());
                for (std::uint64_t n = 1 + random.below(4); n > 0; --n) {
                  if (random.one_in(4)) {
                    std::size_t at = text.find('\n', random.below(text.size()));
                    at = at == std::string::npos ? text.size() : at + 1;
                    std::string piece(random.pick(kPieces));
                    for (std::uint64_t twice = random.below(9); twice > 0; --twice) piece += piece;
                    text.insert(at, piece);
                  } else {
                    spoil_text(text, random);
                  }
                }
                return text;
              },
          .read =
              [](std::string_view text) {
                const bool model =
                    is_refused([&] { (void)graph::parse_model_toml(text, "fuzz.toml"); });
                const bool cluster =
                    is_refused([&] { (void)parallel::parse_cluster_toml(text, "fuzz.toml", {}); });
                return model && cluster;
              }};
}

}  // namespace taut::fuzz
