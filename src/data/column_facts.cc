#include "column_facts.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <unordered_set>
#include <vector>

#include "taut/core/text.h"

namespace taut::data {
namespace {

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

bool is_one_of(const std::string& name, std::initializer_list<const char*> names) {
  const std::string wanted = lower(name);
  return std::any_of(names.begin(), names.end(),
                     [&](const char* known) { return wanted == known; });
}

bool is_label_name(const std::string& name) {
  return is_one_of(name, {"label", "labels", "click", "clicked", "is_click", "target", "y", "class",
                          "converted", "conversion", "is_positive"});
}

bool is_outcome_name(const std::string& name) {
  const std::vector<std::string> words = split(lower(name), '_');
  return is_label_name(name) ||
         std::any_of(words.begin(), words.end(), [](const std::string& word) {
           return is_one_of(
               word,
               {"click",    "clicks",    "clicked",   "conversion", "conversions", "converted",
                "purchase", "purchased", "bought",    "buy",        "order",       "ordered",
                "paid",     "install",   "installed", "like",       "liked",       "follow",
                "share",    "finish",    "finished",  "watched",    "outcome"});
         });
}

bool is_time_name(const std::string& name) {
  return is_one_of(name,
                   {"time", "timestamp", "ts", "datetime", "event_time", "unixtime", "unix_time"});
}

bool is_quantity_name(const std::string& name) {
  const std::vector<std::string> words = split(lower(name), '_');
  return std::any_of(words.begin(), words.end(), [](const std::string& word) {
    return is_one_of(
        word, {"count", "counts", "num", "n", "age", "price", "amount", "cost", "total", "sum",
               "length", "len", "size", "distance", "duration", "seconds", "minutes", "quantity"});
  });
}

Facts look_at(const ColumnSample& sample) {
  Facts facts{&sample};
  facts.distinct = static_cast<std::int64_t>(
      std::unordered_set<std::uint64_t>(sample.keys.begin(), sample.keys.end()).size());
  if (sample.numbers.empty()) return facts;
  facts.zero_one = sample.missing < static_cast<std::int64_t>(sample.numbers.size());
  facts.ascending = sample.missing == 0;
  facts.lowest = std::numeric_limits<double>::infinity();
  facts.highest = -facts.lowest;
  double before = facts.highest;
  for (const double number : sample.numbers) {
    if (std::isnan(number)) continue;
    facts.zero_one = facts.zero_one && (number == 0 || number == 1);
    facts.fractions = facts.fractions || number != std::floor(number);
    facts.ascending = facts.ascending && number >= before;
    facts.lowest = std::min(facts.lowest, number);
    facts.highest = std::max(facts.highest, number);
    before = number;
  }
  facts.ends_only = std::all_of(sample.numbers.begin(), sample.numbers.end(), [&](double number) {
    return std::isnan(number) || number == facts.lowest || number == facts.highest;
  });
  return facts;
}

}  // namespace taut::data
