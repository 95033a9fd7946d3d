// Times of the kernels on this machine.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>

#include "infer/blocked_kernels.h"
#include "infer/product.h"
#include "taut/core/aligned_buffer.h"
#include "taut/core/random.h"

namespace taut::infer {
namespace {

constexpr std::int64_t kCostPositions = 512;  // more than branches can be learnt
constexpr std::int64_t kNarrow = 64;
constexpr std::int64_t kWide = 128;
constexpr int kCostTrials = 6;  // the least counts: others run beside us

// One block of 1 x 1 taps over positions whose channels are not zero with a given chance.
class CostProbe {
 public:
  explicit CostProbe(std::int64_t width) : width_(width) {
    for (std::size_t i = 0; i < weight_.size(); ++i) weight_[i] = 1.0f / 64;
  }

  void fill(double density) {
    const CounterRandom random(1);
    for (std::size_t i = 0; i < x_.size(); ++i) x_[i] = random.uniform(i) < density ? 1.0f : 0.0f;
    list();
  }
  void list() { list_nonzeros(x_.data(), kInputBlock, kInputBlock, kNarrow, lists_); }
  void sum_all() { sum_channels(block_, x_.data(), nullptr); }
  void sum_listed() { sum_lists(block_, lists_); }

  // Seconds of the fastest call.
  template <typename Call>
  static double least_seconds(Call&& call) {
    double least = std::numeric_limits<double>::infinity();
    for (int trial = 0; trial < kCostTrials; ++trial) {
      const auto start = std::chrono::steady_clock::now();
      call();
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
      least = std::min(least, taken.count());
    }
    return least;
  }

 private:
  static constexpr std::size_t kChannels = kCostPositions * kInputBlock;

  std::int64_t width_;
  AlignedBuffer<float> x_{kChannels};
  AlignedBuffer<float> weight_{kInputBlock * kWide};
  AlignedBuffer<float> bias_{kWide};
  AlignedBuffer<float> sums_{kCostPositions * kWide};
  AlignedBuffer<float> values_{kChannels};
  AlignedBuffer<std::uint32_t> offsets_{kChannels};
  AlignedBuffer<std::uint32_t> counts_{kCostPositions};
  ChannelLists lists_{.first_row = 0,
                      .positions = kCostPositions,
                      .values = values_.data(),
                      .offsets = offsets_.data(),
                      .counts = counts_.data()};
  BlockSums block_{
      .sizes = {.in_height = kCostPositions, .in_stride = kInputBlock, .inputs = kInputBlock},
      .weight = weight_.data(),
      .bias = bias_.data(),
      .width = width_,
      .unit = kNarrow,
      .unit_stride = kInputBlock * kNarrow,
      .row_begin = 0,
      .row_end = kCostPositions,
      .sums = sums_.data()};
};

KernelCosts measured_costs(std::int64_t width) {
  constexpr double kSparse = 0.125;
  constexpr double kHalf = 0.5;
  const auto values = static_cast<double>(kCostPositions * kInputBlock);
  const double products = values * static_cast<double>(width);
  CostProbe probe(width);
  KernelCosts costs;
  probe.fill(kHalf);
  costs.all = CostProbe::least_seconds([&] { probe.sum_all(); }) / products;
  costs.listing = CostProbe::least_seconds([&] { probe.list(); }) / values;
  const double half = CostProbe::least_seconds([&] { probe.sum_listed(); }) / products;
  probe.fill(kSparse);
  const double sparse = CostProbe::least_seconds([&] { probe.sum_listed(); }) / products;
  costs.each = std::max(0.0, (half - sparse) / (kHalf - kSparse));
  costs.base = std::max(0.0, sparse - kSparse * costs.each);
  return costs;
}

}  // namespace

const KernelCosts& kernel_costs(std::int64_t width) {
  static const KernelCosts kOfNarrow = measured_costs(kNarrow);
  static const KernelCosts kOfWide = measured_costs(kWide);
  return width <= kNarrow ? kOfNarrow : kOfWide;
}

}  // namespace taut::infer
