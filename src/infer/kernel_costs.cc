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
  CostProbe(std::int64_t width, Words words) : width_(width), words_(words) {
    for (std::int64_t i = 0; i < kInputBlock * width_; ++i) {
      store_weight(words_, kNarrow, i % kNarrow, 1, weight_.data() + i / kNarrow * unit_words_);
    }
    for (std::size_t i = 0; i < scales_.size(); ++i) scales_[i] = 1.0f / 64;
  }

  void fill(double density) {
    const CounterRandom random(1);
    for (std::size_t i = 0; i < x_.size(); ++i) x_[i] = random.uniform(i) < density ? 1.0f : 0.0f;
    list();
  }
  void list() { list_nonzeros(x_.data(), kInputBlock, kInputBlock, unit_words_, lists_); }
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
  Words words_;
  std::int64_t unit_words_ = kNarrow / weights_of_word(words_);
  AlignedBuffer<float> x_{kChannels};
  AlignedBuffer<float> weight_{kInputBlock * kWide};
  AlignedBuffer<float> scales_{kWide};
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
      .words = words_,
      .scales = scales_.data(),
      .bias = bias_.data(),
      .width = width_,
      .unit = kNarrow,
      .unit_stride = kInputBlock * unit_words_,
      .row_begin = 0,
      .row_end = kCostPositions,
      .sums = sums_.data()};
};

KernelCosts measured_costs(std::int64_t width, Words words) {
  constexpr double kSparse = 0.125;
  constexpr double kHalf = 0.5;
  const auto values = static_cast<double>(kCostPositions * kInputBlock);
  const double products = values * static_cast<double>(width);
  CostProbe probe(width, words);
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

// Of one kind of words, by width.
template <Words kWords>
const KernelCosts& costs_of(bool narrow) {
  static const KernelCosts kOfNarrow = measured_costs(kNarrow, kWords);
  static const KernelCosts kOfWide = measured_costs(kWide, kWords);
  return narrow ? kOfNarrow : kOfWide;
}

}  // namespace

const KernelCosts& kernel_costs(std::int64_t width, Words words) {
  const bool narrow = width <= kNarrow;
  switch (words) {
    case Words::kBfloat16:
      return costs_of<Words::kBfloat16>(narrow);
    case Words::kInt8:
      return costs_of<Words::kInt8>(narrow);
    case Words::kFloat32:
      break;
  }
  return costs_of<Words::kFloat32>(narrow);
}

}  // namespace taut::infer
