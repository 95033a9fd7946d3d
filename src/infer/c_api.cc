#include "taut/infer/c_api.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"
#include "taut/core/thread_pool.h"
#include "taut/graph/onnx_network.h"
#include "taut/infer/engine.h"
#include "taut/infer/package.h"

namespace taut::infer {
namespace {

using graph::OnnxBorder;
using graph::OnnxEnding;

constexpr const char* kValuesName = "values";
constexpr const char* kLogitsName = "logits";
constexpr std::string_view kSectionMagic = "TAUTFILE";

// A network that somebody opened, and all that it stands on.
struct Opened {
  std::string bytes;  // of an ONNX file in memory
  std::unique_ptr<const Package> package;
  graph::OnnxNetwork onnx;
  std::unique_ptr<const Engine> engine;
  std::optional<OnnxBorder> input;  // none: it reads tables alone
  OnnxBorder output;
  OnnxEnding ending = OnnxEnding::kNone;

  [[nodiscard]] const graph::Network& network() const {
    return package ? package->model().network : onnx.network;
  }
};

// Where channels are last: as the engine reads and writes.
OnnxBorder channels_last(const char* name, const graph::Shape& shape) {
  OnnxBorder border{.name = name, .dimensions = {1}};
  if (shape.is_map())
    border.dimensions.insert(border.dimensions.end(), {shape.height, shape.width});
  border.dimensions.push_back(shape.channels);
  border.channel_axis = border.dimensions.size() - 1;
  return border;
}

std::int64_t example_size(const OnnxBorder& border) {
  std::int64_t size = 1;
  for (std::size_t d = 1; d < border.dimensions.size(); ++d) size *= border.dimensions[d];
  return size;
}

// What lies behind the channels; 1: they are last.
std::int64_t behind_channels(const OnnxBorder& border) {
  std::int64_t size = 1;
  for (std::size_t d = border.channel_axis + 1; d < border.dimensions.size(); ++d) {
    size *= border.dimensions[d];
  }
  return size;
}

// to [planes, columns, rows] = from [planes, rows, columns].
void turn(const float* from, std::int64_t planes, std::int64_t rows, std::int64_t columns,
          float* to) {
  for (std::int64_t plane = 0; plane < planes; ++plane, from += rows * columns) {
    for (std::int64_t column = 0; column < columns; ++column) {
      for (std::int64_t row = 0; row < rows; ++row) *to++ = from[row * columns + column];
    }
  }
}

// Logits [batch, classes] become what the model's last operator makes of them, in place.
void finish_model(OnnxEnding ending, std::int64_t classes, std::span<float> values) {
  if (ending == OnnxEnding::kNone) return;
  if (ending == OnnxEnding::kSigmoid || ending == OnnxEnding::kSoftmax) {
    return to_probabilities(classes, values);
  }
  for (std::size_t at = 0; at < values.size(); at += static_cast<std::size_t>(classes)) {
    const std::span<float> row = values.subspan(at, static_cast<std::size_t>(classes));
    const double most = *std::max_element(row.begin(), row.end());
    double sum = 0;
    for (const float value : row) sum += std::exp(value - most);
    for (float& value : row) value = static_cast<float>(value - most - std::log(sum));
  }
}

taut_status status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalidArgument:
      return TAUT_INVALID_ARGUMENT;
    case ErrorKind::kConfig:
      return TAUT_CONFIG;
    case ErrorKind::kData:
      return TAUT_DATA;
    case ErrorKind::kNotFound:
      return TAUT_NOT_FOUND;
    case ErrorKind::kFormat:
      return TAUT_FORMAT;
    case ErrorKind::kBudget:
      return TAUT_BUDGET;
    case ErrorKind::kUnsupported:
      return TAUT_UNSUPPORTED;
    case ErrorKind::kIo:
      return TAUT_IO;
    case ErrorKind::kInternal:
      return TAUT_INTERNAL;
  }
  return TAUT_INTERNAL;
}

// The thread's last message. A message that there is no memory for is a fixed one.
thread_local std::string last_message;
thread_local const char* last_error = "";

