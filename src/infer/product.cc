#include "infer/product.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "core/round_up.h"
#include "infer/grain.h"
#include "infer/layers.h"
#include "taut/core/error.h"

namespace taut::infer {
namespace {

// Outputs whose weights lie together: those of a tap and 64 channels stay in the first-level cache.
constexpr std::int64_t kConvUnit = 64;
// A linear layer's weights are read once a strip: longer pieces of memory.
constexpr std::int64_t kLinearUnit = 256;
// Units of a convolution that are computed together, so that two share the walk over a list: with
// one, lists run a fifth slower (bench/infer/blocked_bench.cc).
constexpr std::int64_t kConvUnits = 2;
// Output positions of a strip: its sums and lists stay in a core's own cache. At 56 x 56 lists of a
// tenth of the channels run twice as fast as without strips (the same benchmark).
constexpr std::int64_t kStripPositions = 400;
constexpr std::int64_t kLeastPositions = 16;
constexpr std::int64_t kLeastRows = 4;  // rows around a strip are listed again
// Values of a strip's input.
constexpr std::int64_t kStripValues = std::int64_t{1} << 18;
// Below so many channels a window becomes one column.
constexpr std::int64_t kFewChannels = 16;
// A few positions of a linear layer: its time is that of reading weights, fewer from lists.
constexpr std::int64_t kFewPositions = 6;
constexpr std::int64_t kSampledPositions = 48;
// Lists must promise so much less time.
constexpr double kGain = 0.97;

constexpr std::int64_t bytes_of(std::int64_t floats) {
  return round_up(floats * static_cast<std::int64_t>(sizeof(float)), 64);
}

// Weights of a layer that stay in a core's own cache, in fp32.
constexpr std::int64_t kCachedWeights = std::int64_t{1} << 18;

// What a layer's weights are packed as. Words of several weights take longer to read than those of
// one: they pay where weights come from memory, in linear layers (docs/infer.md, "Weights in fewer
// bits").
Words words_of(const graph::Layer& layer, const graph::LayerValues& values, WeightType type) {
  if (layer.op != graph::Op::kLinear) return Words::kFloat32;
  if (!values.codes.empty()) {
    const bool cached = layer.in.channels * layer.out.channels <= kCachedWeights;
    return cached ? Words::kFloat32 : Words::kInt8;
  }
  return type == WeightType::kBfloat16 ? Words::kBfloat16 : Words::kFloat32;
}

bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

const float* zero_channels() {
  alignas(64) static constexpr float kZeros[kInputBlock] = {};
  return kZeros;
}

}  // namespace

// Some output rows of one example.
struct Product::Strip {
  ConvSizes sizes;
  const float* x = nullptr;  // of the example
  float* y = nullptr;        // of the strip
  Finish finish;             // what it adds is the strip's
  std::int64_t row_begin = 0;
  std::int64_t row_end = 0;
  std::int64_t in_begin = 0;  // input rows
  std::int64_t in_end = 0;
  bool lists = false;

