#include "taut/data/synth.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <numeric>
#include <thread>
#include <utility>

#include "planted.h"
#include "table_writer.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/core/thread_pool.h"

namespace taut::data {
namespace {

constexpr std::int64_t kRowsAtOnce = 1 << 16;
constexpr std::int64_t kRowsPerTask = 1 << 12;
constexpr int kMostColumns = 4096;
constexpr int kMostMultiIds = 1000;
constexpr double kDecadesOfIds = 2.5;  // from the first column's size to the last one's

template <typename T>
void check_range(std::string_view name, T value, T low, T high) {
  if (value >= low && value <= high) return;
  throw_invalid_argument(name, concat("from ", low, " to ", high), concat(value));
}

void check_options(const SynthOptions& o) {
  check_range<std::int64_t>("rows", o.rows, 1, std::int64_t{1} << 50);
  check_range("categorical", o.categorical, 1, kMostColumns);
  check_range("dense", o.dense, 0, kMostColumns);
  check_range("multi_columns", o.multi_columns, 0, o.categorical);
  check_range("multi_ids", o.multi_ids, 1, kMostMultiIds);
  check_range("factors", o.factors, 1, kMostFactors);
  check_range("exponent", o.exponent, 0.0, 10.0);
  check_range("drift", o.drift, 0.0, 1000.0);
  check_range("bayes_auc", o.bayes_auc, 0.501, 0.99);
  check_range("positive_rate", o.positive_rate, 0.001, 0.999);
  if (o.ids.size() != 1 && o.ids.size() != static_cast<std::size_t>(o.categorical)) {
    throw_invalid_argument("ids",
                           concat("one number for all or one per column (", o.categorical, ")"),
                           concat(o.ids.size(), " numbers"));
  }
  for (const std::int64_t ids : o.ids)
    check_range<std::int64_t>("ids", ids, 1, std::int64_t{1} << 50);
  if (o.split.empty()) return;
  if (o.split.size() != 3) {
    throw_invalid_argument("split", "three shares (train, valid, test)",
                           concat(o.split.size(), " shares"));
  }
  for (const double share : o.split) check_range("split", share, 0.001, 1.0);
  const double sum = std::accumulate(o.split.begin(), o.split.end(), 0.0);
  if (std::abs(sum - 1) > 1e-6)
    throw_invalid_argument("split", "shares with sum 1", concat("sum ", sum));
}

std::vector<OutputColumn> output_columns(const SynthOptions& options) {
  std::vector<OutputColumn> columns{{"label", OutputType::kInt8}, {"time", OutputType::kInt64}};
  for (int d = 0; d < options.dense; ++d) columns.push_back({concat("d_", d), OutputType::kFloat});
  for (int c = 0; c < options.categorical; ++c) {
    const bool multiple = c >= options.categorical - options.multi_columns;
    columns.push_back({concat("c_", c), multiple ? OutputType::kList : OutputType::kInt64});
  }
  return columns;
}

void draw_rows(const PlantedModel& model, std::int64_t first, std::vector<PlantedRow>& rows,
               std::vector<double>& probabilities, ThreadPool& pool) {
  const auto size = static_cast<std::int64_t>(rows.size());
  pool.parallel_for(size, kRowsPerTask, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto row = static_cast<std::uint64_t>(first + i);
      model.draw(row, rows[i]);
      probabilities[i] = model.probability(row, rows[i]);
    }
  });
}

OutputValues id_column(const std::vector<PlantedRow>& rows, std::size_t column, bool multiple) {
  if (!multiple) {
    std::vector<std::int64_t> ids;
    for (const PlantedRow& row : rows) ids.push_back(row.ids[column][0]);
    return ids;
  }
  IdRows bags;
  bags.offsets.push_back(0);
  for (const PlantedRow& row : rows) {
    bags.ids.insert(bags.ids.end(), row.ids[column].begin(), row.ids[column].end());
    bags.offsets.push_back(static_cast<std::int64_t>(bags.ids.size()));
  }
  return bags;
}

// Draws blocks of rows and keeps what is used from one to the next.
class Generator {
 public:
  explicit Generator(const SynthOptions& options)
      : options_(options),
        columns_(output_columns(options)),
        model_(options),
        pool_(options.threads > 0
                  ? options.threads
                  : std::max(1, static_cast<int>(std::thread::hardware_concurrency()))) {}

