#include "source.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <set>
#include <thread>
#include <utility>

#include "taut/core/error.h"
#include "taut/core/random.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

constexpr int kMostThreads = 8;

void check_names(const std::vector<std::string>& names, const std::string& label,
                 std::string_view kind) {
  std::set<std::string_view> seen;
  for (const std::string& name : names) {
    if (!seen.insert(name).second) {
      throw Error(ErrorKind::kConfig, concat("column \"", name, "\" is listed twice"),
                  concat("data.", kind), "leave one of them out");
    }
    if (!label.empty() && name == label) {  // "" is no label, but may be an input's name
      throw Error(ErrorKind::kConfig, concat("the label \"", name, "\" is also an input"),
                  concat("data.", kind), "leave it out there");
    }
  }
}

void check_options(const ReaderOptions& options) {
  const Schema& schema = options.schema;
  const std::string label = label_rule(schema.label).column;
  check_names(schema.dense, label, "dense");
  check_names(schema.categorical, label, "categorical");
  if (options.batch_size < 1) {
    throw_invalid_argument("batch_size", "1 or more", std::to_string(options.batch_size));
  }
  if (options.shuffle_rows < 0) {
    throw_invalid_argument("shuffle_rows", "0 or more", std::to_string(options.shuffle_rows));
  }
  if (options.keep_bad_rows && options.shuffle_rows > 0) {
    throw_invalid_argument("shuffle_rows", "0 with keep_bad_rows",
                           std::to_string(options.shuffle_rows));
  }
  if (options.threads < 0) {
    throw_invalid_argument("threads", "0 or more", std::to_string(options.threads));
  }
  if (!options.scaling.empty() && options.scaling.size() != schema.dense.size()) {
    throw_invalid_argument("scaling",
                           concat("empty or one per dense column (", schema.dense.size(), ")"),
                           std::to_string(options.scaling.size()));
  }
  for (const DenseScaling& scaling : options.scaling) {
    if (!std::isfinite(scaling.mean) || !(scaling.deviation > 0)) {
      throw_invalid_argument("scaling", "a finite mean and a deviation above 0",
                             concat("mean ", scaling.mean, ", deviation ", scaling.deviation));
    }
  }
}

// A part by time needs its column read.
void take_time_of(const InputFile& file, Schema& schema) {
  const std::string& column = file.part.column;
  if (column.empty() || column == schema.time) return;
  if (!schema.time.empty()) {
    throw Error(
        ErrorKind::kConfig,
        concat("rows are chosen by \"", column, "\", but the time is \"", schema.time, "\""),
        file.path, "choose them by the column of data.time");
  }
  schema.time = column;
}

}  // namespace

LabelRule label_rule(const std::string& label) {
  constexpr std::string_view kFrom = " >= ";
  const std::size_t at = label.rfind(kFrom);
  if (at == std::string::npos) return {label, std::nullopt};
  const std::string_view number = std::string_view(label).substr(at + kFrom.size());
  double threshold = 0;
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), threshold);
  if (error != std::errc() || end != number.data() + number.size()) return {label, std::nullopt};
  return {label.substr(0, at), threshold};
}

void apply_threshold(double threshold, std::span<const double> numbers, std::vector<float>& labels,
                     BadCells& bad) {
  labels.resize(numbers.size());
  for (std::size_t row = 0; row < numbers.size(); ++row) {
    if (std::isnan(numbers[row])) {
      bad.add(static_cast<std::int64_t>(row), [] { return std::string("the label is missing"); });
    }
    labels[row] = numbers[row] >= threshold ? 1.0F : 0.0F;
  }
}

std::vector<ColumnRole> column_roles(const Schema& schema) {
  std::vector<ColumnRole> roles;
  if (!schema.label.empty()) {
    const LabelRule rule = label_rule(schema.label);
    roles.push_back({rule.column, Role::kLabel, 0, rule.threshold});
  }
  if (!schema.time.empty()) roles.push_back({schema.time, Role::kTime});
  for (std::size_t c = 0; c < schema.dense.size(); ++c) {
    roles.push_back({schema.dense[c], Role::kDense, c});
  }
  for (std::size_t c = 0; c < schema.categorical.size(); ++c) {
    roles.push_back({schema.categorical[c], Role::kCategorical, c});
  }
  return roles;
}

std::vector<std::string> column_names(const std::vector<ColumnRole>& roles) {
  std::vector<std::string> names;
  for (const ColumnRole& role : roles) names.push_back(role.name);
  return names;
}

SourceOptions source_options(const ReaderOptions& options, bool raw_dense) {
  check_options(options);
  SourceOptions source{options, resolve_files(options), raw_dense};
  for (const InputFile& file : source.files) take_time_of(file, source.reader.schema);
  if (column_roles(source.reader.schema).empty()) {
    throw Error(ErrorKind::kConfig, "no columns to read", "[data]",
                "name a label, dense or categorical columns");
  }
  return source;
}

std::unique_ptr<RowSource> open_source(const SourceOptions& source) {
  const auto kind = [](const InputFile& file) {
    return file.format == Format::kParquet ? 0 : file.format == Format::kArrow ? 1 : 2;
  };
  const int first = kind(source.files.front());
  if (std::any_of(source.files.begin(), source.files.end(),
                  [&](const InputFile& file) { return kind(file) != first; })) {
    throw Error(ErrorKind::kUnsupported, "Parquet and text files (or Arrow files) in one list",
                concat(source.files.front().path, " ... ", source.files.back().path),
                "convert one kind to the other");
  }
  return first == 0 ? open_parquet(source) : first == 1 ? open_arrow(source) : open_text(source);
}

std::shared_ptr<ThreadPool> decode_pool(const ReaderOptions& options) {
  if (options.pool != nullptr) return options.pool;
  const int processors = static_cast<int>(std::thread::hardware_concurrency());
  return std::make_shared<ThreadPool>(
      options.threads > 0 ? options.threads : std::clamp(processors, 1, kMostThreads));
}

void finish_dense(const SourceOptions& options, std::size_t column, std::vector<double>& values,
                  Rows& rows) {
  if (options.raw_dense) return std::swap(rows.unscaled[column], values);
  const std::vector<DenseScaling>& all = options.reader.scaling;
  scale_column(all.empty() ? DenseScaling{ScalingKind::kNone} : all[column], values,
               rows.dense[column]);
}

std::vector<std::size_t> unit_order(const ReaderOptions& options, std::size_t units) {
  std::vector<std::size_t> order(units);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (options.shuffle_rows == 0) return order;
  const CounterRandom random =
      CounterRandom(options.seed).with(0x756E6974).with(static_cast<std::uint64_t>(options.epoch));
  for (std::size_t n = units; n > 1; --n) {
    std::swap(order[n - 1], order[random.below(n, n)]);
  }
  return order;
}

}  // namespace taut::data
