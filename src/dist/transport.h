#pragma once
// What a process group needs of the library underneath: one collective and a board of notes.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "taut/dist/environment.h"

namespace taut::dist {

/// Bytes between the workers of a group, and a board that all workers of the run read and write.
/// Threads: one call at a time. Errors: exceptions of the library underneath.
class Transport {
 public:
  virtual ~Transport() = default;

  /// As ProcessGroup::all_to_all, of sizes that were checked; waits at most the group's timeout.
  virtual void all_to_all(std::span<const std::byte> send, std::span<const std::int64_t> send_bytes,
                          std::span<std::byte> receive,
                          std::span<const std::int64_t> receive_bytes) = 0;
  /// A group of so many workers that meet by name.
  [[nodiscard]] virtual std::unique_ptr<Transport> subgroup(const std::string& name, int rank,
                                                            int size) const = 0;

  virtual void post(const std::string& note) = 0;
  [[nodiscard]] virtual bool posted(const std::string& note) const = 0;
  /// One more than the last caller got, the first gets 1.
  [[nodiscard]] virtual std::int64_t count_up(const std::string& counter) = 0;

 protected:
  Transport() = default;
  Transport(const Transport&) = default;
  Transport& operator=(const Transport&) = default;
};

/// The board of a run alone, before anybody is met: its all_to_all() is not to be called.
[[nodiscard]] std::unique_ptr<Transport> open_board(const WorkerEnvironment& environment,
                                                    std::chrono::milliseconds timeout);

}  // namespace taut::dist
