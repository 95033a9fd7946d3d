#pragma once
// Runs a package over files, batch by batch.

#include <functional>
#include <span>
#include <vector>

#include "taut/data/reader.h"
#include "taut/infer/package.h"

namespace taut::cli {

using ScoreSink = std::function<void(const data::Batch&, std::span<const float> probabilities)>;

/// Calls sink with every batch and its probabilities, in file order. Returns the seconds that
/// scoring alone took, for each batch.
std::vector<double> score_stream(const infer::Package& package, const data::ReaderOptions& options,
                                 int threads, const ScoreSink& sink);

}  // namespace taut::cli
