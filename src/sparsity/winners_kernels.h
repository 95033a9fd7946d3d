#pragma once
// The kernels behind WinnerSelector, dispatched once a call; see winners_forward.cc and
// winners_backward.cc. Arguments are checked by the selector.

#include <cstdint>
#include <vector>

#include "taut/sparsity/winners.h"

namespace taut::sparsity {

/// One of WinnerSelector::forward's calls.
template <typename Value>
struct ForwardCall {
  Shape shape;
  Layout layout;
  WinnersOptions options;
  const Value* x;
  Value* y;
  std::int64_t begin;
  std::int64_t end;
};

/// One of WinnerSelector::backward's calls.
template <typename Value>
struct BackwardCall {
  Shape shape;
  Layout layout;
  WinnersOptions options;
  const Value* gradient;
  const Value* y;
  Value* x_gradient;
  std::int64_t begin;
  std::int64_t end;
};

void run_forward(const ForwardCall<float>& call);
void run_forward(const ForwardCall<std::uint16_t>& call);
void run_backward(const BackwardCall<float>& call);
void run_backward(const BackwardCall<std::uint16_t>& call);

/// scores [items * units of an item], see WinnerSelector::append_scores.
void run_scores(const ForwardCall<float>& call, float* scores);
void run_scores(const ForwardCall<std::uint16_t>& call, float* scores);

}  // namespace taut::sparsity
