// Throws broken ONNX models at the reader: only taut::Error may come out.
// Usage: onnx_fuzz [SECONDS [SEED]]. Mutates small valid models. With TAUT_FUZZ_KEEP set, each
// input is left in onnx_fuzz.crash before it is read. LLVMFuzzerTestOneInput is also the entry of
// libFuzzer.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "graph/onnx_builder.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/random.h"
#include "taut/graph/model_file.h"

// The name is libFuzzer's.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    (void)taut::graph::parse_onnx({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const taut::Error& error) {
    if (error.kind() == taut::ErrorKind::kInternal) std::abort();
  }
  return 0;
}

#if !defined(TAUT_LIBFUZZER)
namespace {

/// Changes a model in one to eight places.
class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  std::string mutate(std::string bytes) {
    for (std::uint64_t n = below(8) + 1; n > 0 && !bytes.empty(); --n) change(bytes);
    return bytes;
  }
  std::uint64_t below(std::uint64_t n) { return random_.below(counter_++, n); }

 private:
  void change(std::string& bytes) {
    const std::size_t at = below(bytes.size());
    switch (below(7)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1:
        bytes[at] = static_cast<char>(below(256));
        break;
      case 2:
        bytes.insert(at, 1 + below(8), static_cast<char>(below(256)));
        break;
      case 3:
        bytes.erase(at, 1 + below(16));
        break;
      case 4:  // a part again somewhere else
        bytes.insert(below(bytes.size()), bytes.substr(at, 1 + below(64)));
        break;
      case 5:  // the largest and smallest numbers of a varint
        bytes.replace(at, 1,
                      below(2) == 0 ? "\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
                                    : "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
        break;
      default:
        if (below(8) == 0) bytes.resize(at);
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
  const std::vector<std::string> models = {
      taut::graph::onnx_lenet_c().bytes(), taut::graph::onnx_residual().bytes(),
      taut::graph::onnx_winners().bytes(), taut::graph::onnx_attention().bytes()};
  Mutator mutator(seed);
  const auto now = [] { return std::chrono::steady_clock::now(); };
  const auto end = now() + std::chrono::duration<double>(seconds);
  std::uint64_t inputs = 0;
  while (now() < end) {
    const std::string input = mutator.mutate(models[mutator.below(models.size())]);
    if (std::getenv("TAUT_FUZZ_KEEP") != nullptr) taut::write_file("onnx_fuzz.crash", input);
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
    ++inputs;
  }
  std::printf("%llu inputs, seed %llu, no failure\n", static_cast<unsigned long long>(inputs),
              static_cast<unsigned long long>(seed));
  return 0;
}
#endif
