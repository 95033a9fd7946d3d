#include "taut/dist/worker_tables.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "dist/table_route.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/embedding/part.h"

namespace taut::dist {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{4} << 20;  // of a checkpoint on its way

class GroupPeers final : public embedding::Peers {
 public:
  explicit GroupPeers(std::shared_ptr<ProcessGroup> group) : group_(std::move(group)) {}

  [[nodiscard]] Share share() const noexcept override {
    return {.index = group_->rank(), .of = group_->size()};
  }

  void sum(std::span<double> values) override {
    const std::vector<std::int64_t> sizes(static_cast<std::size_t>(group_->size()),
                                          static_cast<std::int64_t>(values.size_bytes()));
    const std::vector<std::byte> all =
        group_->gather(std::as_bytes(values), sizes, Cause::kControl);
    std::fill(values.begin(), values.end(), 0.0);
    std::vector<double> theirs(values.size());
    for (int rank = 0; rank < group_->size(); ++rank) {
      std::memcpy(theirs.data(), all.data() + static_cast<std::size_t>(rank) * values.size_bytes(),
                  values.size_bytes());
      for (std::size_t i = 0; i < values.size(); ++i) values[i] += theirs[i];
    }
  }

  void append(SectionSink& file, std::int64_t owner, std::span<const std::byte> bytes) override {
    if (owner == 0) return file.append(bytes.data(), bytes.size());
    const auto from = static_cast<std::size_t>(owner);
    const auto sizes = group_->each(static_cast<std::int64_t>(bytes.size()));
    const auto total = static_cast<std::size_t>(sizes[from]);
    std::vector<std::byte> piece;
    for (std::size_t done = 0; done < total; done += kPieceBytes) {
      const std::size_t size = std::min(kPieceBytes, total - done);
      std::vector<std::int64_t> send(sizes.size(), 0);
      std::vector<std::int64_t> receive(sizes.size(), 0);
      if (group_->rank() == owner) send[0] = static_cast<std::int64_t>(size);
      if (group_->rank() == 0) receive[from] = static_cast<std::int64_t>(size);
      piece.resize(group_->rank() == 0 ? size : 0);
      group_->all_to_all(group_->rank() == owner ? bytes.subspan(done, size) : bytes.first(0), send,
                         piece, receive, Cause::kCheckpoint);
      file.append(piece.data(), piece.size());
    }
  }

 private:
  std::shared_ptr<ProcessGroup> group_;
};

// The vectors that all workers asked this one for, as a batch: bag b of a table is its b-th vector,
// in the order of workers.
class Asked {
 public:
  /// requests: [workers, tables]; messages: of each, in order.
  void take(std::span<const TableRequest> requests, std::span<const std::byte> messages,
            std::size_t tables) {
    requests_ = requests;
    bags_.assign(tables, {});
    for (std::size_t t = 0; t < tables; ++t) {
      for (std::size_t k = t; k < requests.size(); k += tables) {
        bags_[t].weighted =
            bags_[t].weighted || (requests[k].pooled != 0 && requests[k].weighted > 0);
      }
    }
    for (std::size_t k = 0; k < requests.size(); ++k) {
      bags_[k % tables].add(requests[k], messages);
      messages = messages.subspan(static_cast<std::size_t>(requests[k].message_bytes()));
    }
    batch_ = 0;
    for (const Bags& bags : bags_) batch_ = std::max(batch_, std::ssize(bags.offsets) - 1);
    views_.clear();
    for (Bags& bags : bags_) {
      bags.offsets.resize(static_cast<std::size_t>(batch_) + 1, std::ssize(bags.ids));
      views_.push_back({.ids = bags.ids, .offsets = bags.offsets, .weights = bags.weights});
    }
  }

  [[nodiscard]] std::span<const JaggedIds> views() const noexcept { return views_; }
  [[nodiscard]] std::int64_t batch() const noexcept { return batch_; }
  [[nodiscard]] std::int64_t vectors() const noexcept {
    std::int64_t vectors = 0;
    for (const TableRequest& request : requests_) vectors += request.vectors;
    return vectors;
  }

  /// Calls body(place in the batch's [batch, tables], number) for all vectors as they travel.
  template <typename Body>
  void each_vector(Body&& body) const {
    const std::size_t tables = views_.size();
    std::vector<std::size_t> bags(tables, 0);
    std::size_t number = 0;
    for (std::size_t k = 0; k < requests_.size(); ++k) {
      for (std::int64_t i = 0; i < requests_[k].vectors; ++i) {
        body(bags[k % tables]++ * tables + k % tables, number++);
      }
    }
  }

 private:
  struct Bags {
    std::vector<std::uint64_t> ids;
    std::vector<std::int64_t> offsets = {0};
    std::vector<float> weights;
    bool weighted = false;

