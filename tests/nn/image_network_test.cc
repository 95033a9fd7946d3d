#include "taut/nn/image_network.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/core/random.h"

namespace taut::nn {
namespace {

using test::error_of;
using test::IsError;

// Images whose label is the corner that is bright.
struct Corners {
  explicit Corners(std::int64_t count, std::int64_t side = 12, std::int64_t channels = 3,
                   std::uint64_t seed = 5)
      : size(count) {
    const CounterRandom random(seed);
    std::uint64_t counter = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const auto label = static_cast<std::int64_t>(random.below(counter++, 4));
      labels.push_back(label);
      for (std::int64_t y = 0; y < side; ++y) {
        for (std::int64_t x = 0; x < side; ++x) {
          const bool bright = (y < side / 2) == (label < 2) && (x < side / 2) == (label % 2 == 0);
          for (std::int64_t c = 0; c < channels; ++c) {
            pixels.push_back(static_cast<float>(random.normal(counter++)) * 0.5f +
                             (bright ? 1.0f : 0.0f));
          }
        }
      }
    }
  }
  [[nodiscard]] ImageInput input() const {
    return {.size = size, .pixels = pixels, .labels = labels};
  }
  std::int64_t size;
  std::vector<float> pixels;
  std::vector<std::int64_t> labels;
};

ImageNetworkOptions options(const std::string& kind = "vgg-small") {
  ImageNetworkOptions o;
  o.kind = kind;
  o.width = 0.25;
  o.input = {3, 12, 12};
  o.classes = 4;
  o.piece = 16;
  return o;
}

ImageNetworkOptions with_winners(double rate, sparsity::Unit unit) {
  ImageNetworkOptions o = options();
  o.winners.rates = {rate};
  o.winners.unit = unit;
  o.winners.block = 4;
  return o;
}

std::shared_ptr<ThreadPool> threads(int count) {
  return std::make_shared<ThreadPool>(count);
}

std::vector<float> logits_of(const ImageNetwork& network, const Corners& images) {
  std::vector<float> logits(static_cast<std::size_t>(images.size * 4));
  network.predict(images.input(), logits);
  return logits;
}

double trained_loss(ImageNetwork& network, const Corners& images, int steps, double rate = 0.05) {
  double loss = 0;
  for (int i = 0; i < steps; ++i) loss = network.train_step(images.input(), rate).loss;
  return loss / static_cast<double>(images.size);
}

TEST(ImageNetwork, LearnsWithEveryUnitOfWinnersAndWithout) {
  using sparsity::Unit;
  const Corners images(96);
  for (const Unit unit : {Unit::kPosition, Unit::kElement, Unit::kChannel, Unit::kBlock}) {
    ImageNetwork network(with_winners(0.5, unit), threads(2));
    EXPECT_LT(trained_loss(network, images, 30), 0.5) << sparsity::to_string(unit);
  }
  ImageNetwork dense(options(), threads(2));
  EXPECT_LT(trained_loss(dense, images, 30), 0.2);
}

TEST(ImageNetwork, SameBitsForAnyNumberOfThreads) {
  const Corners images(70);  // the last piece is not full
  std::vector<std::vector<float>> results;
  for (const int count : {1, 2, 3}) {
    ImageNetworkOptions o = with_winners(0.3, sparsity::Unit::kPosition);
    o.ema = 0.9;
    ImageNetwork network(o, threads(count));
    trained_loss(network, images, 4);
    results.push_back(logits_of(network, images));
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST(ImageNetwork, DensityAtASiteIsTheRate) {
  ImageNetworkOptions o = with_winners(0.25, sparsity::Unit::kPosition);
  o.width = 1;
  const ImageNetwork network(o, threads(1));
  const Corners images(16);
  for (const SiteReport& site : network.report_sites(images.input())) {
    EXPECT_LE(site.density, 0.25 + 1e-9) << site.layer;
    EXPECT_LE(site.density, site.natural_density) << site.layer;
    EXPECT_GT(site.density, 0.2) << site.layer;
  }
}

TEST(ImageNetwork, PrunedWeightsStayAtZeroThroughSteps) {
  const Corners images(48);
  for (const auto kind : {sparsity::Prune::kGlobal, sparsity::Prune::kLayer}) {
    ImageNetwork network(options(), threads(2));
    trained_loss(network, images, 2);
    network.prune({.prune = kind, .share = 0.8});
    EXPECT_NEAR(network.pruned_share(), 0.8, 0.01);
    trained_loss(network, images, 5);
    EXPECT_NEAR(network.pruned_share(), 0.8, 0.01);
  }
}

TEST(ImageNetwork, StaticMapsLeaveTheSameChannelsForAllImages) {
  ImageNetwork network(options(), threads(2));
  const Corners images(48);
  network.prune_maps({0.5}, images.input());
  for (const SiteReport& site : network.report_sites(images.input())) {
    EXPECT_GE(site.never, 0.49) << site.layer;
  }
  for (const LayerReport& layer : network.report_layers(images.input())) {
    EXPECT_LE(layer.output_density, 1.0);
  }
  EXPECT_LT(trained_loss(network, images, 30), 0.5);
}

TEST(ImageNetwork, EightBitsStayNearTheNetworkAndTrain) {
  const Corners images(64);
  ImageNetwork network(options(), threads(2));
  trained_loss(network, images, 20);
  const std::vector<float> before = logits_of(network, images);
  EXPECT_THAT(error_of([&] { network.set_quantized(true); }),
              IsError(ErrorKind::kConfig, "calibrate"));
  network.calibrate(images.input(), sparsity::Calibration::kMinMax);
  network.set_quantized(true);
  const std::vector<float> after = logits_of(network, images);
  EXPECT_NE(before, after);
  double difference = 0;
  double size = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    difference += std::pow(before[i] - after[i], 2);
    size += std::pow(before[i], 2);
  }
  EXPECT_LT(std::sqrt(difference / size), 0.05);
  EXPECT_LT(trained_loss(network, images, 10, 0.01), 0.3);
}

TEST(ImageNetwork, ATeacherPullsTheStudentTowardsIt) {
  const Corners images(64);
  auto teacher = std::make_shared<ImageNetwork>(options(), threads(2));
  trained_loss(*teacher, images, 30);
  ImageNetworkOptions o = options();
  o.seed = 2;
  ImageNetwork student(o, threads(2));
  student.set_teacher(teacher, 1.0, 2.0);  // labels are not read
  trained_loss(student, images, 40);
  const std::vector<float> wanted = logits_of(*teacher, images);
  const std::vector<float> got = logits_of(student, images);
  std::int64_t agreed = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(images.size); ++i) {
    const auto best = [&](const std::vector<float>& l) {
      return std::max_element(l.begin() + 4 * i, l.begin() + 4 * (i + 1)) - (l.begin() + 4 * i);
    };
    agreed += best(wanted) == best(got) ? 1 : 0;
  }
  EXPECT_GT(agreed, 60);
}

TEST(ImageNetwork, Bf16LearnsToo) {
  const Corners images(96);
  ImageNetworkOptions o = with_winners(0.5, sparsity::Unit::kPosition);
  o.bf16 = true;
  ImageNetwork network(o, threads(2));
  EXPECT_LT(trained_loss(network, images, 30), 0.5);
}

TEST(ImageNetwork, GoesOnToTheSameBitsFromWhatItSaved) {
  const test::TemporaryDirectory folder;
  const Corners images(48);
  for (const char* optimizer : {"sgd", "adam", "adamw"}) {
    ImageNetworkOptions o = with_winners(0.3, sparsity::Unit::kPosition);
    o.optimizer = optimizer;
    o.ema = 0.5;
    ImageNetwork network(o, threads(1));
    trained_loss(network, images, 2, 0.01);
    network.prune({.share = 0.5});
    network.prune_maps({0.7}, images.input());
    network.calibrate(images.input(), sparsity::Calibration::kPercentile);
    network.set_quantized(true);
    const std::string path = folder.path() + "/" + optimizer;
    {
      SectionWriter file(path, "test", 1);
      network.save(file, "n/");
      file.commit();
    }
    ImageNetwork other(o, threads(2));
    other.load(SectionReader(path, "test", 1), "n/");
    trained_loss(network, images, 3, 0.01);
    trained_loss(other, images, 3, 0.01);
    EXPECT_EQ(logits_of(network, images), logits_of(other, images)) << optimizer;
    EXPECT_EQ(network.pruned_share(), other.pruned_share());
  }
}

TEST(ImageNetwork, LoadingAnotherNetworkNamesTheShape) {
  const test::TemporaryDirectory folder;
  const std::string path = folder.path() + "/n";
  {
    const ImageNetwork network(options(), threads(1));
    SectionWriter file(path, "test", 1);
    network.save(file, "n/");
    file.commit();
  }
  ImageNetworkOptions o = options();
  o.width = 0.5;
  ImageNetwork wider(o, threads(1));
  EXPECT_THAT(error_of([&] { wider.load(SectionReader(path, "test", 1), "n/"); }),
              IsError(ErrorKind::kFormat, "conv1.weight"));
}

TEST(ImageNetwork, RecalibratedNormalizationFollowsTheRates) {
  const Corners images(64);
  ImageNetwork network(options(), threads(2));
  trained_loss(network, images, 10);
  network.set_winner_rates({0.3});
  const auto variance = [&] {
    for (const NamedTensor& tensor : network.parameters()) {
      if (tensor.name == "conv2_norm.variance") return tensor.values;
    }
    return std::vector<float>();
  };
  const std::vector<float> before = variance();
  const std::vector<ImageInput> batches = {images.input()};
  network.recalibrate_batch_norm(batches);
  EXPECT_NE(before, variance());
}

TEST(ImageNetwork, BadOptionsNameKeyAndValue) {
  const auto made = [](const ImageNetworkOptions& o) {
    return error_of([&] { ImageNetwork network(o, threads(1)); });
  };
  for (const double rate : {0.0, -0.1, 1.5, std::nan("")}) {
    EXPECT_THAT(made(with_winners(rate, sparsity::Unit::kPosition)),
                IsError(ErrorKind::kConfig, "model.winner_rate"));
  }
  EXPECT_THAT(made(with_winners(0.3, sparsity::Unit::kNeuron)),
              IsError(ErrorKind::kConfig, "model.unit"));
  ImageNetworkOptions o = with_winners(0.3, sparsity::Unit::kPosition);
  o.winners.rates = {0.3, 0.2};
  EXPECT_THAT(made(o), IsError(ErrorKind::kConfig, "each of 5"));
  o = with_winners(0.3, sparsity::Unit::kBlock);
  o.winners.block = 3;
  EXPECT_THAT(made(o), IsError(ErrorKind::kConfig, "model.block"));
  o = options("mlp");
  o.winners = {.unit = sparsity::Unit::kChannel, .rates = {0.3}};
  EXPECT_THAT(made(o), IsError(ErrorKind::kConfig, "no maps"));
  o = options();
  o.optimizer = "lion";
  EXPECT_THAT(made(o), IsError(ErrorKind::kConfig, "lion"));
  o = options();
  o.label_smoothing = 1;
  EXPECT_THAT(made(o), IsError(ErrorKind::kConfig, "label_smoothing"));
}

TEST(ImageNetwork, SizesThatDoNotFitAreNamed) {
  ImageNetwork network(options(), threads(1));
  const Corners images(4);
  std::vector<float> few(3);
  EXPECT_THAT(error_of([&] { network.predict(images.input(), few); }),
              IsError(ErrorKind::kInvalidArgument, "logits"));
  ImageInput input = images.input();
  input.labels = {};
  EXPECT_THAT(error_of([&] { network.train_step(input, 0.1); }),
              IsError(ErrorKind::kInvalidArgument, "labels"));
}

}  // namespace
}  // namespace taut::nn
