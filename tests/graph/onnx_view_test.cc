#include "graph/onnx_view.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace taut::graph {
namespace {

using Of = OnnxFactor::Of;

// Where each entry of a view lies, in the view's order: [example, position, channel].
std::vector<std::vector<std::int64_t>> entries(const OnnxView& view) {
  std::vector<OnnxFactor> parts;
  for (const auto& axis : view.axes) parts.insert(parts.end(), axis.begin(), axis.end());
  std::vector<std::vector<std::int64_t>> found = {{0, 0, view.first_channel}};
  for (const OnnxFactor& part : parts) {
    std::vector<std::vector<std::int64_t>> more;
    for (const auto& entry : found) {
      for (std::int64_t i = 0; i < part.size; ++i) {
        more.push_back(entry);
        more.back()[static_cast<std::size_t>(part.of)] += i * part.stride;
      }
    }
    found = std::move(more);
  }
  return found;
}

TEST(OnnxView, IsOfExamplesPositionsAndChannels) {
  const OnnxView view = view_of(Dimensions{2, 3, 4, 5}, 1);
  EXPECT_EQ(view.dimensions(), (Dimensions{2, 3, 4, 5}));
  EXPECT_EQ(view.axes[2], (std::vector{OnnxFactor{Of::kPosition, 4, 5}}));
  EXPECT_EQ(plain_axis(view, 3), 1u);
  EXPECT_EQ(plain_axis(view, 4), std::nullopt);
  // One example, one position: parts of size 1 say nothing.
  EXPECT_EQ(view_of(Dimensions{1, 6, 1}, 1).axes[0].size(), 0u);
}

TEST(OnnxView, ReshapesKeepTheOrderOfEntries) {
  const OnnxView view = view_of(Dimensions{2, 6, 12}, 2);
  for (const Dimensions& dims : std::vector<Dimensions>{{12, 12},
                                                        {2, 6, 3, 4},
                                                        {2, 2, 3, 12},
                                                        {144},
                                                        {1, 2, 1, 6, 2, 2, 3},
                                                        {4, 3, 12},
                                                        {2, 24, 3}}) {
    const std::optional<OnnxView> made = reshaped(view, dims);
    ASSERT_TRUE(made.has_value());
    EXPECT_EQ(made->dimensions(), dims);
    EXPECT_EQ(entries(*made), entries(view));
    EXPECT_EQ(reshaped(*made, Dimensions{2, 6, 12}), view) << "and back";
  }
  for (const Dimensions& dims :
       std::vector<Dimensions>{{2, 9, 8}, {143}, {2, 6, 12, 2}, {2, 6, 0}, {16, 9}}) {
    EXPECT_EQ(reshaped(view, dims), std::nullopt) << dims.size();
  }
}

TEST(OnnxView, HeadsAreFoundHoweverTheyCame) {
  // [tokens, examples, 3 * channels], as PyTorch's MultiheadAttention has it.
  constexpr std::int64_t kBatch = 2;
  OnnxView view = transposed(view_of(Dimensions{kBatch, 5, 36}, 2), Dimensions{1, 0, 2});
  EXPECT_TRUE(has_rows(view, 36));
  EXPECT_FALSE(has_rows(view, 12));
  view = *reshaped(view, Dimensions{5, kBatch, 3, 12});
  view = transposed(view, Dimensions{2, 0, 1, 3});
  view = *narrowed(view, 0, 2, 1);
  EXPECT_EQ(view.first_channel, 24);
  view = *reshaped(view, Dimensions{5, kBatch * 3, 4});
  view = transposed(view, Dimensions{1, 0, 2});
  const OnnxHeads wanted{.heads = 3, .positions = 5, .width = 4, .first_channel = 24};
  EXPECT_EQ(heads_of(view, false, kBatch), wanted);
  EXPECT_EQ(heads_of(*reshaped(view, Dimensions{kBatch, 3, 5, 4}), false, kBatch), wanted);
  EXPECT_EQ(heads_of(transposed(view, Dimensions{0, 2, 1}), true, kBatch), wanted);
  EXPECT_EQ(heads_of(view, true, kBatch), std::nullopt);
  EXPECT_EQ(heads_of(view, false, kBatch + 1), std::nullopt);
  // Heads outside of examples are others.
  const OnnxView four = *reshaped(view, Dimensions{kBatch, 3, 5, 4});
  EXPECT_EQ(heads_of(transposed(four, Dimensions{1, 0, 2, 3}), false, kBatch), std::nullopt);
}

TEST(OnnxView, WhatAttentionGivesBecomesTokensAgain) {
  const OnnxView tokens = view_of(Dimensions{1, 5, 12}, 2);
  const OnnxView query =
      transposed(*reshaped(tokens, Dimensions{1, 5, 3, 4}), Dimensions{0, 2, 1, 3});
  const OnnxView made = view_of_heads(query, {.heads = 3, .positions = 7, .width = 2});
  EXPECT_EQ(made.dimensions(), (Dimensions{1, 3, 7, 2}));
  const OnnxView back = *reshaped(transposed(made, Dimensions{0, 2, 1, 3}), Dimensions{1, 7, 6});
  EXPECT_EQ(plain_axis(back, 6), 2u);
  EXPECT_EQ(with_last(back, 9), view_of(Dimensions{1, 7, 9}, 2));
}

TEST(OnnxView, PartsAreChannelsSideBySide) {
  const OnnxView view = view_of(Dimensions{2, 5, 12}, 2);
  EXPECT_EQ(narrowed(view, 2, 0, 12), view);
  const std::optional<OnnxView> part = narrowed(view, 2, 4, 3);
  ASSERT_TRUE(part.has_value());
  EXPECT_EQ(part->dimensions(), (Dimensions{2, 5, 3}));
  EXPECT_EQ(entries(*part).front(), (std::vector<std::int64_t>{0, 0, 4}));
  EXPECT_EQ(plain_axis(*part, 3), std::nullopt) << "not all that the layer gives";
  EXPECT_EQ(narrowed(view, 1, 0, 2), std::nullopt) << "positions";
  EXPECT_EQ(narrowed(view, 0, 0, 1), std::nullopt) << "examples";
  EXPECT_EQ(narrowed(view, 2, 10, 3), std::nullopt) << "behind the end";
  EXPECT_EQ(narrowed(view, 2, -1, 3), std::nullopt);
}

}  // namespace
}  // namespace taut::graph
