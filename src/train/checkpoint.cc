#include "train/checkpoint.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>

#include "taut/core/error.h"
#include "taut/core/log.h"
#include "taut/core/snapshot.h"
#include "taut/core/text.h"
#include "taut/core/units.h"
#include "train/state.h"

namespace taut::train {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMostSteps = std::int64_t{1} << 38;  // times the largest batch: below 2^63

void visit_loop(LoopState& s, StateFields& visit) {
  visit("epoch", s.epoch);
  visit("batches", s.batches);
  visit("steps", s.steps);
  visit("examples", s.examples);
  visit("train_seconds", s.train_seconds);
  visit("metrics_bytes", s.metrics_bytes);
  visit("best_score", s.best_score);
  visit("best_epoch", s.best_epoch);
  visit("finished", s.finished);
  visit("data_marks", s.data_marks);
  visit("valid_examples", s.valid.examples);
  visit("valid_unscored", s.valid.unscored);
  visit("valid", s.valid.measures);
  visit("window_loss", s.window_loss);
  visit("window_examples", s.window_examples);
}

// A checkpoint says where training goes on, and these are places where it can be.
void check_loop(const LoopState& s, const std::string& where) {
  require_field("epoch", s.epoch, 0, kMostEpochs, where);
  require_field("steps", s.steps, 0, kMostSteps, where);
  require_field("batches", s.batches, 0, s.steps, where);
  require_field("examples", s.examples, 0, kMostCounted, where);
  require_field("metrics_bytes", s.metrics_bytes, 0, kMostCounted, where);
  require_field("best_epoch", s.best_epoch, -1, s.epoch, where);
  require_field("valid_examples", s.valid.examples, 0, kMostCounted, where);
  require_field("window_examples", s.window_examples, 0, kMostCounted, where);
}

// Says what a file is before its sections are asked for, so that what an earlier version wrote is
// refused by name.
void check_identity(const std::string& path) {
  const SectionIdentity identity = identify_sections(path);
  if (identity.kind == kCheckpointKind.kind && identity.version == kCheckpointKind.version) return;
  throw Error(ErrorKind::kFormat,
              concat("a checkpoint \"", identity.kind, "\" of format version ", identity.version,
                     " where this build reads version ", kCheckpointKind.version, " of \"",
                     kCheckpointKind.kind, "\""),
              path, "train again");
}

std::optional<std::string> if_there(const fs::path& path) {
  return fs::exists(path) ? std::optional(path.string()) : std::nullopt;
}

}  // namespace

void save_checkpoint(SectionSink& file, LoopState& state, Task& task) {
  save_fields(file, "state", [&](StateFields& fields) {
    std::string name(task.config().task());
    fields("task", name);
    visit_loop(state, fields);
    task.visit_state(fields);
  });
  task.save(file);
}

LoopState read_checkpoint(const std::string& path, Task& task) {
  check_identity(path);
  const SnapshotReader file(path, kCheckpointKind);
  LoopState state;
  load_fields(file, "state", [&](StateFields& fields) {
    std::string name;
    fields("task", name);
    if (name != task.config().task()) {
      throw Error(ErrorKind::kFormat,
                  concat("a checkpoint of task \"", name, "\" where the config's is \"",
                         task.config().task(), "\""),
                  path);
    }
    task.load(file);
    visit_loop(state, fields);
    task.visit_state(fields);
  });
  check_loop(state, section_of(file, "state"));
  return state;
}

CheckpointFolder::CheckpointFolder(const std::string& run) : folder_(run + "/checkpoint") {}

void CheckpointFolder::write_to(const std::string& path, const std::optional<std::string>& base,
                                std::int64_t steps, const Save& save) const {
  const SnapshotCost cost = write_snapshot(path, kCheckpointKind, base, save);
  // What is written whole takes some bytes more, which the file's own tables are.
  const std::string of =
      cost.written < cost.contents ? concat(" of ", format_bytes(cost.contents)) : "";
  log_info(concat("checkpoint at step ", steps, ": ", format_bytes(cost.written), of, " written"));
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

void CheckpointFolder::give_parts(const Save& save) {
  class Nowhere final : public SectionSink {
   public:
    void begin(std::string_view /*name*/) override {}
    void append(const void* /*data*/, std::size_t /*size*/) override {}
  };
  Nowhere nowhere;
  save(nowhere);
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

}  // namespace taut::train
