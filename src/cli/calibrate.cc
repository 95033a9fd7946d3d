// taut calibrate --out CLUSTER, by the workers that torchrun starts.
#include "taut/dist/calibration.h"

#include <iostream>

#include "cli/command.h"
#include "cli/workers.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/memory.h"
#include "taut/core/thread_pool.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;

Json cluster_json(const parallel::Cluster& cluster, const std::string& path) {
  Json json = {{"file", path},
               {"workers", cluster.accelerators()},
               {"macs_per_second", cluster.accelerator.macs_per_second},
               {"memory_bytes", cluster.accelerator.memory_bytes},
               {"levels", Json::array()}};
  for (const parallel::Level& level : cluster.levels) {
    json["levels"].push_back({{"name", level.name},
                              {"bytes_per_second", level.bytes_per_second},
                              {"latency_seconds", level.latency_seconds}});
  }
  return json;
}

void print_cluster(const parallel::Cluster& cluster, const std::string& path) {
  for (const parallel::Level& level : cluster.levels) {
    std::cout << level.name << ": " << level.bytes_per_second / 1e6 << " MB/s, "
              << level.latency_seconds * 1e6 << " us a message\n";
  }
  std::cout << "worker: " << cluster.accelerator.macs_per_second / 1e9
            << " G multiply-adds/s\ncluster: " << path << "\n";
}

}  // namespace

Command add_calibrate(CLI::App& root, const Globals& globals) {
  struct Options {
    std::string out;
    double worker_timeout_seconds = 60;
    int repetitions = 9;
  };
  CLI::App* app = root.add_subcommand(
      "calibrate", "Measure the links and the speed of workers for taut plan --cluster");
  auto o = std::make_shared<Options>();
  app->add_option("--out", o->out, "Cluster file to write (TOML)")->required();
  app->add_option("--repetitions", o->repetitions, "Measurements of which the median is taken")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  add_worker_timeout(*app, o->worker_timeout_seconds);
  const auto measure = [o, &globals]() -> Outcome {
    const auto workers = meet_workers(o->worker_timeout_seconds);
    if (workers == nullptr) {
      throw Error(ErrorKind::kConfig,
                  "links are measured between workers, and this process is alone", {},
                  "start it by torchrun --no-python --nproc-per-node 2 taut calibrate ...");
    }
    return run_together(workers.get(), [&] {
      dist::WorkerArray array(workers);
      parallel::Cluster cluster = dist::calibrate(
          array, {.repetitions = o->repetitions,
                  .threads = ThreadPool(threads_of_worker(globals.threads)).threads()});
      cluster.accelerator.memory_bytes = static_cast<double>(memory_there().count) /
                                         dist::environment_of_torchrun()->local_workers;
      if (workers->rank() == 0) {
        write_file(o->out, dist::cluster_toml(cluster));
        if (!globals.json) print_cluster(cluster, o->out);
      }
      workers->barrier();
      return Outcome{.result = cluster_json(cluster, o->out)};
    });
  };
  return {.app = app, .action = measure, .takes_settings = false};
}

}  // namespace taut::cli
