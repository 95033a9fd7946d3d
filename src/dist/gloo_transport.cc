// Gloo by PyTorch's c10d. The only source that sees their headers: c10d's face of Gloo needs Gloo's
// own headers, which come from the system, while its code comes with LibTorch.
#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <c10/util/Logging.h>

#include <csignal>
#include <cstdlib>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "dist/transport.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::dist {
namespace {

using Milliseconds = std::chrono::milliseconds;
using StorePointer = c10::intrusive_ptr<c10d::Store>;

StorePointer open_store(const WorkerEnvironment& environment, Milliseconds timeout) {
  if (environment.address.empty()) {
    auto store = c10::make_intrusive<c10d::FileStore>(environment.file, environment.workers);
    store->setTimeout(timeout);
    return store;
  }
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(environment.port);
  options.isServer = environment.hosts;
  options.waitWorkers = false;
  options.timeout = timeout;
  return c10::make_intrusive<c10d::TCPStore>(environment.address, options);
}

// Workers of one machine talk over its loopback, unless the user names another interface.
c10::intrusive_ptr<c10d::ProcessGroupGloo::Options> gloo_options(bool one_machine,
                                                                 Milliseconds timeout) {
  if (!one_machine || std::getenv("GLOO_SOCKET_IFNAME") != nullptr) {
    return c10d::ProcessGroupGloo::Options::create_default(timeout);
  }
  auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
  return options;
}

// LibTorch writes what failed to stderr before it throws it: one line of ours says it, unless the
// user asks for LibTorch's too.
void silence_library() {
  constexpr int kFatal = 3;
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = kFatal;
}

// Gloo writes to the sockets of workers that may be gone: that is an error of the operation, and by
// default the death of the process. What the process has chosen for the signal itself stays.
void survive_closed_sockets() {
  struct sigaction chosen{};
  const bool is_default = ::sigaction(SIGPIPE, nullptr, &chosen) == 0 &&
                          (chosen.sa_flags & SA_SIGINFO) == 0 && chosen.sa_handler == SIG_DFL;
  if (is_default) std::signal(SIGPIPE, SIG_IGN);
}

at::Tensor tensor_over(const std::byte* bytes, std::size_t size) {
  return at::from_blob(const_cast<std::byte*>(bytes), {static_cast<std::int64_t>(size)},
                       at::TensorOptions().dtype(at::kByte));
}

class GlooTransport final : public Transport {
 public:
  GlooTransport(StorePointer board, bool one_machine, Milliseconds timeout)
      : board_(std::move(board)), one_machine_(one_machine), timeout_(timeout) {}

  void all_to_all(std::span<const std::byte> send, std::span<const std::int64_t> send_bytes,
                  std::span<std::byte> receive,
                  std::span<const std::int64_t> receive_bytes) override {
    TAUT_ASSERT(group_ != nullptr);
    at::Tensor to = tensor_over(receive.data(), receive.size());
    at::Tensor from = tensor_over(send.data(), send.size());
    std::vector<std::int64_t> to_sizes(receive_bytes.begin(), receive_bytes.end());
    std::vector<std::int64_t> from_sizes(send_bytes.begin(), send_bytes.end());
    group_->alltoall_base(to, from, to_sizes, from_sizes)->wait();
  }

  [[nodiscard]] std::unique_ptr<Transport> subgroup(const std::string& name, int rank,
                                                    int size) const override {
    auto made = std::make_unique<GlooTransport>(board_, one_machine_, timeout_);
    made->group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(
        c10::make_intrusive<c10d::PrefixStore>(name, board_), rank, size,
        gloo_options(one_machine_, timeout_));
    return made;
  }

  void post(const std::string& note) override { board_->set(note, std::string("1")); }
  [[nodiscard]] bool posted(const std::string& note) const override {
    return board_->check({note});
  }
  [[nodiscard]] std::int64_t count_up(const std::string& counter) override {
    return board_->add(counter, 1);
  }

 private:
  StorePointer board_;
  bool one_machine_;
  Milliseconds timeout_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};

}  // namespace

std::unique_ptr<Transport> open_board(const WorkerEnvironment& environment, Milliseconds timeout) {
  silence_library();
  survive_closed_sockets();
  const std::string prefix = concat("taut/attempt-", environment.restart);
  return std::make_unique<GlooTransport>(
      c10::make_intrusive<c10d::PrefixStore>(prefix, open_store(environment, timeout)),
      environment.local_workers == environment.workers, timeout);
}

}  // namespace taut::dist
