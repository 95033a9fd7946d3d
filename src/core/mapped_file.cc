// Mappings of files, and which of them an address lies in.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>

#include "core/descriptor.h"
#include "taut/core/error.h"
#include "taut/core/file.h"

namespace taut {
namespace {

// Written under a lock, read by signal handlers: begin is set last and cleared first.
struct Mapping {
  std::atomic<const std::byte*> begin{nullptr};
  std::atomic<std::size_t> size{0};
  std::atomic<char*> path{nullptr};
};
static_assert(std::atomic<std::size_t>::is_always_lock_free);

std::array<Mapping, 256> mappings;
std::mutex mappings_lock;

// Best effort: without room or memory the mapping has no name.
void remember(const std::byte* begin, std::size_t size, const std::string& path) noexcept {
  const std::lock_guard lock(mappings_lock);
  for (Mapping& one : mappings) {
    if (one.begin.load() != nullptr) continue;
    one.path.store(::strdup(path.c_str()));
    one.size.store(size);
    one.begin.store(begin);
    return;
  }
}

void forget(const std::byte* begin) noexcept {
  const std::lock_guard lock(mappings_lock);
  for (Mapping& one : mappings) {
    if (one.begin.load() != begin) continue;
    one.begin.store(nullptr);
    std::free(one.path.exchange(nullptr));
    return;
  }
}

}  // namespace

const char* mapped_path(const void* address) noexcept {
  const auto* byte = static_cast<const std::byte*>(address);
  for (const Mapping& one : mappings) {
    const std::byte* begin = one.begin.load();
    if (begin != nullptr && byte >= begin && byte < begin + one.size.load()) return one.path.load();
  }
  return nullptr;
}

MappedFile::MappedFile(const std::string& path) {
  // Of a pipe that nobody writes, opening would not end.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) throw_io("read the file", path, errno);
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) throw_io("read the file", path, errno);
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorKind::kIo,
                S_ISDIR(status.st_mode) ? "expected a file, found a directory"
                                        : "expected a file, found a pipe or device",
                path, "name a file");
  }
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;
  void* data = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) throw_io("map the file", path, errno);
  data_ = static_cast<const std::byte*>(data);
  remember(data_, size_, path);
}

MappedFile::MappedFile(std::span<const std::byte> copied) : size_(copied.size()) {
  if (size_ == 0) return;
  void* data = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  std::memcpy(data, copied.data(), size_);
  ::mprotect(data, size_, PROT_READ);  // best effort: what is written by mistake then fails
  data_ = static_cast<const std::byte*>(data);
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  forget(data_);
  ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

}  // namespace taut
