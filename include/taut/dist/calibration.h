#pragma once
// What an array of workers can do, measured: links by level, and multiply-adds of a worker.

#include <vector>

#include "taut/dist/redistribution.h"
#include "taut/parallel/cluster.h"

namespace taut::dist {

/// How long to measure.
struct CalibrationOptions {
  std::int64_t small_bytes = 1 << 10;  ///< of a message whose time is latency
  std::int64_t large_bytes = 4 << 20;  ///< of a message whose time is bandwidth
  int repetitions = 9;                 ///< of which the median is taken
  std::int64_t matrix = 512;           ///< rows and columns of the products
  int threads = 1;                     ///< that a worker multiplies with
};

/// Measures the array that these workers are, all levels one after the other, with all pairs of a
/// level sending at once: a level's bytes_per_second is that of all its links together, both
/// directions, and its latency that of one exchange, as the planner's cost model takes them
/// (parallel::Level). A repetition takes as long as its slowest worker. macs_per_second is the
/// slowest worker's, all multiplying at once, in fp32. Memory and energies stay the defaults.
/// All workers get the same numbers. Errors: kInvalidArgument for options below 1 or large_bytes
/// not above small_bytes; those of ProcessGroup.
[[nodiscard]] parallel::Cluster calibrate(WorkerArray& array,
                                          const CalibrationOptions& options = {});

/// The cluster as `taut plan --cluster` reads it (docs/parallel.md, "A cluster file").
[[nodiscard]] std::string cluster_toml(const parallel::Cluster& cluster);

}  // namespace taut::dist
