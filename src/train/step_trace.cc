#include "train/step_trace.h"

#include <cstring>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"

namespace taut::train {
namespace {

// A rank's tracks.
constexpr int kBetween = 1;
constexpr int kExchanges = 2;
constexpr int kWaits = 3;

nlohmann::json label(const char* what, int process, int thread, const std::string& name) {
  return {
      {"name", what}, {"ph", "M"}, {"pid", process}, {"tid", thread}, {"args", {{"name", name}}}};
}

nlohmann::json span_of(const std::string& name, int thread, double start, double end) {
  return {{"name", name}, {"ph", "X"}, {"tid", thread}, {"ts", start}, {"dur", end - start}};
}

}  // namespace

StepTrace::StepTrace(const Crew& crew, std::int64_t step) : crew_(crew), step_(step) {
  if (step < 0) throw_invalid_argument("trace_step", "0 or more", concat(step));
  if (step > 0 && crew.alone()) {
    throw Error(ErrorKind::kConfig,
                "a trace is of what workers exchange, and this process is alone", "--trace-step",
                "start it by torchrun --no-python --nproc-per-node N taut train ...");
  }
}

void StepTrace::begin(std::int64_t step) {
  records_ = step_ > 0 && step == step_;
  if (!records_) return;
  crew_.meet();
  crew_.group()->record();
  start_ = Clock::now();
}

void StepTrace::end(const std::string& folder) {
  if (!std::exchange(records_, false)) return;
  const auto microseconds = [&](Clock::time_point time) {
    return std::chrono::duration<double, std::micro>(time - start_).count();
  };
  const double last = microseconds(Clock::now());
  nlohmann::json own = nlohmann::json::array();
  double free = 0;
  for (const dist::Exchange& one : crew_.group()->take_record()) {
    const double start = microseconds(one.start);
    const double stop = microseconds(one.end);
    if (!one.beside) {
      own.push_back(span_of("between exchanges", kBetween, free, start));
      free = stop;
    }
    own.push_back(span_of(concat(one.operation, " of ", to_string(one.cause)),
                          one.operation == "wait" ? kWaits : kExchanges, start, stop));
    own.back()["cat"] = to_string(one.cause);
    own.back()["args"] = {{"bytes", one.bytes}};
  }
  own.push_back(span_of("between exchanges", kBetween, free, last));
  const std::string text = own.dump();
  const auto all = crew_.group()->gather(std::as_bytes(std::span(text)), dist::Cause::kControl);
  if (!crew_.leads()) return;
  nlohmann::json events = nlohmann::json::array();
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    const auto process = static_cast<int>(rank);
    events.push_back(label("process_name", process, 0, concat("rank ", rank)));
    events.push_back(label("thread_name", process, kBetween, "between exchanges"));
    events.push_back(label("thread_name", process, kExchanges, "exchanges"));
    events.push_back(label("thread_name", process, kWaits, "waits for exchanges beside"));
    std::string theirs(all[rank].size(), '\0');
    std::memcpy(theirs.data(), all[rank].data(), theirs.size());
    for (nlohmann::json& event : nlohmann::json::parse(theirs)) {
      event["pid"] = process;
      events.push_back(std::move(event));
    }
  }
  const nlohmann::json trace = {{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}};
  write_file(folder + "/trace.json", trace.dump() + "\n");
}

}  // namespace taut::train
