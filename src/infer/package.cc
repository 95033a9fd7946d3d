#include "taut/infer/package.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "infer/kernels.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/embedding/interaction.h"
#include "taut/sparsity/winners.h"

namespace taut::infer {
namespace {

using Json = nlohmann::json;

// Examples that a thread scores at a time.
constexpr std::int64_t kPiece = 256;

void write_layers(SectionWriter& file, const std::string& name,
                  std::span<const LinearLayer> layers) {
  for (std::size_t i = 0; i < layers.size(); ++i) {
    file.add_array(concat("dense/", name, ".", i, ".weight"), layers[i].weight);
    file.add_array(concat("dense/", name, ".", i, ".bias"), layers[i].bias);
  }
}

Json widths_of(std::int64_t inputs, std::span<const LinearLayer> layers) {
  Json widths = Json::array({inputs});
  for (const LinearLayer& layer : layers) widths.push_back(layer.outputs);
  return widths;
}

std::vector<LinearLayer> read_layers(const SectionReader& file, const std::string& name,
                                     const std::vector<std::int64_t>& widths) {
  std::vector<LinearLayer> layers;
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    LinearLayer layer{.inputs = widths[i],
                      .outputs = widths[i + 1],
                      .weight = file.array<float>(concat("dense/", name, ".", i, ".weight")),
                      .bias = file.array<float>(concat("dense/", name, ".", i, ".bias"))};
    if (layer.inputs < 0 || layer.outputs < 1 ||
        layer.weight.size() != static_cast<std::size_t>(layer.inputs * layer.outputs) ||
        layer.bias.size() != static_cast<std::size_t>(layer.outputs)) {
      throw Error(ErrorKind::kFormat, concat("layer ", name, ".", i, " has sizes that do not fit"),
                  file.path());
    }
    layers.push_back(layer);
  }
  return layers;
}

RecommenderSpec read_recommender(const SectionReader& file) {
  RecommenderSpec spec;
  try {
    const Json model = Json::parse(file.text("model"));
    spec.kind = model.at("kind").get<std::string>();
    spec.interaction = model.at("interaction").get<std::string>();
    spec.dense = model.at("dense").get<std::int64_t>();
    spec.tables = model.at("tables").get<std::int64_t>();
    spec.dim = model.at("dim").get<std::int64_t>();
    spec.winner_rate = model.at("winner_rate").get<double>();
    spec.bottom = read_layers(file, "bottom", model.at("bottom").get<std::vector<std::int64_t>>());
    spec.top = read_layers(file, "top", model.at("top").get<std::vector<std::int64_t>>());
  } catch (const Json::exception& failed) {
    throw Error(ErrorKind::kFormat, concat("section \"model\" is wrong: ", failed.what()),
                file.path());
  }
  if (file.has("dense/wide.weight")) spec.wide = file.array<float>("dense/wide.weight");
  return spec;
}

std::int64_t top_inputs(const RecommenderSpec& spec) {
  if (spec.kind == "wide_deep") return spec.dense + spec.tables * spec.dim;
  const std::int64_t vectors = spec.tables + (spec.dense > 0 ? 1 : 0);
  const bool all = spec.interaction == "dots_vectors" || spec.dense == 0;
  return vectors * (vectors - 1) / 2 + (all ? vectors : 1) * spec.dim;
}

void check_spec(const RecommenderSpec& spec, const std::string& path) {
  const bool known = spec.kind == "dlrm" || spec.kind == "wide_deep";
  const bool bottom_fits = spec.bottom.empty() ? spec.kind == "wide_deep" || spec.dense == 0
                                               : spec.bottom.front().inputs == spec.dense &&
                                                     spec.bottom.back().outputs == spec.dim;
  if (!known || spec.top.empty() || spec.top.back().outputs != 1 || !bottom_fits ||
      spec.top.front().inputs != top_inputs(spec) || !(spec.winner_rate > 0) ||
      spec.winner_rate > 1 ||
      (!spec.wide.empty() && spec.wide.size() != static_cast<std::size_t>(spec.dense))) {
    throw Error(ErrorKind::kFormat, "section \"model\" does not describe a recommender", path,
                "export the package again");
  }
}

// Room for one piece, all layers.
struct Scratch {
  explicit Scratch(const RecommenderSpec& spec) {
    std::int64_t widest = top_inputs(spec);
    for (const auto* layers : {&spec.bottom, &spec.top}) {
      for (const LinearLayer& layer : *layers) widest = std::max(widest, layer.outputs);
    }
    for (auto* buffer : {&a, &b, &inputs})
      buffer->resize(static_cast<std::size_t>(kPiece * widest));
    vectors.resize(static_cast<std::size_t>(kPiece * (spec.tables + 1) * spec.dim));
  }
  std::vector<float> a;
  std::vector<float> b;
  std::vector<float> inputs;
  std::vector<float> vectors;
};

// Leaves the winners of each row of x [rows, features] and zeroes the others.
void keep_winners(float* x, std::int64_t rows, std::int64_t features, double rate) {
  if (rate == 1.0) return;
  const sparsity::WinnerSelector selector({.batch = rows, .channels = features},
                                          sparsity::Layout::kChannelsFirst,
                                          {.unit = sparsity::Unit::kNeuron, .rate = rate});
  selector.forward(x, x, 0, selector.items());
}

// The output of a stack of layers; lies in scratch.a or scratch.b.
const float* run_layers(std::span<const LinearLayer> layers, const float* x, std::int64_t rows,
                        double winner_rate, bool relu_last, Scratch& scratch) {
  float* next = scratch.a.data();
  float* other = scratch.b.data();
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const bool relu = relu_last || i + 1 < layers.size();
    linear(layers[i], x, rows, relu, next);
    if (relu) keep_winners(next, rows, layers[i].outputs, winner_rate);
    x = next;
    std::swap(next, other);
  }
  return x;
}

