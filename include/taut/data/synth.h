#pragma once
// Synthetic click data of any size whose best possible AUC is known.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace taut::data {

/// What to write. Columns: label (int8), time (int64, the row's number), d_0 .. (float), c_0 ..
/// (int64 ids, 0 the most frequent; the last multi_columns of them lists).
///
/// Ids are drawn from Zipf(exponent). Each id has a hidden bias and a hidden vector of `factors`
/// numbers, both from a hash of (seed, column, id), so nothing is stored. The logit is a weighted
/// sum of the biases, of the dots of the vectors of columns (0,1), (2,3), ... and of the dense
/// values: what an embedding model with pairwise dots can learn. Weights are set on a sample so
/// that the best possible AUC and the share of positives come out as asked, up to sampling.
struct SynthOptions {
  std::string path;  ///< *.parquet or *.csv
  std::int64_t rows = 1000000;
  int categorical = 10;
  int dense = 4;
  /// Ids of each categorical column; or one number, the ids of all columns together, shared out as
  /// in real data: sizes fall geometrically, the last column has 10^-2.5 of the first.
  std::vector<std::int64_t> ids = {1000000};
  double exponent = 1.2;  ///< of the Zipf law, >= 0 (0: uniform)
  int multi_columns = 0;  ///< the last so many columns are lists of 1 to multi_ids ids, averaged
  int multi_ids = 5;
  int factors = 4;
  /// Quarter turns of bias and vectors from the first to the last row: 1 makes them independent.
  double drift = 0;
  double bayes_auc = 0.80;  ///< aimed at, in (0.5, 0.99]
  double positive_rate = 0.25;
  /// Shares of train, valid and test (in row order), or empty: one file. With shares, train.*,
  /// valid.* and test.* are written into path's folder, with path's ending.
  std::vector<double> split;
  std::uint64_t seed = 1;
  int threads = 0;  ///< no effect on what is written
};

/// One file written.
struct SynthFile {
  std::string path;
  std::int64_t rows = 0;
  std::int64_t positive_rows = 0;
  std::int64_t bytes = 0;
  /// Expected AUC of ranking these rows by their true probabilities, over all ways the labels could
  /// have fallen (as a ratio of expectations): no model does better on average.
  double bayes_auc = 0;
};

struct SynthResult {
  std::vector<SynthFile> files;
  std::vector<std::int64_t> ids;  ///< of each categorical column
  std::int64_t rows = 0;
  std::int64_t bytes = 0;
  double positive_rate = 0;
  double bayes_auc = 0;  ///< over all rows
};

/// The ids of each categorical column that the options ask for. Errors: kInvalidArgument.
[[nodiscard]] std::vector<std::int64_t> synthetic_ids(const SynthOptions& options);

/// Writes the files; each appears when it is whole. progress (may be empty) gets the rows done.
/// Same bytes for the same options and version, whatever the threads.
/// Errors: kInvalidArgument, kUnsupported (ending), kIo.
SynthResult write_synthetic(const SynthOptions& options,
                            const std::function<void(std::int64_t)>& progress = {});

}  // namespace taut::data
