#include "rows.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace taut::data {
namespace {

constexpr std::int64_t kTransposeRows = 256;

template <typename From, typename T>
void append_range(const From& from, std::int64_t begin, std::int64_t count, std::vector<T>& to) {
  if (from.empty()) return;
  to.insert(to.end(), from.begin() + begin, from.begin() + begin + count);
}

void append_ids(const IdRows& from, std::int64_t begin, std::int64_t count, std::int64_t to_size,
                IdRows& to) {
  if (from.single() && to.single()) return append_range(from.values(), begin, count, to.ids);
  to.make_bags(to_size);
  for (std::int64_t row = begin; row < begin + count; ++row) {
    const std::int64_t first = from.single() ? row : from.offsets[row];
    const std::int64_t last = from.single() ? row + 1 : from.offsets[row + 1];
    append_range(from.values(), first, last - first, to.ids);
    to.offsets.push_back(static_cast<std::int64_t>(to.ids.size()));
  }
}

// Moves what stays to the front. runs: [begin, end) of rows that stay.
using Runs = std::vector<std::pair<std::int64_t, std::int64_t>>;

template <typename T>
void keep_runs(const Runs& runs, std::vector<T>& values) {
  if (values.empty()) return;
  auto out = values.begin();
  for (const auto& [begin, end] : runs) {
    out = std::move(values.begin() + begin, values.begin() + end, out);
  }
  values.erase(out, values.end());
}

void keep_id_runs(const Runs& runs, IdRows& column) {
  if (column.single() && column.owner == nullptr) return keep_runs(runs, column.ids);
  IdRows kept;
  if (!column.single()) kept.offsets.push_back(0);
  std::int64_t size = 0;
  for (const auto& [begin, end] : runs) {
    append_ids(column, begin, end - begin, size, kept);
    size += end - begin;
  }
  column = std::move(kept);
}

template <typename From, typename T>
void copy_range(const From& from, std::int64_t begin, std::int64_t count, std::vector<T>& to) {
  if (from.empty()) return to.clear();
  to.assign(from.begin() + begin, from.begin() + begin + count);
}

// Row-major [count, columns] from columns, a few rows at a time so that they stay in the cache.
void transpose(const std::vector<std::vector<float>>& columns, std::int64_t begin,
               std::int64_t count, std::vector<float>& to) {
  const std::size_t width = columns.size();
  to.resize(static_cast<std::size_t>(count) * width);
  for (std::int64_t first = 0; first < count; first += kTransposeRows) {
    const std::int64_t last = std::min(first + kTransposeRows, count);
    for (std::size_t c = 0; c < width; ++c) {
      const float* from = columns[c].data() + begin;
      float* out = to.data() + c;
      for (std::int64_t row = first; row < last; ++row) {
        out[static_cast<std::size_t>(row) * width] = from[row];
      }
    }
  }
}

void copy_bags(const IdRows& from, std::int64_t begin, std::int64_t count, IdColumn& to) {
  const bool single = from.single();
  const std::int64_t first = single ? begin : from.offsets[begin];
  const std::int64_t last = single ? begin + count : from.offsets[begin + count];
  copy_range(from.values(), first, last - first, to.ids);
  to.offsets.resize(static_cast<std::size_t>(count) + 1);
  for (std::int64_t row = 0; row <= count; ++row) {
    to.offsets[row] = single ? row : from.offsets[begin + row] - first;
  }
}

}  // namespace

void IdRows::make_bags(std::int64_t size) {
  if (!single()) return;
  offsets.resize(static_cast<std::size_t>(size) + 1);
  std::iota(offsets.begin(), offsets.end(), std::int64_t{0});
}

void IdRows::drop_trivial_offsets(std::int64_t size) {
  if (single() || static_cast<std::int64_t>(ids.size()) != size) return;
  for (std::int64_t row = 0; row <= size; ++row) {
    if (offsets[row] != row) return;
  }
  offsets.clear();
}

void Rows::reset(const Schema& schema) {
  reuse(schema);
  labels.clear();
  time.clear();
  for (std::vector<float>& column : dense) column.clear();
  for (std::vector<double>& column : unscaled) column.clear();
  for (IdRows& column : categorical) column.clear();
}

void Rows::reuse(const Schema& schema) {
  size = 0;
  bad.reset();
  marked.clear();
  origin.clear();
  dense.resize(schema.dense.size());
  unscaled.resize(schema.dense.size());
  categorical.resize(schema.categorical.size());
}

void append_rows(const Rows& from, std::int64_t begin, std::int64_t count, Rows& to) {
  append_range(from.labels, begin, count, to.labels);
  append_range(from.time, begin, count, to.time);
  append_range(from.marked, begin, count, to.marked);
  append_range(from.origin, begin, count, to.origin);
  for (std::size_t c = 0; c < from.dense.size(); ++c) {
    append_range(from.dense[c], begin, count, to.dense[c]);
  }
  for (std::size_t c = 0; c < from.categorical.size(); ++c) {
    append_ids(from.categorical[c], begin, count, to.size, to.categorical[c]);
  }
  to.size += count;
}

void remove_rows(std::span<const std::int64_t> positions, Rows& rows) {
  if (positions.empty()) return;
  Runs runs;
  std::int64_t begin = 0;
  for (const std::int64_t position : positions) {
    if (position > begin) runs.emplace_back(begin, position);
    begin = position + 1;
  }
  if (begin < rows.size) runs.emplace_back(begin, rows.size);
  keep_runs(runs, rows.labels);
  keep_runs(runs, rows.time);
  keep_runs(runs, rows.marked);
  keep_runs(runs, rows.origin);
  for (std::vector<float>& column : rows.dense) keep_runs(runs, column);
  for (std::vector<double>& column : rows.unscaled) keep_runs(runs, column);
  for (IdRows& column : rows.categorical) keep_id_runs(runs, column);
  rows.size -= static_cast<std::int64_t>(positions.size());
}

void to_batch(const Rows& rows, std::int64_t begin, std::int64_t count, Batch& batch) {
  batch.size = count;
  copy_range(rows.labels, begin, count, batch.labels);
  copy_range(rows.time, begin, count, batch.time);
  copy_range(rows.marked, begin, count, batch.bad);
  copy_range(rows.origin, begin, count, batch.origin);
  transpose(rows.dense, begin, count, batch.dense);
  batch.categorical.resize(rows.categorical.size());
  for (std::size_t c = 0; c < rows.categorical.size(); ++c) {
    copy_bags(rows.categorical[c], begin, count, batch.categorical[c]);
  }
}

void scale_column(const DenseScaling& scaling, std::span<const double> values,
                  std::vector<float>& scaled) {
  scaled.resize(values.size());
  const bool none = scaling.kind == ScalingKind::kNone;
  const bool log = scaling.kind == ScalingKind::kLog;
  const double mean = none ? 0.0 : scaling.mean;
  const double factor = none ? 1.0 : 1.0 / scaling.deviation;
  for (std::size_t row = 0; row < values.size(); ++row) {
    const double x = log ? std::log1p(std::max(values[row], 0.0)) : values[row];
    scaled[row] = std::isnan(values[row]) ? 0.0F : static_cast<float>((x - mean) * factor);
  }
}

}  // namespace taut::data
