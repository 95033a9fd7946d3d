#include "taut/infer/package.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>

#include "infer/plain_pass.h"
#include "infer/small_network.h"
#include "infer/small_packages.h"
#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/core/file.h"
#include "taut/core/text.h"
#include "taut/graph/model_file.h"
#include "taut/graph/network_json.h"
#include "taut/infer/engine.h"
#include "taut/infer/onnx_writer.h"

namespace taut::infer {
namespace {

using test::error_of;
using test::IsError;
using test_support::click_model;
using test_support::image_model;
using test_support::read_sections;
using test_support::Sections;
using test_support::write_sections;
using Json = nlohmann::json;

class Packages : public ::testing::Test {
 protected:
  [[nodiscard]] std::string path() const { return folder_.file("small.taut"); }

  // What opening gives when sections were changed and sealed again.
  template <typename Change>
  Error opened_after(Change&& change) {
    write_package(path(), images_.model);
    Sections sections = read_sections(path());
    change(sections);
    write_sections(path(), sections);
    return error_of([&] { const Package package(path()); });
  }
  template <typename Change>
  Error opened_with_network(Change&& change) {
    return opened_after([&](Sections& sections) {
      Json network = Json::parse(sections.at("network"));
      change(network);
      sections["network"] = network.dump();
    });
  }
  template <typename Change>
  Error opened_with_metadata(Change&& change) {
    return opened_after([&](Sections& sections) {
      Json metadata = Json::parse(sections.at("metadata"));
      change(metadata);
      sections["metadata"] = metadata.dump();
    });
  }

