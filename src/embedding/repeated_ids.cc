#include "repeated_ids.h"

#include <algorithm>
#include <array>

namespace taut::embedding {
namespace {

constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15ull;

}  // namespace

bool ids_repeat(std::span<const std::uint64_t> ids) noexcept {
  constexpr std::size_t kSample = 256;
  constexpr std::size_t kMostDistinct = 230;  // of the sample
  constexpr int kBits = 12;
  if (ids.size() < 2 * kSample) return false;
  std::array<std::uint8_t, std::size_t{1} << kBits> seen{};
  std::size_t distinct = 0;
  const std::size_t apart = ids.size() / kSample;
  for (std::size_t i = 0; i < kSample; ++i) {
    std::uint8_t& cell = seen[(ids[i * apart] * kGolden) >> (64 - kBits)];
    distinct += cell == 0;
    cell = 1;
  }
  return distinct < kMostDistinct;
}

ReadRows::ReadRows() : slots_(std::size_t{1} << kSlotBits), values_(kValues) {}

ReadRows& ReadRows::of_this_thread() {
  thread_local ReadRows rows;
  return rows;
}

bool ReadRows::start(std::uint64_t call, std::size_t table, std::size_t dim,
                     std::span<const std::uint64_t> ids) {
  const std::size_t stride = (dim + 15) / 16 * 16;
  if (call == call_ && table == table_ && stride == stride_) return pays_;
  call_ = call;
  table_ = table;
  stride_ = stride;
  rows_ = std::min(kValues / stride, std::size_t{1} << kSlotBits);
  forget();
  pays_ = ids_repeat(ids);
  return pays_;
}

std::size_t ReadRows::number(std::span<const std::uint64_t> ids, std::uint32_t* numbers,
                             std::uint64_t* missing, std::uint32_t& first) {
  if (next_ - base_ + ids.size() > rows_) forget();
  first = static_cast<std::uint32_t>(next_ - base_);
  Slot* const slots = slots_.data();
  std::uint64_t next = next_;
  std::size_t count = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    // Whether an id has come before cannot be foretold, so nothing here is a branch.
    const std::uint64_t id = ids[i];
    Slot& slot = slots[(id * kGolden) >> (64 - kSlotBits)];
    const bool known = (slot.id == id) & (slot.row >= base_);
    const std::uint64_t row = known ? slot.row : next;
    slot = {.id = id, .row = row};
    numbers[i] = static_cast<std::uint32_t>(row - base_);
    missing[count] = id;
    count += !known;
    next += !known;
  }
  next_ = next;
  return count;
}

}  // namespace taut::embedding