    // message: begins with that of the request.
    void add(const TableRequest& request, std::span<const std::byte> message) {
      take(ids, request.ids, message);
      const auto first = offsets.size();
      if (request.pooled != 0) {
        std::vector<std::uint32_t> lengths;
        take(lengths, request.vectors, message);
        for (const std::uint32_t length : lengths) offsets.push_back(offsets.back() + length);
      } else {
        offsets.resize(first + static_cast<std::size_t>(request.vectors));
        std::iota(offsets.begin() + static_cast<std::ptrdiff_t>(first), offsets.end(),
                  offsets[first - 1] + 1);
      }
      if (request.pooled != 0 && request.weighted > 0) {
        take(weights, request.ids, message);
      } else if (weighted) {
        weights.resize(ids.size(), 1.0F);
      }
    }

    // Moves so many values from the front of a message to the end of a list.
    template <typename Value>
    static void take(std::vector<Value>& list, std::int64_t count,
                     std::span<const std::byte>& message) {
      const std::size_t before = list.size();
      list.resize(before + static_cast<std::size_t>(count));
      const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(Value);
      if (bytes > 0) std::memcpy(list.data() + before, message.data(), bytes);
      message = message.subspan(bytes);
    }
  };

  std::span<const TableRequest> requests_;
  std::vector<Bags> bags_;
  std::vector<JaggedIds> views_;
  std::int64_t batch_ = 0;
};

class WorkerTables final : public embedding::Embedding {
 public:
  WorkerTables(const embedding::Options& options, std::shared_ptr<ThreadPool> pool,
               std::shared_ptr<ProcessGroup> workers, GradientSums sums)
      : Embedding(options, pool),
        group_(std::move(workers)),
        sums_(sums),
        peers_(std::make_shared<GroupPeers>(group_)),
        part_(embedding::make_embedding_part(options, std::move(pool), peers_)) {
    options_ = part_.rows->options();
    static_cast<void>(statistics());
  }

  [[nodiscard]] std::int64_t steps() const noexcept override { return part_.rows->steps(); }
  [[nodiscard]] std::int64_t memory_bytes() const noexcept override { return memory_bytes_; }
  [[nodiscard]] std::int64_t peak_memory_bytes() const noexcept override { return peak_bytes_; }

  [[nodiscard]] embedding::Statistics statistics() const override {
    embedding::Statistics all = part_.rows->statistics();
    std::int64_t peak = part_.rows->peak_memory_bytes();
    std::vector<std::int64_t*> counts = {&all.memory_bytes, &peak, &all.resident_rows,
                                         &all.admitted_rows, &all.evicted_rows};
    for (auto& [name, bytes] : all.parts) counts.push_back(&bytes);
    for (std::int64_t& rows : all.rows_by_width) counts.push_back(&rows);
    std::vector<double> sums;
    for (const std::int64_t* count : counts) sums.push_back(static_cast<double>(*count));
    peers_->sum(sums);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      *counts[i] = static_cast<std::int64_t>(sums[i]);
    }
    memory_bytes_ = all.memory_bytes;
    peak_bytes_ = peak;
    return all;
  }

  void save(SectionSink& file, const std::string& prefix) const override {
    part_.rows->save(file, prefix);
  }
  void load(const SectionSource& file, const std::string& prefix) override {
    part_.rows->load(file, prefix);
    static_cast<void>(statistics());
  }
  void resize_budget(Bytes /*budget*/) override { refuse("change their budget"); }
  void export_frozen(SectionSink& /*file*/, const std::string& /*prefix*/) const override {
    refuse("be exported");
  }

 protected:
  void do_lookup(std::span<const JaggedIds> tables, std::int64_t batch,
                 std::span<float> out) const override {
    ask(tables, sums_ == GradientSums::kInOrder ? RouteVectors::kRows : RouteVectors::kFewestBytes);
    const auto dim = static_cast<std::size_t>(options_.dim);
    pooled_.resize(static_cast<std::size_t>(asked_.batch()) * tables.size() * dim);
    part_.rows->lookup(asked_.views(), asked_.batch(), pooled_);
    theirs_.resize(static_cast<std::size_t>(asked_.vectors()) * dim);
    asked_.each_vector([&](std::size_t place, std::size_t number) {
      std::copy_n(pooled_.data() + place * dim, dim, theirs_.data() + number * dim);
    });
    mine_.resize(static_cast<std::size_t>(route_.vectors()) * dim);
    exchange(theirs_, vector_bytes(asked_requests_), mine_, vector_bytes(route_.requests()));
    route_.pool(mine_, batch, out, *pool_);
  }

  void do_update(std::span<const JaggedIds> tables, std::int64_t batch,
                 std::span<const float> gradient) override {
    if (!route_.is_of(tables)) {
      throw_invalid_argument("tables", "the ids of the lookup before", "others");
    }
    if (sums_ == GradientSums::kInOrder) ask(tables, RouteVectors::kBags);
    const auto dim = static_cast<std::size_t>(options_.dim);
    mine_.resize(static_cast<std::size_t>(route_.vectors()) * dim);
    route_.sum(gradient, batch, mine_, *pool_);
    theirs_.resize(static_cast<std::size_t>(asked_.vectors()) * dim);
    exchange(mine_, vector_bytes(route_.requests()), theirs_, vector_bytes(asked_requests_));
    if (options_.on_nan == embedding::OnNan::kSkip && !finite_on_all()) {
      return part_.rows->skip_update();
    }
    pooled_.assign(static_cast<std::size_t>(asked_.batch()) * tables.size() * dim, 0.0F);
    asked_.each_vector([&](std::size_t place, std::size_t number) {
      std::copy_n(theirs_.data() + number * dim, dim, pooled_.data() + place * dim);
    });
    part_.rows->update(asked_.views(), asked_.batch(), pooled_);
  }