// from may be null where there is nothing to copy.
void copy_floats(const float* from, std::int64_t count, float* to) {
  std::copy_n(from, count, to);
}

// Fills scratch.inputs with what the top of a DLRM reads.
void fill_dlrm_inputs(const RecommenderSpec& spec, const float* dense, const float* embedded,
                      std::int64_t rows, Scratch& scratch) {
  const std::int64_t first = spec.dense > 0 ? 1 : 0;
  const std::int64_t vectors = spec.tables + first;
  const float* from_dense = first == 1 ? run_layers(spec.bottom, dense, rows, spec.winner_rate,
                                                    /*relu_last=*/true, scratch)
                                       : nullptr;
  for (std::int64_t row = 0; row < rows; ++row) {
    float* to = scratch.vectors.data() + row * vectors * spec.dim;
    if (first == 1) copy_floats(from_dense + row * spec.dim, spec.dim, to);
    copy_floats(embedded + row * spec.tables * spec.dim, spec.tables * spec.dim,
                to + first * spec.dim);
  }
  const std::int64_t copied = spec.interaction == "dots_vectors" || spec.dense == 0 ? vectors : 1;
  embedding::interact({.vectors = vectors, .dim = spec.dim, .copied = copied}, rows,
                      scratch.vectors.data(), scratch.inputs.data());
}

void fill_wide_deep_inputs(const RecommenderSpec& spec, const float* dense, const float* embedded,
                           std::int64_t rows, Scratch& scratch) {
  const std::int64_t stride = top_inputs(spec);
  for (std::int64_t row = 0; row < rows; ++row) {
    float* to = scratch.inputs.data() + row * stride;
    copy_floats(dense + row * spec.dense, spec.dense, to);
    copy_floats(embedded + row * spec.tables * spec.dim, spec.tables * spec.dim, to + spec.dense);
  }
}

float wide_logit(const RecommenderSpec& spec, const float* dense, const float* embedded) {
  float sum = 0;
  for (std::int64_t t = 0; t < spec.tables; ++t) sum += embedded[t * spec.dim];
  for (std::size_t i = 0; i < spec.wide.size(); ++i) sum += spec.wide[i] * dense[i];
  return sum;
}

void score_piece(const RecommenderSpec& spec, const float* dense, const float* embedded,
                 std::int64_t rows, float* probabilities, Scratch& scratch) {
  const bool wide = spec.kind == "wide_deep";
  if (wide) {
    fill_wide_deep_inputs(spec, dense, embedded, rows, scratch);
  } else {
    fill_dlrm_inputs(spec, dense, embedded, rows, scratch);
  }
  const float* logits = run_layers(spec.top, scratch.inputs.data(), rows, spec.winner_rate,
                                   /*relu_last=*/false, scratch);
  for (std::int64_t row = 0; row < rows; ++row) {
    float logit = logits[row];
    if (wide) {
      logit += wide_logit(spec, dense + row * spec.dense, embedded + row * spec.tables * spec.dim);
    }
    probabilities[row] = 1.0f / (1.0f + std::exp(-logit));
  }
}

void require_size(std::string_view argument, std::int64_t wanted, std::size_t got) {
  if (static_cast<std::size_t>(wanted) != got) {
    throw_invalid_argument(concat("size of ", argument), std::to_string(wanted),
                           std::to_string(got));
  }
}

}  // namespace

void write_recommender(SectionWriter& file, const RecommenderSpec& spec) {
  const Json model = {{"kind", spec.kind},
                      {"interaction", spec.interaction},
                      {"dense", spec.dense},
                      {"tables", spec.tables},
                      {"dim", spec.dim},
                      {"winner_rate", spec.winner_rate},
                      {"bottom", widths_of(spec.dense, spec.bottom)},
                      {"top", widths_of(top_inputs(spec), spec.top)}};
  file.add("model", model.dump());
  write_layers(file, "bottom", spec.bottom);
  write_layers(file, "top", spec.top);
  if (!spec.wide.empty()) file.add_array("dense/wide.weight", spec.wide);
}

Package::Package(const std::string& path)
    : file_(path, kPackageKind, kPackageVersion), spec_(read_recommender(file_)) {
  check_spec(spec_, path);
  if (spec_.tables == 0) return;
  embedding_ = embedding::open_frozen(file_, "embedding/");
  if (embedding_->dim() != spec_.dim || embedding_->tables() != spec_.tables) {
    throw Error(ErrorKind::kFormat, "tables and dense model do not fit each other", path,
                "export the package again");
  }
}

std::string_view Package::metadata() const {
  return file_.text("metadata");
}

void Package::predict(std::int64_t batch, std::span<const float> dense,
                      std::span<const embedding::JaggedIds> ids, std::span<float> probabilities,
                      ThreadPool& pool) const {
  if (batch < 0) throw_invalid_argument("batch", "0 or more", std::to_string(batch));
  require_size("dense", batch * spec_.dense, dense.size());
  require_size("ids", spec_.tables, ids.size());
  require_size("probabilities", batch, probabilities.size());
  std::vector<float> embedded(static_cast<std::size_t>(batch * spec_.tables * spec_.dim));
  if (embedding_ != nullptr) embedding_->lookup(ids, batch, embedded);
  pool.run((batch + kPiece - 1) / kPiece, [&](std::int64_t piece) {
    const std::int64_t begin = piece * kPiece;
    Scratch scratch(spec_);
    score_piece(spec_, dense.data() + begin * spec_.dense,
                embedded.data() + begin * spec_.tables * spec_.dim, std::min(kPiece, batch - begin),
                probabilities.data() + begin, scratch);
  });
}

}  // namespace taut::infer
