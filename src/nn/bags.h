#pragma once
// A batch of ids as Python hands it over, in the form that tables read.

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "taut/core/jagged.h"
#include "taut/core/spelling.h"

namespace taut::nn {

/// How bags become rows, beside their ids.
struct Pooling {
  enum class Mode {
    kSum,
    kMean,  ///< of all ids of a bag that are not padding
    kNone,  ///< each id is a row of the result, padding a row of zeros; of one table alone
  };
  Mode mode = Mode::kSum;
  std::optional<std::int64_t> padding = {};  ///< an id that is left out of its bags
};
constexpr auto spellings(std::type_identity<Pooling::Mode>) {
  return std::to_array<Spelling<Pooling::Mode>>({{"sum", Pooling::Mode::kSum},
                                                 {"mean", Pooling::Mode::kMean},
                                                 {"none", Pooling::Mode::kNone}});
}

/// "sum", "mean" or "none". Throws c10::ValueError naming another one.
[[nodiscard]] Pooling::Mode pooling_mode(std::string_view name);

/// A 1-dimensional int32 or int64 tensor as int64, contiguous. Throws c10::ValueError naming
/// name[table].
[[nodiscard]] at::Tensor integers(const at::Tensor& tensor, const char* name, std::size_t table);

/// The ids of a tensor that integers() gave.
[[nodiscard]] std::span<const std::uint64_t> ids_of(const at::Tensor& ids);

/// Views of a batch for each table; owns what had to be converted. Errors: c10::ValueError naming
/// the argument. Where bags are more than summed, the offsets are checked before anything is made
/// of them.
class Bags {
 public:
  Bags(at::TensorList ids, at::TensorList offsets, at::TensorList weights, std::size_t tables,
       const Pooling& pooling);

  [[nodiscard]] std::span<const JaggedIds> views() const noexcept { return views_; }
  /// Rows of the result: bags, or ids where they are not pooled.
  [[nodiscard]] std::int64_t batch() const noexcept { return batch_; }
  /// Bags that were given, whatever becomes of them: what a mean loss is divided by.
  [[nodiscard]] std::int64_t examples() const noexcept { return examples_; }

 private:
  // Ids, offsets and weights that no tensor holds.
  struct Made {
    std::vector<std::uint64_t> ids;
    std::vector<std::int64_t> offsets;
    std::vector<float> weights;
  };

  at::Tensor keep(at::Tensor tensor);
  std::span<const float> float_view(const at::Tensor& weight, std::size_t table);
  void split(JaggedIds& bags);
  void leave_out(JaggedIds& bags, std::uint64_t padding);
  void average(JaggedIds& bags);

  std::vector<at::Tensor> owned_;
  std::vector<Made> made_;
  std::vector<JaggedIds> views_;
  std::int64_t batch_ = 0;
  std::int64_t examples_ = 0;
};

}  // namespace taut::nn
