#include "taut/infer/c_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "infer/c_api_calls.h"
#include "infer/onnx_cases.h"
#include "infer/small_packages.h"
#include "support/temporary_directory.h"
#include "taut/core/file.h"
#include "taut/infer/engine.h"
#include "taut/infer/package.h"

namespace taut::infer {
namespace {

using graph::OnnxBuilder;
using test_support::click_model;
using test_support::expect_near;
using test_support::image_model;
using test_support::image_of;
using test_support::plain_convolution;
using test_support::small_tables;
using test_support::some_numbers;
using testing::HasSubstr;

struct CloseModel {
  void operator()(taut_model* model) const { taut_model_close(model); }
};
struct CloseSession {
  void operator()(taut_session* session) const { taut_session_close(session); }
};
using ModelHandle = std::unique_ptr<taut_model, CloseModel>;
using SessionHandle = std::unique_ptr<taut_session, CloseSession>;

ModelHandle opened(const std::string& path) {
  taut_model* model = nullptr;
  EXPECT_EQ(taut_model_open(path.c_str(), nullptr, 0, &model), TAUT_OK) << taut_last_error();
  return ModelHandle(model);
}

ModelHandle opened_bytes(const std::string& bytes) {
  taut_model* model = nullptr;
  EXPECT_EQ(taut_model_open_bytes(bytes.data(), bytes.size(), nullptr, 0, &model), TAUT_OK)
      << taut_last_error();
  return ModelHandle(model);
}

SessionHandle session_of(const ModelHandle& model, int threads = 1) {
  taut_session* session = nullptr;
  EXPECT_EQ(taut_session_open(model.get(), threads, &session), TAUT_OK) << taut_last_error();
  return SessionHandle(session);
}

std::vector<std::int64_t> dimensions_of(const taut_tensor& tensor) {
  return {tensor.dimensions, tensor.dimensions + tensor.rank};
}

std::vector<float> run(taut_session* session, std::int64_t batch, const char* output,
                       std::size_t count) {
  EXPECT_EQ(taut_session_run(session, batch), TAUT_OK) << taut_last_error();
  std::vector<float> values(count);
  EXPECT_EQ(taut_session_get(session, output, values.data(), count), TAUT_OK) << taut_last_error();
  return values;
}

// x [1, 2, 3, 4] to y [1, 3, 2, 3].
OnnxBuilder convolution() {
  OnnxBuilder made;
  made.input("x", {1, 2, 3, 4});
  made.values("w", {3, 2, 2, 2}, some_numbers(24, 1));
  made.node("Conv", {"x", "w"}, "y");
  made.output("y");
  return made;
}

std::vector<double> convolved(const std::vector<float>& x) {
  return plain_convolution(image_of(x, 2, 3, 4), {.kernel = {2, 2}}, 3, some_numbers(24, 1), {})
      .values;
}

TEST(CApi, RunsAnOnnxFileFromC) {
  const test::TemporaryDirectory folder;
  const std::string path = folder.file("m.onnx");
  write_file(path, convolution().bytes());
  const std::vector<float> x = some_numbers(24, 2);
  std::vector<float> y(18);
  ASSERT_EQ(taut_c_calls(path.c_str(), x.data(), x.size(), y.data(), y.size()), 0)
      << "a line of c_api_calls.c; " << taut_last_error();
  expect_near(y, convolved(x));
}

TEST(CApi, TensorsLieAsTheOnnxFileHasThem) {
  const ModelHandle model = opened_bytes(convolution().bytes());
  taut_tensor tensor;
  ASSERT_EQ(taut_model_input(model.get(), 0, &tensor), TAUT_OK);
  EXPECT_STREQ(tensor.name, "x");
  EXPECT_EQ(dimensions_of(tensor), (std::vector<std::int64_t>{-1, 2, 3, 4}));
  ASSERT_EQ(taut_model_output(model.get(), 0, &tensor), TAUT_OK);
  EXPECT_STREQ(tensor.name, "y");
  EXPECT_EQ(dimensions_of(tensor), (std::vector<std::int64_t>{-1, 3, 2, 3}));
  // Two examples are two runs of one.
  const SessionHandle session = session_of(model);
  const std::vector<float> x = some_numbers(48, 3);
  ASSERT_EQ(taut_session_set_values(session.get(), "x", x.data(), x.size()), TAUT_OK);
  const std::vector<float> y = run(session.get(), 2, "y", 36);
  expect_near({y.begin(), y.begin() + 18}, convolved({x.begin(), x.begin() + 24}));
  expect_near({y.begin() + 18, y.end()}, convolved({x.begin() + 24, x.end()}));
  ASSERT_EQ(taut_session_set_values(session.get(), "x", nullptr, 0), TAUT_OK);
  EXPECT_TRUE(run(session.get(), 0, "y", 0).empty());
}

TEST(CApi, DoesTheLastSoftmaxOfAnOnnxFile) {
  for (const std::string op : {"Softmax", "LogSoftmax", "Sigmoid"}) {
    const std::int64_t classes = op == "Sigmoid" ? 1 : 3;
    OnnxBuilder made;
    made.input("x", {1, 2});
    made.values("w", {2, classes}, some_numbers(2 * classes, 4));
    made.node("MatMul", {"x", "w"}, "logits");
    made.node(op, {"logits"}, "y");
    made.output("y");
    const ModelHandle model = opened_bytes(made.bytes());
    const SessionHandle session = session_of(model);
    const std::vector<float> x = {1, 2};
    ASSERT_EQ(taut_session_set_values(session.get(), "x", x.data(), 2), TAUT_OK);
    const std::vector<float> w = some_numbers(2 * classes, 4);
    std::vector<double> wanted;
    double sum = 0;
    for (std::int64_t c = 0; c < classes; ++c) {
      const auto at = static_cast<std::size_t>(c);
      wanted.push_back(w[at] + 2.0 * w[at + static_cast<std::size_t>(classes)]);
      sum += std::exp(wanted.back());
    }
    for (double& value : wanted) {
      value = op == "Softmax"      ? std::exp(value) / sum
              : op == "LogSoftmax" ? value - std::log(sum)
                                   : 1 / (1 + std::exp(-value));
    }
    expect_near(run(session.get(), 1, "y", wanted.size()), wanted);
  }
}

TEST(CApi, SizesDimensionsThatAFileLeavesOpen) {
  OnnxBuilder made;
  made.input("x", {0, 2, 0, 4});
  made.node("Relu", {"x"}, "y");
  made.output("y");
  const std::string bytes = made.bytes();
  taut_model* model = nullptr;
  EXPECT_EQ(taut_model_open_bytes(bytes.data(), bytes.size(), nullptr, 0, &model), TAUT_DATA);
  const taut_dimension sizes[] = {{"x.2", 3}, {"x.2", 4}};
  EXPECT_EQ(taut_model_open_bytes(bytes.data(), bytes.size(), sizes, 2, &model), TAUT_CONFIG);
  ASSERT_EQ(taut_model_open_bytes(bytes.data(), bytes.size(), sizes, 1, &model), TAUT_OK)
      << taut_last_error();
  const ModelHandle held(model);
  taut_tensor tensor;
  ASSERT_EQ(taut_model_input(model, 0, &tensor), TAUT_OK);
  EXPECT_EQ(dimensions_of(tensor), (std::vector<std::int64_t>{-1, 2, 3, 4}));
}

// image_model()'s answers for two examples are the engine's.
void expect_answers_of(const Model& images, const ModelHandle& model) {
  const std::vector<float> x = some_numbers(180, 5);
  const SessionHandle session = session_of(model, 2);
  ASSERT_EQ(taut_session_set_values(session.get(), "values", x.data(), x.size()), TAUT_OK);
  std::vector<float> wanted(4);
  ThreadPool pool(1);
  Engine(images.network).predict({.batch = 2, .values = x}, wanted, pool);
  EXPECT_EQ(run(session.get(), 2, "logits", 4), wanted);
}

TEST(CApi, RunsPackagesOfImages) {
  const test::TemporaryDirectory folder;
  const test_support::SmallModel images = image_model();
  write_package(folder.file("m.taut"), images.model);
  const ModelHandle model = opened(folder.file("m.taut"));
  taut_tensor tensor;
  ASSERT_EQ(taut_model_input(model.get(), 0, &tensor), TAUT_OK);
  EXPECT_STREQ(tensor.name, "values");
  EXPECT_EQ(dimensions_of(tensor), (std::vector<std::int64_t>{-1, 6, 5, 3}));
  expect_answers_of(images.model, model);
}

TEST(CApi, OpensPackagesInMemoryWhichMayGoAtOnce) {
  const test::TemporaryDirectory folder;
  const test_support::SmallModel images = image_model();
  write_package(folder.file("m.taut"), images.model);
  std::string bytes = read_file(folder.file("m.taut"));
  const taut_dimension size = {"side", 4};
  taut_model* none = nullptr;
  EXPECT_EQ(taut_model_open_bytes(bytes.data(), bytes.size(), &size, 1, &none), TAUT_CONFIG);
  taut_model* model = nullptr;
  ASSERT_EQ(taut_model_open_bytes(bytes.data(), bytes.size(), nullptr, 0, &model), TAUT_OK)
      << taut_last_error();
  const ModelHandle held(model);
  std::fill(bytes.begin(), bytes.end(), '\0');
  expect_answers_of(images.model, held);
}

TEST(CApi, RunsPackagesWithTables) {
  const test::TemporaryDirectory folder;
  const test_support::SmallModel clicks = click_model();
  const auto tables = small_tables("full");
  write_package(folder.file("m.taut"), clicks.model, tables.get());
  const ModelHandle model = opened(folder.file("m.taut"));
  ASSERT_EQ(taut_model_input_count(model.get()), 3u);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < 3; ++i) {
    taut_tensor tensor;
    ASSERT_EQ(taut_model_input(model.get(), i, &tensor), TAUT_OK);
    EXPECT_EQ(tensor.kind, i == 0 ? TAUT_VALUES : TAUT_IDS);
    names.emplace_back(tensor.name);
  }
  const std::vector<float> x = some_numbers(6, 6);
  const std::vector<std::uint64_t> single = {3, 7};
  const std::vector<std::uint64_t> several = {1, 2, 3};
  const std::vector<std::int64_t> offsets = {0, 0, 3};
  const SessionHandle session = session_of(model);
  ASSERT_EQ(taut_session_set_values(session.get(), names[0].c_str(), x.data(), 6), TAUT_OK);
  ASSERT_EQ(taut_session_set_ids(session.get(), names[1].c_str(), single.data(), 2, nullptr),
            TAUT_OK);
  EXPECT_EQ(taut_session_run(session.get(), 2), TAUT_INVALID_ARGUMENT);  // the other is not set
  EXPECT_THAT(taut_last_error(), HasSubstr(names[2]));
  ASSERT_EQ(
      taut_session_set_ids(session.get(), names[2].c_str(), several.data(), 3, offsets.data()),
      TAUT_OK);
  const Package package(folder.file("m.taut"));
  const std::vector<embedding::JaggedIds> ids = {
      {.ids = single, .offsets = {}, .weights = {}},
      {.ids = several, .offsets = offsets, .weights = {}}};
  std::vector<float> wanted(2);
  ThreadPool pool(1);
  Engine(package.model().network, package.tables())
      .predict({.batch = 2, .values = x, .ids = ids}, wanted, pool);
  EXPECT_EQ(run(session.get(), 2, "logits", 2), wanted);
}

TEST(CApi, SessionsOfOneModelRunSideBySide) {
  const ModelHandle model = opened_bytes(convolution().bytes());
  const std::vector<float> x = some_numbers(24, 7);
  std::vector<std::vector<float>> results(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < results.size(); ++t) {
    threads.emplace_back([&, t] {
      const SessionHandle session = session_of(model, 1 + static_cast<int>(t % 2));
      for (int i = 0; i < 20; ++i) {
        taut_session_set_values(session.get(), "x", x.data(), x.size());
        results[t] = run(session.get(), 1, "y", 18);
        EXPECT_EQ(taut_session_run(session.get(), -1 - static_cast<int>(t)), TAUT_INVALID_ARGUMENT);
        EXPECT_THAT(taut_last_error(), HasSubstr(std::to_string(-1 - static_cast<int>(t))));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<float>& result : results) EXPECT_EQ(result, results[0]);
}

TEST(CApi, SaysWhatIsWrongAndLeavesTheRest) {
  const ModelHandle model = opened_bytes(convolution().bytes());
  const SessionHandle session = session_of(model);
  taut_model* none = nullptr;
  taut_tensor tensor;
  float values[24] = {};
  const auto expect = [](taut_status got, taut_status wanted, const char* text) {
    EXPECT_EQ(got, wanted);
    EXPECT_THAT(taut_last_error(), HasSubstr(text));
  };
  expect(taut_model_open(nullptr, nullptr, 0, &none), TAUT_INVALID_ARGUMENT, "path must be");
  expect(taut_model_open("x", nullptr, 0, nullptr), TAUT_INVALID_ARGUMENT, "model must be");
  expect(taut_model_open("x", nullptr, 1, &none), TAUT_INVALID_ARGUMENT, "dimensions must be");
  expect(taut_model_open_bytes("junk", 4, nullptr, 0, &none), TAUT_FORMAT, "model in memory");
  expect(taut_model_open_bytes("TAUTFILE", 8, nullptr, 0, &none), TAUT_FORMAT, "model in memory");
  expect(taut_model_input(model.get(), 1, &tensor), TAUT_INVALID_ARGUMENT, "index must be below 1");
  expect(taut_model_output(nullptr, 0, &tensor), TAUT_INVALID_ARGUMENT, "model must be");
  taut_session* open = nullptr;
  expect(taut_session_open(model.get(), 5000, &open), TAUT_INVALID_ARGUMENT, "threads must be");
  expect(taut_session_run(session.get(), 1), TAUT_INVALID_ARGUMENT, "input x must be set");
  expect(taut_session_set_values(session.get(), "z", values, 24), TAUT_NOT_FOUND, "z");
  ASSERT_EQ(taut_session_set_values(session.get(), "x", values, 23), TAUT_OK);
  expect(taut_session_run(session.get(), 1), TAUT_INVALID_ARGUMENT, "size of x must be 1 times 24");
  ASSERT_EQ(taut_session_set_values(session.get(), "x", values, 24), TAUT_OK);
  expect(taut_session_run(session.get(), std::int64_t{1} << 62), TAUT_INVALID_ARGUMENT, "size of");
  ASSERT_EQ(taut_session_run(session.get(), 1), TAUT_OK);
  expect(taut_session_run(session.get(), 2), TAUT_INVALID_ARGUMENT, "size of x");
  expect(taut_session_get(session.get(), "y", values, 17), TAUT_INVALID_ARGUMENT,
         "count must be 18");
  expect(taut_session_get(session.get(), "x", values, 18), TAUT_NOT_FOUND, "no output x");
  EXPECT_EQ(taut_session_get(session.get(), "y", values, 18), TAUT_OK);  // of the run that was
  EXPECT_EQ(none, nullptr);
  EXPECT_EQ(open, nullptr);
  EXPECT_EQ(taut_model_input_count(nullptr), 0u);
  taut_model_close(nullptr);
  taut_session_close(nullptr);
}

}  // namespace
}  // namespace taut::infer
