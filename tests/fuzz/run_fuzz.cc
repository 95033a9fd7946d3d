// Configs and checkpoints of both tasks: TOML with changed values, and sections sealed again.
#include <filesystem>
#include <vector>

#include "fuzz/fuzz.h"
#include "taut/core/snapshot.h"
#include "train/checkpoint.h"
#include "train/run_cases.h"

namespace taut::fuzz {
namespace {

using train::testing::run_cases;
using train::testing::RunCase;

constexpr const char* kWhich = " task";  // an input's own sections: which task it is of
constexpr const char* kConfig = " config";

// The data of all tasks, and what a checkpoint of each holds after one epoch.
class Runs {
 public:
  Runs() {
    for (const RunCase& one : run_cases()) {
      const train::RunOptions options = folder_.options(one, one.name, {"train.epochs=1"});
      (void)train::train_run(options);
      const std::string path = *train::CheckpointFolder(options.run).newest();
      const SnapshotReader snapshot(path, train::kCheckpointKind);
      Sections& sections = sections_.emplace_back();
      for (const std::string& name : snapshot.names()) sections[name] = snapshot.text(name);
      configs_.push_back(options.config->to_toml());
    }
  }
  [[nodiscard]] const Sections& sections(std::size_t task) const { return sections_[task]; }
  [[nodiscard]] const std::string& config(std::size_t task) const { return configs_[task]; }
  [[nodiscard]] std::string path() const { return folder_.path(); }

 private:
  train::testing::RunFolder folder_;
  std::vector<Sections> sections_;
  std::vector<std::string> configs_;
};

const Runs& runs() {
  static const Runs kRuns;
  return kRuns;
}

void spoil(Sections& sections, Random& random) {
  const std::string name = random.pick(sections).first;
  std::string& bytes = sections[name];
  const bool text = name == "state" || name == "format" || name.ends_with("tensors");
  if (random.one_in(20)) {
    sections.erase(name);
  } else if (text && !random.one_in(8)) {
    spoil_text(bytes, random);
  } else if (random.one_in(3)) {
    spoil_bytes(bytes, random);
  } else {
    spoil_numbers(bytes, random);
  }
}

bool read_checkpoint(const Sections& sections, std::size_t task) {
  const std::string path = scratch("run") + "/step.taut";
  write_snapshot(path, train::kCheckpointKind, std::nullopt, [&](SectionSink& file) {
    for (const auto& [name, bytes] : sections) {
      if (!name.empty() && name.find('\n') == std::string::npos) file.add(name, bytes);
    }
  });
  const auto config = train::parse_config(runs().config(task), runs().path(), "fuzz.toml", {});
  const bool refused = is_refused([&] {
    const auto made = config->make_task(std::make_shared<ThreadPool>(1));
    (void)train::read_checkpoint(path, *made);
    (void)made->network();
    (void)made->memory();
  });
  std::filesystem::remove_all(scratch("run"));
  return refused;
}

}  // namespace

Target target() {
  return {
      .name = "run",
      .make =
          [](Random& random) {
            const std::size_t task = random.below(run_cases().size());
            Sections input;
            if (random.one_in(2)) {
              std::string config = runs().config(task);
              for (std::uint64_t n = random.below(3) + 1; n > 0; --n) {
                spoil_text(config, random);
              }
              input[kConfig] = config;
            } else {
              input = runs().sections(task);
              for (std::uint64_t n = random.below(3) + 1; n > 0; --n) spoil(input, random);
            }
            input[kWhich] = std::to_string(task);
            return join_sections(input);
          },
      .read =
          [](std::string_view text) {
            Sections input = split_sections(text);
            const std::size_t task =
                std::strtoul(input[kWhich].c_str(), nullptr, 10) % run_cases().size();
            input.erase(kWhich);
            const auto config = input.find(kConfig);
            if (config == input.end()) return read_checkpoint(input, task);
            return is_refused([&] {
              (void)train::parse_config(config->second, runs().path(), "fuzz.toml", {})->to_toml();
            });
          }};
}

}  // namespace taut::fuzz
