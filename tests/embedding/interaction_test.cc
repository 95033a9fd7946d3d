#include "taut/embedding/interaction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "support/error_matchers.h"
#include "support/every_target.h"
#include "taut/core/random.h"

namespace taut::embedding {
namespace {

std::vector<float> random_values(std::int64_t count, std::uint64_t seed) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(CounterRandom(seed).normal(static_cast<std::uint64_t>(i))));
  }
  return values;
}

constexpr float kGuard = 12345.0f;

std::vector<float> guarded(std::int64_t count) {
  return std::vector<float>(static_cast<std::size_t>(count) + 1, kGuard);
}

// Sums of up to 48 products of normal numbers: float rounding stays below 5e-5.
void expect_near(const std::vector<float>& got, const std::vector<float>& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], wanted[i], 5e-5) << i;
}

class InteractionEveryIsa : public test::EveryTarget {};

TEST_P(InteractionEveryIsa, MatchesTheReferenceAtOddSizes) {
  for (const std::int64_t vectors : {1, 2, 3, 9, 16, 17, 27}) {
    for (const std::int64_t dim : {1, 4, 15, 16, 33, 48}) {
      for (const std::int64_t copied : {std::int64_t{0}, std::int64_t{1}, vectors}) {
        const InteractionShape shape{vectors, dim, copied};
        const std::int64_t rows = 3;
        const std::vector<float> x = random_values(rows * vectors * dim, 1);
        const std::vector<float> gradient = random_values(rows * shape.outputs(), 2);
        std::vector<float> got = guarded(rows * shape.outputs());
        std::vector<float> wanted = got;
        interact(shape, rows, x.data(), got.data());
        interact_reference(shape, rows, x.data(), wanted.data());
        expect_near(got, wanted);
        got = guarded(rows * vectors * dim);
        wanted = got;
        interact_backward(shape, rows, x.data(), gradient.data(), got.data());
        interact_backward_reference(shape, rows, x.data(), gradient.data(), wanted.data());
        expect_near(got, wanted);
      }
    }
  }
}

TEST_P(InteractionEveryIsa, ARowDoesNotDependOnTheRowsBesideIt) {
  const InteractionShape shape{7, 19, 3};
  const std::int64_t rows = 9;
  const std::int64_t in = shape.vectors * shape.dim;
  const std::vector<float> x = random_values(rows * in, 3);
  const std::vector<float> gradient = random_values(rows * shape.outputs(), 4);
  std::vector<float> together(static_cast<std::size_t>(rows * shape.outputs()));
  std::vector<float> together_back(x.size());
  interact(shape, rows, x.data(), together.data());
  interact_backward(shape, rows, x.data(), gradient.data(), together_back.data());
  for (std::int64_t row = 0; row < rows; ++row) {
    std::vector<float> alone(static_cast<std::size_t>(shape.outputs()));
    std::vector<float> alone_back(static_cast<std::size_t>(in));
    interact(shape, 1, x.data() + row * in, alone.data());
    interact_backward(shape, 1, x.data() + row * in, gradient.data() + row * shape.outputs(),
                      alone_back.data());
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + row * shape.outputs()));
    EXPECT_TRUE(std::equal(alone_back.begin(), alone_back.end(), together_back.begin() + row * in));
  }
}

// What is not finite in one vector reaches its dots alone: blocks hold dots of others too.
TEST_P(InteractionEveryIsa, AnInfiniteVectorSpoilsItsOwnDotsAlone) {
  for (const std::int64_t dim : {5, 16, 35}) {
    const InteractionShape shape{10, dim, 0};
    for (std::int64_t spoilt = 0; spoilt < shape.vectors; ++spoilt) {
      std::vector<float> x = random_values(shape.vectors * dim, 9);
      std::vector<float> clean(static_cast<std::size_t>(shape.outputs()));
      interact(shape, 1, x.data(), clean.data());
      x[static_cast<std::size_t>(spoilt * dim + dim - 1)] = INFINITY;
      std::vector<float> got = guarded(shape.outputs());
      interact(shape, 1, x.data(), got.data());
      EXPECT_EQ(got.back(), kGuard);
      std::size_t at = 0;
      for (std::int64_t i = 0; i < shape.vectors; ++i) {
        for (std::int64_t j = 0; j < i; ++j, ++at) {
          if (i == spoilt || j == spoilt) {
            EXPECT_FALSE(std::isfinite(got[at])) << i << " " << j;
          } else {
            EXPECT_EQ(got[at], clean[at]) << i << " " << j;
          }
        }
      }
    }
  }
}

TEST_P(InteractionEveryIsa, NoRowsTouchNothing) {
  const InteractionShape shape{3, 8, 1};
  std::vector<float> x = guarded(0);
  std::vector<float> out = guarded(0);
  interact(shape, 0, x.data(), out.data());
  interact_backward(shape, 0, x.data(), out.data(), x.data());
  EXPECT_EQ(x.front(), kGuard);
  EXPECT_EQ(out.front(), kGuard);
}

