#pragma once
// The one shape of fuzz targets: each says how an input is made and how it is read, fuzz_main.cc
// does the rest.

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "taut/core/error.h"
#include "taut/core/random.h"

namespace taut::fuzz {

/// The random numbers of one input.
class Random {
 public:
  Random(std::uint64_t seed, std::uint64_t input) : random_(CounterRandom(seed).with(input)) {}
  std::uint64_t below(std::uint64_t n) { return random_.below(counter_++, n); }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  template <typename Range>
  const auto& pick(const Range& range) {
    return *std::next(std::begin(range), static_cast<std::ptrdiff_t>(below(std::size(range))));
  }

 private:
  CounterRandom random_;
  std::uint64_t counter_ = 0;
};

/// What is fuzzed.
struct Target {
  /// Its inputs that failed once lie in tests/fuzz/corpus/NAME.
  std::string name;
  /// A new input: something valid, spoilt where its structure says, and sealed again.
  std::function<std::string(Random&)> make;
  /// Reads it and works with it; whether it was refused by a typed error. Throws for all else.
  std::function<bool(std::string_view)> read;
};

/// The target of a program.
[[nodiscard]] Target target();

/// Whether a call ends with a typed error of the user's; kInternal and others pass through.
template <typename Call>
[[nodiscard]] bool is_refused(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kInternal) throw;
    return true;
  }
  return false;
}

/// Flips, sets, inserts, repeats or removes a few bytes.
void spoil_bytes(std::string& bytes, Random& random);
/// Puts a number that is large, small or near in place of 4 or 8 aligned bytes.
void spoil_numbers(std::string& bytes, Random& random);
/// Puts another number, word or a deep nest in place of a value of JSON or TOML text.
void spoil_text(std::string& text, Random& random);

/// Named sections as one text, so that an input can be kept, and back. What is no such text gives
/// what could be read of it.
using Sections = std::map<std::string, std::string>;
[[nodiscard]] std::string join_sections(const Sections& sections);
[[nodiscard]] Sections split_sections(std::string_view text);

/// A path of this process for what targets must write to the disk, in memory where there is such a
/// place; a folder that is removed at the end.
[[nodiscard]] std::string scratch(const std::string& name);

}  // namespace taut::fuzz
