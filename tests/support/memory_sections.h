#pragma once
// Sections in memory: for tests that save and load often, without the disk.

#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "taut/core/aligned_buffer.h"
#include "taut/core/error.h"
#include "taut/core/file.h"

namespace taut::test {

/// What was written can be read; sections may be changed in between. Bytes lie on 64-byte
/// boundaries, as in a file.
class MemorySections final : public SectionSink, public SectionSource {
 public:
  MemorySections() = default;
  MemorySections(const MemorySections& other) : sections_(other.sections_) {}
  MemorySections& operator=(const MemorySections&) = delete;

  void begin(std::string_view name) override {
    open_ = &sections_[std::string(name)];
    open_->clear();
  }
  void append(const void* data, std::size_t size) override {
    open_->append(static_cast<const char*>(data), size);
  }
  [[nodiscard]] bool has(std::string_view name) const noexcept override {
    return sections_.find(name) != sections_.end();
  }
  [[nodiscard]] std::span<const std::byte> section(std::string_view name) const override {
    const auto found = sections_.find(name);
    if (found == sections_.end()) {
      throw Error(ErrorKind::kFormat, "section \"" + std::string(name) + "\" is missing", path_);
    }
    AlignedBuffer<std::byte>& aligned = aligned_[found->first];
    const std::string& bytes = found->second;
    if (aligned.size() != bytes.size()) aligned = AlignedBuffer<std::byte>(bytes.size());
    if (!bytes.empty()) std::memcpy(aligned.data(), bytes.data(), bytes.size());
    return aligned.span();
  }
  [[nodiscard]] const std::string& path() const noexcept override { return path_; }

  /// The sections by name, to be looked at and spoilt.
  [[nodiscard]] std::map<std::string, std::string, std::less<>>& contents() noexcept {
    return sections_;
  }

 private:
  std::string path_ = "memory";
  std::map<std::string, std::string, std::less<>> sections_;
  mutable std::map<std::string, AlignedBuffer<std::byte>, std::less<>> aligned_;
  std::string* open_ = nullptr;
};

}  // namespace taut::test
