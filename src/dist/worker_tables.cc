#include "taut/dist/worker_tables.h"

#include <algorithm>
#include <cmath>
#include <cstring>
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

// The rows of this worker that all of them asked for, as a batch: bag b of a table is its b-th id,
// in the order of workers.
class Asked {
 public:
  /// counts: [workers, tables]; ids in the order of workers, then of tables.
  void take(std::span<const std::int64_t> counts, std::span<const std::uint64_t> ids,
            std::size_t tables) {
    counts_ = counts;
    ids_.assign(tables, {});
    std::size_t next = 0;
    for (std::size_t k = 0; k < counts.size(); ++k) {
      const auto count = static_cast<std::size_t>(counts[k]);
      std::vector<std::uint64_t>& of_table = ids_[k % tables];
      of_table.insert(of_table.end(), ids.begin() + static_cast<std::ptrdiff_t>(next),
                      ids.begin() + static_cast<std::ptrdiff_t>(next + count));
      next += count;
    }
    batch_ = 0;
    for (const auto& of_table : ids_) batch_ = std::max(batch_, std::ssize(of_table));
    offsets_.resize(tables);
    views_.clear();
    for (std::size_t t = 0; t < tables; ++t) {
      offsets_[t].resize(static_cast<std::size_t>(batch_) + 1);
      for (std::int64_t bag = 0; bag <= batch_; ++bag) {
        offsets_[t][static_cast<std::size_t>(bag)] = std::min(bag, std::ssize(ids_[t]));
      }
      views_.push_back({.ids = ids_[t], .offsets = offsets_[t], .weights = {}});
    }
  }

  [[nodiscard]] std::span<const JaggedIds> views() const noexcept { return views_; }
  [[nodiscard]] std::int64_t batch() const noexcept { return batch_; }

  /// Calls body(place in the batch's [batch, tables], row) for all rows as they travel.
  template <typename Body>
  void each_row(Body&& body) const {
    const std::size_t tables = views_.size();
    std::vector<std::size_t> bags(tables, 0);
    std::size_t row = 0;
    for (std::size_t k = 0; k < counts_.size(); ++k) {
      for (std::int64_t i = 0; i < counts_[k]; ++i) {
        body(bags[k % tables]++ * tables + k % tables, row++);
      }
    }
  }

 private:
  std::span<const std::int64_t> counts_;
  std::vector<std::vector<std::uint64_t>> ids_;
  std::vector<std::vector<std::int64_t>> offsets_;
  std::vector<JaggedIds> views_;
  std::int64_t batch_ = 0;
};

class WorkerTables final : public embedding::Embedding {
 public:
  WorkerTables(const embedding::Options& options, const std::shared_ptr<ThreadPool>& pool,
               std::shared_ptr<ProcessGroup> workers)
      : Embedding(options, pool),
        group_(std::move(workers)),
        peers_(std::make_shared<GroupPeers>(group_)),
        part_(embedding::make_embedding_part(options, pool, peers_)) {
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
    route_.take(tables, part_.owner, group_->size());
    send_ids(tables.size());
    const auto dim = static_cast<std::size_t>(options_.dim);
    pooled_.resize(static_cast<std::size_t>(asked_.batch()) * tables.size() * dim);
    part_.rows->lookup(asked_.views(), asked_.batch(), pooled_);
    theirs_.resize(asked_ids_.size() * dim);
    asked_.each_row([&](std::size_t place, std::size_t row) {
      std::copy_n(pooled_.data() + place * dim, dim, theirs_.data() + row * dim);
    });
    mine_.resize(route_.ids().size() * dim);
    exchange<float>(theirs_, asked_counts_, mine_, route_.counts(), dim);
    route_.pool(tables, batch, mine_, out, *pool_);
  }