// Vectors of one row in three places, none of them aligned, with gaps between rows.
TEST_P(InteractionEveryIsa, VectorsMayLieApartAndGradientsBeLeftOut) {
  for (const std::int64_t dim : {1, 7, 16, 19, 64}) {
    const InteractionShape shape{11, dim, 2};
    const std::int64_t rows = 3;
    const std::vector<float> x = random_values(rows * shape.vectors * dim, 7);
    const std::vector<float> gradient = random_values(rows * shape.outputs(), 8);
    const std::int64_t counts[] = {1, 8, 2};
    std::vector<std::vector<float>> places;
    std::vector<std::vector<float>> back;
    std::vector<RowVectors<const float>> parts;
    std::vector<RowVectors<float>> back_parts;
    std::int64_t first = 0;
    for (const std::int64_t count : counts) {
      const std::int64_t stride = count * dim + 3;
      places.emplace_back(static_cast<std::size_t>(rows * stride + 1), kGuard);
      back.push_back(places.back());
      for (std::int64_t row = 0; row < rows; ++row) {
        std::copy_n(x.begin() + (row * shape.vectors + first) * dim, count * dim,
                    places.back().begin() + 1 + row * stride);
      }
      parts.push_back({.values = places.back().data() + 1, .count = count, .stride = stride});
      back_parts.push_back({.values = back.back().data() + 1, .count = count, .stride = stride});
      first += count;
    }
    back_parts[1].values = nullptr;
    std::vector<float> got = guarded(rows * shape.outputs());
    std::vector<float> wanted = got;
    interact(shape, rows, parts, got.data());
    interact(shape, rows, x.data(), wanted.data());
    EXPECT_EQ(got, wanted);

    std::vector<float> together(x.size());
    interact_backward(shape, rows, x.data(), gradient.data(), together.data());
    interact_backward(shape, rows, parts, gradient.data(), back_parts);
    for (std::size_t p = 0; p < 3; ++p) {
      const std::int64_t begin = p == 0 ? 0 : counts[0] + (p == 2 ? counts[1] : 0);
      std::vector<float> expected(back[p].size(), kGuard);
      for (std::int64_t row = 0; row < rows && p != 1; ++row) {
        std::copy_n(together.begin() + (row * shape.vectors + begin) * dim, counts[p] * dim,
                    expected.begin() + 1 + row * parts[p].stride);
      }
      EXPECT_EQ(back[p], expected) << p;
    }
  }
}

// The backward pass against differences of the forward one: dots are bilinear, so a central
// difference in one coordinate is exact up to float rounding.
TEST_P(InteractionEveryIsa, BackwardIsTheDerivativeOfForward) {
  const InteractionShape shape{5, 6, 2};
  std::vector<float> x = random_values(shape.vectors * shape.dim, 5);
  const std::vector<float> gradient = random_values(shape.outputs(), 6);
  std::vector<float> back(x.size());
  interact_backward(shape, 1, x.data(), gradient.data(), back.data());
  const auto weighted = [&] {
    std::vector<float> out(gradient.size());
    interact(shape, 1, x.data(), out.data());
    double sum = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
      sum += static_cast<double>(out[i]) * static_cast<double>(gradient[i]);
    }
    return sum;
  };
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float kept = x[i];
    x[i] = kept + 0.5f;
    const double above = weighted();
    x[i] = kept - 0.5f;
    const double below = weighted();
    x[i] = kept;
    EXPECT_NEAR(back[i], above - below, 5e-5) << i;
  }
}

TEST(Interaction, AShapeThatCannotBeIsNamed) {
  using test::error_of;
  using test::IsError;
  float one = 0;
  const auto forward = [&](const InteractionShape& shape) {
    return error_of([&] { interact(shape, 0, &one, &one); });
  };
  const auto backward = [&](const InteractionShape& shape) {
    return error_of([&] { interact_backward(shape, 0, &one, &one, &one); });
  };
  for (const auto& call : {std::function(forward), std::function(backward)}) {
    EXPECT_THAT(call({0, 4, 0}), IsError(ErrorKind::kInvalidArgument, "vectors"));
    EXPECT_THAT(call({2, 0, 0}), IsError(ErrorKind::kInvalidArgument, "dim"));
    EXPECT_THAT(call({2, 4, 3}), IsError(ErrorKind::kInvalidArgument, "copied"));
    EXPECT_THAT(call({2, 4, -1}), IsError(ErrorKind::kInvalidArgument, "copied"));
  }
}

TEST(Interaction, PartsThatAreNotAllVectorsAreNamed) {
  using test::error_of;
  using test::IsError;
  std::vector<float> values(8);
  const RowVectors<const float> x[] = {{.values = values.data(), .count = 2, .stride = 8}};
  const RowVectors<float> back[] = {{.values = values.data(), .count = 1, .stride = 4}};
  const InteractionShape two{2, 4, 0};
  const InteractionShape three{3, 4, 0};
  EXPECT_THAT(error_of([&] { interact(three, 0, x, values.data()); }),
              IsError(ErrorKind::kInvalidArgument, "x"));
  EXPECT_THAT(error_of([&] { interact_backward(three, 0, x, values.data(), back); }),
              IsError(ErrorKind::kInvalidArgument, "x"));
  EXPECT_THAT(error_of([&] { interact_backward(two, 0, x, values.data(), back); }),
              IsError(ErrorKind::kInvalidArgument, "x_gradient"));
}

INSTANTIATE_TEST_SUITE_P(Isa, InteractionEveryIsa, test::every_target(), test::target_name);

}  // namespace
}  // namespace taut::embedding
