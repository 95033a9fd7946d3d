#pragma once
// Runs tasks with dependencies on exclusive resources, in simulated time.

#include <vector>

namespace taut::parallel {

/// A task. Resources are numbers in a range [first, last); two tasks whose ranges of one pool meet
/// never run together.
struct Task {
  double seconds = 0;
  bool background = false;  ///< gives way to other tasks on its resources, and goes on later
  int pool = -1;            ///< -1: needs no resource
  int first = 0;
  int last = 0;
  std::vector<int> after = {};  ///< tasks that must have finished; lower indices
};

/// A stretch of a task's work; one for each time that it ran.
struct TaskSpan {
  int task = 0;
  double start = 0;
  double seconds = 0;
};

/// Starts every task as early as its dependencies and resources allow: tasks that are not in the
/// background first, lower indices first. Returns the spans by start; the last end is the time of
/// all.
[[nodiscard]] std::vector<TaskSpan> run_tasks(const std::vector<Task>& tasks);

}  // namespace taut::parallel
