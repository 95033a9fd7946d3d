// Steps of both kinds of network against plain LibTorch, written out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/core/random.h"
#include "taut/nn/image_network.h"
#include "taut/nn/recommender.h"

namespace taut::nn {
namespace {

using taut::test::error_of;
using taut::test::IsError;
using torch::Tensor;

std::vector<float> random_values(std::int64_t count, std::uint64_t seed) {
  const CounterRandom random(seed);
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(random.normal(static_cast<std::uint64_t>(i))));
  }
  return values;
}

std::shared_ptr<ThreadPool> threads(int count) {
  return std::make_shared<ThreadPool>(count);
}

// Parameters as leaves of autograd, by name.
std::map<std::string, Tensor> leaves_of(const std::vector<NamedTensor>& parameters) {
  std::map<std::string, Tensor> leaves;
  for (const NamedTensor& p : parameters) {
    leaves[p.name] = torch::tensor(p.values).view(p.shape).clone().requires_grad_();
  }
  return leaves;
}

void expect_close(const std::vector<NamedTensor>& got, const std::map<std::string, Tensor>& wanted,
                  double tolerance) {
  ASSERT_EQ(got.size(), wanted.size());
  for (const NamedTensor& p : got) {
    const Tensor values = torch::tensor(p.values).view(p.shape);
    const Tensor& other = wanted.at(p.name);
    ASSERT_EQ(values.sizes(), other.sizes()) << p.name;
    EXPECT_LE((values - other.detach()).abs().max().item<double>(), tolerance) << p.name;
  }
}

// --- images: the network "mlp" on 1x6x6 images ---

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

// --- recommenders ---

struct Clicks {
  std::int64_t size = 700;  // two slices
  std::vector<float> dense = random_values(700 * 3, 1);
  std::vector<float> vectors = random_values(700 * 4 * 8, 2);
  std::vector<float> labels;
  std::vector<float> logits = std::vector<float>(700);
  std::vector<float> gradient = std::vector<float>(700 * 4 * 8);
  Clicks() {
    for (std::int64_t i = 0; i < size; ++i) labels.push_back(i % 3 == 0 ? 1.0f : 0.0f);
  }
  [[nodiscard]] RecommenderInput input() const {
    return {.batch = size, .dense = dense, .vectors = vectors};
  }
  double step(Recommender& model) { return model.train_step(input(), labels, logits, gradient); }
};

RecommenderOptions click_options(const std::string& kind) {
  RecommenderOptions o;
  o.kind = kind;
  o.dense = 3;
  o.tables = 4;
  o.dim = 8;
  o.bottom = {6};
  o.top = {10};
  return o;
}

Tensor layer(const std::map<std::string, Tensor>& p, const std::string& name, const Tensor& x) {
  return torch::linear(x, p.at(name + ".weight"), p.at(name + ".bias"));
}

// Both kinds with operations of LibTorch alone.
Tensor plain_logits(const std::string& kind, const std::map<std::string, Tensor>& p,
                    const Tensor& dense, const Tensor& vectors) {
  if (kind == "wide_deep") {
    const Tensor deep = torch::cat({dense, vectors.flatten(1)}, 1);
    return (layer(p, "top.1", layer(p, "top.0", deep).relu()) + vectors.select(2, 0).sum(1, true) +
            torch::matmul(dense, p.at("wide.weight").t()))
        .squeeze(1);
  }
  const Tensor bottom = layer(p, "bottom.1", layer(p, "bottom.0", dense).relu()).relu();
  const Tensor all = torch::cat({bottom.unsqueeze(1), vectors}, 1);
  const Tensor products = torch::bmm(all, all.transpose(1, 2));
  std::vector<Tensor> features;
  for (std::int64_t i = 0; i < all.size(1); ++i) {
    for (std::int64_t j = 0; j < i; ++j) features.push_back(products.select(1, i).select(1, j));
  }
  const Tensor read = torch::cat({torch::stack(features, 1), all.flatten(1)}, 1);
  return layer(p, "top.1", layer(p, "top.0", read).relu()).squeeze(1);
}

class RecommenderTraining : public testing::TestWithParam<const char*> {};

