#pragma once
// Convolutions and linear layers made ready: weights in blocks, and the choice between lists of
// channels and all channels, strip by strip.

#include <cstdint>
#include <vector>

#include "infer/blocked_kernels.h"
#include "infer/scratch.h"
#include "taut/core/aligned_buffer.h"
#include "taut/core/thread_pool.h"
#include "taut/graph/network.h"
#include "taut/infer/engine.h"

namespace taut::infer {

/// Seconds on one thread for each channel, tap and output at a position, zeros counted: what the
/// choice is made from. Lists take `base` whatever they hold, `each` times the share of channels
/// that are not zero, and `listing` once for each channel at a position.
struct KernelCosts {
  double all = 0;
  double base = 0;
  double each = 0;
  double listing = 0;
};

/// Of blocks of so many outputs: lists are shared by fewer in narrow ones. Measured on this machine
/// when first asked for, in a few milliseconds a kind of words. The choice that follows never
/// changes an answer. Threads: may be called at once.
[[nodiscard]] const KernelCosts& kernel_costs(std::int64_t width, Words words);

/// How a product is computed.
enum class Kernel {
  kMeasured,  ///< the cheaper one by the density of the input at hand
  kAll,       ///< all channels
  kLists,     ///< listed channels, where the layer can be computed so
};

/// What a run found and did.
struct ProductCounts {
  std::int64_t sampled = 0;   ///< values that were looked at to choose
  std::int64_t nonzeros = 0;  ///< of them
  std::int64_t strips = 0;    ///< pieces of output rows
  std::int64_t listed = 0;    ///< those computed from lists

  void add(const ProductCounts& other) noexcept {
    sampled += other.sampled;
    nonzeros += other.nonzeros;
    strips += other.strips;
    listed += other.listed;
  }
};

/// A convolution that is not depthwise, or a linear layer. Threads: run() may be called at once.
class Product {
 public:
  /// Sizes must fit (check_model). Weights in 8 bits stay so in linear layers that are larger than
  /// a core's cache, and are decoded in others: the bits of the answer are the same. type: of fp32
  /// weights of linear layers.
  Product(const graph::Layer& layer, const graph::LayerValues& values, WeightType type);

  /// Whether lists may be used: all weights are finite (zero times infinity is not nothing), and an
  /// output reads enough channels of a position.
  [[nodiscard]] bool may_list() const noexcept { return finite_ && !gathers_; }
  /// Bytes of the packed weights.
  [[nodiscard]] std::int64_t weight_bytes() const noexcept { return weight_.bytes(); }

  /// Floats that a strip borrows while it is computed, at most; not rounded.
  [[nodiscard]] double scratch_floats() const noexcept;

  /// x [rows, height, width, channels] to y; what the finish adds is laid like y. Strips, or blocks
  /// of outputs, are spread over the pool. Bits depend on neither pool, kernel nor rows. written:
  /// called for each strip, or pieces of it.
  ProductCounts run(const float* x, std::int64_t rows, const Finish& finish, float* y,
                    Kernel kernel, ScratchPool& scratch, ThreadPool& pool,
                    const PositionsWritten& written = {}) const;

 private:
  struct Strip;
  struct Places;

  void pack(const std::vector<float>& weight);
  void pack_outputs(const std::vector<float>& values, AlignedBuffer<float>& to) const;
  [[nodiscard]] std::int64_t taps() const noexcept { return sizes_.kernel * sizes_.kernel; }
  [[nodiscard]] std::int64_t blocks() const noexcept { return (padded_ + block_ - 1) / block_; }
  [[nodiscard]] Strip strip_of(std::int64_t number, std::int64_t rows, const float* x,
                               const Finish& finish, float* y) const;
  [[nodiscard]] bool chooses_lists(const Strip& strip, Kernel kernel, ProductCounts& counts) const;
  [[nodiscard]] bool reads_weights_once(const Strip& strip) const;  // or a few times
  [[nodiscard]] std::int64_t block_grain(const Strip& strip, const ProductCounts& found) const;
  [[nodiscard]] Places places(const Strip& strip, std::byte* memory) const;
  void prepare(const Strip& strip, std::int64_t group, const Places& at) const;
  void sum_block(const Strip& strip, std::int64_t group, std::int64_t block, const Places& at,
                 float* sums) const;
  [[nodiscard]] std::int64_t place_bytes(const Strip& strip) const noexcept;
  [[nodiscard]] std::int64_t sum_bytes(const Strip& strip) const noexcept;

  graph::Layer layer_;
  ConvSizes sizes_;           // of one group of an example
  std::int64_t outputs_ = 0;  // of a group
  std::int64_t unit_ = 0;     // outputs whose weights lie together
  std::int64_t block_ = 0;    // outputs that are computed together: some units
  std::int64_t padded_ = 0;   // outputs of all units of a group
  std::int64_t strip_rows_ = 1;
  bool linear_ = false;   // rows of all examples are one column of positions
  bool gathers_ = false;  // few channels: windows become columns first
  bool finite_ = true;
  Words words_ = Words::kFloat32;
  AlignedBuffer<float> weight_;  // words [group][unit][input block][tap][channel][unit]
  AlignedBuffer<float> scales_;  // [group][padded], of codes
  AlignedBuffer<float> bias_;    // [group][padded]
};

}  // namespace taut::infer
