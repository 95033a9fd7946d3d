#include "taut/dist/environment.h"

#include <charconv>
#include <cstdlib>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::dist {
namespace {

constexpr int kMostWorkers = 1 << 16;
constexpr int kMostPort = 65535;
constexpr const char* kMend = "start workers by torchrun, which sets it";

const char* text_of(const char* name) {
  return std::getenv(name);
}

int number_of(const char* name, int low, int high) {
  const char* text = text_of(name);
  if (text == nullptr) {
    throw Error(ErrorKind::kConfig, concat("the variable ", name, " is not set"), "environment",
                kMend);
  }
  const std::string_view digits(text);
  int value = 0;
  const auto [end, failed] = std::from_chars(digits.begin(), digits.end(), value);
  if (failed == std::errc() && end == digits.end() && value >= low && value <= high) return value;
  throw Error(
      ErrorKind::kConfig,
      concat("the variable ", name, " must be in ", low, "..", high, ", got \"", digits, "\""),
      "environment", kMend);
}

int number_or(const char* name, int low, int high, int otherwise) {
  return text_of(name) == nullptr ? otherwise : number_of(name, low, high);
}

}  // namespace

std::optional<WorkerEnvironment> environment_of_torchrun() {
  if (text_of("RANK") == nullptr && text_of("WORLD_SIZE") == nullptr) return std::nullopt;
  WorkerEnvironment found;
  found.workers = number_of("WORLD_SIZE", 1, kMostWorkers);
  found.rank = number_of("RANK", 0, found.workers - 1);
  found.local_workers = number_or("LOCAL_WORLD_SIZE", 1, found.workers, 1);
  found.local_rank = number_or("LOCAL_RANK", 0, found.local_workers - 1, 0);
  found.restart = number_or("TORCHELASTIC_RESTART_COUNT", 0, 1 << 30, 0);
  found.port = number_of("MASTER_PORT", 1, kMostPort);
  const char* address = text_of("MASTER_ADDR");
  if (address == nullptr || *address == '\0') {
    throw Error(ErrorKind::kConfig, "the variable MASTER_ADDR is not set", "environment", kMend);
  }
  found.address = address;
  const char* agent = text_of("TORCHELASTIC_USE_AGENT_STORE");
  found.hosts = found.rank == 0 && (agent == nullptr || std::string_view(agent) != "True");
  return found;
}

}  // namespace taut::dist
