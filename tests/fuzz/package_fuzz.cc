// Packages of both tasks and of every method of tables, their sections changed and sealed again
// with right checksums; opened, and used where their network is not too large.
#include <algorithm>
#include <vector>

#include "fuzz/fuzz.h"
#include "infer/small_packages.h"
#include "taut/infer/engine.h"

namespace taut::fuzz {
namespace {

constexpr std::int64_t kLargestInput = 1 << 20;  // values that are made up for an engine
constexpr double kMostWork = 1e7;

// Valid packages.
const std::vector<Sections>& packages() {
  static const std::vector<Sections> kPackages = [] {
    namespace test_support = infer::test_support;
    std::vector<Sections> made;
    const std::string path = scratch("package");
    infer::write_package(path, test_support::image_model().model);
    made.push_back(test_support::read_sections(path));
    for (const std::string& method : embedding::methods()) {
      const auto tables = test_support::small_tables(method);
      if (tables->wants_counts()) tables->finish_counting();
      infer::write_package(path, test_support::click_model().model, tables.get());
      made.push_back(test_support::read_sections(path));
    }
    return made;
  }();
  return kPackages;
}

// Computes one example where that is not too large.
void use(const infer::Package& package) {
  const graph::Network& network = package.model().network;
  std::int64_t largest = network.input.size();
  double work = 0;
  for (const graph::Layer& layer : network.layers) {
    largest = std::max({largest, layer.in.size(), layer.out.size()});
    const auto kernel = static_cast<double>(layer.window.kernel);
    work += graph::multiply_adds(layer) + static_cast<double>(layer.out.size()) * kernel * kernel;
  }
  if (largest > kLargestInput || work > kMostWork) return;
  const infer::Engine engine(network, package.tables());
  const std::vector<float> values(static_cast<std::size_t>(network.input.size()), 0.5f);
  const std::vector<std::uint64_t> id = {1};
  const std::vector<embedding::JaggedIds> ids(network.tables.size(),
                                              {.ids = id, .offsets = {}, .weights = {}});
  std::vector<float> logits(static_cast<std::size_t>(engine.outputs()));
  ThreadPool pool(1);
  engine.predict({.batch = 1, .values = values, .ids = ids}, logits, pool);
}

void spoil(Sections& sections, Random& random) {
  const std::string name = random.pick(sections).first;
  std::string& bytes = sections[name];
  if (random.one_in(16)) {
    sections.erase(name);
  } else if (name == "network" || name == "metadata") {
    spoil_text(bytes, random);
  } else if (random.one_in(3)) {
    spoil_bytes(bytes, random);
  } else {
    spoil_numbers(bytes, random);
  }
}

}  // namespace

Target target() {
  return {.name = "package",
          .make =
              [](Random& random) {
                Sections sections = random.pick(packages());
                for (std::uint64_t n = random.below(4) + 1; n > 0 && !sections.empty(); --n) {
                  spoil(sections, random);
                }
                return join_sections(sections);
              },
          .read =
              [](std::string_view text) {
                Sections sections = split_sections(text);
                sections.erase("");
                const std::string path = scratch("package");
                infer::test_support::write_sections(path, sections);
                return is_refused([&] {
                  const infer::Package package(path);
                  use(package);
                });
              }};
}

}  // namespace taut::fuzz
