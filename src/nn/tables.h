#pragma once
// A collection of tables as an object that LibTorch and Python hold, copy and pickle.

#include <torch/custom_class.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nn/bags.h"
#include "nn/fork_safe_mutex.h"
#include "nn/gathered.h"
#include "nn/shared_rows.h"
#include "taut/embedding/embedding.h"

namespace taut::nn {

/// Owns a collection. A copy has rows, optimizer state and budget of its own.
/// Threads: calls may come from any number of threads; they are done one after another, each whole.
/// A fork waits for the call at work. Errors: c10::ValueError for what the caller can mend, naming
/// the argument; the collection is then as it was.
class Tables final : public torch::CustomClassHolder {
 public:
  /// threads: of the pool, which all tables of a process that ask for as many share; 0 means one
  /// for each processor.
  Tables(const embedding::Options& options, int threads);

  [[nodiscard]] const embedding::Options& options() const noexcept { return tables_->options(); }
  [[nodiscard]] const embedding::Embedding& collection() const noexcept { return *tables_; }
  [[nodiscard]] int threads() const noexcept { return threads_; }

  /// What compiled graphs name it by, where key_of() gave it one. For key_of() alone.
  [[nodiscard]] std::optional<std::int64_t> key() const noexcept { return key_; }
  void set_key(std::int64_t key) noexcept { key_ = key; }

  /// Called when the last owner goes while its key is still known: nothing else may be called then.
  void release_resources() override;

  /// Pooled rows [batch, tables, dim], float32; batch is Bags::batch().
  [[nodiscard]] at::Tensor lookup(const Bags& bags) const;

  /// One step of the tables' optimizer, or one more batch for the step that is gathered.
  /// gradient [batch, tables, dim]: of the loss times what loss_scale() says, which is taken out;
  /// such a gradient is left out, and counted, where it is not finite. scale: what makes it that of
  /// the summed loss; 0: the number of bags that were given (Bags::examples()).
  void update(const Bags& bags, double scale, const at::Tensor& gradient);

  /// From here on, and for good, gradients wait as those of parameters do: update() adds them as
  /// they come, not multiplied and with the loss scale in them, and only step_waiting() steps.
  /// Errors: kInvalidArgument within gather().
  void defer();
  /// Ends a backward pass: what waited before it has been multiplied by factor since (0: dropped).
  /// Returns the L2 norm of what waits, as that of a dense weight's gradient.
  double end_pass(double factor);
  /// One step with factor times what waits, which goes on waiting; scale as for update(), where 0
  /// stands for the bags of all batches.
  void step_waiting(double scale, double factor);

  /// For the updates to come: Embedding::set_learning_rate().
  void set_learning_rate(double rate);

  /// From here on update() gathers, and step() does one step with all that was gathered, exactly as
  /// one batch of all the bags would. parts: how many losses are averaged; gradients whose scale is
  /// the number of bags are multiplied by it.
  void gather(std::int64_t parts);
  void step();
  /// Forgets what was gathered or waits. Fine where nothing was.
  void drop();

  /// From here on, and for good, the rows lie on several processes, this one's part of them here
  /// (make_shared_rows()): those that are here now, which must be the same on all of them. lookup()
  /// then gives the sums over the rows that lie here, and update() wants the gradient of the whole
  /// batch. Called by all processes, as state() is then. Errors: kInvalidArgument where they are
  /// shared already, or within gather().
  void share(const ProcessNames& processes);
  [[nodiscard]] bool is_shared() const;

  /// JSON of embedding::Statistics.
  [[nodiscard]] std::string statistics() const;
  /// All rows and optimizer state, uint8 [n]; load() restores the same bits into tables of the same
  /// options. What was gathered for a step is no part of it.
  [[nodiscard]] at::Tensor state() const;
  void load(const at::Tensor& state);

  void read_rows(std::size_t table, std::span<const std::uint64_t> ids,
                 embedding::Rows& rows) const;
  embedding::LoadedRows load_rows(const embedding::Rows& rows);

 private:
  [[nodiscard]] bool is_deferred() const;

  struct Gathered {
    GatheredGradients gradients;
    std::int64_t parts = 1;
  };

  mutable ForkSafeMutex mutex_;
  std::unique_ptr<embedding::Embedding> tables_;
  int threads_;
  std::optional<std::int64_t> key_;
  std::optional<Gathered> gathered_;
  std::optional<GatheredGradients> waiting_;
  std::optional<ProcessNames> processes_;  // that share the rows
  std::int64_t skipped_ = 0;               // scaled gradients that were not finite
};

}  // namespace taut::nn
