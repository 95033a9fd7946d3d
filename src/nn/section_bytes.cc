#include "nn/section_bytes.h"

#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "taut/core/error.h"
#include "taut/core/hash.h"
#include "taut/core/text.h"

namespace taut::nn {
namespace {

constexpr std::string_view kMagic = "tautrow1";
constexpr std::size_t kBoundary = 64;

// Numbers and names one after another, never behind the end.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  [[nodiscard]] bool done() const noexcept { return bytes_.empty(); }
  [[nodiscard]] bool number(std::uint64_t& value) {
    if (bytes_.size() < sizeof(value)) return false;
    std::memcpy(&value, bytes_.data(), sizeof(value));
    bytes_ = bytes_.subspan(sizeof(value));
    return true;
  }
  [[nodiscard]] bool text(std::string& value) {
    std::uint64_t size = 0;
    if (!number(size) || size > bytes_.size()) return false;
    value.assign(reinterpret_cast<const char*>(bytes_.data()), size);
    bytes_ = bytes_.subspan(size);
    return true;
  }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace

SectionBytesWriter::SectionBytesWriter() {
  put(kMagic.data(), kMagic.size());
}

void SectionBytesWriter::put(const void* data, std::size_t size) {
  const auto* first = static_cast<const std::byte*>(data);
  bytes_.insert(bytes_.end(), first, first + size);
}

void SectionBytesWriter::begin(std::string_view name) {
  bytes_.resize((bytes_.size() + kBoundary - 1) / kBoundary * kBoundary);
  sections_.push_back({std::string(name), bytes_.size(), 0});
}

void SectionBytesWriter::append(const void* data, std::size_t size) {
  TAUT_ASSERT(!sections_.empty());
  put(data, size);
  sections_.back().size += size;
}

at::Tensor SectionBytesWriter::finish() {
  const std::uint64_t list = bytes_.size();
  for (const Section& section : sections_) {
    put_number(section.name.size());
    put(section.name.data(), section.name.size());
    put_number(section.offset);
    put_number(section.size);
  }
  put_number(list);
  put_number(hash_bytes(bytes_.data(), bytes_.size()));
  auto held = std::make_shared<std::vector<std::byte>>(std::move(bytes_));
  return at::from_blob(
      held->data(), {static_cast<std::int64_t>(held->size())},
      [held](void*) mutable { held.reset(); }, at::kByte);
}

SectionBytesReader::SectionBytesReader(const at::Tensor& bytes) : owner_(bytes.contiguous()) {
  const auto fail = [this](std::string_view what) {
    throw Error(ErrorKind::kFormat, what, path_, "give what state_dict() of this version gave");
  };
  if (owner_.scalar_type() != at::kByte || owner_.dim() != 1) fail("not uint8 of 1 dimension");
  if (reinterpret_cast<std::uintptr_t>(owner_.const_data_ptr()) % kBoundary != 0) {
    owner_ = owner_.clone();
  }
  const std::span<const std::byte> all(static_cast<const std::byte*>(owner_.const_data_ptr()),
                                       static_cast<std::size_t>(owner_.numel()));
  constexpr std::size_t kEnd = 2 * sizeof(std::uint64_t);
  if (all.size() < kMagic.size() + kEnd ||
      std::memcmp(all.data(), kMagic.data(), kMagic.size()) != 0) {
    fail("not the state of a table, or that of another version");
  }
  std::uint64_t list = 0;
  std::uint64_t checksum = 0;
  std::memcpy(&list, all.data() + all.size() - kEnd, sizeof(list));
  std::memcpy(&checksum, all.data() + all.size() - sizeof(checksum), sizeof(checksum));
  if (checksum != hash_bytes(all.data(), all.size() - sizeof(checksum))) {
    fail("its checksum differs: it was changed or cut");
  }
  if (list > all.size() - kEnd) fail("its list of sections lies outside of it");
  Cursor cursor(all.subspan(list, all.size() - kEnd - list));
  while (!cursor.done()) {
    std::string name;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    const bool whole = cursor.text(name) && cursor.number(offset) && cursor.number(size);
    if (!whole || offset % kBoundary != 0 || offset > list || size > list - offset) {
      fail("its list of sections is damaged");
    }
    sections_.insert_or_assign(std::move(name), all.subspan(offset, size));
  }
}

bool SectionBytesReader::has(std::string_view name) const noexcept {
  return sections_.contains(name);
}

std::span<const std::byte> SectionBytesReader::section(std::string_view name) const {
  const auto found = sections_.find(name);
  if (found == sections_.end()) {
    throw Error(ErrorKind::kFormat, concat("no section \"", name, "\""), path_);
  }
  return found->second;
}

}  // namespace taut::nn
