#include "infer/attention.h"

#include <algorithm>
#include <cmath>

#include "core/round_up.h"
#include "infer/attention_kernels.h"
#include "infer/grain.h"

namespace taut::infer {
namespace {

constexpr std::int64_t kQueriesAtOnce = 24;  // rows of scores: four groups of those in registers
constexpr std::int64_t kLeastPiece = 48;     // queries for which a head's keys are turned anew
constexpr std::int64_t kLine = 16;

}  // namespace

Attention::Attention(const graph::Network& network, std::size_t number)
    : heads_(network.layers[number].heads),
      scale_(network.layers[number].scale),
      mask_(network.values[number].weight),
      masks_(network.layers[number].masks),
      mask_replaces_(network.layers[number].mask_replaces),
      nan_is_zero_(network.layers[number].nan_is_zero) {
  const graph::Layer& layer = network.layers[number];
  const graph::AttentionShapes read = graph::attention_shapes(network, layer);
  queries_ = read.query.height * read.query.width;
  keys_ = read.key.height * read.key.width;
  const bool together = layer.inputs.size() == 1;
  std::size_t which = 0;
  for (const graph::Shape* shape : {&read.query, &read.key, &read.value}) {
    const auto place = static_cast<std::int64_t>(which);
    parts_[which] = {.input = together ? 0 : which,
                     .begin = together ? place * shape->channels : 0,
                     .stride = together ? 3 * shape->channels : shape->channels,
                     .size = together ? 3 * shape->size() : shape->size(),
                     .width = shape->channels / heads_};
    ++which;
  }
  if (scale_ == 0) scale_ = 1 / std::sqrt(static_cast<float>(parts_[0].width));
}

double Attention::products() const noexcept {
  return static_cast<double>(queries_) * static_cast<double>(keys_) *
         static_cast<double>(heads_ * (parts_[0].width + parts_[2].width));
}

std::int64_t Attention::scratch_floats() const noexcept {
  return round_up(parts_[1].width * keys_, kLine) + std::min(kQueriesAtOnce, queries_) * keys_;
}

const float* Attention::place(const Part& part, std::span<const float* const> xs,
                              std::int64_t example, std::int64_t head) const {
  return xs[part.input] + example * part.size + part.begin + head * part.width;
}

void Attention::run_head(std::span<const float* const> xs, std::int64_t example, std::int64_t head,
                         std::int64_t begin, std::int64_t end, float* memory, float* y) const {
  const auto& [query, key, value] = parts_;
  float* turned = memory;
  float* scores = memory + round_up(key.width * keys_, kLine);
  turn_rows({place(key, xs, example, head), key.stride}, keys_, key.width, turned);
  const std::int64_t y_stride = heads_ * value.width;
  const float* masks =
      masks_ == 0 ? nullptr : mask_.data() + (masks_ == 1 ? 0 : head * queries_ * keys_);
  for (std::int64_t first = begin; first < end; first += kQueriesAtOnce) {
    const std::int64_t count = std::min(kQueriesAtOnce, end - first);
    multiply_rows({place(query, xs, example, head) + first * query.stride, query.stride},
                  {turned, keys_}, count, query.width, keys_, keys_, scores);
    softmax_rows({.scale = scale_,
                  .mask = {masks == nullptr ? nullptr : masks + first * keys_, keys_},
                  .replaces = mask_replaces_,
                  .nan_is_zero = nan_is_zero_},
                 count, keys_, scores);
    multiply_rows({scores, keys_}, {place(value, xs, example, head), value.stride}, count, keys_,
                  value.width, y_stride,
                  y + (example * queries_ + first) * y_stride + head * value.width);
  }
}

void Attention::run(std::span<const float* const> xs, std::int64_t rows, float* y,
                    ScratchPool& scratch, ThreadPool& pool) const {
  const std::int64_t whole = rows * heads_;
  if (whole == 0) return;
  // Few heads are cut into pieces of queries, each of which turns the keys by itself.
  const std::int64_t most = std::max<std::int64_t>(1, queries_ / kLeastPiece);
  const std::int64_t pieces = std::clamp<std::int64_t>(pool.threads() / whole, 1, most);
  const std::int64_t length = (queries_ + pieces - 1) / pieces;
  const double work = products() / static_cast<double>(heads_ * pieces);
  pool.parallel_for(
      whole * pieces, grain_of(work, kTaskProducts), [&](std::int64_t begin, std::int64_t end) {
        ScratchPool::Loan loan =
            scratch.borrow(scratch_floats() * static_cast<std::int64_t>(sizeof(float)));
        auto* memory = reinterpret_cast<float*>(loan.data());
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t head = i / pieces;
          const std::int64_t first = std::min(queries_, i % pieces * length);
          run_head(xs, head / heads_, head % heads_, first, std::min(queries_, first + length),
                   memory, y);
        }
      });
}

}  // namespace taut::infer
