// Throws spoilt checkpoints and frozen forms, sealed again with right checksums, at every method:
// only kFormat errors may come out.
// Usage: taut_embedding_fuzz [SECONDS [SEED]].
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "embedding/forged_sections.h"
#include "taut/core/random.h"

namespace {

using taut::embedding::Sealed;

/// Spoils one to four places.
class Spoiler {
 public:
  explicit Spoiler(std::uint64_t seed) : random_(seed) {}

  std::uint64_t below(std::uint64_t n) { return random_.below(counter_++, n); }

  void spoil(Sealed& sealed) {
    auto& sections = sealed.sections.contents();
    for (std::uint64_t n = below(4) + 1; n > 0 && !sections.empty(); --n) {
      auto chosen = sections.begin();
      // Short sections hold the numbers, so they are spoilt as often as long ones.
      std::advance(chosen, static_cast<std::ptrdiff_t>(below(sections.size())));
      if (chosen->first.ends_with("options")) continue;
      change(chosen->second, sections);
    }
  }

 private:
  void change(std::string& bytes, std::map<std::string, std::string, std::less<>>& sections) {
    constexpr std::uint64_t kLarge[] = {0,
                                        1,
                                        2,
                                        3,
                                        7,
                                        0x7fffffff,
                                        0x80000000,
                                        std::uint64_t{1} << 55,
                                        std::uint64_t{1} << 58,
                                        UINT64_MAX,
                                        std::uint64_t{1} << 63,
                                        UINT64_MAX >> 1};
    const std::size_t at = bytes.empty() ? 0 : below(bytes.size());
    switch (below(7)) {
      case 0:
        if (!bytes.empty()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1:
        if (!bytes.empty()) bytes[at] = static_cast<char>(below(256));
        break;
      case 2:
        put(bytes, at / 8 * 8, kLarge[below(std::size(kLarge))], 8);
        break;
      case 3:
        put(bytes, at / 4 * 4, kLarge[below(std::size(kLarge))], 4);
        break;
      case 4:  // a number near the one that is there
        if (at / 8 * 8 + 8 <= bytes.size()) {
          std::uint64_t value = 0;
          std::memcpy(&value, bytes.data() + at / 8 * 8, 8);
          put(bytes, at / 8 * 8, value + below(5) - 2, 8);
        }
        break;
      case 5:
        bytes.resize(below(2) == 0 ? at : bytes.size() + below(100));
        break;
      default:
        bytes = std::next(sections.begin(), static_cast<std::ptrdiff_t>(below(sections.size())))
                    ->second;
        break;
    }
  }
  static void put(std::string& bytes, std::size_t at, std::uint64_t value, std::size_t size) {
    if (at + size <= bytes.size()) std::memcpy(bytes.data() + at, &value, size);
  }

  taut::CounterRandom random_;
  std::uint64_t counter_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::strtod(argv[1], nullptr) : 5;
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  const std::list<Sealed> all = taut::embedding::sealed_collections();
  Spoiler spoiler(seed);
  const auto now = [] { return std::chrono::steady_clock::now(); };
  const auto end = now() + std::chrono::duration<double>(seconds);
  unsigned long long inputs = 0;
  unsigned long long refused = 0;
  while (now() < end) {
    Sealed forged = *std::next(all.begin(), static_cast<std::ptrdiff_t>(spoiler.below(all.size())));
    spoiler.spoil(forged);
    try {
      refused += taut::embedding::read_forged(forged).has_value() ? 1 : 0;
    } catch (const std::exception& error) {
      std::printf("input %llu of seed %llu, %s%s: %s\n", inputs,
                  static_cast<unsigned long long>(seed), forged.options.method.c_str(),
                  forged.frozen ? ", frozen" : "", error.what());
      return 1;
    }
    ++inputs;
  }
  std::printf("%llu inputs, %llu refused, seed %llu, no failure\n", inputs, refused,
              static_cast<unsigned long long>(seed));
  return refused > 0 && refused < inputs ? 0 : 1;
}
