#pragma once
// Named sections as one run of bytes in memory, for state that travels inside tensors.

#include <ATen/ATen.h>

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "taut/core/file.h"

namespace taut::nn {

/// Collects sections. Layout, all numbers little-endian uint64: a magic of 8 bytes; the sections,
/// each on a boundary of 64 bytes; for each section the length of its name, the name, offset and
/// size; the offset of that list; XXH3 of all that lies before. Not for sharing between threads.
class SectionBytesWriter final : public SectionSink {
 public:
  SectionBytesWriter();
  void begin(std::string_view name) override;
  void append(const void* data, std::size_t size) override;
  /// All of it, uint8 [n]; nothing may be added afterwards.
  [[nodiscard]] at::Tensor finish();

 private:
  void put(const void* data, std::size_t size);
  void put_number(std::uint64_t number) { put(&number, sizeof(number)); }

  struct Section {
    std::string name;
    std::uint64_t offset;
    std::uint64_t size;
  };
  std::vector<std::byte> bytes_;
  std::vector<Section> sections_;
};

/// Reads what a SectionBytesWriter gave, from the tensor's own memory. Errors: kFormat saying what
/// differs (not such bytes, cut short, changed).
class SectionBytesReader final : public SectionSource {
 public:
  explicit SectionBytesReader(const at::Tensor& bytes);
  [[nodiscard]] bool has(std::string_view name) const noexcept override;
  [[nodiscard]] std::span<const std::byte> section(std::string_view name) const override;
  [[nodiscard]] const std::string& path() const noexcept override { return path_; }

 private:
  at::Tensor owner_;
  std::string path_ = "the state of a table";
  std::map<std::string, std::span<const std::byte>, std::less<>> sections_;
};

}  // namespace taut::nn
