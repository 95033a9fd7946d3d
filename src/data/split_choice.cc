#include "split_choice.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/data/reader.h"

namespace taut::data {
namespace {

constexpr std::size_t kMostTimes = std::size_t{1} << 20;
constexpr std::int64_t kTimeBatch = 1 << 14;

// Every n-th time of the rows, n a power of two so that there are not too many.
std::vector<std::int64_t> sample_times(const SchemaGuess& guess, const std::string& train) {
  ReaderOptions options;
  options.files = {train};
  options.format = guess.format;
  options.schema.time = guess.schema.time;
  options.on_bad_row = OnBadRow::kSkip;
  options.batch_size = kTimeBatch;
  BatchReader reader(options);
  std::vector<std::int64_t> times;
  std::int64_t every = 1;
  std::int64_t row = 0;
  for (Batch batch; reader.next(batch);) {
    for (const std::int64_t time : batch.time) {
      if (row++ % every == 0) times.push_back(time);
    }
    if (times.size() < kMostTimes) continue;
    for (std::size_t i = 0; 2 * i < times.size(); ++i) times[i] = times[2 * i];
    times.resize((times.size() + 1) / 2);
    every *= 2;
  }
  return times;
}

// The times at which the last two tenths of the rows and the last one begin; nothing where they
// are the same, or where times cannot be read, which training will name.
std::optional<std::pair<std::int64_t, std::int64_t>> last_tenths(const SchemaGuess& guess,
                                                                 const std::string& train) {
  if (guess.schema.time.empty()) return std::nullopt;
  std::vector<std::int64_t> times;
  try {
    times = sample_times(guess, train);
  } catch (const Error&) {
    return std::nullopt;
  }
  std::sort(times.begin(), times.end());
  const std::int64_t valid = times[times.size() * 8 / 10];
  const std::int64_t test = times[times.size() * 9 / 10];
  if (times.front() < valid && valid < test) return std::pair(valid, test);
  return std::nullopt;
}

}  // namespace

SplitChoice choose_split(const SchemaGuess& guess, const std::string& train) {
  if (const auto bounds = last_tenths(guess, train)) {
    const auto& [valid, test] = *bounds;
    const std::string& column = guess.schema.time;
    return {.train = concat("[", column, "=:", valid, "]"),
            .valid = concat("[", column, "=", valid, ":", test, "]"),
            .test = concat("[", column, "=", test, ":]"),
            .why = "the last tenth of the rows by time"};
  }
  return {.train = "[0%:80%]",
          .valid = "[80%:90%]",
          .test = "[90%:100%]",
          .why = "a tenth of the rows, at random"};
}

}  // namespace taut::data
