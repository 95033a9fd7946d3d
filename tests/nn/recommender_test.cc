#include "taut/nn/recommender.h"
#include "support/temporary_directory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "taut/core/error.h"
#include "taut/core/random.h"

namespace taut::nn {
namespace {

// A batch of random inputs that lives as long as the test.
struct Example {
  Example(const RecommenderOptions& options, std::int64_t size, std::uint64_t seed = 7)
      : batch(size) {
    const CounterRandom random(seed);
    std::uint64_t counter = 0;
    const auto fill = [&](std::vector<float>& values, std::int64_t count) {
      for (std::int64_t i = 0; i < count; ++i) {
        values.push_back(static_cast<float>(random.normal(counter++)) * 0.5f);
      }
    };
    fill(dense, size * options.dense);
    fill(vectors, size * options.tables * options.dim);
    for (std::int64_t i = 0; i < size; ++i) {
      labels.push_back(random.uniform(counter++) < 0.4 ? 1.0f : 0.0f);
    }
    logits.resize(static_cast<std::size_t>(size));
    gradient.resize(vectors.size());
  }
  [[nodiscard]] RecommenderInput input() const {
    return {.batch = batch, .dense = dense, .vectors = vectors};
  }
  std::int64_t batch;
  std::vector<float> dense;
  std::vector<float> vectors;
  std::vector<float> labels;
  std::vector<float> logits;
  std::vector<float> gradient;
};

RecommenderOptions small(const std::string& kind) {
  RecommenderOptions options;
  options.kind = kind;
  options.dense = 3;
  options.tables = 4;
  options.dim = 8;
  options.bottom = {6};
  options.top = {10, 5};
  return options;
}

double summed_loss(const std::vector<float>& logits, const std::vector<float>& labels) {
  double loss = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double z = logits[i];
    loss += std::max(z, 0.0) - z * labels[i] + std::log1p(std::exp(-std::abs(z)));
  }
  return loss;
}

std::shared_ptr<ThreadPool> pool(int threads) {
  return std::make_shared<ThreadPool>(threads);
}

// A kind, and the share of neurons that win.
struct Variant {
  const char* kind;
  double winner_rate;
};

RecommenderOptions small(const Variant& variant) {
  RecommenderOptions options = small(variant.kind);
  options.winner_rate = variant.winner_rate;
  return options;
}

class RecommenderKinds : public testing::TestWithParam<Variant> {};

TEST_P(RecommenderKinds, GivesTheGradientOfTheSummedLoss) {
  const RecommenderOptions options = small(GetParam());
  Example example(options, 5);
  Recommender model(options, pool(1));
  Recommender same(options, pool(1));
  const double loss =
      model.train_step(example.input(), example.labels, example.logits, example.gradient);
  EXPECT_NEAR(loss, summed_loss(example.logits, example.labels), 1e-4);
  const float step = 2e-3f;  // small, so that few ReLUs turn; float rounding adds about 1e-4
  for (std::size_t i = 0; i < example.vectors.size(); i += 3) {
    std::vector<float> moved_logits(5);
    const float value = example.vectors[i];
    example.vectors[i] = value + step;
    same.predict(example.input(), moved_logits);
    const double above = summed_loss(moved_logits, example.labels);
    example.vectors[i] = value - step;
    same.predict(example.input(), moved_logits);
    const double below = summed_loss(moved_logits, example.labels);
    example.vectors[i] = value;
    EXPECT_NEAR(example.gradient[i], (above - below) / (2.0 * step), 2e-3) << "at " << i;
  }
}

TEST_P(RecommenderKinds, GivesTheSameBitsForAnyNumberOfThreads) {
  const RecommenderOptions options = small(GetParam());
  std::vector<std::vector<float>> logits;
  std::vector<std::vector<float>> gradients;
  for (const int threads : {1, 2, 3}) {
    Recommender model(options, pool(threads));
    Example example(options, 1300);
    for (int step = 0; step < 4; ++step) {
      model.train_step(example.input(), example.labels, example.logits, example.gradient);
    }
    logits.push_back(example.logits);
    gradients.push_back(example.gradient);
  }
  EXPECT_EQ(logits[0], logits[1]);
  EXPECT_EQ(logits[0], logits[2]);
  EXPECT_EQ(gradients[0], gradients[1]);
  EXPECT_EQ(gradients[0], gradients[2]);
}

TEST_P(RecommenderKinds, LearnsWhatItIsShown) {
  RecommenderOptions options = small(GetParam());
  options.learning_rate = 0.01;
  Recommender model(options, pool(2));
  Example example(options, 64);
  const double first =
      model.train_step(example.input(), example.labels, example.logits, example.gradient);
  double last = first;
  for (int step = 0; step < 300; ++step) {
    last = model.train_step(example.input(), example.labels, example.logits, example.gradient);
  }
  EXPECT_LT(last, 0.2 * first);
}

TEST_P(RecommenderKinds, GoesOnToTheSameBitsAfterSaveAndLoad) {
  const test::TemporaryDirectory folder;
  const std::string path = folder.file("recommender.taut");
  for (const std::string optimizer : {"adam", "adagrad", "sgd"}) {
    RecommenderOptions options = small(GetParam());
    options.optimizer = optimizer;
    Example example(options, 100);
    Recommender whole(options, pool(1));
    const auto steps = [&](Recommender& model, int count) {
      for (int i = 0; i < count; ++i) {
        model.train_step(example.input(), example.labels, example.logits, example.gradient);
      }
    };
    steps(whole, 3);
    SectionWriter writer(path, "test", 1);
    whole.save(writer, "m/");
    writer.commit();
    steps(whole, 3);
    const std::vector<float> wanted = example.logits;

    options.seed = 99;  // other start values: all must come from the file
    Recommender restored(options, pool(1));
    restored.load(SectionReader(path, "test", 1), "m/");
    steps(restored, 3);
    EXPECT_EQ(example.logits, wanted) << optimizer;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, RecommenderKinds,
                         testing::Values(Variant{"dlrm", 1}, Variant{"wide_deep", 1},
                                         Variant{"dlrm", 0.3}, Variant{"wide_deep", 0.3}),
                         [](const testing::TestParamInfo<Variant>& variant) {
                           return std::string(variant.param.kind) +
                                  (variant.param.winner_rate < 1 ? "_winners" : "");
                         });

// y [outputs] = max(W x + b, 0) of one example, then all but the `keep` largest are zeroed, ties to
// the lower index: the plain form of what a layer with winners computes.
std::vector<double> plain_layer(const NamedTensor& weight, const NamedTensor& bias,
                                const std::vector<double>& x, std::size_t keep) {
  std::vector<double> y;
  for (std::size_t o = 0; o < bias.values.size(); ++o) {
    double sum = bias.values[o];
    for (std::size_t i = 0; i < x.size(); ++i) sum += weight.values[o * x.size() + i] * x[i];
    y.push_back(std::max(sum, 0.0));
  }
  std::vector<std::size_t> order(y.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return y[a] > y[b]; });
  for (std::size_t r = keep; r < order.size(); ++r) y[order[r]] = 0;
  return y;
}

TEST(Recommender, KeepsTheLargestNeuronsOfEachHiddenLayer) {
  RecommenderOptions options = small("wide_deep");
  options.winner_rate = 0.3;  // 3 of 10, then 2 of 5
  const Example example(options, 40);
  const Recommender model(options, pool(1));
  std::vector<float> logits(40);
  model.predict(example.input(), logits);
  options.winner_rate = 1;
  std::vector<float> dense_logits(40);
  Recommender(options, pool(1)).predict(example.input(), dense_logits);
  EXPECT_NE(logits, dense_logits);

  const std::vector<NamedTensor> p = model.parameters();  // three layers, wide.weight (zeros)
  for (std::size_t row = 0; row < logits.size(); ++row) {
    std::vector<double> x(example.dense.begin() + static_cast<std::ptrdiff_t>(row * 3),
                          example.dense.begin() + static_cast<std::ptrdiff_t>(row * 3 + 3));
    double wanted = p[5].values[0];
    for (std::size_t v = 0; v < 32; ++v) {
      x.push_back(example.vectors[row * 32 + v]);
      if (v % 8 == 0) wanted += example.vectors[row * 32 + v];
    }
    const std::vector<double> hidden = plain_layer(p[2], p[3], plain_layer(p[0], p[1], x, 3), 2);
    for (std::size_t i = 0; i < hidden.size(); ++i) wanted += p[4].values[i] * hidden[i];
    EXPECT_NEAR(logits[row], wanted, 1e-5) << row;
  }
}

TEST(Recommender, ChoosesWinnersOfTheBottomToo) {
  RecommenderOptions options = small("dlrm");
  options.tables = 0;  // the bottom's output is all that the top reads
  options.bottom = {};
  options.top = {};
  options.winner_rate = 0.25;  // 2 of 8
  const Example example(options, 40);
  const Recommender model(options, pool(1));
  std::vector<float> logits(40);
  model.predict(example.input(), logits);
  const std::vector<NamedTensor> p = model.parameters();
  for (std::size_t row = 0; row < logits.size(); ++row) {
    const std::vector<double> x(example.dense.begin() + static_cast<std::ptrdiff_t>(row * 3),
                                example.dense.begin() + static_cast<std::ptrdiff_t>(row * 3 + 3));
    const std::vector<double> vector = plain_layer(p[0], p[1], x, 2);
    double wanted = p[3].values[0];
    for (std::size_t i = 0; i < vector.size(); ++i) wanted += p[2].values[i] * vector[i];
    EXPECT_NEAR(logits[row], wanted, 1e-5) << row;
  }
}

TEST(Recommender, PredictsWithoutDenseColumns) {
  RecommenderOptions options = small("dlrm");
  options.dense = 0;
  Example example(options, 10);
  Recommender(options, pool(1)).predict(example.input(), example.logits);
  for (const float logit : example.logits) EXPECT_TRUE(std::isfinite(logit));
}

TEST(Recommender, SeedDecidesTheStart) {
  RecommenderOptions options = small("dlrm");
  Example example(options, 10);
  Recommender(options, pool(1)).predict(example.input(), example.logits);
  const std::vector<float> first = example.logits;
  Recommender(options, pool(1)).predict(example.input(), example.logits);
  EXPECT_EQ(first, example.logits);
  options.seed = 2;
  Recommender(options, pool(1)).predict(example.input(), example.logits);
  EXPECT_NE(first, example.logits);
}

TEST(Recommender, RefusesALossThatIsNotFiniteAndStaysAsItWas) {
  const RecommenderOptions options = small("dlrm");
  Example example(options, 4);
  Recommender model(options, pool(1));
  const auto before = model.parameters();
  example.dense[0] = INFINITY;
  EXPECT_THROW(model.train_step(example.input(), example.labels, example.logits, example.gradient),
               Error);
  const auto after = model.parameters();
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_EQ(before[i].values, after[i].values);
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& failed) {
    return failed.what();
  }
  return "no error";
}

