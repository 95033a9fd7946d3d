#include "taut/dist/process_group.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <thread>
#include <utility>

#include "dist/transport.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::dist {
namespace {

using Clock = std::chrono::steady_clock;

// How long a worker that met a failure waits for the others' notes of it, to name who is silent.
constexpr std::chrono::milliseconds kGrace{1000};
constexpr std::chrono::milliseconds kBetweenLooks{10};

double seconds_after(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string joined_note(int rank) {
  return concat("joined/", rank);
}

std::string failed_note(int rank) {
  return concat("failed/", rank);
}

// Ranks that have not posted their note; waits until all have, or the time is over.
template <typename Note>
std::vector<int> silent_workers(const Transport& board, const std::vector<int>& ranks, Note&& note,
                                std::chrono::milliseconds wait) {
  const Clock::time_point end = Clock::now() + wait;
  std::vector<int> silent = ranks;
  for (;;) {
    std::erase_if(silent, [&](int rank) { return board.posted(note(rank)); });
    if (silent.empty() || Clock::now() >= end) return silent;
    std::this_thread::sleep_for(kBetweenLooks);
  }
}

std::string name_workers(const std::vector<int>& ranks) {
  std::vector<std::string> names;
  for (const int rank : ranks) names.push_back(concat(rank));
  return concat(ranks.size() == 1 ? "worker " : "workers ", join(names, ", "));
}

[[noreturn]] void throw_worker(const std::string& what, int rank, std::size_t workers) {
  throw WorkerLost(ErrorKind::kIo, what, concat("worker ", rank, " of ", workers),
                   "look for its message, mend that and go on from the last checkpoint");
}

// The message of a failed operation: who is silent, as far as the board tells.
[[noreturn]] void throw_failed(Transport& board, const std::vector<int>& ranks, int rank,
                               const std::string& operation,
                               std::string_view reason) noexcept(false) {
  std::string culprit;
  try {
    board.post(failed_note(ranks[static_cast<std::size_t>(rank)]));
    const std::vector<int> silent = silent_workers(board, ranks, failed_note, kGrace);
    culprit = silent.empty() ? "another worker failed first"
                             : concat(name_workers(silent), silent.size() == 1 ? " is" : " are",
                                      " gone or silent");
  } catch (const std::exception&) {
    culprit = concat("a worker is gone (", reason.substr(0, reason.find('\n')), ")");
  }
  throw_worker(concat(culprit, ": ", operation), ranks[static_cast<std::size_t>(rank)],
               ranks.size());
}

std::int64_t sum_of(std::span<const std::int64_t> sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
}

void require_bytes(std::string_view argument, std::int64_t wanted, std::size_t got) {
  if (static_cast<std::size_t>(wanted) == got) return;
  throw_invalid_argument(concat("size of ", argument), concat(wanted), concat(got));
}

}  // namespace

std::shared_ptr<ProcessGroup> ProcessGroup::connect(const WorkerEnvironment& environment,
                                                    const GroupOptions& options) {
  const WorkerEnvironment& e = environment;
  if (e.workers < 1 || e.rank < 0 || e.rank >= e.workers) {
    throw Error(ErrorKind::kConfig, concat("rank ", e.rank, " of ", e.workers, " workers"),
                "environment");
  }
  if (e.address.empty() && e.file.empty()) {
    throw Error(ErrorKind::kConfig, "no address and no file where workers meet", "environment");
  }
  std::vector<int> ranks(static_cast<std::size_t>(e.workers));
  std::iota(ranks.begin(), ranks.end(), 0);
  std::shared_ptr<Transport> transport;
  std::vector<int> missing;
  try {
    const std::unique_ptr<Transport> board = open_board(e, options.timeout);
    board->post(joined_note(e.rank));
    missing = silent_workers(*board, ranks, joined_note, options.timeout);
    if (missing.empty()) transport = board->subgroup("all", e.rank, e.workers);
  } catch (const std::exception& failed) {
    const std::string_view reason(failed.what());
    throw_worker(concat("cannot meet the other workers at ",
                        e.address.empty() ? e.file : concat(e.address, ":", e.port), " (",
                        reason.substr(0, reason.find('\n')), ")"),
                 e.rank, ranks.size());
  }
  if (!missing.empty()) {
    throw_worker(concat(name_workers(missing), " did not come within ",
                        std::chrono::duration<double>(options.timeout).count(), " s"),
                 e.rank, ranks.size());
  }
  const std::shared_ptr<ProcessGroup> group(
      new ProcessGroup(std::move(transport), std::move(ranks), e.rank, options, {}));
  group->barrier();  // a worker that leaves at once would break what the others still connect
  return group;
}

ProcessGroup::ProcessGroup(std::shared_ptr<Transport> transport, std::vector<int> ranks, int rank,
                           GroupOptions options, Counts above)
    : transport_(std::move(transport)),
      ranks_(std::move(ranks)),
      rank_(rank),
      options_(options),
      counts_(std::move(above)) {
  counts_.insert(counts_.begin(), std::make_shared<Counted>());
}

ProcessGroup::~ProcessGroup() = default;

std::shared_ptr<ProcessGroup> ProcessGroup::subgroup(std::span<const int> ranks) {
  const int own = ranks_[static_cast<std::size_t>(rank_)];
  const auto place = std::find(ranks.begin(), ranks.end(), own);
  const bool rising =
      std::adjacent_find(ranks.begin(), ranks.end(), std::greater_equal<>()) == ranks.end();
  const bool ours = std::includes(ranks_.begin(), ranks_.end(), ranks.begin(), ranks.end());
  if (place == ranks.end() || !rising || !ours) {
    throw_invalid_argument("ranks", "rising ranks of this group, this worker's among them",
                           name_workers({ranks.begin(), ranks.end()}));
  }
  std::vector<int> members(ranks.begin(), ranks.end());
  std::vector<std::string> names;
  for (const int member : members) names.push_back(concat(member));
  const std::string joined = "group/" + join(names, "-");
  const auto rank = static_cast<int>(place - ranks.begin());
  std::shared_ptr<Transport> transport;
  try {
    // The same workers may make several groups: each counts its own, and all come to one number.
    const std::int64_t number = transport_->count_up(concat(joined, "/made/", own));
    transport =
        transport_->subgroup(concat(joined, "/", number), rank, static_cast<int>(members.size()));
  } catch (const std::exception& failed) {
    throw_failed(*transport_, members, rank, "making a subgroup", failed.what());
  }
  const std::shared_ptr<ProcessGroup> group(
      new ProcessGroup(std::move(transport), std::move(members), rank, options_, counts_));
  group->barrier();  // as in connect()
  return group;
}

// Every operation is one all-to-all underneath: c10d's other collectives of Gloo take parts of
// equal size alone, and its reduce-scatter sends twice what it has to.
void ProcessGroup::run(std::string_view name, Cause cause, std::span<const std::byte> send,
                       std::span<const std::int64_t> send_bytes, std::span<std::byte> receive,
                       std::span<const std::int64_t> receive_bytes) {
  const Clock::time_point start = Clock::now();
  const auto rank = static_cast<std::size_t>(rank_);
  if (size() == 1) {
    std::memcpy(receive.data(), send.data(), receive.size());
  } else {
    try {
      transport_->all_to_all(send, send_bytes, receive, receive_bytes);
    } catch (const std::exception& failed) {
      throw_failed(*transport_, ranks_, rank_,
                   concat("the ", name, " of ", to_string(cause), " ended after ",
                          seconds_after(start), " s"),
                   failed.what());
    }
  }
  const Exchange one{.operation = name,
                     .cause = cause,
                     .bytes = sum_of(send_bytes) - send_bytes[rank],
                     .beside = beside_,
                     .start = start,
                     .end = Clock::now()};
  const double seconds = std::chrono::duration<double>(one.end - start).count();
  count(one, {.operations = 1,
              .bytes = one.bytes,
              .seconds = seconds,
              .exposed_seconds = beside_ ? 0 : seconds});
}

void ProcessGroup::count(const Exchange& one, const Traffic& done) {
  for (const std::shared_ptr<Counted>& counted : counts_) {
    counted->count[one.cause] += done;
    if (counted->records) counted->record.push_back(one);
  }
}

void ProcessGroup::end_beside(Cause cause, Clock::time_point since) {
  beside_ = false;
  const Exchange wait{.operation = "wait", .cause = cause, .start = since, .end = Clock::now()};
  count(wait, {.exposed_seconds = std::chrono::duration<double>(wait.end - since).count()});
}

void ProcessGroup::record() {
  counts_.front()->records = true;
  counts_.front()->record.clear();
}

std::vector<Exchange> ProcessGroup::take_record() {
  counts_.front()->records = false;
  return std::exchange(counts_.front()->record, {});
}

std::vector<std::int64_t> ProcessGroup::part_bytes(std::size_t values) const {
  std::vector<std::int64_t> sizes;
  for (int rank = 0; rank < size(); ++rank) {
    sizes.push_back(part_of(rank, static_cast<std::int64_t>(values)).size *
                    static_cast<std::int64_t>(sizeof(float)));
  }
  return sizes;
}

void ProcessGroup::reduce_scatter(std::span<const float> values, std::span<float> own,
                                  Cause cause) {
  const std::vector<std::int64_t> sizes = part_bytes(values.size());
  const auto mine = part(static_cast<std::int64_t>(values.size())).size;
  require_bytes("own", mine, own.size());
  const std::vector<std::int64_t> from_each(ranks_.size(), sizes[static_cast<std::size_t>(rank_)]);
  received_.resize(ranks_.size() * own.size());
  run("reduce-scatter", cause, std::as_bytes(values), sizes,
      std::as_writable_bytes(std::span(received_)), from_each);
  std::copy_n(received_.begin(), own.size(), own.begin());
  for (std::size_t rank = 1; rank < ranks_.size(); ++rank) {
    const float* theirs = received_.data() + rank * own.size();
    for (std::size_t i = 0; i < own.size(); ++i) own[i] += theirs[i];
  }
}

void ProcessGroup::all_gather(std::span<const float> own, std::span<float> all, Cause cause) {
  const std::vector<std::int64_t> sizes = part_bytes(all.size());
  require_bytes("own", part(static_cast<std::int64_t>(all.size())).size, own.size());
  const std::vector<std::int64_t> to_each(ranks_.size(), sizes[static_cast<std::size_t>(rank_)]);
  copies_.resize(ranks_.size() * own.size());
  for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
    std::copy(own.begin(), own.end(),
              copies_.begin() + static_cast<std::ptrdiff_t>(rank * own.size()));
  }
  run("all-gather", cause, std::as_bytes(std::span(copies_)), to_each, std::as_writable_bytes(all),
      sizes);
}

