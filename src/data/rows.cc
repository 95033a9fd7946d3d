#include "rows.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace taut::data {
namespace {

template <typename T>
void append_range(const std::vector<T>& from, std::int64_t begin, std::int64_t count,
                  std::vector<T>& to) {
  if (from.empty()) return;
  to.insert(to.end(), from.begin() + begin, from.begin() + begin + count);
}

void append_ids(const IdRows& from, std::int64_t begin, std::int64_t count, std::int64_t to_size,
                IdRows& to) {
  if (from.single() && to.single()) return append_range(from.ids, begin, count, to.ids);
  to.make_bags(to_size);
  for (std::int64_t row = begin; row < begin + count; ++row) {
    const std::int64_t first = from.single() ? row : from.offsets[row];
    const std::int64_t last = from.single() ? row + 1 : from.offsets[row + 1];
    append_range(from.ids, first, last - first, to.ids);
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
  if (column.single()) return keep_runs(runs, column.ids);
  IdRows kept;
  kept.offsets.push_back(0);
  std::int64_t size = 0;
  for (const auto& [begin, end] : runs) {
    append_ids(column, begin, end - begin, size, kept);
    size += end - begin;
  }
  column = std::move(kept);
}

template <typename T>
void copy_to(const std::vector<T>& from, std::vector<T>& to) {
  to.assign(from.begin(), from.end());
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
  size = 0;
  labels.clear();
  time.clear();
  dense.resize(schema.dense.size());
  for (std::vector<float>& column : dense) column.clear();
  categorical.resize(schema.categorical.size());
  for (IdRows& column : categorical) {
    column.ids.clear();
    column.offsets.clear();
  }
  bad.reset();
}

void append_rows(const Rows& from, std::int64_t begin, std::int64_t count, Rows& to) {
  append_range(from.labels, begin, count, to.labels);
  append_range(from.time, begin, count, to.time);
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
  for (std::vector<float>& column : rows.dense) keep_runs(runs, column);
  for (IdRows& column : rows.categorical) keep_id_runs(runs, column);
  rows.size -= static_cast<std::int64_t>(positions.size());
}

void to_batch(const Rows& rows, Batch& batch) {
  batch.size = rows.size;
  copy_to(rows.labels, batch.labels);
  copy_to(rows.time, batch.time);
  const std::size_t width = rows.dense.size();
  batch.dense.resize(static_cast<std::size_t>(rows.size) * width);
  for (std::size_t c = 0; c < width; ++c) {
    const float* from = rows.dense[c].data();
    float* to = batch.dense.data() + c;
    for (std::int64_t row = 0; row < rows.size; ++row, to += width) *to = from[row];
  }
  batch.categorical.resize(rows.categorical.size());
  for (std::size_t c = 0; c < rows.categorical.size(); ++c) {
    const IdRows& from = rows.categorical[c];
    IdColumn& to = batch.categorical[c];
    copy_to(from.ids, to.ids);
    if (from.single()) {
      to.offsets.resize(static_cast<std::size_t>(rows.size) + 1);
      std::iota(to.offsets.begin(), to.offsets.end(), std::int64_t{0});
    } else {
      copy_to(from.offsets, to.offsets);
    }
  }
}

void scale_column(const DenseScaling& scaling, std::span<float> values) {
  if (scaling.kind == ScalingKind::kNone) {
    for (float& value : values) value = std::isnan(value) ? 0.0F : value;
    return;
  }
  const double factor = 1.0 / scaling.deviation;
  const bool log = scaling.kind == ScalingKind::kLog;
  for (float& value : values) {
    const double x = log ? std::log1p(std::max(static_cast<double>(value), 0.0)) : value;
    value = std::isnan(value) ? 0.0F : static_cast<float>((x - scaling.mean) * factor);
  }
}

}  // namespace taut::data