taut_status failed(taut_status status, const char* message) noexcept {
  try {
    last_message = message;
    last_error = last_message.c_str();
  } catch (...) {
    last_error = "out of memory";
  }
  return status;
}

// Runs what may throw, for callers who cannot catch.
template <typename Body>
taut_status guarded(Body&& body) noexcept {
  try {
    body();
    return TAUT_OK;
  } catch (const Error& error) {
    return failed(status_of(error.kind()), error.what());
  } catch (const std::bad_alloc&) {
    return failed(TAUT_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    return failed(TAUT_INTERNAL, error.what());
  } catch (...) {
    return failed(TAUT_INTERNAL, "an exception of unknown type");
  }
}

template <typename T>
void require(const T* pointer, const char* argument) {
  if (pointer == nullptr) throw_invalid_argument(argument, "an address", "null");
}

graph::DimensionSizes sizes_of(const taut_dimension* dimensions, std::size_t count) {
  graph::DimensionSizes sizes;
  if (count > 0) require(dimensions, "dimensions");
  for (std::size_t i = 0; i < count; ++i) {
    require(dimensions[i].name, "name of a dimension");
    const std::string name = dimensions[i].name;
    if (dimensions[i].size < 1) {
      throw_invalid_argument(concat("dimension ", name), "1 or more", concat(dimensions[i].size));
    }
    if (!sizes.emplace(name, dimensions[i].size).second) {
      throw Error(ErrorKind::kConfig, concat("dimension ", name, " is given twice"));
    }
  }
  return sizes;
}

void take_onnx(Opened& opened, graph::OnnxNetwork read) {
  opened.onnx = std::move(read);
  opened.input = opened.onnx.input;
  opened.output = opened.onnx.output;
  opened.ending = opened.onnx.ending;
  opened.engine = std::make_unique<Engine>(opened.onnx.network);
}

constexpr const char* kInMemory = "model in memory";

void refuse_sizes(const graph::DimensionSizes& sizes, const std::string& path) {
  if (sizes.empty()) return;
  throw Error(ErrorKind::kConfig, "a package leaves no dimension open", path);
}

void take_package(Opened& opened, std::unique_ptr<const Package> package) {
  opened.package = std::move(package);
  const graph::Network& network = opened.network();
  if (network.input.size() > 0) opened.input = channels_last(kValuesName, network.input);
  opened.output = channels_last(kLogitsName, network.layers.back().out);
  opened.engine = std::make_unique<Engine>(network, opened.package->tables());
}

bool is_package(std::string_view bytes) {
  return bytes.starts_with(kSectionMagic);
}

void open_file(Opened& opened, const std::string& path, const graph::DimensionSizes& sizes) {
  const MappedFile file(path);
  const auto* first = reinterpret_cast<const char*>(file.bytes().data());
  if (!is_package({first, file.bytes().size()})) {
    return take_onnx(opened, graph::read_onnx_network(path, sizes));
  }
  refuse_sizes(sizes, path);
  take_package(opened, std::make_unique<Package>(path));
}

void open_bytes(Opened& opened, std::string_view bytes, const graph::DimensionSizes& sizes) {
  if (is_package(bytes)) {
    refuse_sizes(sizes, kInMemory);
    return take_package(opened,
                        std::make_unique<Package>(std::as_bytes(std::span(bytes)), kInMemory));
  }
  opened.bytes = bytes;
  take_onnx(opened, graph::parse_onnx_network(opened.bytes, kInMemory, sizes));
}

void describe(const OnnxBorder& border, taut_tensor& tensor) {
  TAUT_ASSERT(border.dimensions.size() <= TAUT_MOST_DIMENSIONS);
  tensor = {.name = border.name.c_str(),
            .kind = TAUT_VALUES,
            .rank = static_cast<int>(border.dimensions.size()),
            .dimensions = {}};
  std::copy(border.dimensions.begin(), border.dimensions.end(), tensor.dimensions);
  tensor.dimensions[0] = -1;
}

[[noreturn]] void refuse_name(const char* what, const char* name) {
  throw Error(ErrorKind::kNotFound, concat("the model has no ", what, " ", name), {},
              "taut_model_input and taut_model_output tell their names");
}

void require_index(std::size_t index, std::size_t count) {
  if (index >= count) throw_invalid_argument("index", concat("below ", count), concat(index));
}

}  // namespace
}  // namespace taut::infer

