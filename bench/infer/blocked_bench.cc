// Convolutions of 3 x 3 from lists and from all channels: dense-equivalent GFLOP/s of one thread by
// size and share of channels that are not zero, counting and listing included. The answers of both
// are compared before they are timed.
//   build/release/bench/infer/infer_blocked_bench
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "infer/blocked_kernels.h"
#include "taut/core/aligned_buffer.h"
#include "taut/core/random.h"

namespace taut::infer {
namespace {

// Output positions that are computed together: what the engine takes.
constexpr std::int64_t kStripPositions = 400;

// One layer of as many outputs as channels, and what it reads and writes.
struct Case {
  Case(std::int64_t channel_count, std::int64_t side_length, std::int64_t block,
       std::int64_t together, double rate)
      : channels(channel_count),
        side(side_length),
        width(block),
        unit(together),
        sizes{.in_height = side,
              .in_width = side,
              .in_stride = channels,
              .inputs = channels,
              .out_width = side,
              .kernel = 3,
              .stride = 1,
              .padding = 1},
        x(floats(positions() * channels)),
        weight(floats(9 * channels * channels)),
        bias(floats(channels)),
        sums(floats(positions() * width)),
        y(floats(positions() * channels)),
        values(floats(positions() * channels)),
        offsets(static_cast<std::size_t>(positions() * channels)),
        counts(static_cast<std::size_t>(positions() * channels / kInputBlock)) {
    const CounterRandom random(1);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (random.uniform(i) < rate) x[i] = static_cast<float>(random.normal(i));
    }
    for (std::size_t i = 0; i < weight.size(); ++i) {
      weight[i] = static_cast<float>(CounterRandom(2).normal(i));
    }
  }

  static AlignedBuffer<float> floats(std::int64_t count) {
    return AlignedBuffer<float>(static_cast<std::size_t>(count));
  }
  [[nodiscard]] std::int64_t positions() const { return side * side; }

  void run(bool listed) {
    const std::int64_t strip = std::max<std::int64_t>(1, kStripPositions / side);
    for (std::int64_t begin = 0; begin < side; begin += strip) {
      run_rows(listed, begin, std::min(side, begin + strip));
    }
  }

  void run_rows(bool listed, std::int64_t begin, std::int64_t end) {
    const std::int64_t first = std::max<std::int64_t>(0, begin - 1);
    const ChannelLists lists{.first_row = first,
                             .positions = (std::min(side, end + 1) - first) * side,
                             .values = values.data(),
                             .offsets = offsets.data(),
                             .counts = counts.data()};
    if (listed) {
      list_nonzeros(x.data() + first * side * channels, channels, channels, unit, lists);
    }
    for (std::int64_t o = 0; o < channels; o += width) {
      const BlockSums block{.sizes = sizes,
                            .weight = weight.data() + 9 * channels * o,
                            .bias = bias.data() + o,
                            .width = width,
                            .unit = unit,
                            .unit_stride = 9 * channels * unit,
                            .row_begin = begin,
                            .row_end = end,
                            .sums = sums.data()};
      if (listed) {
        sum_lists(block, lists);
      } else {
        sum_channels(block, x.data(), nullptr);
      }
      finish_sums({.rectified = true, .most = 1e30f}, sums.data(), (end - begin) * side, width,
                  width, channels, y.data() + begin * side * channels + o);
    }
  }

  std::int64_t channels;
  std::int64_t side;
  std::int64_t width;
  std::int64_t unit;
  ConvSizes sizes;
  AlignedBuffer<float> x;
  AlignedBuffer<float> weight;
  AlignedBuffer<float> bias;
  AlignedBuffer<float> sums;
  AlignedBuffer<float> y;
  AlignedBuffer<float> values;
  AlignedBuffer<std::uint32_t> offsets;
  AlignedBuffer<std::uint32_t> counts;
};

void convolve(benchmark::State& state, std::int64_t channels, std::int64_t side, std::int64_t width,
              std::int64_t unit, double rate, bool listed) {
  Case one(channels, side, width, unit, rate);
  one.run(!listed);
  const std::vector<float> wanted(one.y.begin(), one.y.end());
  one.run(listed);
  if (!std::equal(wanted.begin(), wanted.end(), one.y.begin())) {
    state.SkipWithError("lists and all channels give different answers");
    return;
  }
  for (auto _ : state) {
    one.run(listed);
    benchmark::DoNotOptimize(one.y.data());
  }
  const auto work = 18.0 * static_cast<double>(one.positions() * channels * channels);
  state.counters["GFLOP/s"] =
      benchmark::Counter(1e-9 * work, benchmark::Counter::kIsIterationInvariantRate);
}

void add_all() {
  for (const auto& [channels, side] :
       {std::pair{64, 56}, {128, 56}, {256, 28}, {512, 14}, {512, 28}}) {
    for (const auto& [width, unit] : {std::pair{64, 64}, {128, 64}, {128, 128}}) {
      if (width > channels) continue;
      std::string name = "conv3x3/" + std::to_string(channels);
      name.append("x").append(std::to_string(side));
      name.append("/block:").append(std::to_string(width));
      name.append("/unit:").append(std::to_string(unit));
      benchmark::RegisterBenchmark((name + "/all").c_str(), convolve, channels, side, width, unit,
                                   1.0, false);
      for (const double rate : {1.0, 0.8, 0.5, 0.3, 0.15, 0.1}) {
        const std::string percent = std::to_string(static_cast<int>(rate * 100));
        benchmark::RegisterBenchmark((name + "/lists:" + percent).c_str(), convolve, channels, side,
                                     width, unit, rate, true);
      }
    }
  }
}

}  // namespace
}  // namespace taut::infer

int main(int argc, char** argv) {
  taut::infer::add_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
