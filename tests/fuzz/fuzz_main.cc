// The main of all fuzz targets.
//   taut_X_fuzz [SECONDS [SEED [FIRST]]]   the kept inputs, then new ones from number FIRST on
//   taut_X_fuzz FILE...                    these inputs alone
// An input that fails is named by seed and number, with which it is made again, and written to
// X.crash where it can be: not for signals, unless TAUT_FUZZ_KEEP is set. One that takes more than
// 60 seconds is a signal too; one that takes more than 2 GiB fails, but under the thread sanitizer.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "fuzz/fuzz.h"
#include "taut/core/file.h"
#include "taut/core/log.h"

namespace {

namespace fs = std::filesystem;
using taut::fuzz::Target;

constexpr unsigned kMostSeconds = 60;  // of one input, under sanitizers on a busy machine

constexpr long kMostKibibytes = 2 << 20;

constexpr unsigned long long kFewestInputs = 50;

// Whether this process has ever held more than an input may take.
bool took_too_much() {
#if defined(__SANITIZE_THREAD__)
  return false;
#else
  rusage usage{};
  return ::getrusage(RUSAGE_SELF, &usage) == 0 && usage.ru_maxrss > kMostKibibytes;
#endif
}

struct Counts {
  unsigned long long inputs = 0;
  unsigned long long refused = 0;
};

// False, with a message, where an input fails.
bool read(const Target& target, const std::string& input, const std::string& name, Counts& counts) {
  const std::string crash = target.name + ".crash";
  if (std::getenv("TAUT_FUZZ_KEEP") != nullptr) taut::write_file(crash, input);
  ::alarm(kMostSeconds);
  try {
    counts.refused += target.read(input) ? 1 : 0;
    ++counts.inputs;
    ::alarm(0);
    if (took_too_much()) throw std::runtime_error("more than 2 GiB of memory");
    return true;
  } catch (const std::exception& error) {
    ::alarm(0);
    taut::write_file(crash, input);
    std::printf("%s, now in %s: %s\n", name.c_str(), crash.c_str(), error.what());
    return false;
  }
}

bool read_file(const Target& target, const std::string& path, Counts& counts) {
  std::printf("%s\n", path.c_str());
  std::fflush(stdout);
  return read(target, taut::read_file(path), path, counts);
}

std::vector<std::string> kept_inputs(const std::string& name) {
  std::vector<std::string> files;
  std::error_code none;
  const fs::path folder = fs::path(TAUT_SOURCE_DIR) / "tests/fuzz/corpus" / name;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

int fuzz(const Target& target, double seconds, unsigned long long seed, unsigned long long first) {
  Counts counts;
  for (const std::string& path : kept_inputs(target.name)) {
    if (!read_file(target, path, counts)) return 1;
  }
  const auto now = [] { return std::chrono::steady_clock::now(); };
  const auto end = now() + std::chrono::duration<double>(seconds);
  counts = {};
  // On a slow machine longer: so few inputs may well all be read, or all be refused.
  while (now() < end || counts.inputs < kFewestInputs) {
    const unsigned long long number = first + counts.inputs;
    taut::fuzz::Random random(seed, number);
    const std::string name = "input " + std::to_string(number) + " of seed " + std::to_string(seed);
    if (!read(target, target.make(random), name, counts)) return 1;
  }
  std::printf("%llu inputs from %llu on, %llu refused, seed %llu, no failure\n", counts.inputs,
              first, counts.refused, seed);
  // Were all refused, or none, the inputs would test nothing.
  return counts.refused > 0 && counts.refused < counts.inputs ? 0 : 1;
}

}  // namespace

#if defined(TAUT_LIBFUZZER)
// The name is libFuzzer's.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Target target = taut::fuzz::target();
  static_cast<void>(target.read({reinterpret_cast<const char*>(data), size}));
  return 0;
}
#else
int main(int argc, char** argv) {
  taut::set_log_level(taut::LogLevel::kSilent);
  const Target target = taut::fuzz::target();
  if (argc > 1 && fs::is_regular_file(argv[1])) {
    Counts counts;
    for (int i = 1; i < argc; ++i) {
      if (!read_file(target, argv[i], counts)) return 1;
    }
    return 0;
  }
  const auto number = [&](int at, unsigned long long initial) {
    return argc > at ? std::strtoull(argv[at], nullptr, 10) : initial;
  };
  return fuzz(target, argc > 1 ? std::strtod(argv[1], nullptr) : 5, number(2, 1), number(3, 0));
}
#endif
