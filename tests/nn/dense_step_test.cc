// Steps without autograd against plain autograd, at odd sizes, in every way of multiplying.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "nn/dense_kernels.h"
#include "nn/training_support.h"
#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/nn/recommender.h"

namespace taut::nn {
namespace {

using taut::test::error_of;
using taut::test::IsError;

std::vector<std::uint16_t> bf16_of(const std::vector<float>& values) {
  std::vector<std::uint16_t> bits(values.size());
  convert(std::ssize(values), values.data(), bits.data());
  return bits;
}

std::vector<float> floats_of(const std::vector<std::uint16_t>& bits) {
  std::vector<float> values(bits.size());
  convert(std::ssize(bits), bits.data(), values.data());
  return values;
}

TEST(DenseKernels, RoundToTheNearestBf16AsLibTorchDoes) {
  std::vector<float> values = random_values(1001, 1);
  values.insert(values.end(), {0.0F, -0.0F, 1.00390625F, 1.01171875F, INFINITY, -INFINITY, 3.4e38F,
                               1e-40F, -1e-45F});
  const Tensor wanted = torch::tensor(values).to(torch::kBFloat16).to(torch::kFloat);
  EXPECT_TRUE(torch::equal(torch::tensor(floats_of(bf16_of(values))), wanted));
  EXPECT_TRUE(std::isnan(floats_of(bf16_of({NAN}))[0]));
}

// A matrix in a type: float, or bf16 as bits.
template <typename T>
struct Typed {
  explicit Typed(const Tensor& x) : tensor(x.to(kType).clone()) {}
  [[nodiscard]] T* data() const { return static_cast<T*>(tensor.data_ptr()); }
  [[nodiscard]] Tensor floats() const { return tensor.to(torch::kFloat); }
  static Tensor rounded(const Tensor& x) { return x.to(kType).to(torch::kFloat); }
  static constexpr at::ScalarType kType =
      std::is_same_v<T, float> ? torch::kFloat : torch::kBFloat16;
  Tensor tensor;
};

template <typename T>
void expect_plain_kernels(std::int64_t columns) {
  constexpr std::int64_t kRows = 7;
  const Tensor x = Typed<T>::rounded(random_tensor({kRows, columns}, 1));
  const Tensor g = Typed<T>::rounded(random_tensor({kRows, columns}, 2));
  const Tensor bias = random_tensor({columns}, 3);
  for (const bool relu : {false, true}) {
    const Typed<T> y(x);
    add_bias(kRows, columns, bias.data_ptr<float>(), relu, y.data());
    const Tensor sum = x + bias;
    EXPECT_TRUE(torch::equal(y.floats(), Typed<T>::rounded(relu ? sum.relu() : sum)));
  }
  const Typed<T> in(x);
  const Typed<T> gradient(g);
  const Tensor sums = torch::full({columns}, 9.0F);
  mask_and_sum(kRows, columns, in.data(), gradient.data(), sums.data_ptr<float>());
  EXPECT_TRUE(torch::equal(gradient.floats(), g * (x > 0)));
  EXPECT_TRUE(torch::allclose(sums, (g * (x > 0)).sum(0), 1e-5, 1e-5));

  const Tensor weight = random_tensor({columns}, 4);
  const Tensor slope = random_tensor({kRows}, 5);
  const Tensor out = torch::empty({kRows});
  one_output(kRows, columns, in.data(), weight.data_ptr<float>(), 0.5F, out.data_ptr<float>());
  EXPECT_TRUE(torch::allclose(out, torch::mv(x, weight) + 0.5, 1e-4, 1e-4));
  const Tensor weight_gradient = torch::empty({columns});
  one_output_backward(kRows, columns, in.data(), weight.data_ptr<float>(), slope.data_ptr<float>(),
                      gradient.data(), weight_gradient.data_ptr<float>());
  EXPECT_TRUE(torch::allclose(weight_gradient, torch::mv(x.t(), slope), 1e-4, 1e-4));
  EXPECT_TRUE(torch::equal(gradient.floats(), Typed<T>::rounded(torch::outer(slope, weight))));

  const Tensor total = bias.clone();
  accumulate(columns, in.data(), true, total.data_ptr<float>());
  EXPECT_TRUE(torch::equal(total, bias + x[0]));
}

class DenseKernelSizes : public testing::TestWithParam<std::int64_t> {};

TEST_P(DenseKernelSizes, EqualPlainOperations) {
  expect_plain_kernels<float>(GetParam());
  expect_plain_kernels<std::uint16_t>(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Columns, DenseKernelSizes, testing::Values(1, 2, 15, 16, 17, 63, 64, 65));

// A way of computing a step, and how far it may be from fp32.
struct Way {
  const char* name;
  const char* kind;
  const char* products;
  bool bf16;
  double tolerance;  ///< of logits and gradients, relative to their largest
};

void PrintTo(const Way& way, std::ostream* out) {
  *out << way.name;
}

struct Clicks {
  Clicks(const RecommenderOptions& o, std::int64_t batch)
      : size(batch),
        dense(random_values(batch * o.dense, 1)),
        vectors(random_values(batch * o.tables * o.dim, 2)),
        logits(static_cast<std::size_t>(batch)),
        gradient(vectors.size()) {
    for (std::int64_t i = 0; i < size; ++i) labels.push_back(i % 3 == 0 ? 1.0F : 0.0F);
  }
  double step(Recommender& model) {
    return model.train_step({.batch = size, .dense = dense, .vectors = vectors}, labels, logits,
                            gradient);
  }
  std::int64_t size;
  std::vector<float> dense;
  std::vector<float> vectors;
  std::vector<float> labels;
  std::vector<float> logits;
  std::vector<float> gradient;
};

// What a plain network is made of: parameters, and whether values are rounded to bf16 where ours
// are. Gradients are then rounded at the same places, by autograd.
struct Plain {
  std::map<std::string, Tensor> p;
  bool bf16;
  [[nodiscard]] Tensor rounded(const Tensor& x) const {
    return bf16 ? x.to(torch::kBFloat16).to(torch::kFloat) : x;
  }
  [[nodiscard]] Tensor mlp(const std::string& name, Tensor x, bool relu_last) const {
    x = rounded(x);
    for (int i = 0; p.contains(name + "." + std::to_string(i) + ".weight"); ++i) {
      const std::string layer = name + "." + std::to_string(i);
      const Tensor& weight = p.at(layer + ".weight");
      const Tensor& bias = p.at(layer + ".bias");
      const bool last = !p.contains(name + "." + std::to_string(i + 1) + ".weight");
      if (last && !relu_last) return torch::matmul(x, weight.t()) + bias;
      x = rounded(rounded(torch::matmul(x, rounded(weight).t())) + bias).relu();
    }
    return x;
  }
};

// Both kinds with operations of LibTorch alone.
Tensor plain_logits(const RecommenderOptions& o, const Plain& net, const Tensor& dense,
                    const Tensor& vectors) {
  if (o.kind == "wide_deep") {
    std::vector<Tensor> inputs;
    if (o.dense > 0) inputs.push_back(dense);
    if (o.tables > 0) inputs.push_back(vectors.flatten(1));
    Tensor logit = net.mlp("top", torch::cat(inputs, 1), false);
    if (o.tables > 0) logit = logit + vectors.select(2, 0).sum(1, true);
    if (o.dense > 0) {
      logit = logit + torch::matmul(net.rounded(dense), net.p.at("wide.weight").t());
    }
    return logit.squeeze(1);
  }
  std::vector<Tensor> parts;
  if (o.dense > 0) parts.push_back(net.mlp("bottom", dense, true).unsqueeze(1));
  if (o.tables > 0) parts.push_back(vectors);
  const Tensor all = torch::cat(parts, 1);
  const Tensor pairs = torch::tril_indices(all.size(1), all.size(1), -1);
  const Tensor dots =
      torch::bmm(all, all.transpose(1, 2)).index({torch::indexing::Slice(), pairs[0], pairs[1]});
  const bool copies_all = o.interaction == "dots_vectors" || o.dense == 0;
  const Tensor read = torch::cat({dots, (copies_all ? all : parts[0]).flatten(1)}, 1);
  return net.mlp("top", read, false).squeeze(1);
}

double distance(const Tensor& got, const Tensor& wanted) {
  const double largest = std::max(wanted.abs().max().item<double>(), 1e-3);
  return (got - wanted).abs().max().item<double>() / largest;
}

class DenseSteps : public testing::TestWithParam<Way> {
 protected:
  static RecommenderOptions options() {
    RecommenderOptions o;
    o.kind = GetParam().kind;
    o.products = GetParam().products;
    o.bf16 = GetParam().bf16;
    o.dense = 3;
    o.tables = 4;
    o.dim = 8;
    o.optimizer = "sgd";
    return o;
  }
  // One step beside autograd: logits, the vectors' gradient, and every parameter's.
  static void expect_plain_step(RecommenderOptions o, std::int64_t batch) {
    o.learning_rate = static_cast<double>(batch);  // a step is the gradient of the summed loss
    SCOPED_TRACE(testing::Message() << "batch " << batch << ", dense " << o.dense << ", tables "
                                    << o.tables << ", dim " << o.dim);
    Recommender model(o, threads(2));
    const Plain plain{.p = leaves_of(model.parameters()), .bf16 = o.bf16};
    const auto before = leaves_of(model.parameters());
    Clicks clicks(o, batch);
    const double loss = clicks.step(model);
    const Tensor vectors =
        torch::tensor(clicks.vectors).view({batch, o.tables, o.dim}).requires_grad_();
    const Tensor logits =
        plain_logits(o, plain, torch::tensor(clicks.dense).view({batch, o.dense}), vectors);
    const Tensor wanted = torch::binary_cross_entropy_with_logits(
        logits, torch::tensor(clicks.labels), {}, {}, at::Reduction::Sum);
    wanted.backward();
    const double tolerance = GetParam().tolerance;
    EXPECT_NEAR(loss, wanted.item<double>(), tolerance * wanted.item<double>() + 1e-5);
    EXPECT_LE(distance(torch::tensor(clicks.logits), logits.detach()), tolerance);
    if (o.tables > 0) {
      EXPECT_LE(
          distance(torch::tensor(clicks.gradient).view({batch, o.tables, o.dim}), vectors.grad()),
          tolerance);
    }
    for (const NamedTensor& p : model.parameters()) {
      const Tensor start = before.at(p.name).detach();
      const Tensor moved = start - torch::tensor(p.values).view(p.shape);
      const Tensor gradient = plain.p.at(p.name).grad();
      const double rounding = 1.2e-7 * (start.abs().max() + gradient.abs().max()).item<double>();
      EXPECT_LE((moved - gradient).abs().max().item<double>(),
                tolerance * gradient.abs().max().item<double>() + rounding)
          << p.name;
    }
  }
};

TEST_P(DenseSteps, GiveTheGradientsOfAutogradAtOddSizes) {
  for (const std::int64_t width : {1, 63, 65}) {
    RecommenderOptions o = options();
    o.bottom = {width, 17};
    o.top = {width, 33};
    for (const std::int64_t batch : {1, 2, 513}) expect_plain_step(o, batch);
  }
}

TEST_P(DenseSteps, GiveThemWithoutHiddenLayersDenseColumnsOrTables) {
  RecommenderOptions o = options();
  o.bottom = {};
  o.top = {};
  expect_plain_step(o, 65);
  o.top = {9};
  o.dim = 1;
  expect_plain_step(o, 65);
  o.dim = 8;
  o.interaction = "dots";
  expect_plain_step(o, 65);
  o.dense = 0;
  expect_plain_step(o, 65);
  o.tables = 1;
  expect_plain_step(o, 65);
  o.dense = 3;
  o.tables = 0;
  expect_plain_step(o, 65);
}

TEST_P(DenseSteps, GiveThemForABatchOfMoreSlicesThanAreKept) {
  RecommenderOptions o = options();
  o.top = {300};  // two tiles
  expect_plain_step(o, 17 * 512 + 3);
}

TEST_P(DenseSteps, GiveThemInPiecesOfOddSizes) {
  RecommenderOptions o = options();
  o.top = {300};
  for (const std::int64_t piece : {1, 7, 64}) {
    o.piece = piece;
    expect_plain_step(o, 1);
    expect_plain_step(o, 18 * piece + (piece + 1) / 2);
  }
}

TEST_P(DenseSteps, AreTheSameBitsForAnyNumberOfThreadsAndAfterAFile) {
  const test::TemporaryDirectory folder;
  RecommenderOptions o = options();
  o.optimizer = "adam";
  o.learning_rate = 0.01;
  o.winner_rate = 0.5;
  o.bottom = {70};
  o.top = {300, 40};
  std::vector<float> wanted;
  for (const int count : {1, 2, 5}) {
    Recommender model(o, threads(count));
    Clicks clicks(o, 1300);
    for (int step = 0; step < 3; ++step) clicks.step(model);
    SectionWriter file(folder.file("r"), "test", 1);
    model.save(file, "m/");
    file.commit();
    for (int step = 0; step < 3; ++step) clicks.step(model);
    if (wanted.empty()) wanted = clicks.logits;
    EXPECT_EQ(clicks.logits, wanted) << count << " threads";
    o.seed = 9;  // all must come from the file
    Recommender resumed(o, threads(count));
    o.seed = 1;
    resumed.load(SectionReader(folder.file("r"), "test", 1), "m/");
    for (int step = 0; step < 3; ++step) clicks.step(resumed);
    EXPECT_EQ(clicks.logits, wanted) << count << " threads, resumed";
  }
}

// bf16 keeps 8 bits: a sum that rounds the other way is 2^-8 off, and so is what is made of it.
INSTANTIATE_TEST_SUITE_P(
    Ways, DenseSteps,
    testing::Values(Way{"dlrm_blas", "dlrm", "blas", false, 2e-5},
                    Way{"dlrm_onednn", "dlrm", "onednn", false, 2e-5},
                    Way{"dlrm_bf16", "dlrm", "auto", true, 0.02},
                    Way{"wide_deep_blas", "wide_deep", "blas", false, 2e-5},
                    Way{"wide_deep_onednn", "wide_deep", "onednn", false, 2e-5},
                    Way{"wide_deep_bf16", "wide_deep", "auto", true, 0.02}),
    [](const testing::TestParamInfo<Way>& way) { return std::string(way.param.name); });

TEST(DensePieces, OfNegativeSizeAreAnError) {
  RecommenderOptions o;
  o.dense = 2;
  o.piece = -1;
  EXPECT_THAT(error_of([&] { Recommender made(o, threads(1)); }),
              IsError(ErrorKind::kConfig, "train.piece must be 0 or more, got -1"));
}

TEST(DenseProducts, AnUnknownNameIsAnError) {
  RecommenderOptions o;
  o.dense = 2;
  o.products = "blass";
  EXPECT_THAT(error_of([&] { Recommender made(o, threads(1)); }),
              IsError(ErrorKind::kConfig,
                      "unknown products \"blass\", train.products, did you mean blas?"));
}

}  // namespace
}  // namespace taut::nn
