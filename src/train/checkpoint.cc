#include "train/checkpoint.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "taut/core/error.h"
#include "taut/core/log.h"
#include "taut/core/snapshot.h"
#include "taut/core/text.h"
#include "taut/core/units.h"

namespace taut::train {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

// Doubles travel as their 64 bits, so that nothing is rounded and NaN survives.
Json bits_of(double value) {
  return std::bit_cast<std::uint64_t>(value);
}
double from_bits(const Json& json) {
  return std::bit_cast<double>(json.get<std::uint64_t>());
}

Json quality_bits(const Quality& q) {
  return {q.examples, bits_of(q.auc), bits_of(q.log_loss), bits_of(q.normalized_entropy)};
}

Quality quality_from(const Json& json) {
  return {.examples = json.at(0).get<std::int64_t>(),
          .auc = from_bits(json.at(1)),
          .log_loss = from_bits(json.at(2)),
          .normalized_entropy = from_bits(json.at(3))};
}

Json to_json(const LoopState& s) {
  return {{"epoch", s.epoch},
          {"batches", s.batches},
          {"steps", s.steps},
          {"examples", s.examples},
          {"train_seconds", bits_of(s.train_seconds)},
          {"metrics_bytes", s.metrics_bytes},
          {"best_auc", bits_of(s.best_auc)},
          {"best_epoch", s.best_epoch},
          {"bad_rows", s.bad_rows},
          {"finished", s.finished},
          {"valid", quality_bits(s.valid)},
          {"window_loss", bits_of(s.window_loss)}};
}

LoopState from_json(const Json& json) {
  LoopState s;
  s.epoch = json.at("epoch").get<std::int64_t>();
  s.batches = json.at("batches").get<std::int64_t>();
  s.steps = json.at("steps").get<std::int64_t>();
  s.examples = json.at("examples").get<std::int64_t>();
  s.train_seconds = from_bits(json.at("train_seconds"));
  s.metrics_bytes = json.at("metrics_bytes").get<std::int64_t>();
  s.best_auc = from_bits(json.at("best_auc"));
  s.best_epoch = json.at("best_epoch").get<std::int64_t>();
  s.bad_rows = json.at("bad_rows").get<std::int64_t>();
  s.finished = json.at("finished").get<bool>();
  s.valid = quality_from(json.at("valid"));
  s.window_loss = from_bits(json.at("window_loss"));
  return s;
}

std::optional<std::string> if_there(const fs::path& path) {
  return fs::exists(path) ? std::optional(path.string()) : std::nullopt;
}

}  // namespace

void save_checkpoint(SectionSink& file, const LoopState& state, const Model& model) {
  file.add("state", to_json(state).dump());
  file.add_array("window/logits", std::span<const float>(state.window_logits));
  file.add_array("window/labels", std::span<const float>(state.window_labels));
  state.progressive.save(file);
  model.save(file);
}

CheckpointFolder::CheckpointFolder(const std::string& run, const SnapshotKind& kind)
    : folder_(run + "/checkpoint"), kind_(kind) {}

void CheckpointFolder::write_to(const std::string& path, const std::optional<std::string>& base,
                                std::int64_t steps, const Save& save) const {
  const SnapshotCost cost = write_snapshot(path, kind_, base, save);
  log_info(concat("checkpoint at step ", steps, ": ", format_bytes(cost.written), " of ",
                  format_bytes(cost.contents), " written"));
}

std::vector<std::string> CheckpointFolder::step_files() const {
  std::vector<std::string> files;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-") && name.ends_with(".taut"))
      files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

void CheckpointFolder::write(std::int64_t steps, const Save& save) const {
  std::array<char, 40> name{};
  std::snprintf(name.data(), name.size(), "/step-%012lld.taut", static_cast<long long>(steps));
  const std::string path = folder_ + name.data();
  // Built on the one that goes when this one is there, so that the two that stay share no file.
  const std::vector<std::string> before = step_files();
  std::optional<std::string> base;
  if (!before.empty() && before.back() == path) {
    base = path;
  } else if (before.size() >= 2) {
    base = before[before.size() - 2];
  }
  write_to(path, base, steps, save);
  const std::vector<std::string> files = step_files();
  for (std::size_t i = 0; i + 2 < files.size(); ++i) fs::remove(files[i]);
  clean_snapshots(folder_);
}

void CheckpointFolder::write_best(std::int64_t steps, const Save& save) const {
  write_to(folder_ + "/best.taut", best(), steps, save);
  clean_snapshots(folder_);
}

std::optional<std::string> CheckpointFolder::newest() const {
  const std::vector<std::string> files = step_files();
  return files.empty() ? std::nullopt : std::optional(files.back());
}

std::optional<std::string> CheckpointFolder::best() const {
  return if_there(fs::path(folder_) / "best.taut");
}

std::string CheckpointFolder::best_or_newest() const {
  const std::optional<std::string> path = best() ? best() : newest();
  if (path) return *path;
  throw Error(ErrorKind::kNotFound, "the run has no checkpoint yet",
              fs::path(folder_).parent_path().string(), "train it first");
}

LoopState read_checkpoint(const std::string& path, Model& model) {
  const SnapshotReader file(path, kRecommenderCheckpoint);
  LoopState state;
  try {
    state = from_json(Json::parse(file.text("state")));
  } catch (const Json::exception& failed) {
    throw Error(ErrorKind::kFormat, concat("section \"state\" is wrong: ", failed.what()), path);
  }
  const std::span<const float> logits = file.array<float>("window/logits");
  const std::span<const float> labels = file.array<float>("window/labels");
  state.window_logits.assign(logits.begin(), logits.end());
  state.window_labels.assign(labels.begin(), labels.end());
  state.progressive.load(file);
  model.load(file);
  return state;
}

}  // namespace taut::train
