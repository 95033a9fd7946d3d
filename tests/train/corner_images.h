#pragma once
// Small sets of images that a network learns in a few steps.

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "taut/core/random.h"

namespace taut::train::testing {

inline void write_idx(const std::string& path, const std::vector<std::uint32_t>& shape,
                      const std::vector<std::uint8_t>& values) {
  std::ofstream file(path, std::ios::binary);
  const auto word = [&](std::uint32_t value) {
    for (const int shift : {24, 16, 8, 0}) file.put(static_cast<char>(value >> shift));
  };
  word(0x0800 + static_cast<std::uint32_t>(shape.size()));
  for (const std::uint32_t size : shape) word(size);
  file.write(reinterpret_cast<const char*>(values.data()),
             static_cast<std::streamsize>(values.size()));
}

// Images with a bright corner, which is the label, as NAME-images-idx3 and NAME-labels-idx1.
inline void write_corners(const std::string& name, std::uint32_t count, std::uint64_t seed,
                          std::uint32_t side) {
  const CounterRandom random(seed);
  std::vector<std::uint8_t> pixels;
  std::vector<std::uint8_t> labels;
  std::uint64_t counter = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto label = static_cast<std::uint8_t>(random.below(counter++, 4));
    labels.push_back(label);
    for (std::uint32_t p = 0; p < side * side; ++p) {
      const bool low = p / side < side / 2;
      const bool left = p % side < side / 2;
      const bool bright = low == (label < 2) && left == (label % 2 == 0);
      pixels.push_back(static_cast<std::uint8_t>(random.below(counter++, 100) + (bright ? 90 : 0)));
    }
  }
  write_idx(name + "-images-idx3", {count, side, side}, pixels);
  write_idx(name + "-labels-idx1", {count}, labels);
}

}  // namespace taut::train::testing
