#include "taut/dist/calibration.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>

#include <algorithm>

#include "taut/core/text.h"

namespace taut::dist {
namespace {

using Clock = std::chrono::steady_clock;

void require_positive(std::string_view name, std::int64_t value) {
  if (value < 1) throw_invalid_argument(name, "at least 1", concat(value));
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The median over repetitions of what the slowest worker takes, all beginning together; the first
// repetition is not counted.
template <typename Work>
double seconds_of(ProcessGroup& group, int repetitions, Work&& work) {
  std::vector<double> taken;
  for (int i = 0; i <= repetitions; ++i) {
    group.barrier();
    const Clock::time_point start = Clock::now();
    work();
    const double own = std::chrono::duration<double>(Clock::now() - start).count();
    const std::vector<double> each = group.each(own);
    if (i > 0) taken.push_back(*std::max_element(each.begin(), each.end()));
  }
  return median(std::move(taken));
}

// Seconds in which all pairs of a level exchange so many bytes in both directions.
double exchange_seconds(WorkerArray& array, int level, std::int64_t bytes, int repetitions) {
  ProcessGroup& pair = array.pair(level);
  const std::vector<std::byte> send(static_cast<std::size_t>(bytes), std::byte{1});
  std::vector<std::byte> received(send.size());
  std::vector<std::int64_t> sizes(2, bytes);
  sizes[static_cast<std::size_t>(pair.rank())] = 0;
  return seconds_of(*array.group(), repetitions,
                    [&] { pair.all_to_all(send, sizes, received, sizes, Cause::kControl); });
}

double measured_macs(ProcessGroup& group, const CalibrationOptions& options) {
  const int before = at::get_num_threads();
  at::set_num_threads(options.threads);
  const at::Tensor left = at::ones({options.matrix, options.matrix});
  const at::Tensor right = at::ones({options.matrix, options.matrix});
  at::Tensor product = at::empty({options.matrix, options.matrix});
  const double seconds =
      seconds_of(group, options.repetitions, [&] { at::mm_out(product, left, right); });
  at::set_num_threads(before);
  const auto side = static_cast<double>(options.matrix);
  return side * side * side / seconds;
}

}  // namespace

parallel::Cluster calibrate(WorkerArray& array, const CalibrationOptions& options) {
  require_positive("small_bytes", options.small_bytes);
  require_positive("repetitions", options.repetitions);
  require_positive("matrix", options.matrix);
  require_positive("threads", options.threads);
  if (options.large_bytes <= options.small_bytes) {
    throw_invalid_argument("large_bytes", concat("above ", options.small_bytes),
                           concat(options.large_bytes));
  }
  parallel::Cluster cluster;
  cluster.name = "measured";
  cluster.mac_count = parallel::MacCount::kOutputSize;
  const int workers = array.group()->size();
  for (int level = 0; level < array.levels(); ++level) {
    const double small = exchange_seconds(array, level, options.small_bytes, options.repetitions);
    const double large = exchange_seconds(array, level, options.large_bytes, options.repetitions);
    const double moved = static_cast<double>((options.large_bytes - options.small_bytes) * workers);
    // What else a machine does can slow the few bytes more than the many: then they tell nothing of
    // the latency in the other, at least half of which is taken to be bytes that move.
    const double apart = std::max(large - small, large / 2);
    cluster.levels.push_back({.name = concat("level ", level + 1),
                              .bytes_per_second = moved / apart,
                              .latency_seconds = small});
  }
  cluster.accelerator.macs_per_second = measured_macs(*array.group(), options);
  return cluster;
}

std::string cluster_toml(const parallel::Cluster& cluster) {
  const parallel::Accelerator& one = cluster.accelerator;
  std::string text = concat(
      "# Measured by taut calibrate: latency and bandwidth of each level with all its pairs busy, "
      "top\n"
      "# level first, and what one worker multiplies in fp32 while the others do too.\n"
      "name = \"",
      cluster.name, "\"\naccelerators = ", cluster.accelerators(), "\nmacs = \"",
      cluster.mac_count == parallel::MacCount::kOutputSize ? "output" : "input",
      "\"\n\n[accelerator]\nmacs_per_second = ", one.macs_per_second, "\n");
  if (one.memory_bytes > 0) text += concat("memory = ", one.memory_bytes, "\n");
  for (const parallel::Level& level : cluster.levels) {
    text += concat("\n[[level]]\nname = \"", level.name,
                   "\"\nbytes_per_second = ", level.bytes_per_second,
                   "\nlatency_seconds = ", level.latency_seconds, "\n");
  }
  return text;
}

}  // namespace taut::dist
