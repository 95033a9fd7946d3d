#include "nn/bags.h"

#include <numeric>

#include "nn/translated.h"
#include "taut/core/text.h"

namespace taut::nn {

at::Tensor integers(const at::Tensor& tensor, const char* name, std::size_t table) {
  TORCH_CHECK_VALUE(tensor.scalar_type() == at::kInt || tensor.scalar_type() == at::kLong, name,
                    "[", table, "] must be int32 or int64, got ", tensor.scalar_type());
  TORCH_CHECK_VALUE(tensor.dim() == 1, name, "[", table, "] must have 1 dimension, got ",
                    tensor.dim());
  return tensor.to(at::kLong).contiguous();
}

std::span<const std::uint64_t> ids_of(const at::Tensor& ids) {
  return {reinterpret_cast<const std::uint64_t*>(ids.const_data_ptr<std::int64_t>()),
          static_cast<std::size_t>(ids.numel())};
}

Pooling::Mode pooling_mode(std::string_view name) {
  const std::optional<Pooling::Mode> mode = find_spelling<Pooling::Mode>(name);
  TORCH_CHECK_VALUE(mode.has_value(), "mode must be one of ",
                    join(spelling_names<Pooling::Mode>(), ", "), ", got ", name);
  return *mode;
}

Bags::Bags(at::TensorList ids, at::TensorList offsets, at::TensorList weights, std::size_t tables,
           const Pooling& pooling) {
  using Mode = Pooling::Mode;
  TORCH_CHECK_VALUE(ids.size() == tables, "ids must have ", tables, " entries, got ", ids.size());
  TORCH_CHECK_VALUE(offsets.size() == tables, "offsets must have ", tables, " entries, got ",
                    offsets.size());
  TORCH_CHECK_VALUE(weights.empty() || weights.size() == tables, "weights must have 0 or ", tables,
                    " entries, got ", weights.size());
  TORCH_CHECK_VALUE(weights.empty() || pooling.mode == Mode::kSum, "weights go with sums alone");
  TORCH_CHECK_VALUE(tables == 1 || pooling.mode != Mode::kNone,
                    "ids that are not pooled must be of 1 table, got ", tables, " tables");
  made_.reserve(2 * tables);  // views point into it
  for (std::size_t t = 0; t < tables; ++t) {
    const at::Tensor id = keep(integers(ids[t], "ids", t));
    const at::Tensor offset = keep(integers(offsets[t], "offsets", t));
    TORCH_CHECK_VALUE(offset.numel() >= 1, "offsets[", t,
                      "] must have batch + 1 entries, got none");
    if (t == 0) batch_ = examples_ = offset.numel() - 1;
    JaggedIds jagged{.ids = ids_of(id),
                     .offsets = {offset.const_data_ptr<std::int64_t>(),
                                 static_cast<std::size_t>(offset.numel())},
                     .weights = {}};
    if (!weights.empty()) jagged.weights = float_view(weights[t], t);
    if (pooling.mode != Mode::kSum || pooling.padding) {
      check_jagged(jagged, examples_, concat("tables[", t, "]"));
    }
    if (pooling.mode == Mode::kNone) split(jagged);
    if (pooling.padding) leave_out(jagged, static_cast<std::uint64_t>(*pooling.padding));
    if (pooling.mode == Mode::kMean) average(jagged);
    views_.push_back(jagged);
  }
}

at::Tensor Bags::keep(at::Tensor tensor) {
  owned_.push_back(tensor);
  return tensor;
}

std::span<const float> Bags::float_view(const at::Tensor& weight, std::size_t table) {
  TORCH_CHECK_VALUE(weight.scalar_type() == at::kFloat, "weights[", table,
                    "] must be float32, got ", weight.scalar_type());
  const at::Tensor kept = keep(weight.contiguous());
  return {kept.const_data_ptr<float>(), static_cast<std::size_t>(kept.numel())};
}

// Every id becomes a bag.
void Bags::split(JaggedIds& bags) {
  Made& made = made_.emplace_back();
  made.offsets.resize(bags.ids.size() + 1);
  std::iota(made.offsets.begin(), made.offsets.end(), std::int64_t{0});
  bags.offsets = made.offsets;
  batch_ = static_cast<std::int64_t>(bags.ids.size());
}

void Bags::leave_out(JaggedIds& bags, std::uint64_t padding) {
  Made& made = made_.emplace_back();
  made.offsets.push_back(0);
  for (std::size_t bag = 0; bag + 1 < bags.offsets.size(); ++bag) {
    const auto end = static_cast<std::size_t>(bags.offsets[bag + 1]);
    for (auto i = static_cast<std::size_t>(bags.offsets[bag]); i < end; ++i) {
      if (bags.ids[i] == padding) continue;
      made.ids.push_back(bags.ids[i]);
      if (!bags.weights.empty()) made.weights.push_back(bags.weights[i]);
    }
    made.offsets.push_back(static_cast<std::int64_t>(made.ids.size()));
  }
  bags = {.ids = made.ids, .offsets = made.offsets, .weights = made.weights};
}

void Bags::average(JaggedIds& bags) {
  Made& made = made_.emplace_back();
  made.weights.reserve(bags.ids.size());
  for (std::size_t bag = 0; bag + 1 < bags.offsets.size(); ++bag) {
    const std::int64_t length = bags.offsets[bag + 1] - bags.offsets[bag];
    const float share = 1.0f / static_cast<float>(std::max<std::int64_t>(length, 1));
    made.weights.insert(made.weights.end(), static_cast<std::size_t>(length), share);
  }
  bags.weights = made.weights;
}

}  // namespace taut::nn
