// taut_step_bench: one epoch of a config from batches that lie ready in memory, without the
// reading; bench/peers/train_dlrm.py runs it beside peers that do the same. Prints JSON: examples,
// seconds, processor seconds, and the mean loss of the last quarter of the steps.
//   taut_step_bench CONFIG THREADS [section.key=value ...]
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "taut/core/error.h"
#include "taut/train/model.h"

namespace taut::train {
namespace {

nlohmann::json measure(const std::string& path, int threads,
                       const std::vector<std::string>& settings) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  const RecommenderConfig config = parse_recommender_config(text.str(), ".", path, settings);
  const data::DataProfile profile = load_profile(config, path + ".profile.json");
  Model model(config, profile, std::make_shared<ThreadPool>(threads));
  data::ReaderOptions options = reader_options(config, config.data.train, profile);
  model.count_ids(options);
  options.shuffle_rows = config.shuffle_rows;
  std::vector<data::Batch> batches;
  {
    data::BatchReader reader(options);
    for (data::Batch batch; reader.next(batch);) batches.push_back(batch);
  }
  std::int64_t examples = 0;
  double last_loss = 0;
  double last_examples = 0;
  std::vector<float> logits;
  const std::clock_t used = std::clock();
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const double loss = model.train_step(batches[i], logits);
    examples += batches[i].size;
    if (4 * i < 3 * batches.size()) continue;
    last_loss += loss;
    last_examples += static_cast<double>(batches[i].size);
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  const double processor = static_cast<double>(std::clock() - used) / CLOCKS_PER_SEC;
  return {{"examples", examples},
          {"seconds", taken.count()},
          {"processor_seconds", processor},
          {"loss", last_loss / last_examples}};
}

}  // namespace
}  // namespace taut::train

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: taut_step_bench CONFIG THREADS [section.key=value ...]\n";
    return 2;
  }
  try {
    const std::vector<std::string> settings(argv + 3, argv + argc);
    std::cout << taut::train::measure(argv[1], std::atoi(argv[2]), settings).dump() << "\n";
    return 0;
  } catch (const taut::Error& failed) {
    std::cerr << "error: " << failed.what() << "\n";
    return taut::exit_code(failed.kind());
  }
}
