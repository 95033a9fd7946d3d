#include "nn/tensor_sections.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "nn/optimizer.h"
#include "support/error_matchers.h"
#include "support/temporary_directory.h"

namespace taut::nn {
namespace {

using taut::test::error_of;
using taut::test::IsError;
using torch::Tensor;

class TensorSections : public testing::Test {
 protected:
  template <typename Write>
  SectionReader written(Write&& write) {
    SectionWriter file(folder_.file("t"), "test", 1);
    write(file);
    file.commit();
    return {folder_.file("t"), "test", 1};
  }
  // A file with one tensor [2, 3] and a fact.
  SectionReader one() {
    return written([](SectionSink& file) {
      TensorWriter writer(file, "m/");
      writer.add("values/a", torch::arange(6, torch::kFloat32).view({2, 3}));
      writer.fact("steps", 7);
      writer.finish();
    });
  }
  test::TemporaryDirectory folder_;
};

TEST_F(TensorSections, ComeBackToTheBit) {
  std::vector<float> odd = {0.0f,
                            -0.0f,
                            std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::denorm_min(),
                            1e-38f,
                            -3.4e38f};
  odd.push_back(std::nanf("5"));
  const Tensor tensor = torch::tensor(odd);
  const SectionReader file = written([&](SectionSink& sink) {
    TensorWriter writer(sink, "m/");
    writer.add("odd", tensor);
    writer.add("none", torch::empty({0, 4}));
    writer.add("scalar", torch::tensor(2.5f));
    writer.finish();
  });
  const TensorReader reader(file, "m/");
  const Tensor back = reader.read("odd", {7});
  EXPECT_EQ(std::memcmp(back.const_data_ptr<float>(), odd.data(), odd.size() * sizeof(float)), 0);
  EXPECT_EQ(reader.read("none", {0, 4}).numel(), 0);
  EXPECT_EQ(reader.read("scalar", {}).item<float>(), 2.5f);
}

TEST_F(TensorSections, AreRowMajorWhateverTheLayoutInMemory) {
  const Tensor plain = torch::arange(2 * 3 * 4 * 5, torch::kFloat32).view({2, 3, 4, 5});
  const Tensor last = plain.contiguous(at::MemoryFormat::ChannelsLast);
  const SectionReader file = written([&](SectionSink& sink) {
    TensorWriter writer(sink, "");
    writer.add("a", last);
    writer.finish();
  });
  EXPECT_EQ(file.array<float>("a")[1], 1.0f);
  const TensorReader reader(file, "");
  EXPECT_TRUE(torch::equal(reader.read("a", plain.sizes()), plain));
  const Tensor like = reader.read_like("a", last);
  EXPECT_TRUE(torch::equal(like, plain));
  EXPECT_EQ(like.strides(), last.strides());
}

TEST_F(TensorSections, AnotherShapeIsRefusedWithBoth) {
  const SectionReader file = one();
  const TensorReader reader(file, "m/");
  const Error error = error_of([&] { static_cast<void>(reader.read("values/a", {3, 2})); });
  EXPECT_THAT(error, IsError(ErrorKind::kFormat, "m/values/a"));
  EXPECT_THAT(error, IsError(ErrorKind::kFormat, "wanted [3, 2], got [2, 3]"));
  EXPECT_THAT(error, IsError(ErrorKind::kFormat, folder_.file("t")));
}

TEST_F(TensorSections, WhatIsMissingIsNamed) {
  const SectionReader file = one();
  const TensorReader reader(file, "m/");
  EXPECT_TRUE(reader.has("values/a"));
  EXPECT_FALSE(reader.has("values/b"));
  EXPECT_THAT(error_of([&] { static_cast<void>(reader.read("values/b", {1})); }),
              IsError(ErrorKind::kFormat, "m/values/b"));
  EXPECT_EQ(reader.fact<int>("steps"), 7);
  EXPECT_THAT(error_of([&] { static_cast<void>(reader.fact<int>("rates")); }),
              IsError(ErrorKind::kFormat, "rates"));
  EXPECT_THAT(error_of([&] { static_cast<void>(reader.fact<std::string>("steps")); }),
              IsError(ErrorKind::kFormat, "steps"));
  EXPECT_THAT(error_of([&] { TensorReader other(file, "other/"); }),
              IsError(ErrorKind::kFormat, "other/tensors"));
}

TEST_F(TensorSections, AnIndexThatIsNoIndexIsRefused) {
  for (const char* text : {"", "{", "[]", "{\"shapes\": {}}", "{\"shapes\": [], \"facts\": {}}",
                           "{\"shapes\": {}, \"facts\": 3}"}) {
    const SectionReader file =
        written([&](SectionSink& sink) { sink.add("tensors", std::string_view(text)); });
    EXPECT_THAT(error_of([&] { TensorReader reader(file, ""); }),
                IsError(ErrorKind::kFormat, "tensors"))
        << text;
  }
}

TEST_F(TensorSections, NumbersThatDoNotFillTheShapeAreRefused) {
  const SectionReader file = written([&](SectionSink& sink) {
    const std::vector<float> five(5);
    sink.add_array("a", std::span<const float>(five));
    sink.add("tensors", std::string_view(R"({"shapes": {"a": [2, 3], "b": "x"}, "facts": {}})"));
  });
  const TensorReader reader(file, "");
  EXPECT_THAT(error_of([&] { static_cast<void>(reader.read("a", {2, 3})); }),
              IsError(ErrorKind::kFormat, "wanted 24 bytes, got 20"));
  EXPECT_THAT(error_of([&] { static_cast<void>(reader.read("b", {2, 3})); }),
              IsError(ErrorKind::kFormat, "\"b\""));
}

// --- optimizers, whose state goes into such sections ---

struct Trained {
  explicit Trained(const OptimizerChoice& choice, double decay = 0.1) {
    weight = torch::tensor({1.0f, -2.0f, 0.5f}).requires_grad_();
    optimizer = make_optimizer(choice, {{.parameters = {weight}, .weight_decay = decay}});
  }
  void step(const std::vector<float>& gradient) {
    weight.mutable_grad() = torch::tensor(gradient);
    optimizer->step();
  }
  Tensor weight;
  std::unique_ptr<torch::optim::Optimizer> optimizer;
};

OptimizerChoice choice(const std::string& name, bool nesterov = false) {
  return {.name = name,
          .offered = {"sgd", "adam", "adamw", "adagrad"},
          .learning_rate = 0.1,
          .momentum = 0.9,
          .nesterov = nesterov};
}

// Two steps of each optimizer as published, in double.
std::vector<double> by_hand(const std::string& name, bool nesterov,
                            const std::vector<std::vector<double>>& gradients, double decay) {
  std::vector<double> w = {1.0, -2.0, 0.5};
  std::vector<double> first(3);
  std::vector<double> second(3);
  const double rate = 0.1;
  for (std::size_t t = 0; t < gradients.size(); ++t) {
    for (std::size_t i = 0; i < 3; ++i) {
      double g = gradients[t][i];
      if (name == "adamw") {
        w[i] -= rate * decay * w[i];
      } else {
        g += decay * w[i];
      }
      if (name == "sgd") {
        first[i] = t == 0 ? g : 0.9 * first[i] + g;
        w[i] -= rate * (nesterov ? g + 0.9 * first[i] : first[i]);
      } else if (name == "adagrad") {
        second[i] += g * g;
        w[i] -= rate * g / (std::sqrt(second[i]) + 1e-10);
      } else {
        first[i] = 0.9 * first[i] + 0.1 * g;
        second[i] = 0.999 * second[i] + 0.001 * g * g;
        const auto n = static_cast<double>(t + 1);
        const double mean = first[i] / (1 - std::pow(0.9, n));
        const double square = second[i] / (1 - std::pow(0.999, n));
        w[i] -= rate * mean / (std::sqrt(square) + 1e-8);
      }
    }
  }
  return w;
}

TEST(Optimizers, StepAsPublished) {
  for (const std::string name : {"sgd", "sgd nesterov", "adam", "adamw", "adagrad"}) {
    const bool nesterov = name == "sgd nesterov";
    const std::string kind = nesterov ? "sgd" : name;
    for (const double decay : {0.0, 0.1}) {
      Trained one(choice(kind, nesterov), decay);
      one.step({0.3f, -0.1f, 2.0f});
      one.step({-0.2f, 0.4f, 1.0f});
      const std::vector<double> wanted =
          by_hand(kind, nesterov, {{0.3, -0.1, 2.0}, {-0.2, 0.4, 1.0}}, decay);
      for (std::int64_t i = 0; i < 3; ++i) {
        EXPECT_NEAR(one.weight[i].item<double>(), wanted[static_cast<std::size_t>(i)], 2e-6)
            << name << " " << decay << " " << i;
      }
    }
  }
}

TEST(Optimizers, GoOnToTheSameBitsFromTheirState) {
  for (const std::string name : {"sgd", "adam", "adamw", "adagrad"}) {
    Trained whole(choice(name));
    whole.step({0.3f, -0.1f, 2.0f});
    whole.step({0.1f, 0.1f, -1.0f});
    Trained resumed(choice(name));
    {
      const torch::NoGradGuard no_grad;
      resumed.weight.copy_(whole.weight);
    }
    OptimizerState state = state_of(*whole.optimizer, whole.weight);
    EXPECT_EQ(state.tensors.size(), optimizer_tensors(name).size());
    EXPECT_EQ(state.steps, name == "sgd" ? 0 : 2);
    for (Tensor& tensor : state.tensors) tensor = tensor.clone();
    set_state(*resumed.optimizer, name, resumed.weight, state);
    whole.step({0.5f, 0.2f, 0.1f});
    resumed.step({0.5f, 0.2f, 0.1f});
    EXPECT_TRUE(torch::equal(whole.weight, resumed.weight)) << name;
    set_state(*resumed.optimizer, name, resumed.weight, {});  // forgets
    EXPECT_TRUE(state_of(*resumed.optimizer, resumed.weight).tensors.empty()) << name;
  }
}

TEST(Optimizers, NamesThatAreNotOfferedAreRefused) {
  OptimizerChoice wrong = choice("adma");
  EXPECT_THAT(error_of([&] { static_cast<void>(make_optimizer(wrong, {})); }),
              IsError(ErrorKind::kConfig, "did you mean adam?"));
  wrong.name = "adagrad";
  wrong.offered = {"sgd"};
  EXPECT_THAT(error_of([&] { static_cast<void>(make_optimizer(wrong, {})); }),
              IsError(ErrorKind::kConfig, "adagrad"));
  EXPECT_THAT(error_of([] { static_cast<void>(optimizer_tensors("lion")); }),
              IsError(ErrorKind::kConfig, "lion"));
}

}  // namespace
}  // namespace taut::nn