  [[nodiscard]] std::int64_t positions() const { return (row_end - row_begin) * sizes.out_width; }
  [[nodiscard]] std::int64_t in_positions() const { return (in_end - in_begin) * sizes.in_width; }
};

// Where a strip's lists or columns lie.
struct Product::Places {
  ChannelLists lists;
  float* columns = nullptr;
};

Product::Product(const graph::Layer& layer, const graph::LayerValues& values, WeightType type)
    : layer_(layer),
      linear_(layer.op == graph::Op::kLinear),
      words_(words_of(layer, values, type)) {
  TAUT_ASSERT(!is_depthwise(layer));
  const std::int64_t groups = linear_ ? 1 : layer.groups;
  outputs_ = layer.out.channels / groups;
  const std::int64_t widest = linear_ ? kLinearUnit : kConvUnit;
  const std::int64_t units = (outputs_ + widest - 1) / widest;
  const std::int64_t whole = words_ == Words::kBfloat16 ? 2 * kOutputUnit : kOutputUnit;
  unit_ = round_up((outputs_ + units - 1) / units, whole);  // all are as wide
  padded_ = units * unit_;
  block_ = std::min((linear_ ? 1 : kConvUnits) * unit_, padded_);
  sizes_ = {.in_height = layer.in.height,
            .in_width = layer.in.width,
            .in_stride = layer.in.channels,
            .inputs = layer.in.channels / groups,
            .out_width = layer.out.width,
            .kernel = layer.window.kernel,
            .stride = layer.window.stride,
            .stride_across = graph::along_width(layer.window).stride,
            .padding = layer.window.padding};
  if (linear_) {
    sizes_.in_width = sizes_.out_width = sizes_.kernel = 1;
    sizes_.stride = sizes_.stride_across = 1;
  }
  gathers_ = sizes_.inputs < kFewChannels && taps() > 1;
  const std::int64_t values_in = layer.in.channels * (gathers_ ? taps() : 1);
  const std::int64_t positions =
      std::clamp(kStripValues / values_in, kLeastPositions, kStripPositions);
  strip_rows_ = std::max(linear_ || gathers_ ? 1 : kLeastRows, positions / sizes_.out_width);
  if (words_ == Words::kInt8) {
    pack({values.codes.begin(), values.codes.end()});
    pack_outputs({values.code_scales.begin(), values.code_scales.end()}, scales_);
    finite_ = all_finite(values.code_scales);
  } else {
    pack(decoded_weight(values));
  }
  pack_outputs({values.bias.begin(), values.bias.end()}, bias_);
}

// Values [groups * outputs], or none, to [group][padded].
void Product::pack_outputs(const std::vector<float>& values, AlignedBuffer<float>& to) const {
  const std::int64_t groups = layer_.in.channels / sizes_.inputs;
  to = AlignedBuffer<float>(static_cast<std::size_t>(groups * padded_));
  for (std::size_t o = 0; o < values.size(); ++o) {
    const auto channel = static_cast<std::int64_t>(o);
    to[static_cast<std::size_t>(channel / outputs_ * padded_ + channel % outputs_)] = values[o];
  }
}

// weight: as they are stored; codes as numbers.
void Product::pack(const std::vector<float>& weight) {
  const std::int64_t inputs = sizes_.inputs;
  const std::int64_t groups = layer_.in.channels / inputs;
  const std::int64_t words = unit_ / weights_of_word(words_);
  const std::int64_t units = padded_ / unit_;
  weight_ =
      AlignedBuffer<float>(static_cast<std::size_t>(groups * units * words * inputs * taps()));
  float* to = weight_.data();
  for (std::int64_t group = 0; group < groups; ++group) {
    for (std::int64_t begin = 0; begin < padded_; begin += unit_) {
      const std::int64_t outputs = std::clamp<std::int64_t>(outputs_ - begin, 0, unit_);
      for (std::int64_t first = 0; first < inputs; first += kInputBlock) {
        const std::int64_t channels = std::min(kInputBlock, inputs - first);
        for (std::int64_t o = 0; o < outputs; ++o) {
          const float* from =
              weight.data() + ((group * outputs_ + begin + o) * inputs + first) * taps();
          for (std::int64_t c = 0; c < channels; ++c) {
            for (std::int64_t tap = 0; tap < taps(); ++tap, ++from) {
              store_weight(words_, unit_, o, *from, to + (tap * channels + c) * words);
            }
          }
        }
        to += taps() * channels * words;
      }
    }
  }
  // bf16 rounds what is finite but very large to infinity.
  finite_ = std::all_of(weight.begin(), weight.end(), [this](float w) {
    return std::isfinite(words_ == Words::kBfloat16 ? nearest_bfloat16(w) : w);
  });
}

double Product::scratch_floats() const noexcept {
  const auto rows = static_cast<double>(strip_rows_);
  const double positions = rows * static_cast<double>(sizes_.out_width);
  const double sums = positions * static_cast<double>(block_);
  if (gathers_) return sums + positions * static_cast<double>(taps() * sizes_.inputs);
  const double in_rows = std::min(rows * static_cast<double>(sizes_.stride + sizes_.kernel),
                                  static_cast<double>(linear_ ? strip_rows_ : sizes_.in_height));
  const auto slots = static_cast<double>(2 * round_up(sizes_.inputs, kInputBlock));
  return sums + in_rows * static_cast<double>(sizes_.in_width) * slots;
}

Product::Strip Product::strip_of(std::int64_t number, std::int64_t rows, const float* x,
                                 const Finish& finish, float* y) const {
  Strip strip;
  strip.sizes = sizes_;
  std::int64_t out_rows = layer_.out.height;
  if (linear_) strip.sizes.in_height = out_rows = rows * layer_.in.height * layer_.in.width;
  const std::int64_t strips = (out_rows + strip_rows_ - 1) / strip_rows_;
  const std::int64_t example = number / strips;
  strip.row_begin = number % strips * strip_rows_;
  strip.row_end = std::min(out_rows, strip.row_begin + strip_rows_);
  const std::int64_t top = strip.row_begin * sizes_.stride - sizes_.padding;
  const std::int64_t past = (strip.row_end - 1) * sizes_.stride - sizes_.padding + sizes_.kernel;
  strip.in_begin = std::clamp<std::int64_t>(top, 0, strip.sizes.in_height);
  strip.in_end = std::clamp<std::int64_t>(past, strip.in_begin, strip.sizes.in_height);
  strip.x = x + example * layer_.in.size();
  const std::int64_t at =
      example * layer_.out.size() + strip.row_begin * sizes_.out_width * layer_.out.channels;
  strip.y = y + at;
  strip.finish = finish;
  if (finish.added != nullptr) strip.finish.added += at;
  return strip;
}

bool Product::reads_weights_once(const Strip& strip) const {
  return linear_ && strip.positions() < kFewPositions;
}

bool Product::chooses_lists(const Strip& strip, Kernel kernel, ProductCounts& counts) const {
  if (!may_list()) return false;
  const std::int64_t step = std::max<std::int64_t>(1, strip.in_positions() / kSampledPositions);
  const std::int64_t positions = (strip.in_positions() + step - 1) / step;
  const std::int64_t channels = layer_.in.channels;
  const float* first = strip.x + strip.in_begin * sizes_.in_width * channels;
  const std::int64_t nonzeros = count_nonzeros(first, positions, step * channels, channels);
  const std::int64_t sampled = positions * channels;
  counts.sampled += sampled;
  counts.nonzeros += nonzeros;
  bool lists = kernel == Kernel::kLists;
  if (kernel == Kernel::kMeasured) {
    const KernelCosts& costs = kernel_costs(block_, words_);
    const double density =
        static_cast<double>(nonzeros) / static_cast<double>(std::max<std::int64_t>(1, sampled));
    const double listed =
        costs.base + costs.each * density + costs.listing / static_cast<double>(taps() * padded_);
    lists = reads_weights_once(strip) || listed < kGain * costs.all;
  }
  counts.listed += lists ? 1 : 0;
  return lists;
}

std::int64_t Product::block_grain(const Strip& strip, const ProductCounts& found) const {
  const double products =
      static_cast<double>(strip.positions() * sizes_.inputs) * static_cast<double>(taps() * block_);
  if (!reads_weights_once(strip)) return grain_of(products, kTaskProducts);
  const double density =
      static_cast<double>(found.nonzeros + 1) / static_cast<double>(found.sampled + 1);
  return grain_of(products * (strip.lists ? density : 1), kTaskListed);
}

std::int64_t Product::place_bytes(const Strip& strip) const noexcept {
  if (gathers_) return bytes_of(strip.positions() * taps() * sizes_.inputs);
  if (!strip.lists) return 0;
  const std::int64_t lists = round_up(sizes_.inputs, kInputBlock) * strip.in_positions();
  return 2 * bytes_of(lists) + bytes_of(lists / kInputBlock);
}

std::int64_t Product::sum_bytes(const Strip& strip) const noexcept {
  return bytes_of(strip.positions() * block_);
}

Product::Places Product::places(const Strip& strip, std::byte* memory) const {
  Places at;
  if (gathers_) {
    at.columns = reinterpret_cast<float*>(memory);
    return at;
  }
  const std::int64_t slots = round_up(sizes_.inputs, kInputBlock) * strip.in_positions();
  at.lists = {.first_row = strip.in_begin,
              .positions = strip.in_positions(),
              .values = reinterpret_cast<float*>(memory),
              .offsets = reinterpret_cast<std::uint32_t*>(memory + bytes_of(slots)),
              .counts = reinterpret_cast<std::uint32_t*>(memory + 2 * bytes_of(slots))};
  return at;
}

void Product::prepare(const Strip& strip, std::int64_t group, const Places& at) const {
  if (gathers_) {
    const std::int64_t first = strip.row_begin * sizes_.out_width;
    for (std::int64_t p = 0; p < strip.positions(); ++p) {
      gather_window(layer_, strip.x, first + p, group, at.columns + p * taps() * sizes_.inputs);
    }
  } else if (strip.lists) {
    const float* first = strip.x + strip.in_begin * sizes_.in_width * sizes_.in_stride;
    list_nonzeros(first + group * sizes_.inputs, sizes_.in_stride, sizes_.inputs,
                  unit_ / weights_of_word(words_), at.lists);
  }
}

void Product::sum_block(const Strip& strip, std::int64_t group, std::int64_t block,
                        const Places& at, float* sums) const {
  const std::int64_t begin = block * block_;
  const std::int64_t width = std::min(block_, padded_ - begin);
  const std::int64_t depth = sizes_.inputs * taps();
  const std::int64_t unit_stride = unit_ / weights_of_word(words_) * depth;
  const std::int64_t output = group * padded_ + begin;
  BlockSums to{.sizes = strip.sizes,
               .weight = weight_.data() + output / unit_ * unit_stride,
               .words = words_,
               .scales = words_ == Words::kInt8 ? scales_.data() + output : nullptr,
               .bias = bias_.data() + output,
               .width = width,
               .unit = unit_,
               .unit_stride = unit_stride,
               .row_begin = strip.row_begin,
               .row_end = strip.row_end,
               .sums = sums,
               .fetches_ahead = reads_weights_once(strip)};
  if (gathers_) {
    to.sizes = {.in_height = strip.positions(), .in_stride = depth, .inputs = depth};
    to.row_begin = 0;
    to.row_end = strip.positions();
    sum_channels(to, at.columns, nullptr);
  } else if (strip.lists) {
    sum_lists(to, at.lists);
  } else {
    sum_channels(to, strip.x + group * sizes_.inputs, finite_ ? nullptr : zero_channels());
  }
  const std::int64_t channel = group * outputs_ + begin;
  Finish finish = strip.finish;
  if (finish.scale != nullptr) {
    finish.scale += channel;
    finish.shift += channel;
  }
  if (finish.added != nullptr) finish.added += channel;
  finish_sums(finish, sums, strip.positions(), width,
              std::clamp<std::int64_t>(outputs_ - begin, 0, width), layer_.out.channels,
              strip.y + channel);
}

ProductCounts Product::run(const float* x, std::int64_t rows, const Finish& finish, float* y,
                           Kernel kernel, ScratchPool& scratch, ThreadPool& pool,
                           const PositionsWritten& written) const {
  const std::int64_t out_rows =
      linear_ ? rows * layer_.in.height * layer_.in.width : layer_.out.height;
  const std::int64_t strips = (out_rows + strip_rows_ - 1) / strip_rows_ * (linear_ ? 1 : rows);
  const std::int64_t groups = layer_.in.channels / sizes_.inputs;
  const double products = static_cast<double>(strip_rows_ * sizes_.out_width * sizes_.inputs) *
                          static_cast<double>(taps() * groups * padded_);
  const std::int64_t grain = grain_of(products, kTaskProducts);
  const bool spread_blocks = pool.threads() > 1 && strips / grain < pool.threads() && blocks() > 1;
  std::atomic<std::int64_t> sampled{0};
  std::atomic<std::int64_t> nonzeros{0};
  std::atomic<std::int64_t> listed{0};
  const auto run_strip = [&](std::int64_t number) {
    Strip strip = strip_of(number, rows, x, finish, y);
    ProductCounts found;
    strip.lists = chooses_lists(strip, kernel, found);
    sampled.fetch_add(found.sampled, std::memory_order_relaxed);
    nonzeros.fetch_add(found.nonzeros, std::memory_order_relaxed);
    listed.fetch_add(found.listed, std::memory_order_relaxed);
    const std::int64_t held = place_bytes(strip);
    ScratchPool::Loan loan = scratch.borrow(held + sum_bytes(strip));
    const Places at = places(strip, loan.data());
    for (std::int64_t group = 0; group < groups; ++group) {
      prepare(strip, group, at);
      const auto sum = [&](std::int64_t first, std::int64_t last, std::byte* sums) {
        for (std::int64_t block = first; block < last; ++block) {
          sum_block(strip, group, block, at, reinterpret_cast<float*>(sums));
        }
      };
      if (!spread_blocks) {
        sum(0, blocks(), loan.data() + held);
        continue;
      }
      pool.parallel_for(blocks(), block_grain(strip, found),
                        [&](std::int64_t first, std::int64_t last) {
                          ScratchPool::Loan own = scratch.borrow(sum_bytes(strip));
                          sum(first, last, own.data());
                        });
    }
    if (!written) return;
    const std::int64_t position = (strip.y - y) / layer_.out.channels;
    if (!spread_blocks) return written(position, position + strip.positions());
    pool.parallel_for(
        strip.positions(), kLeastPositions,
        [&](std::int64_t first, std::int64_t last) { written(position + first, position + last); });
  };
  if (spread_blocks) {
    for (std::int64_t number = 0; number < strips; ++number) run_strip(number);
  } else {
    pool.parallel_for(strips, grain, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t number = first; number < last; ++number) run_strip(number);
    });
  }
  return {.sampled = sampled, .nonzeros = nonzeros, .strips = strips, .listed = listed};
}

}  // namespace taut::infer
