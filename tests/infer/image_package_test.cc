#include "taut/infer/image_package.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/core/text.h"
#include "taut/graph/model_file.h"
#include "taut/infer/onnx_writer.h"

namespace taut::infer {
namespace {

using graph::Op;
using graph::Shape;
using test::error_of;
using test::IsError;
using Json = nlohmann::json;

// A convolution in 8 bits with winners, of which one map is pruned, then a normalization, a mean
// and a linear layer.
class ImagePackages : public ::testing::Test {
 protected:
  ImagePackages() {
    const Shape image{.channels = 3, .height = 6, .width = 5};
    const Shape maps{.channels = 4, .height = 3, .width = 3};
    const Shape features{.channels = 4};
    model_.network = {.name = "small", .input = image, .layers = {}};
    add("conv1", Op::kConv, image, maps);
    model_.network.layers[0].window.kernel = 3;
    model_.network.layers[0].window.stride = 2;
    model_.network.layers[0].window.padding = 1;
    add("norm1", Op::kBatchNorm, maps, maps);
    add("relu1", Op::kRelu, maps, maps);
    model_.network.layers[2].winner_site = 0;
    add("mean1", Op::kGlobalMean, maps, features);
    add("fc1", Op::kLinear, features, {.channels = 2});
    model_.network.layers[4].bias = true;
    std::iota(floats_.begin(), floats_.end(), 1.0f);
    std::iota(codes_.begin(), codes_.end(), std::int8_t{-50});
    const std::span<const float> some(floats_);
    model_.values.resize(5);
    model_.values[0].codes = codes_;
    model_.values[0].code_scales = some.subspan(0, 4);
    model_.values[0].input_scale = 0.5f;
    model_.values[1].weight = model_.values[1].bias = some.subspan(4, 4);
    model_.values[1].mean = model_.values[1].variance = some.subspan(8, 4);
    model_.values[2].kept_maps = kept_;
    model_.values[4].weight = some.subspan(0, 8);
    model_.values[4].bias = some.subspan(1, 2);
    model_.rates = {0.3};
    model_.mean = {0.1f, 0.2f, 0.3f};
    model_.deviation = {1, 2, 3};
    model_.class_names = {"cat", "dog"};
  }

  void add(const char* name, Op op, const Shape& in, const Shape& out) {
    graph::Layer layer;
    layer.name = name;
    layer.op = op;
    layer.inputs = {static_cast<int>(model_.network.layers.size()) - 1};
    layer.in = in;
    layer.out = out;
    model_.network.layers.push_back(layer);
  }

  [[nodiscard]] std::string path() const { return folder_.path() + "/small.taut"; }

  // What opening gives when the metadata was changed.
  template <typename Change>
  Error opened_with(Change&& change) {
    write_image_package(path(), model_, "{}");
    std::vector<std::pair<std::string, std::string>> sections;
    {
      const SectionReader file(path(), kImagePackageKind, kImagePackageVersion);
      for (const std::string& name : file.names()) sections.emplace_back(name, file.text(name));
    }
    SectionWriter file(path(), kImagePackageKind, kImagePackageVersion);
    for (const auto& [name, bytes] : sections) {
      if (name != "metadata") {
        file.add(name, bytes);
        continue;
      }
      Json metadata = Json::parse(bytes);
      change(metadata);
      file.add(name, metadata.dump());
    }
    file.commit();
    return error_of([&] { const ImagePackage package(path()); });
  }

