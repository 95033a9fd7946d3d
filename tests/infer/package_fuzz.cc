// Throws broken packages, sealed with right checksums, at the reader and at the engine: only
// taut::Error may come out.
// Usage: package_fuzz [SECONDS [SEED]]. Changes sections of small valid packages. With
// TAUT_FUZZ_KEEP set, each input is left in package_fuzz.crash before it is read.
// LLVMFuzzerTestOneInput is also the entry of libFuzzer: byte 0 chooses the package, byte 1 the
// section, the rest takes its place.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

#include "infer/small_packages.h"
#include "taut/core/error.h"
#include "taut/core/random.h"
#include "taut/infer/engine.h"

namespace {

using taut::infer::test_support::Sections;

constexpr std::int64_t kLargestInput = 1 << 20;  // values that are made up for an engine

// In memory where there is such a place: packages are flushed to the disk when they are written.
std::string scratch_path() {
  const std::filesystem::path memory = "/dev/shm";
  const bool usable = ::access(memory.c_str(), W_OK) == 0;
  return ((usable ? memory : std::filesystem::temp_directory_path()) /
          ("taut_package_fuzz." + std::to_string(::getpid())))
      .string();
}

// Valid packages of both tasks.
const std::vector<Sections>& packages() {
  static const std::vector<Sections> kPackages = [] {
    namespace test_support = taut::infer::test_support;
    using taut::infer::write_package;
    std::vector<Sections> made;
    const std::string path = scratch_path();
    write_package(path, test_support::image_model().model);
    made.push_back(test_support::read_sections(path));
    const auto tables = test_support::small_tables("full");
    write_package(path, test_support::click_model().model, tables.get());
    made.push_back(test_support::read_sections(path));
    return made;
  }();
  return kPackages;
}

// Opens what the sections make up, and computes one example where that is not too large.
void read_package(const Sections& sections) {
  const std::string path = scratch_path();
  taut::infer::test_support::write_sections(path, sections);
  try {
    const taut::infer::Package package(path);
    const taut::graph::Network& network = package.model().network;
    std::int64_t largest = network.input.size();
    double work = 0;
    for (const taut::graph::Layer& layer : network.layers) {
      largest = std::max({largest, layer.in.size(), layer.out.size()});
      work += taut::graph::multiply_adds(layer) + static_cast<double>(layer.out.size()) *
                                                      static_cast<double>(layer.window.kernel) *
                                                      static_cast<double>(layer.window.kernel);
    }
    if (largest > kLargestInput || work > 1e7) return;
    const taut::infer::Engine engine(network, package.tables());
    const std::vector<float> values(static_cast<std::size_t>(network.input.size()), 0.5f);
    const std::vector<std::uint64_t> id = {1};
    const std::vector<taut::embedding::JaggedIds> ids(network.tables.size(),
                                                      {.ids = id, .offsets = {}, .weights = {}});
    std::vector<float> logits(static_cast<std::size_t>(engine.outputs()));
    taut::ThreadPool pool(1);
    engine.predict({.batch = 1, .values = values, .ids = ids}, logits, pool);
  } catch (const taut::Error& error) {
    if (error.kind() == taut::ErrorKind::kInternal) std::abort();
  }
}

}  // namespace

// The name is libFuzzer's.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  Sections sections = packages()[data[0] % packages().size()];
  const auto section = std::next(sections.begin(), data[1] % static_cast<int>(sections.size()));
  section->second.assign(reinterpret_cast<const char*>(data) + 2, size - 2);
  read_package(sections);
  return 0;
}

#if !defined(TAUT_LIBFUZZER)
namespace {

/// Changes sections: numbers and words of the texts, bytes and sizes of the arrays, which of them
/// there are.
class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  Sections mutate(Sections sections) {
    for (std::uint64_t n = below(4) + 1; n > 0 && !sections.empty(); --n) {
      const auto chosen =
          std::next(sections.begin(), static_cast<std::ptrdiff_t>(below(sections.size())));
      // Rows of tables are the embedding area's to check.
      if (chosen->first.starts_with("embedding/")) continue;
      const bool text = chosen->first == "network" || chosen->first == "metadata";
      if (below(16) == 0) {
        sections.erase(chosen);
      } else if (text && below(8) != 0) {
        change_number(chosen->second);
      } else {
        change_bytes(chosen->second);
      }
    }
    return sections;
  }
  std::uint64_t below(std::uint64_t n) { return random_.below(counter_++, n); }

 private:
  // Puts another number, or another word that is a value, in the place of one.
  void change_number(std::string& text) {
    static constexpr const char* kNumbers[] = {"0",
                                               "1",
                                               "2",
                                               "3",
                                               "-1",
                                               "7",
                                               "1048576",
                                               "17179869184",
                                               "4294967296",
                                               "1e308",
                                               "0.5",
                                               "-0.5",
                                               "null",
                                               "true",
                                               "[]",
                                               "{}",
                                               "9223372036854775807",
                                               "-9223372036854775808",
                                               "1e-40",
                                               "[0,1]",
                                               "\"conv\""};
    std::vector<std::size_t> places;
    for (std::size_t i = 1; i < text.size(); ++i) {
      const bool begins = text[i - 1] == ':' || text[i - 1] == ',' || text[i - 1] == '[';
      if (begins && text[i] != '{' && text[i] != '[') places.push_back(i);
    }
    if (places.empty()) return change_bytes(text);
    const std::size_t at = places[below(places.size())];
    const std::size_t end = std::min(text.find_first_of(",]}", at), text.size());
    text.replace(at, end - at, kNumbers[below(std::size(kNumbers))]);
  }

  void change_bytes(std::string& bytes) {
    if (bytes.empty()) {
      bytes.assign(below(64), '\0');
      return;
    }
    const std::size_t at = below(bytes.size());
    switch (below(5)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1:
        bytes[at] = static_cast<char>(below(256));
        break;
      case 2:
        bytes.insert(at, 1 + below(16), static_cast<char>(below(256)));
        break;
      case 3:
        bytes.erase(at, 1 + below(16));
        break;
      default:
        bytes.resize(at);
        break;
    }
  }

  taut::CounterRandom random_;
  std::uint64_t counter_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::strtod(argv[1], nullptr) : 5;
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  Mutator mutator(seed);
  const auto now = [] { return std::chrono::steady_clock::now(); };
  const auto end = now() + std::chrono::duration<double>(seconds);
  std::uint64_t inputs = 0;
  while (now() < end) {
    const Sections input = mutator.mutate(packages()[mutator.below(packages().size())]);
    if (std::getenv("TAUT_FUZZ_KEEP") != nullptr) {
      taut::infer::test_support::write_sections("package_fuzz.crash", input);
    }
    read_package(input);
    ++inputs;
  }
  std::filesystem::remove(scratch_path());
  std::printf("%llu inputs, seed %llu, no failure\n", static_cast<unsigned long long>(inputs),
              static_cast<unsigned long long>(seed));
  return 0;
}
#endif
