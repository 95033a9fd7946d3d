#include "train/run_folder.h"

#include <climits>
#include <filesystem>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"

namespace taut::train {
namespace {

// The first line of the new config that the old one does not have, for messages.
std::string first_difference(const std::string& old_text, const std::string& new_text) {
  const std::vector<std::string> old_lines = split(old_text, '\n');
  const std::vector<std::string> new_lines = split(new_text, '\n');
  for (std::size_t i = 0; i < new_lines.size(); ++i) {
    if (i >= old_lines.size() || old_lines[i] != new_lines[i]) {
      return concat("\"", new_lines[i], "\" where the run has \"",
                    i < old_lines.size() ? old_lines[i] : "", "\"");
    }
  }
  return "a shorter config";
}

}  // namespace

FolderLock hold_run_folder(const std::string& run) {
  constexpr std::size_t kLongestName = 100;  // of what lies below it
  if (!is_utf8(run)) {
    throw Error(ErrorKind::kConfig, "the folder's name is no UTF-8, as configs are", run,
                "choose another --out");
  }
  if (run.size() + kLongestName > PATH_MAX) {
    throw Error(ErrorKind::kConfig,
                concat("the folder's name has ", run.size(), " bytes, at most ",
                       PATH_MAX - kLongestName, " leave room for its files"),
                run, "choose another --out");
  }
  make_directories(run);
  return FolderLock(run);
}

std::string config_path(const std::string& run) {
  return run + "/config.toml";
}

void prepare_folder(const std::string& run, const std::string& config, bool resume,
                    const CheckpointFolder& checkpoints) {
  const bool started = checkpoints.newest().has_value();
  if (started && !resume) {
    throw Error(ErrorKind::kConfig, "the folder holds a run already", run,
                "add --resume to go on, or choose another --out");
  }
  if (started) {
    const std::string old = read_file(config_path(run));
    if (old == config) return;
    throw Error(ErrorKind::kConfig,
                concat("the config differs from the run's: ", first_difference(old, config)), run,
                "resume with the config that it was started with");
  }
  make_directories(run);
  write_file(config_path(run), config);
}

void require_run(const std::string& run) {
  if (std::filesystem::exists(config_path(run))) return;
  throw Error(ErrorKind::kNotFound, "no run there: config.toml is missing", run,
              "name the --out folder of taut train");
}

}  // namespace taut::train
