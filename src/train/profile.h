#pragma once
// What a profile of training data may be, whatever file it comes from.

#include <string>

#include "taut/data/reader.h"
#include "taut/train/recommender.h"

namespace taut::train {

/// Errors: kFormat, naming where and the key, for numbers that no data has, or that do not fit the
/// config's columns.
void check_profile(const data::DataProfile& profile, const RecommenderConfig& config,
                   const std::string& where);

}  // namespace taut::train