struct taut_model {
  std::shared_ptr<const taut::infer::Opened> opened;
};

struct taut_session {
  taut_session(std::shared_ptr<const taut::infer::Opened> model, int threads)
      : opened(std::move(model)), pool(threads) {
    const std::size_t tables = opened->network().tables.size();
    ids.resize(tables);
    ids_set.assign(tables, false);
    offsets.resize(tables);
  }

  std::shared_ptr<const taut::infer::Opened> opened;
  taut::ThreadPool pool;
  std::optional<std::span<const float>> values;
  std::vector<taut::embedding::JaggedIds> ids;  // by table; of those that are set
  std::vector<bool> ids_set;
  std::vector<const std::int64_t*> offsets;  // by table, or null
  std::vector<float> turned;                 // values with channels last
  std::vector<float> logits;
  std::vector<float> results;
};

namespace taut::infer {
namespace {

std::size_t table_named(const taut_session& session, const char* name) {
  const std::vector<graph::Table>& tables = session.opened->network().tables;
  for (std::size_t t = 0; t < tables.size(); ++t) {
    if (tables[t].name == name) return t;
  }
  refuse_name("table", name);
}

// The session's values as the engine reads them.
std::span<const float> engine_values(taut_session& session, std::int64_t batch) {
  const std::optional<OnnxBorder>& input = session.opened->input;
  if (!input) return {};
  if (!session.values) throw_invalid_argument(concat("input ", input->name), "set", "nothing");
  const std::span<const float> values = *session.values;
  const std::int64_t size = example_size(*input);
  if (batch > static_cast<std::int64_t>(values.size()) ||
      values.size() != static_cast<std::size_t>(batch * size)) {
    throw_invalid_argument(concat("size of ", input->name), concat(batch, " times ", size),
                           concat(values.size()));
  }
  const std::int64_t behind = behind_channels(*input);
  if (behind == 1) return values;
  const std::int64_t channels = input->dimensions[input->channel_axis];
  session.turned.resize(values.size());
  turn(values.data(), batch * (size / channels / behind), channels, behind, session.turned.data());
  return session.turned;
}

void run_session(taut_session& session, std::int64_t batch) {
  if (batch < 0) throw_invalid_argument("batch", "0 or more", concat(batch));
  const Opened& opened = *session.opened;
  const std::span<const float> values = engine_values(session, batch);
  for (std::size_t t = 0; t < session.ids.size(); ++t) {
    const std::string& name = opened.network().tables[t].name;
    if (!session.ids_set[t]) throw_invalid_argument(concat("input ", name), "set", "nothing");
    JaggedIds& ids = session.ids[t];
    const std::int64_t* offsets = session.offsets[t];
    if (offsets != nullptr) ids.offsets = {offsets, static_cast<std::size_t>(batch) + 1};
    check_jagged(ids, batch, name);
  }
  const std::int64_t outputs = opened.engine->outputs();
  session.logits.resize(static_cast<std::size_t>(batch * outputs));
  opened.engine->predict({.batch = batch, .values = values, .ids = session.ids}, session.logits,
                         session.pool);
  finish_model(opened.ending, outputs, session.logits);
  const std::int64_t behind = behind_channels(opened.output);
  if (behind == 1) return session.results.swap(session.logits);
  const std::int64_t channels = opened.output.dimensions[opened.output.channel_axis];
  session.results.resize(session.logits.size());
  turn(session.logits.data(), batch * (outputs / channels / behind), behind, channels,
       session.results.data());
}

template <typename Open>
taut_status open_model(const taut_dimension* dimensions, std::size_t count, taut_model** model,
                       Open&& open) noexcept {
  return guarded([&] {
    require(model, "model");
    const graph::DimensionSizes sizes = sizes_of(dimensions, count);
    auto opened = std::make_shared<Opened>();
    open(*opened, sizes);
    *model = std::make_unique<taut_model>(taut_model{std::move(opened)}).release();
  });
}

}  // namespace
}  // namespace taut::infer

