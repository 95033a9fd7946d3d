#pragma once
// Files that cannot grow beyond a size, as on a disk that is full.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdint>
#include <functional>
#include <string>
#include <system_error>

#include "support/error_matchers.h"
#include "taut/core/error.h"

namespace taut::test {

/// While it lives, a write beyond this many bytes of any file is cut short, and the next one fails
/// (EFBIG). Of the whole process: print nothing meanwhile.
class FullDisk {
 public:
  explicit FullDisk(std::uint64_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    if (::getrlimit(RLIMIT_FSIZE, &before_) != 0) fail();
    rlimit now = before_;
    now.rlim_cur = bytes;
    if (::setrlimit(RLIMIT_FSIZE, &now) != 0) fail();
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  [[noreturn]] static void fail() {
    throw std::system_error(errno, std::generic_category(), "RLIMIT_FSIZE");
  }

  void (*handler_)(int);
  rlimit before_{};
};

/// Calls write with disks that are full after 0, 1, ... bytes, growing by about `factor` a step,
/// until one holds it: every failure must be a kIo error that names the path, and leave what check
/// looks at. check: called after every try, with whether the write came to its end; before it the
/// disk has room again. Returns how many tries failed.
inline int fill_disk(const std::string& path, double factor, const std::function<void()>& write,
                     const std::function<void(bool ended)>& check) {
  int failed = 0;
  for (std::uint64_t bytes = 0; bytes < (std::uint64_t{1} << 32);
       bytes += 1 + static_cast<std::uint64_t>(static_cast<double>(bytes) * (factor - 1))) {
    SCOPED_TRACE("a disk of " + std::to_string(bytes) + " bytes");
    Error error(ErrorKind::kInternal, "none");
    bool ended = false;
    {
      const FullDisk full(bytes);
      try {
        write();
        ended = true;
      } catch (const Error& thrown) {
        error = thrown;
      }
    }
    if (!ended) {
      ++failed;
      EXPECT_THAT(error, IsError(ErrorKind::kIo, path));
    }
    check(ended);
    if (ended || testing::Test::HasFailure()) return failed;
  }
  ADD_FAILURE() << "never written";
  return failed;
}

}  // namespace taut::test