  test::TemporaryDirectory folder_;
  test_support::SmallModel images_ = image_model();
};

TEST_F(Packages, GiveBackWhatWasWritten) {
  images_.model.facts = R"({"quality": 0.9, "test": ["a.idx", "b.idx"]})";
  const Bytes size = write_package(path(), images_.model);
  const Package package(path());
  EXPECT_GT(size.count, 0);
  const Model& read = package.model();
  const Model& wanted = images_.model;
  EXPECT_EQ(read.task, wanted.task);
  EXPECT_EQ(Json::parse(read.input), Json::parse(wanted.input));
  EXPECT_EQ(Json::parse(read.facts), Json::parse(wanted.facts));
  EXPECT_EQ(test_files(read), (std::vector<std::string>{"a.idx", "b.idx"}));
  EXPECT_EQ(graph::network_json(read.network), graph::network_json(wanted.network));
  ASSERT_EQ(read.network.values.size(), wanted.network.values.size());
  for (std::size_t i = 0; i < read.network.values.size(); ++i) {
    test_support::expect_same_values(read.network.values[i], wanted.network.values[i]);
  }
  EXPECT_EQ(package.tables(), nullptr);
}

std::vector<float> answers(const graph::Network& network, const embedding::FrozenEmbedding* tables,
                           const Inputs& inputs) {
  const Engine engine(network, tables);
  ThreadPool pool(2);
  std::vector<float> logits(static_cast<std::size_t>(inputs.batch * engine.outputs()));
  engine.predict(inputs, logits, pool);
  return logits;
}

TEST_F(Packages, AnswerAsTheModelThatWasWritten) {
  write_package(path(), images_.model);
  const Package package(path());
  const std::vector<float> x = images_.network->random_input(3);
  EXPECT_EQ(answers(package.model().network, nullptr, {.batch = 3, .values = x}),
            answers(images_.model.network, nullptr, {.batch = 3, .values = x}));
}

TEST_F(Packages, KeepTablesThatAreLookedUpAsBefore) {
  for (const char* method : {"full", "elastic", "hash"}) {
    SCOPED_TRACE(method);
    test_support::SmallModel clicks = click_model();
    const auto tables = test_support::small_tables(method);
    write_package(path(), clicks.model, tables.get());
    const Package package(path());
    ASSERT_NE(package.tables(), nullptr);
    const std::vector<std::uint64_t> users = {0, 3, 5};
    const std::vector<std::uint64_t> items = {9, 9, 1};
    const std::vector<embedding::JaggedIds> ids = {{.ids = users, .offsets = {}, .weights = {}},
                                                   {.ids = items, .offsets = {}, .weights = {}}};
    const std::vector<float> x = clicks.network->random_input(3);
    std::vector<float> rows(3 * 2 * 4);
    tables->lookup(ids, 3, rows);
    const std::vector<float> got =
        answers(package.model().network, package.tables(), {.batch = 3, .values = x, .ids = ids});
    for (std::size_t b = 0; b < 3; ++b) {
      const double wanted =
          test_support::PlainPass(clicks.model.network, x.data() + 3 * b, rows.data() + 8 * b)
              .run()[0];
      EXPECT_NEAR(got[b], wanted, 1e-5 * (1 + std::abs(wanted))) << b;
    }
  }
}

TEST_F(Packages, InMemoryAnswerAsTheirFilesAndAreRefusedAsThey) {
  write_package(path(), images_.model);
  const std::string text = read_file(path());
  const std::vector<char> bytes(text.begin(), text.end());  // not as aligned as a mapping
  const Package package(std::as_bytes(std::span(bytes)), "bytes");
  EXPECT_EQ(package.file().path(), "bytes");
  const Package file(path());
  EXPECT_EQ(package.file().names(), file.file().names());
  for (std::size_t i = 0; i < file.model().network.values.size(); ++i) {
    test_support::expect_same_values(package.model().network.values[i],
                                     file.model().network.values[i]);
  }
  for (const std::size_t kept : {std::size_t{0}, std::size_t{63}, bytes.size() - 1}) {
    EXPECT_THAT(
        error_of([&] { const Package cut(std::as_bytes(std::span(bytes).first(kept)), "bytes"); }),
        IsError(ErrorKind::kFormat, "bytes"))
        << kept;
  }
}

TEST_F(Packages, RefuseTablesThatDoNotFitTheNetwork) {
  test_support::SmallModel clicks = click_model();
  EXPECT_THAT(error_of([&] { write_package(path(), clicks.model); }),
              IsError(ErrorKind::kInvalidArgument, "2 tables in the network, 0 beside it"));
  clicks.model.network.tables.pop_back();
  clicks.model.network.layers[2].tables.pop_back();
  const auto tables = test_support::small_tables("full");
  EXPECT_THAT(error_of([&] { write_package(path(), clicks.model, tables.get()); }),
              IsError(ErrorKind::kInvalidArgument, "1 tables in the network, 2 beside it"));
  EXPECT_TRUE(folder_.names().empty());
}

TEST_F(Packages, RefuseANetworkThatDoesNotFitNamingTheLayer) {
  const auto layer = [](Json& network, int number) -> Json& { return network["layers"][number]; };
  const auto refused = [&](auto&& change, const char* message) {
    EXPECT_THAT(opened_with_network(change), IsError(ErrorKind::kFormat, message));
  };
  refused([&](Json& n) { layer(n, 0)["out"]["channels"] = 5; },
          "layer 1 (\"batch_norm1\") with sizes that differ");
  refused([&](Json& n) { layer(n, 0)["stride"] = 0; },
          "layer 0 (\"conv0\") with a window that does not fit");
  refused([&](Json& n) { layer(n, 0)["groups"] = 0; }, "layer 0 (\"conv0\") with groups");
  refused([&](Json& n) { layer(n, 2)["inputs"] = {4}; },
          "layer 2 (\"relu2\") with an input that is not before");
  refused([&](Json& n) { layer(n, 2)["op"] = "softmax"; }, "unknown op \"softmax\"");
  refused([&](Json& n) { layer(n, 3)["name"] = "relu2"; }, "no name of its own");
  refused([&](Json& n) { layer(n, 4)["bias"] = false; },
          "2 values of bias in layer linear4 where 0 are wanted");
  refused([&](Json& n) { layer(n, 0)["input_scale"] = 0; },
          "a wrong scale of inputs in layer conv0");
  refused([&](Json& n) { layer(n, 4)["input_scale"] = 1; },
          "a wrong scale of inputs in layer linear4");
  refused([&](Json& n) { layer(n, 0)["input_scale"] = 1e-40; },
          "a wrong scale of inputs in layer conv0");
  refused([](Json& n) { n["winners"]["rates"] = {0.3, 0.3}; }, "2 winner rates for 1 sites");
  refused([](Json& n) { n["winners"]["rates"] = {0}; }, "a winner rate of 0 in layer relu2");
  refused([](Json& n) { n["winners"]["rates"] = {1.5}; }, "a winner rate of 1.5 in layer relu2");
  refused([](Json& n) { n["winners"]["unit"] = "pixel"; }, "pixel");
  refused(
      [](Json& n) {
        n["winners"] = {
            {"unit", "block"}, {"score", "mean_square"}, {"block", 3}, {"rates", {0.5}}};
      },
      "winners in layer relu2 that it cannot have");
  refused([](Json& n) { n["input"]["height"] = -6; }, "an input of wrong size");
  refused([](Json& n) { n["layers"] = Json::array(); }, "without layers");
  refused([](Json& n) { n.erase("input"); }, "not the description of a network");
  refused([](Json& n) { n["tables"] = {{{"name", "t"}, {"rows", -1}, {"dim", 4}, {"bytes", 0}}}; },
          "a table of wrong size, t");
}

TEST_F(Packages, RefuseSizesThatNoFileCouldHold) {
  const auto error = opened_with_network([](Json& n) {
    constexpr std::int64_t kHuge = std::int64_t{1} << 34;
    n["layers"] = {n["layers"][4]};
    Json& layer = n["layers"][0];
    n["input"] = layer["in"] = {{"channels", kHuge}, {"height", 1}, {"width", 1}};
    layer["out"] = {{"channels", kHuge}, {"height", 1}, {"width", 1}};
    layer["inputs"] = {-1};
    n["winners"]["rates"] = Json::array();
  });
  EXPECT_THAT(error, IsError(ErrorKind::kFormat, "more weights than can be counted"));
  const auto wrapped = opened_with_network([](Json& n) {
    // 2^34 * 2^20 * 2^20 weights a channel: more than 64 bits count.
    Json& layer = n["layers"][0];
    n["input"] = layer["in"] = {{"channels", 1 << 14}, {"height", 1 << 10}, {"width", 1 << 10}};
    layer["kernel"] = 1 << 20;
    layer["padding"] = (1 << 20) - 1;
  });
  EXPECT_EQ(wrapped.kind(), ErrorKind::kFormat);
}

TEST_F(Packages, RefuseMetadataThatDoesNotFit) {
  const auto refused = [&](auto&& change, const char* message) {
    EXPECT_THAT(opened_with_metadata(change), IsError(ErrorKind::kFormat, message));
  };
  refused([](Json& m) { m["task"] = "poetry"; }, "an unknown task, \"poetry\"");
  refused([](Json& m) { m["task"] = "ctr"; }, "more than one logit for a row");
  refused([](Json& m) { m.erase("task"); }, "section \"metadata\" is wrong");
  refused([](Json& m) { m = Json::array(); }, "section \"metadata\" is wrong");
  refused([](Json& m) { m["facts"] = 3; }, "no JSON object");
  refused([](Json& m) { m["input"] = Json::object(); }, "no description of images");
  refused([](Json& m) { m["input"]["mean"] = {0.5}; }, "normalization that does not fit");
  refused([](Json& m) { m["input"]["deviation"] = {1, 0, 1}; }, "none for channel 1");
  refused([](Json& m) { m["input"]["class_names"] = {"a"}; }, "1 names for 2 classes");
  refused([](Json& m) { m["input"]["size"] = -1; }, "a size of images below 0");
}

TEST_F(Packages, RefuseTextThatIsNoJsonOrLiesTooDeep) {
  for (const char* section : {"metadata", "network"}) {
    EXPECT_THAT(opened_after([&](Sections& sections) { sections[section] = "{\"a\":"; }),
                IsError(ErrorKind::kFormat, path()));
    EXPECT_THAT(opened_after([&](Sections& sections) { sections[section] = ""; }),
                IsError(ErrorKind::kFormat, path()));
  }
  const auto deep = [](std::size_t levels) {
    return std::string(levels, '[') + std::string(levels, ']');
  };
  EXPECT_THAT(opened_after([&](Sections& sections) {
                sections["metadata"] =
                    R"({"task": "image", "input": {}, "facts": {"a":)" + deep(1'000'000) + "}}";
              }),
              IsError(ErrorKind::kFormat, "JSON deeper than 64 levels"));
  EXPECT_THAT(opened_after([&](Sections& sections) {
                sections["network"].replace(0, 1, "{\"unknown\":" + deep(1'000'000) + ",");
              }),
              IsError(ErrorKind::kFormat, "JSON deeper than 64 levels"));
}

TEST_F(Packages, RefuseSectionsThatAreMissingOrOfWrongSize) {
  for (const char* section : {"metadata", "network", "codes/conv0", "scales/conv0",
                              "weights/batch_norm1.variance", "weights/linear4.weight"}) {
    EXPECT_THAT(opened_after([&](Sections& sections) { sections.erase(section); }),
                IsError(ErrorKind::kFormat, path()))
        << section;
    EXPECT_THAT(opened_after([&](Sections& sections) { sections[section].resize(3); }),
                IsError(ErrorKind::kFormat, path()))
        << section;
  }
  EXPECT_THAT(opened_after([&](Sections& sections) {
                sections["weights/relu2.weight"] = std::string(4, '\0');
              }),
              IsError(ErrorKind::kFormat, "1 values of weight in layer relu2 where 0 are wanted"));
}

TEST_F(Packages, RefuseEveryFlippedAndEveryMissingByte) {
  write_package(path(), images_.model);
  const std::string good = read_file(path());
  const std::string broken = folder_.file("broken.taut");
  const auto put = [&](const std::string& bytes) {  // without waiting for the disk
    std::ofstream(broken, std::ios::binary) << bytes;
  };
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bytes = good;
    bytes[i] = static_cast<char>(bytes[i] ^ (1 << (i % 8)));
    put(bytes);
    EXPECT_THAT(error_of([&] { const Package package(broken); }),
                IsError(ErrorKind::kFormat, broken))
        << i;
  }
  for (std::size_t size = 0; size < good.size(); size += 7) {
    put(good.substr(0, size));
    EXPECT_THAT(error_of([&] { const Package package(broken); }),
                IsError(ErrorKind::kFormat, broken))
        << size;
  }
}

TEST_F(Packages, OfEarlierVersionsAreNamed) {
  const auto refused = [&](const char* kind, std::uint32_t version) {
    SectionWriter file(path(), kind, version);
    file.add("metadata", "{}");
    (void)file.commit();
    return error_of([&] { const Package package(path()); });
  };
  for (const auto& [kind, version] : {std::pair{"imgpkg", 1u}, std::pair{"package", 1u},
                                      std::pair{"package", 2u}, std::pair{"package", 3u}}) {
    const Error error = refused(kind, version);
    EXPECT_THAT(error, IsError(ErrorKind::kFormat, concat("a package of an earlier taut: kind ",
                                                          kind, ", version ", version)));
    EXPECT_THAT(error, IsError(ErrorKind::kFormat, "export the run again"));
  }
  EXPECT_THAT(refused("package", 5), IsError(ErrorKind::kFormat, "version 5"));
  EXPECT_THAT(refused("ckpt", 3), IsError(ErrorKind::kFormat, "ckpt"));
}

TEST_F(Packages, AreNotWrittenForAModelThatDoesNotFit) {
  images_.model.network.values[1].mean = {};
  EXPECT_THAT(error_of([&] { write_package(path(), images_.model); }),
              IsError(ErrorKind::kInvalidArgument, "0 values of mean in layer batch_norm1"));
  EXPECT_THAT(error_of([&] { write_onnx(folder_.file("m.onnx"), images_.model); }),
              IsError(ErrorKind::kInvalidArgument, "0 values of mean in layer batch_norm1"));
  EXPECT_TRUE(folder_.names().empty());
}

TEST_F(Packages, LeaveAnEarlierFileWhenTheyCannotBeWritten) {
  write_package(path(), images_.model);
  const std::string before = read_file(path());
  images_.model.network.values[4].bias = {};
  EXPECT_THROW(write_package(path(), images_.model), Error);
  EXPECT_EQ(read_file(path()), before);
  EXPECT_THAT(error_of([&] { write_package(folder_.file("no/such.taut"), image_model().model); }),
              IsError(ErrorKind::kNotFound, "no/such.taut"));
}

TEST_F(Packages, OfImagesAreWrittenAsOnnxThatThePlannerReads) {
  const std::string file = folder_.file("small.onnx");
  const OnnxContents contents = write_onnx(file, images_.model);
  EXPECT_EQ(contents.operator_set, 17);
  EXPECT_EQ(contents.operators.at("TopK"), 1);
  EXPECT_EQ(contents.operators.at("QuantizeLinear"), 1);
  EXPECT_EQ(contents.operators.at("DequantizeLinear"), 2);
  const graph::Graph graph = graph::read_onnx(file);
  std::int64_t multiply_adds = 0;
  for (const graph::Layer& layer : images_.model.network.layers) {
    multiply_adds += static_cast<std::int64_t>(graph::multiply_adds(layer));
  }
  EXPECT_EQ(graph.macs(), multiply_adds);
  EXPECT_EQ(graph.weights(), 4 * 3 * 9 + 8);
}

TEST_F(Packages, OfClicksAreWrittenAsOnnxWithoutTheirTables) {
  const std::string file = folder_.file("clicks.onnx");
  const test_support::SmallModel clicks = click_model();
  const OnnxContents contents = write_onnx(file, clicks.model);
  EXPECT_EQ(contents.operators.at("Gemm"), 2);
  EXPECT_EQ(contents.operators.at("TopK"), 1);
  EXPECT_EQ(contents.operators.at("MatMul"), 1);
  const graph::Graph graph = graph::read_onnx(file);
  EXPECT_EQ(graph.weights(), 3 * 4 + (3 + 3 * 4) * 1);
  EXPECT_TRUE(graph.tables().empty());
}

}  // namespace
}  // namespace taut::infer