  // All workers decide together, when the sums have come to their rows.
  bool leaves_out(bool bad) override {
    bad_ = bad;
    return false;
  }
  void do_read_rows(std::size_t /*table*/, std::span<const std::uint64_t> /*ids*/,
                    embedding::Rows& /*rows*/) const override {
    refuse("be read row by row");
  }
  embedding::LoadedRows do_load_rows(const embedding::Rows& /*rows*/) override {
    refuse("take rows from a file");
  }
  void take_learning_rate() override { part_.rows->set_learning_rate(learning_rate()); }

 private:
  [[noreturn]] static void refuse(std::string_view what) {
    throw Error(ErrorKind::kUnsupported,
                concat("tables that lie on several workers cannot ", what, " yet"), {},
                "let one process do it, from a checkpoint");
  }

  // Whether all gradients of all workers are finite.
  [[nodiscard]] bool finite_on_all() const {
    double bad = bad_ ? 1 : 0;
    for (const float value : theirs_) bad += std::isfinite(value) ? 0 : 1;
    peers_->sum({&bad, 1});
    return bad == 0;
  }

  using Requests = std::span<const TableRequest>;

  // Tells each worker which vectors of its rows this one reads or has gradients of, and hears the
  // same.
  void ask(std::span<const JaggedIds> bags, RouteVectors vectors) const {
    const std::size_t tables = bags.size();
    route_.take(bags, part_.owner, group_->size(), options_.dim, vectors);
    asked_requests_.resize(route_.requests().size());
    const std::vector<std::int64_t> same(static_cast<std::size_t>(group_->size()),
                                         static_cast<std::int64_t>(tables * sizeof(TableRequest)));
    group_->all_to_all(std::as_bytes(route_.requests()), same,
                       std::as_writable_bytes(std::span(asked_requests_)), same, Cause::kTables);
    const auto message = [](const TableRequest& one) { return one.message_bytes(); };
    const std::vector<std::int64_t> receive = bytes_by_worker(asked_requests_, message);
    asked_messages_.resize(
        static_cast<std::size_t>(std::accumulate(receive.begin(), receive.end(), std::int64_t{0})));
    group_->all_to_all(route_.messages(), bytes_by_worker(route_.requests(), message),
                       asked_messages_, receive, Cause::kTables);
    asked_.take(asked_requests_, asked_messages_, tables);
  }

  template <typename BytesOf>
  [[nodiscard]] std::vector<std::int64_t> bytes_by_worker(Requests requests,
                                                          BytesOf&& bytes_of) const {
    std::vector<std::int64_t> bytes(static_cast<std::size_t>(group_->size()), 0);
    const std::size_t tables = requests.size() / bytes.size();
    for (std::size_t k = 0; k < requests.size(); ++k) bytes[k / tables] += bytes_of(requests[k]);
    return bytes;
  }
  [[nodiscard]] std::vector<std::int64_t> vector_bytes(Requests requests) const {
    const auto size = static_cast<std::int64_t>(sizeof(float)) * options_.dim;
    return bytes_by_worker(requests, [&](const TableRequest& one) { return one.vectors * size; });
  }
  void exchange(std::span<const float> send, std::span<const std::int64_t> send_bytes,
                std::span<float> receive, std::span<const std::int64_t> receive_bytes) const {
    group_->all_to_all(std::as_bytes(send), send_bytes, std::as_writable_bytes(receive),
                       receive_bytes, Cause::kTables);
  }

  std::shared_ptr<ProcessGroup> group_;
  GradientSums sums_;
  std::shared_ptr<GroupPeers> peers_;
  embedding::EmbeddingPart part_;
  mutable std::int64_t memory_bytes_ = 0;
  mutable std::int64_t peak_bytes_ = 0;
  bool bad_ = false;  // this worker's gradient of the update at work
  // Of the last lookup; the update that follows takes the same way, or in order that of its bags.
  mutable TableRoute route_;
  mutable Asked asked_;
  mutable std::vector<TableRequest> asked_requests_;
  mutable std::vector<std::byte> asked_messages_;
  // Vectors or gradients: that this worker reads, that it was asked for, the same as a batch.
  mutable std::vector<float> mine_;
  mutable std::vector<float> theirs_;
  mutable std::vector<float> pooled_;
};

}  // namespace

std::unique_ptr<embedding::Embedding> make_worker_tables(const embedding::Options& options,
                                                         std::shared_ptr<ThreadPool> pool,
                                                         std::shared_ptr<ProcessGroup> workers,
                                                         GradientSums sums) {
  if (workers == nullptr) throw_invalid_argument("workers", "a group of workers", "null");
  return std::make_unique<WorkerTables>(options, std::move(pool), std::move(workers), sums);
}

}  // namespace taut::dist