void ProcessGroup::all_reduce(std::span<float> values, Cause cause) {
  if (size() == 1) return;
  const Range mine = part(static_cast<std::int64_t>(values.size()));
  const std::span<float> own =
      values.subspan(static_cast<std::size_t>(mine.begin), static_cast<std::size_t>(mine.size));
  reduce_scatter(values, own, cause);
  all_gather(own, values, cause);
}

void ProcessGroup::all_to_all(std::span<const std::byte> send,
                              std::span<const std::int64_t> send_bytes,
                              std::span<std::byte> receive,
                              std::span<const std::int64_t> receive_bytes, Cause cause) {
  require_bytes("send_bytes", size(), send_bytes.size());
  require_bytes("receive_bytes", size(), receive_bytes.size());
  require_bytes("send", sum_of(send_bytes), send.size());
  require_bytes("receive", sum_of(receive_bytes), receive.size());
  run("all-to-all", cause, send, send_bytes, receive, receive_bytes);
}

std::vector<std::byte> ProcessGroup::gather(std::span<const std::byte> own,
                                            std::span<const std::int64_t> bytes_of_each,
                                            Cause cause) {
  require_bytes("bytes_of_each", size(), bytes_of_each.size());
  require_bytes("own", bytes_of_each[static_cast<std::size_t>(rank_)], own.size());
  const std::vector<std::int64_t> to_each(ranks_.size(), static_cast<std::int64_t>(own.size()));
  std::vector<std::byte> copies;
  for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
    copies.insert(copies.end(), own.begin(), own.end());
  }
  std::vector<std::byte> all(static_cast<std::size_t>(sum_of(bytes_of_each)));
  run("gather", cause, copies, to_each, all, bytes_of_each);
  return all;
}