  test::TemporaryDirectory folder_;
  std::vector<float> floats_ = std::vector<float>(16);
  std::vector<std::int8_t> codes_ = std::vector<std::int8_t>(4 * 3 * 9);
  std::vector<float> kept_ = {1, 0, 1, 1};
  ImageModel model_;
};

template <typename T>
std::vector<T> copied(std::span<const T> values) {
  return {values.begin(), values.end()};
}

TEST_F(ImagePackages, GiveBackWhatWasWritten) {
  const Bytes size = write_image_package(path(), model_, R"({"quality": 0.9})");
  const ImagePackage package(path());
  const ImageModel& read = package.model();
  EXPECT_EQ(Json::parse(package.metadata())["facts"]["quality"], 0.9);
  EXPECT_GT(size.count, 0);
  ASSERT_EQ(read.network.layers.size(), 5u);
  for (std::size_t i = 0; i < 5; ++i) {
    const graph::Layer& layer = read.network.layers[i];
    const graph::Layer& wanted = model_.network.layers[i];
    EXPECT_EQ(layer.name, wanted.name);
    EXPECT_EQ(layer.op, wanted.op);
    EXPECT_EQ(layer.inputs, wanted.inputs);
    EXPECT_EQ(layer.window.stride, wanted.window.stride);
    EXPECT_EQ(layer.out, wanted.out);
    EXPECT_EQ(layer.winner_site, wanted.winner_site);
    EXPECT_EQ(copied(read.values[i].weight), copied(model_.values[i].weight));
    EXPECT_EQ(copied(read.values[i].codes), copied(model_.values[i].codes));
    EXPECT_EQ(copied(read.values[i].code_scales), copied(model_.values[i].code_scales));
    EXPECT_EQ(copied(read.values[i].bias), copied(model_.values[i].bias));
    EXPECT_EQ(copied(read.values[i].mean), copied(model_.values[i].mean));
    EXPECT_EQ(copied(read.values[i].kept_maps), copied(model_.values[i].kept_maps));
    EXPECT_EQ(read.values[i].input_scale, model_.values[i].input_scale);
  }
  EXPECT_EQ(read.rates, model_.rates);
  EXPECT_EQ(read.mean, model_.mean);
  EXPECT_EQ(read.class_names, model_.class_names);
}

TEST_F(ImagePackages, RefuseMetadataThatDoesNotFitNamingTheLayer) {
  const auto layer = [](Json& metadata, int number) -> Json& { return metadata["layers"][number]; };
  EXPECT_THAT(opened_with([&](Json& m) { layer(m, 0)["out"]["channels"] = 5; }),
              IsError(ErrorKind::kFormat, "layer 1 (\"norm1\") with sizes that differ"));
  EXPECT_THAT(opened_with([&](Json& m) { layer(m, 0)["stride"] = 0; }),
              IsError(ErrorKind::kFormat, "layer 0 (\"conv1\") with a window that does not fit"));
  EXPECT_THAT(opened_with([&](Json& m) { layer(m, 0)["groups"] = 0; }),
              IsError(ErrorKind::kFormat, "layer 0 (\"conv1\") with groups"));
  EXPECT_THAT(opened_with([&](Json& m) { layer(m, 2)["inputs"] = {4}; }),
              IsError(ErrorKind::kFormat, "layer 2 (\"relu1\") with an input that is not before"));
  EXPECT_THAT(opened_with([&](Json& m) { layer(m, 2)["op"] = "softmax"; }),
              IsError(ErrorKind::kFormat, "unknown op \"softmax\" in relu1"));
  EXPECT_THAT(opened_with([&](Json& m) { layer(m, 3)["name"] = "relu1"; }),
              IsError(ErrorKind::kFormat, "no name of its own"));
  EXPECT_THAT(opened_with([&](Json& m) { layer(m, 4)["bias"] = false; }),
              IsError(ErrorKind::kFormat, "2 values of bias in layer fc1 where 0 are wanted"));
  EXPECT_THAT(opened_with([&](Json& m) { layer(m, 0)["input_scale"] = 0; }),
              IsError(ErrorKind::kFormat, "a wrong scale of inputs in layer conv1"));
  EXPECT_THAT(opened_with([](Json& m) { m["winners"]["rates"] = {0.3, 0.3}; }),
              IsError(ErrorKind::kFormat, "rates for another number of sites"));
  EXPECT_THAT(opened_with([](Json& m) { m["winners"]["rates"] = {0}; }),
              IsError(ErrorKind::kFormat, "a winner rate of 0 in layer relu1"));
  EXPECT_THAT(opened_with([](Json& m) { m["winners"]["unit"] = "pixel"; }),
              IsError(ErrorKind::kFormat, "pixel"));
  EXPECT_THAT(opened_with([](Json& m) {
                m["winners"] = {
                    {"unit", "block"}, {"score", "mean_square"}, {"block", 3}, {"rates", {0.5}}};
              }),
              IsError(ErrorKind::kFormat, "winners in layer relu1 that it cannot have"));
  EXPECT_THAT(opened_with([](Json& m) { m["input"]["height"] = -6; }),
              IsError(ErrorKind::kFormat, "an input of wrong size"));
  EXPECT_THAT(opened_with([](Json& m) { m["layers"] = Json::array(); }),
              IsError(ErrorKind::kFormat, "without layers"));
  EXPECT_THAT(opened_with([](Json& m) { m.erase("input"); }),
              IsError(ErrorKind::kFormat, "section \"metadata\" is wrong"));
}

TEST_F(ImagePackages, AreNotWrittenForAModelThatDoesNotFit) {
  model_.values[1].mean = {};
  EXPECT_THAT(error_of([&] { write_image_package(path(), model_, "{}"); }),
              IsError(ErrorKind::kInvalidArgument, "0 values of mean in layer norm1"));
  EXPECT_THAT(error_of([&] { write_onnx(folder_.path() + "/m.onnx", model_, "{}"); }),
              IsError(ErrorKind::kInvalidArgument, "0 values of mean in layer norm1"));
}

TEST_F(ImagePackages, AsOnnxAreReadByThePlannerWithAllTheirLayers) {
  const std::string file = folder_.path() + "/small.onnx";
  const OnnxContents contents = write_onnx(file, model_, "{}");
  EXPECT_EQ(contents.operator_set, 17);
  EXPECT_EQ(contents.operators.at("TopK"), 1);
  EXPECT_EQ(contents.operators.at("QuantizeLinear"), 1);
  EXPECT_EQ(contents.operators.at("DequantizeLinear"), 2);
  const graph::Graph graph = graph::read_onnx(file);
  std::int64_t multiply_adds = 0;
  for (const graph::Layer& layer : model_.network.layers) {
    multiply_adds += static_cast<std::int64_t>(graph::multiply_adds(layer));
  }
  EXPECT_EQ(graph.macs(), multiply_adds);
  EXPECT_EQ(graph.weights(), 4 * 3 * 9 + 8);
}

}  // namespace
}  // namespace taut::infer
