#include "taut/infer/package.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "support/error_matchers.h"
#include "taut/core/error.h"
#include "taut/core/random.h"

namespace taut::infer {
namespace {

// Random layers of the given widths that own their values.
class Layers {
 public:
  Layers(const std::vector<std::int64_t>& widths, std::uint64_t seed) : widths_(widths) {
    const CounterRandom random(seed);
    std::uint64_t counter = 0;
    for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
      for (const std::int64_t count : {widths[i] * widths[i + 1], widths[i + 1]}) {
        std::vector<float>& values = values_.emplace_back();
        for (std::int64_t v = 0; v < count; ++v) {
          values.push_back(static_cast<float>(random.normal(counter++)));
        }
      }
    }
  }

  [[nodiscard]] std::vector<LinearLayer> views() const {
    std::vector<LinearLayer> layers;
    for (std::size_t i = 0; i + 1 < widths_.size(); ++i) {
      layers.push_back({widths_[i], widths_[i + 1], values_[2 * i], values_[2 * i + 1]});
    }
    return layers;
  }

 private:
  std::vector<std::int64_t> widths_;
  std::vector<std::vector<float>> values_;
};

// All but the `keep` largest become zero; among equal ones the lower index stays.
void keep_largest(std::vector<double>& y, std::size_t keep) {
  std::vector<std::size_t> order(y.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return y[a] > y[b]; });
  for (std::size_t r = keep; r < order.size(); ++r) y[order[r]] = 0;
}

// A stack of layers on one example in double; keep[i] neurons stay after layer i, 0: no ReLU.
std::vector<double> plain_stack(const std::vector<LinearLayer>& layers, std::vector<double> x,
                                const std::vector<std::size_t>& keep) {
  for (std::size_t l = 0; l < layers.size(); ++l) {
    std::vector<double> y(layers[l].bias.begin(), layers[l].bias.end());
    for (std::size_t i = 0; i < x.size(); ++i) {
      for (std::size_t o = 0; o < y.size(); ++o) y[o] += x[i] * layers[l].weight[i * y.size() + o];
    }
    if (keep[l] > 0) {
      for (double& value : y) value = std::max(value, 0.0);
      keep_largest(y, keep[l]);
    }
    x = y;
  }
  return x;
}

class Packages : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }

  void write(const RecommenderSpec& spec) const {
    SectionWriter file(path_, kPackageKind, kPackageVersion);
    file.add("metadata", "{}");
    write_recommender(file, spec);
    (void)file.commit();
  }

  // Five dense columns, no tables: what the top reads is the bottom's output of four.
  [[nodiscard]] RecommenderSpec small(double winner_rate) const {
    return {.kind = "dlrm",
            .interaction = "dots",
            .dense = 5,
            .tables = 0,
            .dim = 4,
            .bottom = bottom_.views(),
            .top = top_.views(),
            .winner_rate = winner_rate,
            .wide = {}};
  }

  const Layers bottom_{{5, 10, 4}, 1};
  const Layers top_{{4, 20, 7, 1}, 2};
  const std::string path_ = testing::TempDir() + "package_" +
                            testing::UnitTest::GetInstance()->current_test_info()->name() + ".taut";
};

std::vector<float> random_dense(std::int64_t count) {
  std::vector<float> dense;
  for (std::int64_t i = 0; i < count; ++i) {
    dense.push_back(static_cast<float>(CounterRandom(3).normal(static_cast<std::uint64_t>(i))));
  }
  return dense;
}

struct Rate {
  double rate;
  std::vector<std::size_t> bottom;  // neurons that stay after each layer
  std::vector<std::size_t> top;
};

TEST_F(Packages, KeepTheWinnersOfEveryLayerButTheLast) {
  constexpr std::int64_t kBatch = 300;  // two pieces, the second one short
  const std::vector<float> dense = random_dense(kBatch * 5);
  for (const Rate& c : {Rate{1, {10, 4}, {20, 7, 0}}, Rate{0.5, {5, 2}, {10, 4, 0}},
                        Rate{0.3, {3, 2}, {6, 3, 0}}, Rate{0.01, {1, 1}, {1, 1, 0}}}) {
    write(small(c.rate));
    const Package package(path_);
    EXPECT_EQ(package.spec().winner_rate, c.rate);
    ThreadPool pool(2);
    std::vector<float> probabilities(kBatch);
    package.predict(kBatch, dense, {}, probabilities, pool);
    ThreadPool alone(1);
    std::vector<float> same(kBatch);
    package.predict(kBatch, dense, {}, same, alone);
    EXPECT_EQ(probabilities, same);
    for (std::size_t row = 0; row < kBatch; ++row) {
      const std::vector<double> x(dense.begin() + static_cast<std::ptrdiff_t>(row * 5),
                                  dense.begin() + static_cast<std::ptrdiff_t>(row * 5 + 5));
      const double logit =
          plain_stack(top_.views(), plain_stack(bottom_.views(), x, c.bottom), c.top)[0];
      ASSERT_NEAR(probabilities[row], 1 / (1 + std::exp(-logit)), 1e-5)
          << "row " << row << ", rate " << c.rate;
    }
  }
}

TEST_F(Packages, RefuseARateThatIsNone) {
  for (const double rate : {0.0, -0.5, 1.5}) {
    write(small(rate));
    EXPECT_THAT(test::error_of([&] { Package package(path_); }),
                test::IsError(ErrorKind::kFormat, path_));
  }
}

TEST_F(Packages, OfTheFormatWithoutWinnersAreNamed) {
  SectionWriter file(path_, kPackageKind, 1);
  file.add("metadata", "{}");
  (void)file.commit();
  EXPECT_THAT(
      test::error_of([&] { Package package(path_); }),
      test::IsError(ErrorKind::kFormat, "format version 1 where this build reads version 2"));
}

}  // namespace
}  // namespace taut::infer
