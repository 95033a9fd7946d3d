#pragma once
// An event-driven step of a plan on an array: compute, DRAM and links as tasks with dependencies.

#include <string>
#include <vector>

#include "taut/core/spelling.h"
#include "taut/parallel/cluster.h"
#include "taut/parallel/cost_model.h"
#include "taut/parallel/step_time.h"

namespace taut::parallel {

/// What may run at the same time.
enum class LinkUse {
  kPort,    ///< an accelerator takes part in one transfer at a time, at whichever level
  kLevels,  ///< the levels' links work side by side
};
constexpr auto spellings(std::type_identity<LinkUse>) {
  return std::to_array<Spelling<LinkUse>>({{"port", LinkUse::kPort}, {"levels", LinkUse::kLevels}});
}

/// What to simulate.
struct SimulateOptions {
  /// Weight gradients travel behind the backward pass; exchanges of features and errors interrupt
  /// them. Without it every accelerator does one thing after another.
  bool overlap = false;
  LinkUse links = LinkUse::kPort;
  /// Simulate each accelerator; else one stands for all, which is the same when they are equal.
  bool every_accelerator = false;
  /// Relative speed of each accelerator's compute and DRAM; empty: all 1. Needs every_accelerator.
  std::vector<double> speeds = {};
};

/// What a resource did from one time to another.
struct SimulatedSpan {
  enum class Kind { kForward, kBackward, kDram, kFeature, kError, kGradient };
  Kind kind = Kind::kForward;
  int node = 0;         ///< the layer; of an exchange, the one that is read
  int reader = -1;      ///< of an exchange, the layer that reads
  int accelerator = 0;  ///< of compute and DRAM; of links, the first accelerator of the group
  int level = -1;       ///< of links
  double start_seconds = 0;
  double seconds = 0;
  double words = 0;  ///< moved by this group in this span
};
constexpr auto spellings(std::type_identity<SimulatedSpan::Kind>) {
  return std::to_array<Spelling<SimulatedSpan::Kind>>(
      {{"forward", SimulatedSpan::Kind::kForward},
       {"backward", SimulatedSpan::Kind::kBackward},
       {"dram", SimulatedSpan::Kind::kDram},
       {"feature", SimulatedSpan::Kind::kFeature},
       {"error", SimulatedSpan::Kind::kError},
       {"gradient", SimulatedSpan::Kind::kGradient}});
}
[[nodiscard]] constexpr std::string_view to_string(SimulatedSpan::Kind kind) noexcept {
  return spelling_of(kind);
}

/// A simulated step.
struct Simulation {
  double seconds = 0;
  StepEnergy energy;                       ///< summed from the tasks, over the whole array
  double compute_busy_seconds = 0;         ///< of the busiest accelerator
  std::vector<double> level_words;         ///< over the whole array
  std::vector<double> level_busy_seconds;  ///< of the busiest link of each level
  std::vector<SimulatedSpan> spans;        ///< by start
  int simulated_accelerators = 1;
};

/// Runs one step. On a chain of equal accelerators whose DRAM is no limit, and with kPort, seconds
/// are step_time()'s serial_seconds without overlap and overlapped_seconds with it, to rounding.
/// Errors: kInvalidArgument (speeds that do not fit, not above 0, or more than 256 accelerators one
/// by one; a plan that does not fit the model).
[[nodiscard]] Simulation simulate(const CostModel& model, const Cluster& cluster, const Plan& plan,
                                  const SimulateOptions& options = {});

/// The step as a Chrome trace (JSON; opens in Perfetto): a track for each accelerator's compute and
/// DRAM, and for each link.
[[nodiscard]] std::string chrome_trace(const CostModel& model, const Cluster& cluster,
                                       const Simulation& simulation);

}  // namespace taut::parallel
