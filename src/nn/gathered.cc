#include "nn/gathered.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <utility>

#include "taut/core/text.h"

namespace taut::nn {

void GatheredGradients::append(const JaggedIds& given, Ids& table) {
  const auto before = static_cast<std::int64_t>(table.ids.size());
  if (!given.weights.empty() || !table.weights.empty()) {
    table.weights.resize(table.ids.size(), 1.0f);
    table.weights.insert(table.weights.end(), given.weights.begin(), given.weights.end());
    table.weights.resize(table.ids.size() + given.ids.size(), 1.0f);
  }
  table.ids.insert(table.ids.end(), given.ids.begin(), given.ids.end());
  for (const std::int64_t end : given.offsets.subspan(1)) table.offsets.push_back(before + end);
}

void GatheredGradients::add(const Bags& bags, float factor, std::span<const float> gradient) {
  for (std::size_t t = 0; t < tables_.size(); ++t) {
    check_jagged(bags.views()[t], bags.batch(), concat("tables[", t, "]"));
  }
  for (std::size_t t = 0; t < tables_.size(); ++t) append(bags.views()[t], tables_[t]);
  for (const float value : gradient) gradient_.push_back(value * factor);
  batch_ += bags.batch();
  pass_examples_ = std::max(pass_examples_, bags.examples());
}

void GatheredGradients::step(embedding::Embedding& tables, float factor) const {
  if (empty()) return;
  std::vector<JaggedIds> views;
  for (const Ids& table : tables_) {
    views.push_back({.ids = table.ids, .offsets = table.offsets, .weights = table.weights});
  }
  if (factor == 1.0f) return tables.update(views, batch_, gradient_);
  std::vector<float> scaled = gradient_;
  for (float& value : scaled) value *= factor;
  tables.update(views, batch_, scaled);
}

void GatheredGradients::end_pass(float factor) {
  if (factor == 0.0f) {
    forget_passes();
  } else if (factor != 1.0f && batch_ > 0) {
    const auto values = static_cast<std::int64_t>(gradient_.size()) / batch_ * passed_;
    std::for_each_n(gradient_.begin(), values, [&](float& value) { value *= factor; });
  }
  examples_ += std::exchange(pass_examples_, 0);
  passed_ = batch_;
}

void GatheredGradients::forget_passes() {
  if (passed_ == 0) return;
  const auto values = static_cast<std::int64_t>(gradient_.size()) / batch_ * passed_;
  gradient_.erase(gradient_.begin(), gradient_.begin() + values);
  for (Ids& table : tables_) {
    const std::int64_t first = table.offsets[static_cast<std::size_t>(passed_)];
    table.ids.erase(table.ids.begin(), table.ids.begin() + first);
    if (!table.weights.empty()) {
      table.weights.erase(table.weights.begin(), table.weights.begin() + first);
    }
    table.offsets.erase(table.offsets.begin(), table.offsets.begin() + passed_);
    for (std::int64_t& offset : table.offsets) offset -= first;
  }
  batch_ -= passed_;
  passed_ = 0;
  examples_ = 0;
}

double GatheredGradients::norm(int dim) const {
  const auto width = static_cast<std::size_t>(dim);
  double squares = 0;
  for (std::size_t t = 0; t < tables_.size(); ++t) {
    const Ids& table = tables_[t];
    std::unordered_map<std::uint64_t, std::size_t> places;
    std::vector<float> sums;
    for (std::size_t bag = 0; bag < static_cast<std::size_t>(batch_); ++bag) {
      const float* gradient = gradient_.data() + (bag * tables_.size() + t) * width;
      for (std::int64_t i = table.offsets[bag]; i < table.offsets[bag + 1]; ++i) {
        const auto at = static_cast<std::size_t>(i);
        const std::size_t place = places.try_emplace(table.ids[at], places.size()).first->second;
        sums.resize(std::max(sums.size(), (place + 1) * width));
        const float weight = table.weights.empty() ? 1.0f : table.weights[at];
        for (std::size_t k = 0; k < width; ++k) sums[place * width + k] += weight * gradient[k];
      }
    }
    for (const float sum : sums) squares += static_cast<double>(sum) * sum;
  }
  return std::sqrt(squares);
}

}  // namespace taut::nn