using namespace taut::infer;  // NOLINT(google-build-using-namespace): what follows is C

int taut_c_api_version(void) {
  return TAUT_C_API_VERSION;
}

const char* taut_last_error(void) {
  return last_error;
}

taut_status taut_model_open(const char* path, const taut_dimension* dimensions, size_t count,
                            taut_model** model) {
  return open_model(dimensions, count, model,
                    [&](Opened& opened, const taut::graph::DimensionSizes& sizes) {
                      require(path, "path");
                      open_file(opened, path, sizes);
                    });
}

taut_status taut_model_open_bytes(const void* bytes, size_t size, const taut_dimension* dimensions,
                                  size_t count, taut_model** model) {
  return open_model(dimensions, count, model,
                    [&](Opened& opened, const taut::graph::DimensionSizes& sizes) {
                      if (size > 0) require(bytes, "bytes");
                      open_bytes(opened, {static_cast<const char*>(bytes), size}, sizes);
                    });
}

void taut_model_close(taut_model* model) {
  delete model;
}

size_t taut_model_input_count(const taut_model* model) {
  if (model == nullptr) return 0;
  return (model->opened->input ? 1 : 0) + model->opened->network().tables.size();
}

size_t taut_model_output_count(const taut_model* model) {
  return model == nullptr ? 0 : 1;
}

taut_status taut_model_input(const taut_model* model, size_t index, taut_tensor* tensor) {
  return guarded([&] {
    require(model, "model");
    require(tensor, "tensor");
    require_index(index, taut_model_input_count(model));
    const Opened& opened = *model->opened;
    if (opened.input && index == 0) return describe(*opened.input, *tensor);
    const std::size_t table = index - (opened.input ? 1 : 0);
    *tensor = {.name = opened.network().tables[table].name.c_str(),
               .kind = TAUT_IDS,
               .rank = 1,
               .dimensions = {-1}};
  });
}

taut_status taut_model_output(const taut_model* model, size_t index, taut_tensor* tensor) {
  return guarded([&] {
    require(model, "model");
    require(tensor, "tensor");
    require_index(index, 1);
    describe(model->opened->output, *tensor);
  });
}

taut_status taut_session_open(const taut_model* model, int threads, taut_session** session) {
  return guarded([&] {
    require(model, "model");
    require(session, "session");
    *session = std::make_unique<taut_session>(model->opened, threads).release();
  });
}

void taut_session_close(taut_session* session) {
  delete session;
}

taut_status taut_session_set_values(taut_session* session, const char* name, const float* values,
                                    size_t count) {
  return guarded([&] {
    require(session, "session");
    require(name, "name");
    if (count > 0) require(values, "values");
    const auto& input = session->opened->input;
    if (!input || input->name != name) refuse_name("input of values", name);
    session->values = std::span(values, count);
  });
}

taut_status taut_session_set_ids(taut_session* session, const char* name, const uint64_t* ids,
                                 size_t count, const int64_t* offsets) {
  return guarded([&] {
    require(session, "session");
    require(name, "name");
    if (count > 0) require(ids, "ids");
    const std::size_t table = table_named(*session, name);
    session->ids[table] = {.ids = {ids, count}, .offsets = {}, .weights = {}};
    session->offsets[table] = offsets;
    session->ids_set[table] = true;
  });
}

taut_status taut_session_run(taut_session* session, int64_t batch) {
  return guarded([&] {
    require(session, "session");
    run_session(*session, batch);
  });
}

taut_status taut_session_get(const taut_session* session, const char* name, float* values,
                             size_t count) {
  return guarded([&] {
    require(session, "session");
    require(name, "name");
    if (count > 0) require(values, "values");
    if (session->opened->output.name != name) refuse_name("output", name);
    const std::vector<float>& results = session->results;
    if (count != results.size()) {
      taut::throw_invalid_argument("count", std::to_string(results.size()), std::to_string(count));
    }
    std::copy(results.begin(), results.end(), values);
  });
}
