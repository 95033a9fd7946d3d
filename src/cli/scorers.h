#pragma once
// The scorers that there are, by task.

#include <memory>
#include <span>
#include <string_view>

#include "cli/scoring.h"

namespace taut::cli {

/// Columns of rows to the probability of a click.
[[nodiscard]] std::unique_ptr<const Scorer> make_click_scorer(OpenedModel opened);
/// Images to classes.
[[nodiscard]] std::unique_ptr<const Scorer> make_classifier_scorer(OpenedModel opened);

struct ScorerEntry {
  std::string_view task;
  std::unique_ptr<const Scorer> (*make)(OpenedModel opened);
};

[[nodiscard]] inline std::span<const ScorerEntry> scorers() {
  static constexpr ScorerEntry kScorers[] = {{infer::kClickTask, make_click_scorer},
                                             {infer::kImageTask, make_classifier_scorer}};
  return kScorers;
}

}  // namespace taut::cli
