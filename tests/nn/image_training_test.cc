// Steps of image networks against plain LibTorch, written out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <map>
#include <string>
#include <vector>

#include "nn/training_support.h"
#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/nn/image_network.h"

namespace taut::nn {
namespace {

using taut::test::error_of;
using taut::test::IsError;

// The network "mlp" on 1x6x6 images.

struct Images {
  std::int64_t size = 20;
  std::vector<float> pixels = random_values(20 * 36, 1);
  std::vector<std::int64_t> labels;
  Images() {
    for (std::int64_t i = 0; i < size; ++i) labels.push_back((i * 7) % 5);
  }
  [[nodiscard]] ImageInput input() const {
    return {.size = size, .pixels = pixels, .labels = labels};
  }
  [[nodiscard]] Tensor features() const { return torch::tensor(pixels).view({size, 36}); }
  [[nodiscard]] Tensor targets() const { return torch::tensor(labels, torch::kLong); }
};

ImageNetworkOptions mlp_options() {
  ImageNetworkOptions o;
  o.kind = "mlp";
  o.width = 0.1;
  o.input = {.channels = 1, .height = 6, .width = 6};
  o.classes = 5;
  o.piece = 8;  // slices of 8, 8 and 4
  return o;
}

Tensor mlp(const std::map<std::string, Tensor>& p, const Tensor& x) {
  Tensor y = x;
  for (const char* layer : {"fc1", "fc2", "fc3"}) {
    y = torch::linear(y, p.at(std::string(layer) + ".weight"), p.at(std::string(layer) + ".bias"));
    if (std::string(layer) != "fc3") y = y.relu();
  }
  return y;
}

// Mean cross entropy with smoothed labels, written out.
Tensor smoothed_loss(const Tensor& logits, const Tensor& labels, double smoothing) {
  const Tensor log = torch::log_softmax(logits, 1);
  const Tensor right = log.gather(1, labels.unsqueeze(1)).squeeze(1);
  return -((1 - smoothing) * right + smoothing * log.mean(1)).mean();
}

TEST(ImageTraining, StepsAsPlainSgdWithNesterovMomentumDoes) {
  const Images images;
  ImageNetworkOptions o = mlp_options();
  o.weight_decay = 0.02;
  ImageNetwork network(o, threads(2));
  auto plain = leaves_of(network.parameters());
  std::map<std::string, Tensor> momentum;
  for (int step = 0; step < 3; ++step) {
    const Tensor loss = smoothed_loss(mlp(plain, images.features()), images.targets(), 0);
    loss.backward();
    const ImageLoss got = network.train_step(images.input(), 0.1);
    EXPECT_NEAR(got.loss / 20, loss.item<double>(), 1e-5);
    const torch::NoGradGuard no_grad;
    for (auto& [name, p] : plain) {
      Tensor g = p.grad().clone();
      if (name.ends_with("weight")) g += 0.02 * p;  // biases do not decay
      momentum[name] = step == 0 ? g.clone() : 0.9 * momentum[name] + g;
      p -= 0.1 * (g + 0.9 * momentum[name]);
      p.mutable_grad() = Tensor();
    }
  }
  expect_close(network.parameters(), plain, 2e-6);
}

TEST(ImageTraining, SmoothsLabelsAndFollowsTheAverage) {
  const Images images;
  ImageNetworkOptions o = mlp_options();
  o.momentum = 0;
  o.weight_decay = 0;
  o.label_smoothing = 0.2;
  o.ema = 0.7;
  ImageNetwork network(o, threads(1));
  auto plain = leaves_of(network.parameters());
  std::map<std::string, Tensor> average;
  for (const auto& [name, p] : plain) average[name] = p.detach().clone();
  for (int step = 0; step < 4; ++step) {
    const Tensor loss = smoothed_loss(mlp(plain, images.features()), images.targets(), 0.2);
    loss.backward();
    EXPECT_NEAR(network.train_step(images.input(), 0.2).loss / 20, loss.item<double>(), 1e-5);
    const torch::NoGradGuard no_grad;
    for (auto& [name, p] : plain) {
      p -= 0.2 * p.grad();
      p.mutable_grad() = Tensor();
      average[name] = 0.7 * average[name] + 0.3 * p;
    }
  }
  expect_close(network.parameters(), average, 2e-6);  // the average is what predicts
  std::vector<float> logits(20 * 5);
  network.predict(images.input(), logits);
  const Tensor wanted = mlp(average, images.features());
  EXPECT_TRUE(torch::allclose(torch::tensor(logits).view({20, 5}), wanted, 1e-4, 1e-5));
}

TEST(ImageTraining, ATeachersLossIsTheDivergenceOfSoftenedLogits) {
  const Images images;
  ImageNetworkOptions o = mlp_options();
  const auto teacher = std::make_shared<ImageNetwork>(o, threads(1));
  o.seed = 5;
  ImageNetwork student(o, threads(1));
  const double weight = 0.6;
  const double temperature = 3;
  student.set_teacher(teacher, weight, temperature);
  const Tensor s = mlp(leaves_of(student.parameters()), images.features()).detach();
  const Tensor t = mlp(leaves_of(teacher->parameters()), images.features()).detach();
  const Tensor wanted_p = torch::softmax(t / temperature, 1);
  const Tensor divergence =
      (wanted_p * (wanted_p.log() - torch::log_softmax(s / temperature, 1))).sum();
  const double wanted = (1 - weight) * 20 * smoothed_loss(s, images.targets(), 0).item<double>() +
                        weight * temperature * temperature * divergence.item<double>();
  EXPECT_NEAR(student.train_step(images.input(), 0.01).loss, wanted, 1e-3);
  const auto refused = [&](double w, double temp) {
    return error_of([&] { student.set_teacher(teacher, w, temp); });
  };
  EXPECT_THAT(refused(1.5, 1), IsError(ErrorKind::kConfig, "teacher.weight"));
  EXPECT_THAT(refused(0.5, 0), IsError(ErrorKind::kConfig, "teacher.temperature"));
  o.classes = 4;
  const auto other = std::make_shared<ImageNetwork>(o, threads(1));
  EXPECT_THAT(error_of([&] { student.set_teacher(other, 0.5, 1); }),
              IsError(ErrorKind::kConfig, "classes of the teacher"));
}

TEST(ImageTraining, MasksHoldTheSameWeightsAtZero) {
  const Images images;
  ImageNetworkOptions o = mlp_options();
  o.ema = 0.5;
  ImageNetwork network(o, threads(2));
  network.train_step(images.input(), 0.1);
  network.prune({.share = 0.6});
  const auto zeros = [&] {
    std::vector<std::vector<bool>> all;
    for (const NamedTensor& p : network.parameters()) {
      if (!p.name.ends_with("weight")) continue;
      all.emplace_back();
      for (const float v : p.values) all.back().push_back(v == 0);
    }
    return all;
  };
  const auto pruned = zeros();
  const std::vector<NamedTensor> before = network.parameters();
  for (int step = 0; step < 4; ++step) network.train_step(images.input(), 0.1);
  EXPECT_EQ(zeros(), pruned);
  EXPECT_NE(before[0].values, network.parameters()[0].values);  // the others learn
}

TEST(ImageTraining, ALossThatIsNotFiniteChangesNothing) {
  Images images;
  ImageNetwork network(mlp_options(), threads(1));
  const auto before = leaves_of(network.parameters());
  images.pixels[3] = INFINITY;
  EXPECT_THAT(error_of([&] { network.train_step(images.input(), 0.1); }),
              IsError(ErrorKind::kData, "loss is not finite"));
  expect_close(network.parameters(), before, 0);
}

TEST(ImageTraining, TheNetworkCarriesItsWinners) {
  ImageNetworkOptions o = mlp_options();
  o.winners = {.unit = sparsity::Unit::kNeuron, .rates = {0.3}};
  ImageNetwork network(o, threads(1));
  EXPECT_THAT(network.network().winners.rates, testing::ElementsAre(0.3, 0.3));
  EXPECT_THAT(network.winner_rates(), testing::ElementsAre(0.3));
  network.set_winner_rates({0.5, 0.2});
  EXPECT_THAT(network.network().winners.rates, testing::ElementsAre(0.5, 0.2));
  network.set_winner_policy({.unit = sparsity::Unit::kElement, .rates = {}});
  EXPECT_TRUE(network.network().winners.rates.empty());
  EXPECT_EQ(network.network().winners.unit, sparsity::Unit::kElement);
  EXPECT_THAT(error_of([&] { network.set_winner_rates({0.5, 0.2, 0.1}); }),
              IsError(ErrorKind::kConfig, "each of 2"));
}

// A network's file, changed or cut short on the way.
class ImageState : public testing::Test {
 protected:
  void save(const ImageNetwork& network) {
    SectionWriter file(folder_.file("n"), "test", 1);
    network.save(file, "model/");
    file.commit();
  }
  [[nodiscard]] SectionReader reader() const { return {folder_.file("n"), "test", 1}; }
  test::TemporaryDirectory folder_;
};

TEST_F(ImageState, IsOneSectionATensor) {
  const Images images;
  ImageNetwork network(mlp_options(), threads(1));
  network.train_step(images.input(), 0.1);
  network.prune({.share = 0.5});
  save(network);
  const std::vector<std::string> names = reader().names();
  EXPECT_THAT(names, testing::IsSupersetOf({"model/tensors", "model/values/fc1.weight",
                                            "model/average/fc3.bias", "model/masks/fc2",
                                            "model/optimizer/fc1.weight/momentum_buffer"}));
  EXPECT_EQ(reader().array<float>("model/values/fc3.bias").size(), 5U);
}

TEST_F(ImageState, OfAnotherOptimizerIsRefusedAndChangesNothing) {
  const Images images;
  ImageNetworkOptions o = mlp_options();
  ImageNetwork network(o, threads(1));
  network.train_step(images.input(), 0.1);
  save(network);
  o.optimizer = "adam";
  o.seed = 9;
  ImageNetwork other(o, threads(1));
  const auto before = leaves_of(other.parameters());
  EXPECT_THAT(error_of([&] { other.load(reader(), "model/"); }),
              IsError(ErrorKind::kFormat, "wanted adam, got sgd"));
  expect_close(other.parameters(), before, 0);
  other.load(reader(), "model/", /*state=*/false);  // values alone do fit
  expect_close(other.parameters(), leaves_of(network.parameters()), 0);
}

// Copies a file's sections, with one text replaced in the section of shapes and facts.
void rewrite(const SectionReader& from, const std::string& path, const std::string& old,
             const std::string& by) {
  SectionWriter to(path, "test", 1);
  for (const std::string& name : from.names()) {
    std::string bytes(from.text(name));
    if (name == "model/tensors") {
      const std::size_t at = bytes.find(old);
      ASSERT_NE(at, std::string::npos) << old;
      bytes.replace(at, old.size(), by);
    }
    to.add(name, std::string_view(bytes));
  }
  to.commit();
}

TEST_F(ImageState, FactsThatDoNotFitAreRefusedAndChangeNothing) {
  const Images images;
  ImageNetworkOptions o = mlp_options();
  o.winners = {.unit = sparsity::Unit::kNeuron, .rates = {0.5}};
  ImageNetwork network(o, threads(1));
  network.train_step(images.input(), 0.1);
  network.calibrate(images.input(), sparsity::Calibration::kMinMax);
  save(network);
  o.seed = 8;
  ImageNetwork other(o, threads(1));
  const auto before = leaves_of(other.parameters());
  struct Change {
    const char* old;
    const char* by;
    const char* named;
  };
  for (const Change& change :
       {Change{"\"winner_rates\":[0.5]", "\"winner_rates\":[2.5]", "winner_rates"},
        Change{"\"winner_rates\":[0.5]", "\"winner_rates\":[0.5,0.5,0.5]", "winner_rates"},
        Change{"\"inputs_unsigned\":[", "\"inputs_unsigned\":[true,", "input_scales"},
        Change{"\"quantized\":false", "\"quantized\":3", "quantized"},
        Change{"\"optimizer_steps\":[0", "\"optimizer_steps\":[-1", "optimizer_steps"},
        Change{"\"optimizer_steps\":[0", "\"optimizer_steps\":[0,0", "optimizer_steps"}}) {
    rewrite(reader(), folder_.file("changed"), change.old, change.by);
    const SectionReader changed(folder_.file("changed"), "test", 1);
    EXPECT_THAT(error_of([&] { other.load(changed, "model/"); }),
                IsError(ErrorKind::kFormat, change.named));
    expect_close(other.parameters(), before, 0);
    EXPECT_TRUE(other.input_codes().empty());
  }
}

TEST_F(ImageState, ResumesToTheSameBitsOnAnotherNumberOfThreads) {
  const Images images;
  ImageNetworkOptions o = mlp_options();
  o.optimizer = "adamw";
  o.ema = 0.9;
  o.winners = {.unit = sparsity::Unit::kNeuron, .rates = {0.5}};
  ImageNetwork whole(o, threads(3));
  for (int step = 0; step < 3; ++step) whole.train_step(images.input(), 0.01);
  whole.set_winner_rates({0.4, 0.3});
  save(whole);
  o.seed = 77;
  ImageNetwork resumed(o, threads(1));
  resumed.load(reader(), "model/");
  EXPECT_EQ(resumed.winner_rates(), whole.winner_rates());
  for (int step = 0; step < 3; ++step) {
    EXPECT_EQ(whole.train_step(images.input(), 0.01).loss,
              resumed.train_step(images.input(), 0.01).loss);
  }
  expect_close(resumed.parameters(), leaves_of(whole.parameters()), 0);
}

}  // namespace
}  // namespace taut::nn
