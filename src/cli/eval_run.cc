// Quality of a run, for taut eval.
#include "cli/command.h"
#include "taut/train/run.h"

namespace taut::cli {

nlohmann::json evaluate_run(const std::string& run, const std::vector<std::string>& files,
                            int threads) {
  const train::OpenedRun opened = train::open_run(run, threads);
  nlohmann::json result = train::to_json(opened.evaluate(files));
  result.update(opened.task->memory());
  result["source"] = opened.checkpoint;
  return result;
}

}  // namespace taut::cli
