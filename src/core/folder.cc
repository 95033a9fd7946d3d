#include "core/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "core/descriptor.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/snapshot.h"
#include "taut/core/text.h"

namespace taut {
namespace {

constexpr std::string_view kPlainMark = ".tmp.";

// The process that wrote NAME.tmp.PID or NAME.tmp.PID-N, or nothing for another name.
std::optional<pid_t> writer_of(const std::string& name) {
  const std::size_t at = name.rfind(kPlainMark);
  if (at == std::string::npos) return std::nullopt;
  pid_t pid = 0;
  const char* end = name.data() + name.size();
  auto parsed = std::from_chars(name.data() + at + kPlainMark.size(), end, pid);
  if (parsed.ec != std::errc{} || pid <= 0) return std::nullopt;
  if (parsed.ptr != end && *parsed.ptr == '-') {
    unsigned number = 0;
    parsed = std::from_chars(parsed.ptr + 1, end, number);
    if (parsed.ec != std::errc{}) return std::nullopt;
  }
  if (parsed.ptr != end) return std::nullopt;
  return pid;
}

// Whether nobody writes the file any more: its process is gone, or has another file under that
// number, and no lock is held.
bool is_abandoned(const std::string& path, pid_t writer) {
  if (writer != ::getpid() && (::kill(writer, 0) == 0 || errno == EPERM)) return false;
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (file.get() < 0) return errno == EACCES;
  struct stat status{};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return false;
  return ::flock(file.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

void remove_abandoned(const std::string& folder,
                      const std::function<bool(const std::string&)>& ours) {
  for (const std::string& name : names_in(folder)) {
    const std::optional<pid_t> writer = writer_of(name);
    if (!writer || !ours(name)) continue;
    const std::string path = concat(folder, "/", name);
    if (is_abandoned(path, *writer)) ::unlink(path.c_str());
  }
}

}  // namespace

std::string folder_of(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

std::vector<std::string> names_in(const std::string& folder) {
  struct Close {
    void operator()(DIR* open) const { ::closedir(open); }
  };
  std::vector<std::string> names;
  const std::unique_ptr<DIR, Close> open(::opendir(folder.c_str()));
  if (open == nullptr) return names;
  while (const dirent* entry = ::readdir(open.get())) names.emplace_back(entry->d_name);
  return names;
}

void remove_abandoned_files(const std::string& folder) {
  remove_abandoned(folder, [](const std::string&) { return true; });
}

void remove_abandoned_files(const std::string& folder, const std::string& name) {
  remove_abandoned(folder, [&](const std::string& found) {
    return found.find(kTemporaryMark) != std::string::npos ||
           (found.starts_with(name) &&
            std::string_view(found).substr(name.size()).starts_with(kPlainMark));
  });
}

FolderLock::FolderLock(const std::string& folder)
    : fd_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (fd_ < 0) throw_io("open the folder", folder, errno);
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  ::close(fd_);
  throw Error(ErrorKind::kIo, "another process is at work in the folder", folder,
              "wait for its end, or choose another folder");
}

FolderLock::~FolderLock() {
  if (fd_ >= 0) ::close(fd_);
}

FolderLock::FolderLock(FolderLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

}  // namespace taut
