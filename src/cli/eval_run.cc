// Quality of a run, for taut eval.
#include "cli/command.h"
#include "cli/data_settings.h"
#include "taut/train/run.h"

namespace taut::cli {

nlohmann::json evaluate_run(const std::string& run, const std::vector<std::string>& files,
                            const Globals& globals) {
  static_cast<void>(DataSettings(globals.sets));  // only how files are read may differ
  const train::OpenedRun opened = train::open_run(run, globals.threads, globals.sets);
  nlohmann::json result = train::to_json(opened.evaluate(files));
  result.update(opened.task->memory());
  result["source"] = opened.checkpoint;
  return result;
}

}  // namespace taut::cli
