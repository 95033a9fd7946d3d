#pragma once
// Processes that train together: collectives over PyTorch's process groups (Gloo).

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/share.h"
#include "taut/dist/environment.h"
#include "taut/dist/traffic.h"

namespace taut::dist {

class Transport;

/// Another worker is gone or does not answer: nothing that the one who gets it can mend.
class WorkerLost : public Error {
 public:
  using Error::Error;
};

/// How a group waits.
struct GroupOptions {
  /// How long an operation, and the meeting at the start, may wait for the other workers.
  std::chrono::milliseconds timeout{std::chrono::minutes(10)};
};

/// A worker's view of the workers that do something together. All of them call the same operations
/// in the same order, with sizes that agree.
///
/// Sums are added in the order of ranks, value by value, so they have the same bits on every
/// worker, from run to run, and however values are cut into calls; for another number of workers
/// they differ by rounding.
///
/// Threads: one call at a time. Errors of all operations: WorkerLost, naming this worker, the
/// operation, how long it waited and, where that can be found out, the worker that is gone or
/// silent; after that the group is of no more use. kInvalidArgument for sizes that cannot agree.
class ProcessGroup {
 public:
  /// Meets the other workers. Errors: WorkerLost when they do not come in time, naming those that
  /// are missing; kConfig for an environment without a place to meet. Where SIGPIPE has its default
  /// action, the process ignores it from here on: a worker that is gone would end the others.
  [[nodiscard]] static std::shared_ptr<ProcessGroup> connect(const WorkerEnvironment& environment,
                                                             const GroupOptions& options = {});
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  [[nodiscard]] int rank() const noexcept { return rank_; }
  [[nodiscard]] int size() const noexcept { return static_cast<int>(ranks_.size()); }
  /// The rank in the first group of each member, in order.
  [[nodiscard]] const std::vector<int>& ranks() const noexcept { return ranks_; }

  /// A group of some of the first group's workers, given by their ranks there in rising order, this
  /// worker among them; all its members make it, groups that share a worker one after the other.
  /// What it sends counts for this group too.
  [[nodiscard]] std::shared_ptr<ProcessGroup> subgroup(std::span<const int> ranks);

  /// Replaces values by their sums over all workers.
  void all_reduce(std::span<float> values, Cause cause);
  /// Writes the sums over all workers of this worker's part of values (part()) to `own`.
  void reduce_scatter(std::span<const float> values, std::span<float> own, Cause cause);
  /// Writes the parts of all workers, in the order of ranks, to `all`. Errors: kInvalidArgument
  /// unless `own` has the size of part(all.size()).
  void all_gather(std::span<const float> own, std::span<float> all, Cause cause);
  /// Sends the first send_bytes[0] bytes to the first worker, the next send_bytes[1] to the second,
  /// ..., and receives from each what it sends to this one.
  void all_to_all(std::span<const std::byte> send, std::span<const std::int64_t> send_bytes,
                  std::span<std::byte> receive, std::span<const std::int64_t> receive_bytes,
                  Cause cause);
  /// What each worker gave, in the order of ranks. Value: plain numbers or structs of them.
  template <typename Value>
  [[nodiscard]] std::vector<Value> each(const Value& own, Cause cause = Cause::kControl) {
    static_assert(std::is_trivially_copyable_v<Value>);
    const std::vector<std::int64_t> sizes(ranks_.size(), sizeof(Value));
    const std::vector<std::byte> bytes = gather(std::as_bytes(std::span(&own, 1)), sizes, cause);
    std::vector<Value> all(ranks_.size());
    std::memcpy(all.data(), bytes.data(), bytes.size());
    return all;
  }
  /// The bytes of all workers, joined in the order of ranks; how many each gives all know.
  [[nodiscard]] std::vector<std::byte> gather(std::span<const std::byte> own,
                                              std::span<const std::int64_t> bytes_of_each,
                                              Cause cause);
  /// What each worker gave, in the order of ranks; sizes may differ.
  [[nodiscard]] std::vector<std::vector<std::byte>> gather(std::span<const std::byte> own,
                                                           Cause cause);
  /// The text of the first worker, on all of them.
  [[nodiscard]] std::string broadcast(std::string_view text);
  /// Returns when all workers have called it.
  void barrier();

  /// This worker's part of so many values: parts differ by at most one value.
  [[nodiscard]] Range part(std::int64_t values) const noexcept { return part_of(rank_, values); }
  /// Any worker's, of values that are handed out in whole pieces (share_of()).
  [[nodiscard]] Range part_of(int rank, std::int64_t values,
                              std::int64_t piece = 1) const noexcept {
    return share_of(values, piece, {.index = rank, .of = size()});
  }

  /// What this worker sent, subgroups included.
  [[nodiscard]] const TrafficCount& traffic() const noexcept { return counts_.front()->count; }

  /// From now on operations are remembered one by one, subgroups' included, until take_record(),
  /// which gives them in the order in which they ended. Only for this worker: no message is sent.
  void record();
  [[nodiscard]] std::vector<Exchange> take_record();

  /// From now on, until end_beside(), operations are made by another thread, while the one that
  /// calls this computes: their seconds are not exposed.
  void begin_beside() noexcept { beside_ = true; }
  /// They are made, and the worker has waited for them since a moment: that is exposed, and a
  /// record has it as a "wait" of no bytes.
  void end_beside(Cause cause, std::chrono::steady_clock::time_point since);

  /// Whether this worker is the first that tells of a failure: the one that should print it.
  /// Does not throw: true where nobody can be asked.
  [[nodiscard]] bool reports_failure() noexcept;

 private:
  // What a group did, and what it does.
  struct Counted {
    TrafficCount count;
    bool records = false;
    std::vector<Exchange> record;
  };
  using Counts = std::vector<std::shared_ptr<Counted>>;

  ProcessGroup(std::shared_ptr<Transport> transport, std::vector<int> ranks, int rank,
               GroupOptions options, Counts above);

  [[nodiscard]] std::vector<std::int64_t> part_bytes(std::size_t values) const;
  void run(std::string_view name, Cause cause, std::span<const std::byte> send,
           std::span<const std::int64_t> send_bytes, std::span<std::byte> receive,
           std::span<const std::int64_t> receive_bytes);
  void count(const Exchange& one, const Traffic& done);

  std::shared_ptr<Transport> transport_;
  std::vector<int> ranks_;
  int rank_ = 0;
  GroupOptions options_;
  Counts counts_;  ///< the group's own, then those of the groups that it was made from
  bool beside_ = false;
  std::vector<float> received_;
  std::vector<float> copies_;
};

}  // namespace taut::dist
