#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "taut/core/text.h"
#include "taut/parallel/simulator.h"

namespace taut::parallel {
namespace {

constexpr double kMicroseconds = 1e6;

/// Processes and threads of the trace: accelerators' compute, their DRAM, links.
struct Track {
  int process;
  int thread;
  std::string name;
};

Track track_of(const Cluster& cluster, const SimulatedSpan& span) {
  if (span.level >= 0) {
    const int thread = (span.level << 16) + span.accelerator;
    return {3, thread, concat(cluster.levels[span.level].name, " group from ", span.accelerator)};
  }
  const bool dram = span.kind == SimulatedSpan::Kind::kDram;
  return {dram ? 2 : 1, span.accelerator, concat("accelerator ", span.accelerator)};
}

}  // namespace

std::string chrome_trace(const CostModel& model, const Cluster& cluster,
                         const Simulation& simulation) {
  nlohmann::json events = nlohmann::json::array();
  const auto describe = [&](const char* what, int process, int thread, const std::string& name) {
    events.push_back({{"name", what},
                      {"ph", "M"},
                      {"pid", process},
                      {"tid", thread},
                      {"args", {{"name", name}}}});
  };
  describe("process_name", 1, 0, "compute");
  describe("process_name", 2, 0, "dram");
  describe("process_name", 3, 0, "links");
  std::map<std::pair<int, int>, bool> named;
  for (const SimulatedSpan& span : simulation.spans) {
    const Track track = track_of(cluster, span);
    if (!std::exchange(named[{track.process, track.thread}], true)) {
      describe("thread_name", track.process, track.thread, track.name);
    }
    nlohmann::json args = {{"layer", model.graph().node(span.node).name}};
    if (span.reader >= 0) args["reader"] = model.graph().node(span.reader).name;
    if (span.level >= 0) args["bytes"] = 4 * span.words;
    events.push_back(
        {{"name", concat(to_string(span.kind), " ", model.graph().node(span.node).name)},
         {"cat", to_string(span.kind)},
         {"ph", "X"},
         {"pid", track.process},
         {"tid", track.thread},
         {"ts", kMicroseconds * span.start_seconds},
         {"dur", kMicroseconds * span.seconds},
         {"args", std::move(args)}});
  }
  return nlohmann::json{{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}}.dump() +
         "\n";
}

}  // namespace taut::parallel
