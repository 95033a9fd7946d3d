// The first pass: what has to be known of the training files before training starts.

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "distinct.h"
#include "prefetch.h"
#include "source.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

// Mean and squared deviations of a stream, block by block (Chan, Golub, LeVeque 1983: corrected
// two-pass sums in a block, pairwise update), so that an offset of any size costs no digits.
class Moments {
 public:
  explicit Moments(ScalingKind kind) : kind_(kind) {}

  void add(const std::vector<double>& values) {
    double count = 0;
    double sum = 0;
    for (const double value : values) {
      if (std::isnan(value)) continue;
      const double x = transformed(value);
      count += 1;
      sum += x;
      lowest_ = std::min(lowest_, x);
      highest_ = std::max(highest_, x);
    }
    if (count == 0) return;
    const double rounded = sum / count;
    double rest = 0;  // what rounding took from the mean, times count
    double squares = 0;
    for (const double value : values) {
      if (std::isnan(value)) continue;
      const double distance = transformed(value) - rounded;
      rest += distance;
      squares += distance * distance;
    }
    const double mean = rounded + rest / count;
    squares = std::max(squares - rest * rest / count, 0.0);
    const double total = count_ + count;
    const double apart = mean - mean_;
    mean_ += apart * count / total;
    squares_ += squares + apart * apart * count_ * count / total;
    count_ = total;
  }

  // A column without values, or with one value only, is left in its own unit.
  [[nodiscard]] DenseScaling scaling() const {
    if (kind_ == ScalingKind::kNone || count_ == 0) return {kind_, 0, 1};
    const double deviation = std::sqrt(squares_ / count_);
    // Below that its inverse is infinite.
    const bool constant = lowest_ == highest_ || !(deviation >= std::numeric_limits<double>::min());
    return {kind_, constant ? highest_ : mean_, constant ? 1.0 : deviation};
  }

 private:
  [[nodiscard]] double transformed(double value) const {
    return kind_ == ScalingKind::kLog ? std::log1p(std::max(value, 0.0)) : value;
  }

  ScalingKind kind_;
  double count_ = 0;
  double mean_ = 0;
  double squares_ = 0;
  double lowest_ = std::numeric_limits<double>::infinity();
  double highest_ = -std::numeric_limits<double>::infinity();
};

}  // namespace

DataProfile learn_profile(const ReaderOptions& options, ScalingKind kind) {
  ReaderOptions reading = options;
  reading.shuffle_rows = 0;
  reading.scaling.clear();
  const std::unique_ptr<RowSource> source =
      open_source(source_options(reading, /*raw_dense=*/true));
  std::vector<DistinctCounter> distinct(options.schema.categorical.size());
  std::vector<Moments> moments(options.schema.dense.size(), Moments(kind));
  const std::shared_ptr<ThreadPool> pool = decode_pool(options);
  DataProfile profile;
  Prefetcher<Rows> blocks(source->blocks_ahead(), [&](Rows& rows) { return source->read(rows); });
  std::shared_ptr<const BadRows> bad;
  for (Rows rows; blocks.next(rows);) {
    bad = rows.bad;
    profile.rows += rows.size;
    for (const float label : rows.labels) profile.positive_rows += label == 1.0F ? 1 : 0;
    const auto columns = static_cast<std::int64_t>(distinct.size());
    pool->run(columns + static_cast<std::int64_t>(moments.size()), [&](std::int64_t c) {
      if (c < columns) {
        distinct[c].add(rows.categorical[c].values());
      } else {
        moments[c - columns].add(rows.unscaled[c - columns]);
      }
    });
  }
  if (bad) profile.bad_rows = *bad;
  if (profile.rows == 0) {
    throw Error(ErrorKind::kData, bad ? concat("all ", bad->count, " rows are bad") : "no rows",
                options.files.front(), bad ? bad->first.front() : "");
  }
  for (const DistinctCounter& counter : distinct) profile.distinct_ids.push_back(counter.count());
  for (const Moments& column : moments) profile.scaling.push_back(column.scaling());
  return profile;
}

}  // namespace taut::data
