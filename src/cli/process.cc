#include "cli/process.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iostream>

#include "taut/core/file.h"

namespace taut::cli {
namespace {

// A closed descriptor of the first three becomes /dev/null, in the mode that its use then fails or
// is harmless: reading what may only be written, writing what may only be read, and messages.
void open_if_closed(int fd, int mode) {
  if (::fcntl(fd, F_GETFD) != -1 || errno != EBADF) return;
  static_cast<void>(::open("/dev/null", mode));  // gets the lowest free number, which is fd
}

void write_error(const char* text) noexcept {
  static_cast<void>(!::write(STDERR_FILENO, text, std::strlen(text)));
}

// Only what signal handlers may call.
void on_bus_error(int, siginfo_t* signal, void*) {
  const char* path = mapped_path(signal->si_addr);
  write_error("error: a file was cut short while it was read, ");
  write_error(path == nullptr ? "one of the inputs" : path);
  write_error(", restore it and run again\n");
  ::_exit(1);
}

}  // namespace

void prepare_process() {
  open_if_closed(STDIN_FILENO, O_WRONLY);
  open_if_closed(STDOUT_FILENO, O_RDONLY);
  open_if_closed(STDERR_FILENO, O_WRONLY);
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  struct sigaction action{};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &action, nullptr);
}

std::optional<std::string> flush_output() {
  std::cout.flush();
  const bool flushed = std::fflush(stdout) == 0;
  const int code = errno;
  if (!flushed) return std::strerror(code);
  if (std::ferror(stdout) != 0 || !std::cout) return "a write to it failed";
  return std::nullopt;
}

}  // namespace taut::cli
