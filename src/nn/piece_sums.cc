#include "nn/piece_sums.h"

#include <algorithm>

#include "nn/dense_kernels.h"
#include "nn/program.h"
#include "taut/core/error.h"

namespace taut::nn {

using at::Tensor;

PieceSums::PieceSums(const std::vector<Tensor>& parameters) {
  for (const Tensor& parameter : parameters) {
    like_.push_back(parameter.detach());
    at_.push_back(count_);
    count_ += parameter.numel();
  }
}

void PieceSums::make_slot() {
  Slot slot{.flat = at::empty({count_}, at::kFloat), .values = {}};
  std::int64_t at = 0;
  for (const Tensor& like : like_) {
    const Tensor part = slot.flat.narrow(0, at, like.numel());
    slot.values.push_back(like.dim() == 2 ? part.view({like.size(1), like.size(0)}).t()
                                          : part.view(like.sizes()));
    at += like.numel();
  }
  slots_.push_back(std::move(slot));
}

PieceSums::Place PieceSums::next(std::int64_t index) {
  const std::size_t slot = order_.nodes().size();
  if (slot == slots_.size()) make_slot();
  return {.slot = slot, .merges = order_.push({.level = 0, .index = index})};
}

PieceSums::Place PieceSums::end() const noexcept {
  const int merges = order_.merges_at_end();
  return {.slot = static_cast<std::size_t>(merges), .merges = merges};
}

void PieceSums::merge(const Place& place, std::size_t parameter, std::int64_t begin,
                      std::int64_t count) const {
  const std::size_t first = place.slot - static_cast<std::size_t>(place.merges);
  for (std::size_t slot = place.slot; slot > first; --slot) {
    const auto at = [&](std::size_t of) {
      return static_cast<float*>(values(of, parameter).data_ptr()) + begin;
    };
    accumulate(count, at(slot), /*add=*/true, at(slot - 1));
  }
}

const std::vector<Tensor>& PieceSums::total() {
  if (slots_.empty()) make_slot();
  if (order_.nodes().empty()) slots_[0].flat.zero_();
  return slots_[0].values;
}

void PieceSums::start_buckets(const dist::ProcessGroup& workers, std::int64_t pieces) {
  nodes_.clear();
  for (int rank = 0; rank < workers.size(); ++rank) {
    nodes_.push_back(nodes_of(workers.part_of(rank, pieces)));
  }
  TAUT_ASSERT(nodes_[static_cast<std::size_t>(workers.rank())] == order_.nodes());
  if (slots_.empty()) make_slot();
}

std::int64_t PieceSums::buckets() const noexcept {
  return (count_ + kGradientBucket - 1) / kGradientBucket;
}

Range PieceSums::buckets_of(std::size_t parameter, std::int64_t begin, std::int64_t count) const {
  const std::int64_t first = (at_[parameter] + begin) / kGradientBucket;
  const std::int64_t last = (at_[parameter] + begin + count - 1) / kGradientBucket;
  return {.begin = first, .size = last - first + 1};
}

void PieceSums::add_bucket(dist::ProcessGroup& workers, std::int64_t number) {
  const std::int64_t first = number * kGradientBucket;
  const Range bucket{.begin = first, .size = std::min(kGradientBucket, count_ - first)};
  constexpr auto kValue = static_cast<std::int64_t>(sizeof(float));
  const std::size_t own = order_.nodes().size();
  const Range mine = workers.part(bucket.size);
  const auto size = static_cast<std::size_t>(mine.size);
  std::vector<std::int64_t> send;
  std::vector<std::int64_t> receive;
  std::size_t sums = 0;
  sent_.clear();
  for (int rank = 0; rank < workers.size(); ++rank) {
    const std::size_t theirs = nodes_[static_cast<std::size_t>(rank)].size();
    const Range part = workers.part_of(rank, bucket.size);
    for (std::size_t slot = 0; slot < own; ++slot) {
      const float* from = flat(slot) + bucket.begin + part.begin;
      sent_.insert(sent_.end(), from, from + part.size);
    }
    send.push_back(static_cast<std::int64_t>(own) * part.size * kValue);
    receive.push_back(static_cast<std::int64_t>(theirs) * mine.size * kValue);
    sums += theirs;
  }
  received_.resize(sums * size);
  workers.all_to_all(std::as_bytes(std::span(sent_)), send,
                     std::as_writable_bytes(std::span(received_)), receive,
                     dist::Cause::kGradients);
  PieceOrder order;
  std::vector<float*> stack;
  float* next = received_.data();
  const auto merge = [&](int merges) {
    for (; merges > 0; --merges) {
      const float* right = stack.back();
      stack.pop_back();
      accumulate(mine.size, right, /*add=*/true, stack.back());
    }
  };
  for (const std::vector<PieceNode>& of_rank : nodes_) {
    for (const PieceNode& node : of_rank) {
      stack.push_back(next);
      next += size;
      merge(order.push(node));
    }
  }
  merge(order.merges_at_end());
  workers.all_gather({stack.front(), size},
                     {flat(0) + bucket.begin, static_cast<std::size_t>(bucket.size)},
                     dist::Cause::kGradients);
}

}  // namespace taut::nn