TEST(Recommender, NamesWhatIsWrong) {
  RecommenderOptions options = small("dlrm");
  Example example(options, 4);
  Recommender model(options, pool(1));
  const RecommenderInput wrong{.batch = 5, .dense = example.dense, .vectors = example.vectors};
  EXPECT_EQ(message_of([&] { model.predict(wrong, example.logits); }),
            "size of dense must be 15, got 12");
  options.optimizer = "adma";
  EXPECT_EQ(message_of([&] { Recommender made(options, pool(1)); }),
            "unknown optimizer \"adma\", train.optimizer, did you mean adam?");
  options.optimizer = "adam";
  options.top = {0};
  EXPECT_EQ(message_of([&] { Recommender made(options, pool(1)); }),
            "model.top must be widths of at least 1, got 0");
  options.top = {4};
  options.winner_rate = 0;
  EXPECT_EQ(message_of([&] { Recommender made(options, pool(1)); }),
            "model.winner_rate must be in (0, 1], got 0");
  options.winner_rate = NAN;
  EXPECT_EQ(message_of([&] { Recommender made(options, pool(1)); }),
            "model.winner_rate must be in (0, 1], got nan");
}

TEST(Recommender, RefusesStateOfAnotherShape) {
  const test::TemporaryDirectory folder;
  const std::string path = folder.file("recommender.taut");
  RecommenderOptions options = small("dlrm");
  SectionWriter writer(path, "test", 1);
  Recommender(options, pool(1)).save(writer, "m/");
  writer.commit();
  options.top = {11, 5};
  Recommender other(options, pool(1));
  EXPECT_NE(
      message_of([&] { other.load(SectionReader(path, "test", 1), "m/"); }).find("top.0.weight"),
      std::string::npos);
}

}  // namespace
}  // namespace taut::nn