  void do_update(std::span<const JaggedIds> tables, std::int64_t batch,
                 std::span<const float> gradient) override {
    if (!route_.is_of(tables)) {
      throw_invalid_argument("tables", "the ids of the lookup before", "others");
    }
    const auto dim = static_cast<std::size_t>(options_.dim);
    mine_.resize(route_.ids().size() * dim);
    route_.sum(tables, batch, gradient, mine_, *pool_);
    theirs_.resize(asked_ids_.size() * dim);
    exchange<float>(mine_, route_.counts(), theirs_, asked_counts_, dim);
    if (options_.on_nan == embedding::OnNan::kSkip && !finite_on_all()) {
      return part_.rows->skip_update();
    }
    pooled_.assign(static_cast<std::size_t>(asked_.batch()) * tables.size() * dim, 0.0F);
    asked_.each_row([&](std::size_t place, std::size_t row) {
      std::copy_n(theirs_.data() + row * dim, dim, pooled_.data() + place * dim);
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

  // Tells each worker which of its rows this one reads, and hears the same.
  void send_ids(std::size_t tables) const {
    const auto workers = static_cast<std::size_t>(group_->size());
    asked_counts_.resize(workers * tables);
    const std::vector<std::int64_t> same(workers,
                                         static_cast<std::int64_t>(tables * sizeof(std::int64_t)));
    group_->all_to_all(std::as_bytes(route_.counts()), same,
                       std::as_writable_bytes(std::span(asked_counts_)), same, Cause::kTables);
    std::int64_t asked = 0;
    for (const std::int64_t count : asked_counts_) asked += count;
    asked_ids_.resize(static_cast<std::size_t>(asked));
    exchange<std::uint64_t>(route_.ids(), route_.counts(), asked_ids_, asked_counts_, 1);
    asked_.take(asked_counts_, asked_ids_, tables);
  }

  // counts: [workers, tables], of rows of so many values that go to each worker or come from it.
  template <typename Value>
  void exchange(std::span<const Value> send, std::span<const std::int64_t> send_counts,
                std::span<Value> receive, std::span<const std::int64_t> receive_counts,
                std::size_t values) const {
    const auto bytes_of = [&](std::span<const std::int64_t> counts) {
      std::vector<std::int64_t> bytes(static_cast<std::size_t>(group_->size()), 0);
      const std::size_t tables = counts.size() / bytes.size();
      for (std::size_t k = 0; k < counts.size(); ++k) {
        bytes[k / tables] += counts[k] * static_cast<std::int64_t>(values * sizeof(Value));
      }
      return bytes;
    };
    group_->all_to_all(std::as_bytes(send), bytes_of(send_counts), std::as_writable_bytes(receive),
                       bytes_of(receive_counts), Cause::kTables);
  }

  std::shared_ptr<ProcessGroup> group_;
  std::shared_ptr<GroupPeers> peers_;
  embedding::EmbeddingPart part_;
  mutable std::int64_t memory_bytes_ = 0;
  mutable std::int64_t peak_bytes_ = 0;
  bool bad_ = false;  // this worker's gradient of the update at work
  // Of the last lookup; the update that follows takes the same way.
  mutable TableRoute route_;
  mutable Asked asked_;
  mutable std::vector<std::int64_t> asked_counts_;
  mutable std::vector<std::uint64_t> asked_ids_;
  // Rows or gradients: of ids that this worker reads, of those that it was asked for, as a batch.
  mutable std::vector<float> mine_;
  mutable std::vector<float> theirs_;
  mutable std::vector<float> pooled_;
};

}  // namespace

std::unique_ptr<embedding::Embedding> make_worker_tables(const embedding::Options& options,
                                                         std::shared_ptr<ThreadPool> pool,
                                                         std::shared_ptr<ProcessGroup> workers) {
  if (workers == nullptr) throw_invalid_argument("workers", "a group of workers", "null");
  return std::make_unique<WorkerTables>(options, pool, std::move(workers));
}

}  // namespace taut::dist
