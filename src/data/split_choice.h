#pragma once
// How one set of rows becomes three, for a config that has but one.

#include <string>

#include "taut/data/init.h"

namespace taut::data {

/// Parts of the training files' rows as row_part.h spells them, to stand behind their path.
struct SplitChoice {
  std::string train;
  std::string valid;
  std::string test;
  std::string why;  ///< "the last tenth by time", "a tenth of the rows"
};

/// The share of the rows that stays for training.
inline constexpr double kTrainShare = 0.8;

/// By time where there is a time column whose last tenths can be told apart, for that is how a
/// model is used; else at random. train: path or glob; its time column is read whole.
[[nodiscard]] SplitChoice choose_split(const SchemaGuess& guess, const std::string& train);

}  // namespace taut::data