TEST_P(RecommenderTraining, StepsAsPlainSgdAndAdamDo) {
  for (const std::string optimizer : {"sgd", "adam"}) {
    RecommenderOptions o = click_options(GetParam());
    o.optimizer = optimizer;
    o.learning_rate = 0.01;
    o.weight_decay = 0.03;
    Recommender model(o, threads(2));
    Clicks clicks;
    auto plain = leaves_of(model.parameters());
    std::map<std::string, Tensor> first;
    std::map<std::string, Tensor> second;
    for (int step = 1; step <= 2; ++step) {
      const Tensor vectors = torch::tensor(clicks.vectors).view({700, 4, 8}).requires_grad_();
      const Tensor logits =
          plain_logits(o.kind, plain, torch::tensor(clicks.dense).view({700, 3}), vectors);
      const Tensor loss = torch::binary_cross_entropy_with_logits(
          logits, torch::tensor(clicks.labels), {}, {}, at::Reduction::Sum);
      loss.backward();
      EXPECT_NEAR(clicks.step(model), loss.item<double>(), 2e-3);
      EXPECT_TRUE(torch::allclose(torch::tensor(clicks.gradient).view({700, 4, 8}), vectors.grad(),
                                  1e-4, 1e-5));
      const torch::NoGradGuard no_grad;
      for (auto& [name, p] : plain) {
        const Tensor g = p.grad() / 700 + 0.03 * p;
        p.mutable_grad() = Tensor();
        if (step == 1) first[name] = second[name] = torch::zeros_like(p);
        if (optimizer == "sgd") {
          first[name] = 0.9 * first[name] + g;
          p -= 0.01 * first[name];
        } else {
          first[name] = 0.9 * first[name] + 0.1 * g;
          second[name] = 0.999 * second[name] + 0.001 * g * g;
          p -= 0.01 * first[name] / (1 - std::pow(0.9, step)) /
               ((second[name] / (1 - std::pow(0.999, step))).sqrt() + 1e-8);
        }
      }
    }
    expect_close(model.parameters(), plain, optimizer == "sgd" ? 1e-6 : 2e-4);
  }
}

TEST_P(RecommenderTraining, TheNetworkIsTheOneThatIsTrained) {
  RecommenderOptions o = click_options(GetParam());
  o.winner_rate = 0.4;
  Recommender model(o, threads(1));
  const graph::Network& network = model.network();
  EXPECT_EQ(network.name, GetParam());
  EXPECT_EQ(network.tables.size(), 4U);
  EXPECT_EQ(network.layers.back().out.size(), 1);
  EXPECT_FALSE(graph::wrong_layer(network).has_value());
  std::size_t at = 0;
  const std::vector<NamedTensor> parameters = model.parameters();
  for (const graph::Layer& l : network.layers) {
    if (graph::weight_shape(l).empty()) continue;
    ASSERT_LT(at, parameters.size());
    EXPECT_EQ(parameters[at].name, l.name + ".weight");
    EXPECT_EQ(parameters[at++].shape, graph::weight_shape(l));
    if (!l.bias) continue;
    EXPECT_EQ(parameters[at++].name, l.name + ".bias");
  }
  EXPECT_EQ(at, parameters.size());
  EXPECT_EQ(network.winners.rates, std::vector<double>(network.winner_sites().size(), 0.4));
  model.set_winner_rate(0.6);
  EXPECT_EQ(network.winners.rates, std::vector<double>(network.winner_sites().size(), 0.6));
  EXPECT_EQ(model.options().winner_rate, 0.4);
  EXPECT_THAT(error_of([&] { model.set_winner_rate(0); }),
              IsError(ErrorKind::kConfig, "model.winner_rate must be in (0, 1], got 0"));
}

INSTANTIATE_TEST_SUITE_P(Kinds, RecommenderTraining, testing::Values("dlrm", "wide_deep"));

TEST(RecommenderState, OfAnotherOptimizerIsRefusedAndChangesNothing) {
  const test::TemporaryDirectory folder;
  RecommenderOptions o = click_options("dlrm");
  Recommender model(o, threads(1));
  Clicks clicks;
  clicks.step(model);
  SectionWriter file(folder.file("r"), "test", 1);
  model.save(file, "m/");
  file.commit();
  const SectionReader reader(folder.file("r"), "test", 1);
  EXPECT_THAT(reader.names(), testing::IsSupersetOf({"m/tensors", "m/values/bottom.0.weight",
                                                     "m/optimizer/top.1.bias/exp_avg_sq"}));
  o.optimizer = "adagrad";
  o.seed = 4;
  Recommender other(o, threads(1));
  const auto before = leaves_of(other.parameters());
  EXPECT_THAT(error_of([&] { other.load(reader, "m/"); }),
              IsError(ErrorKind::kFormat, "wanted adagrad, got adam"));
  expect_close(other.parameters(), before, 0);
  EXPECT_THAT(error_of([&] { other.load(reader, "n/"); }),
              IsError(ErrorKind::kFormat, "n/tensors"));
}

TEST(RecommenderState, WithoutTablesOrDenseColumnsStepsToo) {
  for (const std::string kind : {"dlrm", "wide_deep"}) {
    for (const bool tables : {false, true}) {
      RecommenderOptions o = click_options(kind);
      (tables ? o.dense : o.tables) = 0;
      Recommender model(o, threads(1));
      Clicks clicks;
      (tables ? clicks.dense : clicks.vectors).clear();
      if (!tables) clicks.gradient.clear();
      const double first = clicks.step(model);
      for (int step = 0; step < 20; ++step) clicks.step(model);
      EXPECT_LT(clicks.step(model), first) << kind << " " << tables;
    }
  }
  RecommenderOptions none = click_options("dlrm");
  none.dense = none.tables = 0;
  EXPECT_THAT(error_of([&] { Recommender made(none, threads(1)); }),
              IsError(ErrorKind::kConfig, "model.inputs"));
  none.tables = -1;
  EXPECT_THAT(error_of([&] { Recommender made(none, threads(1)); }),
              IsError(ErrorKind::kConfig, "model.inputs"));
}

}  // namespace
}  // namespace taut::nn
