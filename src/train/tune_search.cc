#include "train/tune_search.h"

#include <algorithm>
#include <optional>

namespace taut::train {
namespace {

class Search {
 public:
  explicit Search(const SearchProblem& problem)
      : problem_(problem), sites_(problem.levels.size()), now_(problem.start) {}

  SearchResult run() {
    result_.before = measure(now_);
    floor_ = result_.before - problem_.drop - 1e-12;
    measure_alone();
    descend();
    refine();
    result_.levels = now_;
    result_.after = measure(now_);
    result_.measured = static_cast<std::int64_t>(known_.size());
    return result_;
  }

 private:
  double measure(const Levels& levels) {
    const auto [entry, fresh] = known_.try_emplace(levels, 0.0);
    if (fresh) entry->second = problem_.accuracy(levels);
    return entry->second;
  }

  [[nodiscard]] static Levels with(Levels levels, std::size_t site, int level) {
    levels[site] = level;
    return levels;
  }

  void measure_alone() {
    result_.alone.resize(sites_);
    for (std::size_t s = 0; s < sites_; ++s) {
      for (int level = 0; level < problem_.levels[s]; ++level) {
        result_.alone[s].push_back(measure(with(problem_.start, s, level)));
      }
    }
  }

  [[nodiscard]] double alone(std::size_t site, int level) const {
    return result_.alone[site][static_cast<std::size_t>(level)];
  }

  // The next level of a site that costs less.
  [[nodiscard]] std::optional<int> cheaper_level(std::size_t site) const {
    const double cost = problem_.cost(now_);
    for (int level = now_[site] + 1; level < problem_.levels[site]; ++level) {
      if (problem_.cost(with(now_, site, level)) < cost) return level;
    }
    return std::nullopt;
  }

  void descend() {
    std::vector<bool> open(sites_, true);
    while (true) {
      std::optional<std::size_t> best;
      double best_worth = 0;
      int best_level = 0;
      for (std::size_t s = 0; s < sites_; ++s) {
        const std::optional<int> level = open[s] ? cheaper_level(s) : std::nullopt;
        if (!level) continue;
        const double saved = problem_.cost(now_) - problem_.cost(with(now_, s, *level));
        const double lost = std::max(0.0, alone(s, now_[s]) - alone(s, *level));
        const double worth = saved / (lost + problem_.resolution);
        if (best && worth <= best_worth) continue;
        best = s;
        best_worth = worth;
        best_level = *level;
      }
      if (!best) return;
      const Levels next = with(now_, *best, best_level);
      if (measure(next) >= floor_) {
        now_ = next;
      } else {
        open[*best] = false;
      }
    }
  }

  struct Move {
    Levels levels;
    double cost = 0;
    double predicted = 0;  ///< accuracy, if what sites lose alone adds up
  };

  // Changes of one or two sites that cost less.
  [[nodiscard]] std::vector<Move> cheaper_moves() {
    std::vector<Move> moves;
    const double cost = problem_.cost(now_);
    const double accuracy = measure(now_);
    const auto consider = [&](const Levels& levels) {
      const double lower = problem_.cost(levels);
      if (lower >= cost) return;
      double predicted = accuracy;
      for (std::size_t s = 0; s < sites_; ++s) {
        predicted += alone(s, levels[s]) - alone(s, now_[s]);
      }
      moves.push_back({levels, lower, predicted});
    };
    for (std::size_t a = 0; a < sites_; ++a) {
      for (int i = 0; i < problem_.levels[a]; ++i) {
        if (i == now_[a]) continue;
        const Levels one = with(now_, a, i);
        consider(one);
        for (std::size_t b = a + 1; b < sites_; ++b) {
          for (int j = 0; j < problem_.levels[b]; ++j) {
            if (j != now_[b]) consider(with(one, b, j));
          }
        }
      }
    }
    return moves;
  }

  // What should hold first, from the cheapest; then what should hardly not.
  void sort_by_promise(std::vector<Move>& moves) const {
    std::stable_sort(moves.begin(), moves.end(), [&](const Move& a, const Move& b) {
      const bool a_holds = a.predicted >= floor_;
      const bool b_holds = b.predicted >= floor_;
      if (a_holds != b_holds) return a_holds;
      return a_holds ? a.cost < b.cost : a.predicted > b.predicted;
    });
  }

  void refine() {
    std::int64_t tries = problem_.tries;
    bool moved = true;
    while (moved && tries > 0) {
      moved = false;
      std::vector<Move> moves = cheaper_moves();
      sort_by_promise(moves);
      for (const Move& move : moves) {
        const bool fresh = !known_.contains(move.levels);
        if (fresh && tries == 0) break;
        if (fresh) --tries;
        if (measure(move.levels) < floor_) continue;
        now_ = move.levels;
        moved = true;
        break;
      }
    }
  }

  const SearchProblem& problem_;
  std::size_t sites_;
  Levels now_;
  double floor_ = 0;
  std::map<Levels, double> known_;
  SearchResult result_;
};

}  // namespace

SearchResult search_rates(const SearchProblem& problem) {
  return Search(problem).run();
}

}  // namespace taut::train
