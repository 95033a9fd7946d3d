#pragma once
// Descriptors of the system, and its errors as ours.

#include <unistd.h>

#include <string>
#include <string_view>

namespace taut {

/// Closes a descriptor when it goes out of scope.
class Descriptor {
 public:
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

/// Throws kNotFound for ENOENT, else kIo: "cannot ACTION: what code says", naming the path.
[[noreturn]] void throw_io(std::string_view action, const std::string& path, int code);

}  // namespace taut