std::vector<std::vector<std::byte>> ProcessGroup::gather(std::span<const std::byte> own,
                                                         Cause cause) {
  const std::vector<std::int64_t> sizes = each(static_cast<std::int64_t>(own.size()), cause);
  const std::vector<std::byte> all = gather(own, sizes, cause);
  std::vector<std::vector<std::byte>> result;
  auto from = all.begin();
  for (const std::int64_t size : sizes) {
    result.emplace_back(from, from + size);
    from += size;
  }
  return result;
}

std::string ProcessGroup::broadcast(std::string_view text) {
  const std::string_view given = rank_ == 0 ? text : std::string_view();
  const std::span<const char> letters(given.data(), given.size());
  const std::vector<std::byte> first = gather(std::as_bytes(letters), Cause::kControl).front();
  std::string result(first.size(), '\0');
  std::memcpy(result.data(), first.data(), first.size());
  return result;
}

void ProcessGroup::barrier() {
  static_cast<void>(each(std::byte{}));
}

bool ProcessGroup::reports_failure() noexcept {
  try {
    transport_->post(failed_note(ranks_[static_cast<std::size_t>(rank_)]));
    return transport_->count_up("reports") == 1;
  } catch (const std::exception&) {
    return true;
  }
}

}  // namespace taut::dist
