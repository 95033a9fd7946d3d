#include "graph/onnx_shapes.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <onnx/shape_inference/implementation.h>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <string_view>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::graph {
namespace {

constexpr char kShapes = 's';   // first byte of the child's answer: a graph of shapes follows
constexpr char kMessage = 'm';  // the library's complaint follows
constexpr rlim_t kMostSeconds = 60;

bool write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

std::string read_all(int file) {
  std::string bytes;
  std::array<char, 65536> part;
  while (true) {
    const ssize_t got = ::read(file, part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return bytes;
    bytes.append(part.data(), static_cast<std::size_t>(got));
  }
}

std::string answer(onnx::ModelProto& model) {
  try {
    onnx::shape_inference::InferShapes(model, onnx::OpSchemaRegistry::Instance(),
                                       onnx::ShapeInferenceOptions(false, 0, true));
  } catch (const std::exception& error) {
    return kMessage + std::string(error.what());
  }
  onnx::GraphProto shapes;
  shapes.mutable_value_info()->Swap(model.mutable_graph()->mutable_value_info());
  shapes.mutable_output()->Swap(model.mutable_graph()->mutable_output());
  return kShapes + shapes.SerializeAsString();
}

/// The child: signals kill it silently, whatever the parent would do with them.
[[noreturn]] void run_child(onnx::ModelProto& model, int file) {
  for (const int fatal : {SIGSEGV, SIGFPE, SIGABRT, SIGBUS, SIGILL, SIGXCPU}) {
    std::signal(fatal, SIG_DFL);
  }
  const rlimit seconds{kMostSeconds, kMostSeconds};
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CPU, &seconds);
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::_exit(write_all(file, answer(model)) ? 0 : 1);
}

}  // namespace

void infer_onnx_shapes(onnx::ModelProto& model, const std::string& source) {
  std::array<int, 2> pipe{};
  if (::pipe(pipe.data()) != 0) {
    throw Error(ErrorKind::kIo, concat("no pipe: ", std::strerror(errno)), source);
  }
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(pipe[0]);
    run_child(model, pipe[1]);
  }
  const int fork_error = errno;
  ::close(pipe[1]);
  if (child < 0) {
    ::close(pipe[0]);
    throw Error(ErrorKind::kIo, concat("no child process: ", std::strerror(fork_error)), source);
  }
  const std::string bytes = read_all(pipe[0]);
  ::close(pipe[0]);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status) || bytes.empty()) {
    throw Error(ErrorKind::kFormat,
                concat("the onnx library fails on this model",
                       WIFSIGNALED(status) ? concat(" (signal ", WTERMSIG(status), ")") : ""),
                source, "check it with onnx.checker");
  }
  if (bytes[0] == kMessage) {
    throw Error(ErrorKind::kFormat,
                "shapes do not agree: " + bytes.substr(1, bytes.find('\n', 1) - 1), source);
  }
  onnx::GraphProto shapes;
  if (!shapes.ParseFromArray(bytes.data() + 1, static_cast<int>(bytes.size() - 1))) {
    throw Error(ErrorKind::kFormat, "the onnx library gave no shapes", source);
  }
  model.mutable_graph()->mutable_value_info()->Swap(shapes.mutable_value_info());
  model.mutable_graph()->mutable_output()->Swap(shapes.mutable_output());
}

}  // namespace taut::graph
