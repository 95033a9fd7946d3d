#include "parallel/event_queue.h"

#include <algorithm>
#include <limits>
#include <set>

namespace taut::parallel {
namespace {

class EventQueue {
 public:
  explicit EventQueue(const std::vector<Task>& tasks)
      : tasks_(tasks),
        waiting_(tasks.size(), 0),
        readers_(tasks.size()),
        left_(tasks.size()),
        started_(tasks.size(), 0) {
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      left_[i] = tasks[i].seconds;
      waiting_[i] = static_cast<int>(tasks[i].after.size());
      for (const int before : tasks[i].after) readers_[before].push_back(static_cast<int>(i));
      if (waiting_[i] == 0) ready(static_cast<int>(i));
    }
  }

  std::vector<TaskSpan> run() {
    while (true) {
      start_ready();
      if (running_.empty()) break;
      advance();
    }
    std::stable_sort(spans_.begin(), spans_.end(),
                     [](const TaskSpan& a, const TaskSpan& b) { return a.start < b.start; });
    return std::move(spans_);
  }

 private:
  void ready(int task) { (tasks_[task].background ? ready_back_ : ready_).insert(task); }

  bool meet(const Task& a, const Task& b) const {
    return a.pool >= 0 && a.pool == b.pool && a.first < b.last && b.first < a.last;
  }

  /// The running tasks that share a resource with one.
  std::vector<int> conflicts(int task) const {
    std::vector<int> found;
    for (const int other : running_) {
      if (meet(tasks_[task], tasks_[other])) found.push_back(other);
    }
    return found;
  }

  void start(int task) {
    started_[task] = now_;
    running_.insert(task);
  }

  void suspend(int task) {
    note(task);
    left_[task] = std::max(0.0, left_[task] - (now_ - started_[task]));
    running_.erase(task);
    ready_back_.insert(task);
  }

  void note(int task) {
    const double seconds = now_ - started_[task];
    if (seconds > 0) spans_.push_back({task, started_[task], seconds});
  }

  void start_ready() {
    for (auto it = ready_.begin(); it != ready_.end();) {
      const std::vector<int> others = conflicts(*it);
      const bool free = std::all_of(others.begin(), others.end(),
                                    [&](int other) { return tasks_[other].background; });
      if (!free) {
        ++it;
        continue;
      }
      for (const int other : others) suspend(other);
      start(*it);
      it = ready_.erase(it);
    }
    for (auto it = ready_back_.begin(); it != ready_back_.end();) {
      if (conflicts(*it).empty()) {
        start(*it);
        it = ready_back_.erase(it);
      } else {
        ++it;
      }
    }
  }

  void advance() {
    double next = std::numeric_limits<double>::infinity();
    for (const int task : running_) next = std::min(next, started_[task] + left_[task]);
    std::vector<int> done;
    for (const int task : running_) {
      if (started_[task] + left_[task] <= next) done.push_back(task);
    }
    now_ = next;
    for (const int task : done) {
      note(task);
      running_.erase(task);
      for (const int reader : readers_[task]) {
        if (--waiting_[reader] == 0) ready(reader);
      }
    }
  }

  const std::vector<Task>& tasks_;
  std::vector<int> waiting_;
  std::vector<std::vector<int>> readers_;
  std::vector<double> left_;
  std::vector<double> started_;
  std::set<int> ready_;
  std::set<int> ready_back_;
  std::set<int> running_;
  std::vector<TaskSpan> spans_;
  double now_ = 0;
};

}  // namespace

std::vector<TaskSpan> run_tasks(const std::vector<Task>& tasks) {
  return EventQueue(tasks).run();
}

}  // namespace taut::parallel
