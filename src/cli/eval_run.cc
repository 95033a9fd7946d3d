// Quality of a run, for taut eval.
#include <filesystem>

#include "cli/command.h"
#include "taut/core/error.h"
#include "taut/train/image_run.h"
#include "taut/train/run.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;

void require_files(const std::vector<std::string>& files, const std::string& run) {
  if (!files.empty()) return;
  throw Error(ErrorKind::kConfig, "the run's config names neither test nor valid files", run,
              "name one with --data");
}

Json eval_run(const std::string& run, const std::vector<std::string>& files, int threads) {
  train::OpenedRun opened = train::open_run(run, threads);
  std::vector<std::string> chosen = files;
  if (chosen.empty()) chosen = opened.config.data.test;
  if (chosen.empty()) chosen = opened.config.data.valid;
  require_files(chosen, run);
  Json result = train::to_json(
      opened.model->evaluate(train::reader_options(opened.config, chosen, opened.profile)));
  result["memory_bytes"] = opened.model->memory_bytes();
  result["full_bytes"] = opened.model->full_bytes();
  result["source"] = opened.checkpoint;
  return result;
}

Json eval_image_run(const std::string& run, const std::vector<std::string>& files, int threads) {
  const train::OpenedImageRun opened = train::open_image_run(run, threads);
  std::vector<std::string> chosen = files;
  if (chosen.empty()) chosen = opened.config.data.test;
  if (chosen.empty()) chosen = opened.config.data.valid;
  require_files(chosen, run);
  Json result = train::to_json(train::evaluate(*opened.network,
                                               train::read_run_images(opened, chosen, threads),
                                               opened.normalization, threads));
  result["source"] = opened.checkpoint;
  return result;
}

}  // namespace

Json evaluate_run(const std::string& run, const std::vector<std::string>& files, int threads) {
  const std::string config = run + "/config.toml";
  const bool images =
      std::filesystem::exists(config) && train::config_task(config) == train::kImageTask;
  return images ? eval_image_run(run, files, threads) : eval_run(run, files, threads);
}

}  // namespace taut::cli
