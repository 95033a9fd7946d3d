#include "distinct.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "taut/core/hash.h"

namespace taut::data {
namespace {

constexpr std::size_t kFirstSlots = 1024;
constexpr int kRegisterBits = 17;

}  // namespace

DistinctCounter::DistinctCounter(std::int64_t exact_limit)
    : exact_limit_(exact_limit), slots_(kFirstSlots) {}

void DistinctCounter::add(std::span<const std::uint64_t> ids) {
  for (const std::uint64_t id : ids) {
    const std::uint64_t hash = mix64(id);
    if (registers_.empty()) {
      insert(hash);
    } else {
      record(hash);
    }
  }
}

void DistinctCounter::insert(std::uint64_t hash) {
  if (hash == 0) {
    has_zero_ = true;
    return;
  }
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = hash & mask;
  while (slots_[slot] != 0 && slots_[slot] != hash) slot = (slot + 1) & mask;
  if (slots_[slot] == hash) return;
  slots_[slot] = hash;
  ++used_;
  if (used_ > exact_limit_) {
    start_estimating();
  } else if (2 * static_cast<std::size_t>(used_) > slots_.size()) {
    grow();
  }
}

void DistinctCounter::grow() {
  std::vector<std::uint64_t> old(2 * slots_.size());
  old.swap(slots_);
  const std::size_t mask = slots_.size() - 1;
  for (const std::uint64_t hash : old) {
    if (hash == 0) continue;
    std::size_t slot = hash & mask;
    while (slots_[slot] != 0) slot = (slot + 1) & mask;
    slots_[slot] = hash;
  }
}

void DistinctCounter::start_estimating() {
  registers_.assign(std::size_t{1} << kRegisterBits, 0);
  for (const std::uint64_t hash : slots_) {
    if (hash != 0) record(hash);
  }
  if (has_zero_) record(0);
  slots_ = {};
}

void DistinctCounter::record(std::uint64_t hash) {
  const std::size_t index = hash >> (64 - kRegisterBits);
  const std::uint64_t rest = (hash << kRegisterBits) | (std::uint64_t{1} << (kRegisterBits - 1));
  const auto rank = static_cast<std::uint8_t>(std::countl_zero(rest) + 1);
  registers_[index] = std::max(registers_[index], rank);
}

std::int64_t DistinctCounter::count() const {
  if (registers_.empty()) return used_ + (has_zero_ ? 1 : 0);
  const auto m = static_cast<double>(registers_.size());
  double sum = 0;
  for (const std::uint8_t rank : registers_) sum += std::ldexp(1.0, -rank);
  const double alpha = 0.7213 / (1 + 1.079 / m);
  return std::llround(alpha * m * m / sum);
}

}  // namespace taut::data
