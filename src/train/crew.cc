#include "train/crew.h"

namespace taut::train {

Crew::Decision Crew::agree(Decision own) const {
  if (alone()) return own;
  Decision all;
  const std::vector<Decision> each = group_->each(own);
  for (const Decision& one : each) all.stop = all.stop || one.stop;
  all.checkpoint = each.front().checkpoint;
  return all;
}

std::string Crew::from_leader(const std::string& text) const {
  return alone() ? text : group_->broadcast(text);
}

void Crew::meet() const {
  if (!alone()) group_->barrier();
}

nlohmann::json Crew::report(double train_seconds, const nlohmann::json& plan) const {
  struct Times {
    double training;
    double exchanging;
  };
  const dist::TrafficCount sent = group_->traffic();
  nlohmann::json report = {{"count", size()}, {"plan", plan["plan"]}};
  if (plan.contains("words_per_step")) report["words_per_step"] = plan["words_per_step"];
  for (const Spelling<dist::Cause>& cause : kSpellings<dist::Cause>) {
    std::int64_t bytes = 0;
    for (const std::int64_t one : group_->each(sent[cause.value].bytes)) bytes += one;
    report["sent_bytes"][std::string(cause.name)] = bytes;
  }
  for (const Times& times :
       group_->each(Times{.training = train_seconds, .exchanging = sent.total().seconds})) {
    report["ranks"].push_back(
        {{"train_seconds", times.training}, {"exchange_seconds", times.exchanging}});
  }
  return report;
}

}  // namespace taut::train