  void draw(std::int64_t first, std::int64_t size) {
    rows_.resize(static_cast<std::size_t>(size));
    probabilities_.resize(static_cast<std::size_t>(size));
    draw_rows(model_, first, rows_, probabilities_, pool_);
    values_.resize(columns_.size());
    std::vector<std::int8_t> labels(rows_.size());
    std::vector<std::int64_t> time(rows_.size());
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      time[i] = first + static_cast<std::int64_t>(i);
      labels[i] = model_.label(static_cast<std::uint64_t>(time[i]), probabilities_[i]) ? 1 : 0;
    }
    positive_rows_ = std::accumulate(labels.begin(), labels.end(), std::int64_t{0});
    values_[0] = std::move(labels);
    values_[1] = std::move(time);
    const auto dense = static_cast<std::int64_t>(options_.dense);
    pool_.run(static_cast<std::int64_t>(columns_.size()) - 2, [&](std::int64_t c) {
      const auto at = static_cast<std::size_t>(c) + 2;
      if (c >= dense) {
        values_[at] = id_column(rows_, static_cast<std::size_t>(c - dense),
                                columns_[at].type == OutputType::kList);
        return;
      }
      std::vector<float> column;
      for (const PlantedRow& row : rows_) column.push_back(row.dense[static_cast<std::size_t>(c)]);
      values_[at] = std::move(column);
    });
  }

  [[nodiscard]] const std::vector<OutputColumn>& columns() const noexcept { return columns_; }
  [[nodiscard]] const std::vector<OutputValues>& values() const noexcept { return values_; }
  [[nodiscard]] const std::vector<double>& probabilities() const noexcept { return probabilities_; }
  [[nodiscard]] std::int64_t positive_rows() const noexcept { return positive_rows_; }

 private:
  SynthOptions options_;
  std::vector<OutputColumn> columns_;
  PlantedModel model_;
  ThreadPool pool_;
  std::vector<PlantedRow> rows_;
  std::vector<double> probabilities_;
  std::vector<OutputValues> values_;
  std::int64_t positive_rows_ = 0;
};

// The files to write, with their rows set.
std::vector<SynthFile> plan_files(const SynthOptions& options) {
  if (options.split.empty()) return {{.path = options.path, .rows = options.rows}};
  const std::filesystem::path path(options.path);
  std::vector<SynthFile> files;
  for (const std::string name : {"train", "valid", "test"}) {
    const double share = options.split[files.size()];
    files.push_back({.path = (path.parent_path() / (name + path.extension().string())).string(),
                     .rows = std::llround(share * static_cast<double>(options.rows))});
  }
  files[0].rows = options.rows - files[1].rows - files[2].rows;
  for (const SynthFile& file : files) {
    if (file.rows < 1) {
      throw_invalid_argument("rows", "enough for a row in each part", std::to_string(options.rows));
    }
  }
  return files;
}

}  // namespace

std::vector<std::int64_t> synthetic_ids(const SynthOptions& options) {
  if (options.ids.size() != 1) return options.ids;
  const auto columns = static_cast<std::size_t>(options.categorical);
  std::vector<double> shares(columns, 1.0);
  for (std::size_t c = 0; c < columns && columns > 1; ++c) {
    shares[c] =
        std::pow(10.0, -kDecadesOfIds * static_cast<double>(c) / static_cast<double>(columns - 1));
  }
  const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
  std::vector<std::int64_t> ids;
  for (const double share : shares) {
    ids.push_back(std::llround(share / total * static_cast<double>(options.ids[0])));
  }
  return ids;
}

SynthResult write_synthetic(const SynthOptions& options,
                            const std::function<void(std::int64_t)>& progress) {
  check_options(options);
  SynthResult result;
  result.ids = synthetic_ids(options);
  result.files = plan_files(options);
  const std::vector<OutputColumn> columns = output_columns(options);
  std::vector<std::unique_ptr<TableWriter>> writers;
  for (const SynthFile& file : result.files) writers.push_back(open_table(file.path, columns));
  Generator generator(options);
  ExpectedAuc of_all;
  for (std::size_t f = 0; f < result.files.size(); ++f) {
    SynthFile& file = result.files[f];
    ExpectedAuc of_file;
    for (std::int64_t done = 0; done < file.rows; done += kRowsAtOnce) {
      const std::int64_t size = std::min(kRowsAtOnce, file.rows - done);
      generator.draw(result.rows, size);
      writers[f]->write(generator.values(), size);
      for (const double probability : generator.probabilities()) {
        of_file.add(probability);
        of_all.add(probability);
      }
      file.positive_rows += generator.positive_rows();
      result.rows += size;
      if (progress) progress(result.rows);
    }
    file.bayes_auc = of_file.value();
    file.bytes = writers[f]->commit();
    result.bytes += file.bytes;
    result.positive_rate += static_cast<double>(file.positive_rows);
  }
  result.positive_rate /= static_cast<double>(result.rows);
  result.bayes_auc = of_all.value();
  return result;
}

}  // namespace taut::data
