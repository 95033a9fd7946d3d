#include "taut/core/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/descriptor.h"
#include "core/folder.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostStreamed = std::size_t{1} << 30;  // of a pipe or device
constexpr int kMostLinks = 40;
constexpr int kMostBeside = 1000;  // files of one name that one process writes at a time

void sync_directory(const std::string& folder) {
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0 || ::fsync(directory.get()) != 0) {
    throw_io("flush the directory", folder, errno);
  }
}

// The file that a path leads to through links, there or not. Nothing where that has no name, as
// what standard output is.
std::string end_of_links(const std::string& path) {
  fs::path place = path;
  for (int followed = 0; followed <= kMostLinks; ++followed) {
    struct stat status{};
    if (::lstat(place.c_str(), &status) != 0 || !S_ISLNK(status.st_mode)) return place.string();
    if (place.string().starts_with("/proc/")) return {};
    std::error_code failed;
    const fs::path next = fs::read_symlink(place, failed);
    if (failed) throw_io("follow the link", path, failed.value());
    place = next.is_absolute() ? next : place.parent_path() / next;
  }
  throw_io("follow the link", path, ELOOP);
}

}  // namespace

void throw_io(std::string_view action, const std::string& path, int code) {
  const ErrorKind kind = code == ENOENT ? ErrorKind::kNotFound : ErrorKind::kIo;
  const std::string_view mend = code == ENOSPC   ? "free some space and run again"
                                : code == ENOENT ? "check the path"
                                                 : "";
  throw Error(kind, concat("cannot ", action, ": ", std::strerror(code)), path, mend);
}

struct AtomicFile::Impl {
  std::string path;       // as it was given, for messages
  std::string target;     // what is replaced
  std::string temporary;  // beside it; "": written into as it is
  int fd = -1;
  std::uint64_t size = 0;

  ~Impl() {
    if (fd < 0) return;
    ::close(fd);
    if (!temporary.empty()) ::unlink(temporary.c_str());
  }

  // Whether there is something at the path that is no plain file.
  [[nodiscard]] bool is_special() const {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode)) return false;
    if (!S_ISDIR(status.st_mode)) return true;
    throw_io("write the file", path, EISDIR);
  }

  void open_special() {
    fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) throw_io("write the file", path, errno);
  }

  void open_beside() {
    const std::string folder = folder_of(target);
    remove_abandoned_files(folder, fs::path(target).filename().string());
    const std::string name = concat(target, kTemporaryMark, ::getpid());
    for (int number = 0; fd < 0; ++number) {
      temporary = number == 0 ? name : concat(name, "-", number);
      fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
      if (fd < 0 && (errno != EEXIST || number == kMostBeside)) {
        throw_io("write the file", path, errno);
      }
    }
    static_cast<void>(::flock(fd, LOCK_EX | LOCK_NB));  // says to others that it is in work
  }
};

AtomicFile::AtomicFile(std::string path) : impl_(std::make_unique<Impl>()) {
  impl_->path = std::move(path);
  if (!impl_->is_special()) impl_->target = end_of_links(impl_->path);
  if (impl_->target.empty()) {
    impl_->open_special();
  } else {
    impl_->open_beside();
  }
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
  if (impl_->temporary.empty()) {
    if (::close(std::exchange(impl_->fd, -1)) != 0) throw_io("write the file", impl_->path, errno);
    return;
  }
  const std::string folder = folder_of(impl_->target);
  if (::fsync(impl_->fd) != 0) throw_io("flush the file", impl_->path, errno);
  if (::rename(impl_->temporary.c_str(), impl_->target.c_str()) != 0) {
    throw_io("rename the file into place", impl_->path, errno);
  }
  ::close(std::exchange(impl_->fd, -1));
  sync_directory(folder);
}

void write_file(const std::string& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

std::string read_file(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status{};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) throw_io("read the file", path, errno);
  if (S_ISDIR(status.st_mode)) {
    throw Error(ErrorKind::kIo, "expected a file, found a directory", path, "name a file");
  }
  std::string text;
  if (S_ISREG(status.st_mode)) text.reserve(static_cast<std::size_t>(status.st_size));
  std::array<char, 1 << 16> part;
  for (;;) {
    const ssize_t got = ::read(file.get(), part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_io("read the file", path, errno);
    if (got == 0) return text;
    text.append(part.data(), static_cast<std::size_t>(got));
    if (!S_ISREG(status.st_mode) && text.size() > kMostStreamed) {
      throw Error(ErrorKind::kIo, "more than 1 GiB comes out of this pipe or device", path,
                  "name a file");
    }
  }
}

void make_directories(const std::string& path) {
  std::error_code failed;
  fs::create_directories(path, failed);
  if (failed) throw_io("make the directory", path, failed.value());
}

}  // namespace taut
