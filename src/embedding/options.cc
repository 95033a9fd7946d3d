#include "taut/embedding/options.h"

#include <array>
#include <cmath>
#include <string_view>
#include <utility>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::embedding {
namespace {

constexpr std::array<std::pair<ValueType, std::string_view>, 5> kValueTypes = {
    {{ValueType::kFloat32, "fp32"},
     {ValueType::kBFloat16, "bf16"},
     {ValueType::kFloat16, "fp16"},
     {ValueType::kInt8, "int8"},
     {ValueType::kMixed, "mixed"}}};
constexpr std::array<std::pair<Admission, std::string_view>, 3> kAdmissions = {
    {{Admission::kAuto, "auto"}, {Admission::kSampled, "sampled"}, {Admission::kSketch, "sketch"}}};
constexpr std::array<std::pair<Keys, std::string_view>, 2> kKeys = {
    {{Keys::kTagged, "tagged"}, {Keys::kExact, "exact"}}};
constexpr std::array<std::pair<Optimizer, std::string_view>, 4> kOptimizers = {
    {{Optimizer::kRowwiseAdagrad, "rowwise_adagrad"},
     {Optimizer::kAdagrad, "adagrad"},
     {Optimizer::kSgd, "sgd"},
     {Optimizer::kAdam, "adam"}}};
constexpr std::array<std::pair<OnNan, std::string_view>, 2> kOnNans = {
    {{OnNan::kFail, "fail"}, {OnNan::kSkip, "skip"}}};

template <typename E, std::size_t N>
std::string name_of(const std::array<std::pair<E, std::string_view>, N>& names, E value) {
  for (const auto& [known, name] : names) {
    if (known == value) return std::string(name);
  }
  TAUT_ASSERT(false);
  return {};
}

template <typename E, std::size_t N>
E parse_name(const std::array<std::pair<E, std::string_view>, N>& names, std::string_view key,
             const std::string& text) {
  std::vector<std::string> candidates;
  for (const auto& [known, name] : names) {
    if (name == text) return known;
    candidates.emplace_back(name);
  }
  throw Error(ErrorKind::kConfig, concat("unknown ", key, " \"", text, "\""),
              concat("embedding.", key), suggest(text, candidates));
}

template <typename T>
void require(bool good, std::string_view key, std::string_view wanted, const T& got) {
  if (good) return;
  throw Error(ErrorKind::kConfig, concat("must be ", wanted, ", got ", got),
              concat("embedding.", key));
}

}  // namespace

std::string to_string(ValueType type) {
  return name_of(kValueTypes, type);
}
std::string to_string(Admission admission) {
  return name_of(kAdmissions, admission);
}
std::string to_string(Keys keys) {
  return name_of(kKeys, keys);
}
std::string to_string(Optimizer optimizer) {
  return name_of(kOptimizers, optimizer);
}
std::string to_string(OnNan on_nan) {
  return name_of(kOnNans, on_nan);
}

ValueType parse_value_type(const std::string& text) {
  return parse_name(kValueTypes, "value_type", text);
}
Admission parse_admission(const std::string& text) {
  return parse_name(kAdmissions, "admission", text);
}
Keys parse_keys(const std::string& text) {
  return parse_name(kKeys, "keys", text);
}

Optimizer parse_optimizer(const std::string& text) {
  return parse_name(kOptimizers, "optimizer", text);
}

OnNan parse_on_nan(const std::string& text) {
  return parse_name(kOnNans, "on_nan", text);
}

Bytes full_bytes(std::int64_t rows, std::int64_t dim) noexcept {
  return Bytes{rows * (std::int64_t{4} * dim + 4)};
}

Bytes full_bytes(const Options& options) {
  std::int64_t rows = 0;
  for (const TableOptions& table : options.tables) rows += table.distinct_ids;
  return full_bytes(rows, options.dim);
}

int resolved_chunk(const Options& options) noexcept {
  if (options.chunk != 0) return options.chunk;
  int chunk = 2;
  while (options.dim % chunk != 0 || options.dim / chunk > 32) chunk += 2;
  return chunk;
}

void check_options(const Options& options) {
  const auto positive = [](double value) { return std::isfinite(value) && value > 0; };
  const auto within = [](double value, double low, double high) {
    return value >= low && value <= high;  // false for NaN
  };
  require(!options.tables.empty(), "tables", "one or more", 0);
  for (const TableOptions& table : options.tables) {
    require(table.distinct_ids >= 0, concat("distinct_ids of ", table.name), "0 or more",
            table.distinct_ids);
  }
  require(options.dim >= 4 && options.dim <= 512 && options.dim % 4 == 0, "dim",
          "a multiple of 4 from 4 to 512", options.dim);
  require(
      options.chunk == 0 || (options.chunk >= 2 && options.chunk % 2 == 0 &&
                             options.dim % options.chunk == 0 && options.dim / options.chunk <= 32),
      "chunk", concat("0, or even, divide dim ", options.dim, " and give at most 32 chunks"),
      options.chunk);
  require(options.budget.count >= 0, "budget", "0 bytes or more", options.budget.count);
  require(options.cold_share <= 0.9, "cold_share", "at most 0.9 (negative: chosen)",
          options.cold_share);
  require(options.beta <= 16, "beta", "at most 16 (negative: chosen)", options.beta);
  require(options.decay > 0 && options.decay <= 1, "decay", "above 0, at most 1", options.decay);
  require(options.period >= 1, "period", "1 step or more", options.period);
  require(positive(options.learning_rate), "learning_rate", "above 0", options.learning_rate);
  require(within(options.initial_accumulator, 0, 1e30), "initial_accumulator", "0 or more",
          options.initial_accumulator);
  require(positive(options.epsilon), "epsilon", "above 0", options.epsilon);
  require(options.adam_beta1 >= 0 && options.adam_beta1 < 1, "adam_beta1", "in [0, 1)",
          options.adam_beta1);
  require(options.adam_beta2 >= 0 && options.adam_beta2 < 1, "adam_beta2", "in [0, 1)",
          options.adam_beta2);
  require(within(options.gradient_clip, 0, 1e30), "gradient_clip", "0 (none) or more",
          options.gradient_clip);
  require(within(options.l2, 0, 1e30), "l2", "0 or more", options.l2);
  require(within(options.sketch_share, 1e-6, 0.5), "sketch_share", "above 0, at most 0.5",
          options.sketch_share);
  require(within(options.reserve, 0, 0.5), "reserve", "from 0 to 0.5", options.reserve);
  require(within(options.hysteresis, 0, 2), "hysteresis", "from 0 to 2", options.hysteresis);
  require(within(options.precision_ratio, 1, 1e6), "precision_ratio", "from 1 to 1000000",
          options.precision_ratio);
  require(positive(options.cold_learning_rate), "cold_learning_rate", "above 0",
          options.cold_learning_rate);
}

}  // namespace taut::embedding
