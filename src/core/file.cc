#include "taut/core/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut {
namespace {

[[noreturn]] void throw_io(std::string_view action, const std::string& path, int code) {
  const ErrorKind kind = code == ENOENT ? ErrorKind::kNotFound : ErrorKind::kIo;
  const std::string_view mend = code == ENOSPC   ? "free some space and run again"
                                : code == ENOENT ? "check the path"
                                                 : "";
  throw Error(kind, concat("cannot ", action, ": ", std::strerror(code)), path, mend);
}

// Closes a descriptor when it goes out of scope.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

void sync_parent_directory(const std::string& path) {
  std::filesystem::path parent = std::filesystem::path(path).parent_path();
  if (parent.empty()) parent = ".";
  const Descriptor directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0 || ::fsync(directory.get()) != 0) {
    throw_io("flush the directory", parent.string(), errno);
  }
}

}  // namespace

struct AtomicFile::Impl {
  std::string path;
  std::string temporary;
  int fd = -1;
  std::uint64_t size = 0;

  ~Impl() {
    if (fd < 0) return;
    ::close(fd);
    ::unlink(temporary.c_str());
  }
};

AtomicFile::AtomicFile(std::string path) : impl_(std::make_unique<Impl>()) {
  impl_->path = std::move(path);
  impl_->temporary = concat(impl_->path, ".tmp.", ::getpid());
  impl_->fd = ::open(impl_->temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (impl_->fd < 0) throw_io("write the file", impl_->path, errno);
}

AtomicFile::~AtomicFile() = default;

void AtomicFile::write(const void* data, std::size_t size) {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(impl_->fd, next, size);
    if (written < 0) {
      if (errno == EINTR) continue;
      throw_io("write the file", impl_->path, errno);
    }
    next += written;
    size -= static_cast<std::size_t>(written);
    impl_->size += static_cast<std::uint64_t>(written);
  }
}

std::uint64_t AtomicFile::size() const noexcept {
  return impl_->size;
}

void AtomicFile::commit() {
  if (::fsync(impl_->fd) != 0) throw_io("flush the file", impl_->path, errno);
  if (::rename(impl_->temporary.c_str(), impl_->path.c_str()) != 0) {
    throw_io("rename the file into place", impl_->path, errno);
  }
  ::close(std::exchange(impl_->fd, -1));
  sync_parent_directory(impl_->path);
}

void write_file(const std::string& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

std::string read_file(const std::string& path) {
  const MappedFile file(path);
  const std::span<const std::byte> bytes = file.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void make_directories(const std::string& path) {
  std::error_code failed;
  std::filesystem::create_directories(path, failed);
  if (failed) throw_io("make the directory", path, failed.value());
}

MappedFile::MappedFile(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) throw_io("read the file", path, errno);
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) throw_io("read the file", path, errno);
  if (S_ISDIR(status.st_mode)) {
    throw Error(ErrorKind::kIo, "expected a file, found a directory", path, "name a file");
  }
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;
  void* data = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) throw_io("map the file", path, errno);
  data_ = static_cast<const std::byte*>(data);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

}  // namespace taut
