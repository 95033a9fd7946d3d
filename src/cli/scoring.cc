#include "cli/scoring.h"

#include <chrono>

#include "taut/core/progress.h"
#include "taut/core/thread_pool.h"

namespace taut::cli {

std::vector<double> score_stream(const infer::Package& package, const data::ReaderOptions& options,
                                 int threads, const ScoreSink& sink) {
  using Clock = std::chrono::steady_clock;
  ThreadPool pool(threads);
  data::BatchReader reader(options);
  ProgressBar bar("scoring", reader.known_rows(), "examples");
  data::Batch batch;
  std::vector<embedding::JaggedIds> ids;
  std::vector<float> probabilities;
  std::vector<double> seconds;
  std::int64_t done = 0;
  while (reader.next(batch)) {
    view_ids(batch.categorical, ids);
    probabilities.resize(static_cast<std::size_t>(batch.size));
    const Clock::time_point start = Clock::now();
    package.predict(batch.size, batch.dense, ids, probabilities, pool);
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    sink(batch, probabilities);
    bar.update(done += batch.size);
  }
  return seconds;
}

}  // namespace taut::cli
