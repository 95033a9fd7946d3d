#pragma once
// The workers of a run as its training loop sees them: one of them leads.

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "taut/dist/process_group.h"

namespace taut::train {

/// Throws kConfig where a batch has fewer pieces than there are workers.
void require_pieces(std::int64_t batch_size, std::int64_t piece, int workers);
/// Says so instead, where nobody asked for pieces of that size: some workers then only hold tables.
void warn_of_few_pieces(std::int64_t batch_size, std::int64_t piece, int workers);

/// All workers of a run, or a process alone, which leads itself. The leader owns the run's folder:
/// it alone writes there, and what it finds there it tells the others.
/// Errors: those of dist::ProcessGroup.
class Crew {
 public:
  /// group: null for a process alone.
  explicit Crew(std::shared_ptr<dist::ProcessGroup> group) : group_(std::move(group)) {}

  [[nodiscard]] bool alone() const noexcept { return group_ == nullptr; }
  [[nodiscard]] bool leads() const noexcept { return alone() || group_->rank() == 0; }
  [[nodiscard]] int size() const noexcept { return alone() ? 1 : group_->size(); }
  [[nodiscard]] const std::shared_ptr<dist::ProcessGroup>& group() const noexcept { return group_; }

  /// What is decided between two steps.
  struct Decision {
    bool stop = false;
    bool checkpoint = false;
  };
  /// One decision of all: to stop if any of them wants to, to write what the leader wants.
  [[nodiscard]] Decision agree(Decision own) const;

  /// The leader's text, on all.
  [[nodiscard]] std::string from_leader(const std::string& text) const;

  /// Returns when all are there.
  void meet() const;

  /// For the summary: how many there are, the bytes that all sent by cause, and for each rank its
  /// seconds of training, those in exchanges, waiting included, and of these those in which it
  /// computed nothing beside.
  /// plan: as Task::plan() tells it.
  [[nodiscard]] nlohmann::json report(double train_seconds, const nlohmann::json& plan) const;

 private:
  std::shared_ptr<dist::ProcessGroup> group_;
};

}  // namespace taut::train
