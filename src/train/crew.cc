#include "train/crew.h"

#include <array>

#include "taut/core/error.h"
#include "taut/core/log.h"
#include "taut/core/text.h"

namespace taut::train {

namespace {

constexpr std::string_view kMorePieces = "lower train.piece, or start fewer workers";

// Empty where there is a piece for each worker.
std::string too_few_pieces(std::int64_t batch_size, std::int64_t piece, int workers) {
  const std::int64_t pieces = (batch_size + piece - 1) / piece;
  if (pieces >= workers) return {};
  return concat("train.batch_size ", batch_size, " in pieces of train.piece ", piece,
                " gives work to ", pieces, " of ", workers, " workers");
}

}  // namespace

void require_pieces(std::int64_t batch_size, std::int64_t piece, int workers) {
  const std::string wrong = too_few_pieces(batch_size, piece, workers);
  if (!wrong.empty()) throw Error(ErrorKind::kConfig, wrong, {}, std::string(kMorePieces));
}

void warn_of_few_pieces(std::int64_t batch_size, std::int64_t piece, int workers) {
  const std::string wrong = too_few_pieces(batch_size, piece, workers);
  if (!wrong.empty()) log_warning(concat(wrong, ": ", kMorePieces));
}

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
    double training = 0;
    double exchanging = 0;
    double exposed = 0;
    std::array<double, kSpellings<dist::Cause>.size()> by_cause{};
  };
  const dist::TrafficCount sent = group_->traffic();
  nlohmann::json report = {{"count", size()}, {"plan", plan["plan"]}};
  for (const char* known : {"words_per_step", "predicted_seconds_per_step"}) {
    if (plan.contains(known)) report[known] = plan[known];
  }
  for (const Spelling<dist::Cause>& cause : kSpellings<dist::Cause>) {
    std::int64_t bytes = 0;
    for (const std::int64_t one : group_->each(sent[cause.value].bytes)) bytes += one;
    report["sent_bytes"][std::string(cause.name)] = bytes;
  }
  const dist::Traffic total = sent.total();
  Times own{
      .training = train_seconds, .exchanging = total.seconds, .exposed = total.exposed_seconds};
  for (std::size_t i = 0; i < own.by_cause.size(); ++i) {
    own.by_cause[i] = sent[kSpellings<dist::Cause>[i].value].seconds;
  }
  for (const Times& times : group_->each(own)) {
    nlohmann::json rank = {{"train_seconds", times.training},
                           {"exchange_seconds", times.exchanging},
                           {"exposed_seconds", times.exposed}};
    for (std::size_t i = 0; i < times.by_cause.size(); ++i) {
      rank["seconds_by_cause"][std::string(kSpellings<dist::Cause>[i].name)] = times.by_cause[i];
    }
    report["ranks"].push_back(std::move(rank));
  }
  return report;
}

}  // namespace taut::train
