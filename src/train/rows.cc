#include "train/rows.h"

#include <algorithm>
#include <bit>
#include <filesystem>
#include <unordered_set>
#include <utility>

#include "taut/core/error.h"
#include "taut/core/progress.h"
#include "taut/core/text.h"
#include "taut/data/format_choice.h"
#include "taut/data/input_spec.h"
#include "taut/data/row_table.h"
#include "taut/infer/package.h"
#include "taut/train/dump.h"
#include "taut/train/model.h"
#include "taut/train/run.h"

namespace taut::train {
namespace {

constexpr std::size_t kRowsPerWrite = 1 << 16;

std::vector<std::string> table_names(const embedding::Options& options) {
  std::vector<std::string> names;
  for (const embedding::TableOptions& table : options.tables) names.push_back(table.name);
  return names;
}

// The number of each row's table.
std::vector<std::uint32_t> table_numbers(const data::RowTable& file, const std::string& path,
                                         const std::vector<std::string>& names) {
  if (file.tables.empty()) {
    if (names.size() == 1) return std::vector<std::uint32_t>(file.ids.size(), 0);
    throw Error(ErrorKind::kNotFound,
                concat("no column \"table\", and there are ", names.size(), " tables"), path);
  }
  std::vector<std::uint32_t> numbers;
  numbers.reserve(file.tables.size());
  for (std::size_t row = 0; row < file.tables.size(); ++row) {
    const auto found = std::find(names.begin(), names.end(), file.tables[row]);
    if (found == names.end()) {
      throw Error(
          ErrorKind::kData,
          concat("row ", row + 1, " is of table \"", file.tables[row], "\", which is not there"),
          concat(path, ", column \"table\""), suggest(file.tables[row], names));
    }
    numbers.push_back(static_cast<std::uint32_t>(found - names.begin()));
  }
  return numbers;
}

// Distinct ids of each categorical column, in rising order.
std::vector<std::vector<std::uint64_t>> distinct_ids(const data::ReaderOptions& options) {
  std::vector<std::unordered_set<std::uint64_t>> seen(options.schema.categorical.size());
  data::BatchReader reader(options);
  ProgressBar bar("reading ids", reader.known_rows(), "examples");
  std::int64_t done = 0;
  for (data::Batch batch; reader.next(batch); bar.update(done += batch.size)) {
    for (std::size_t t = 0; t < seen.size(); ++t) {
      seen[t].insert(batch.categorical[t].ids.begin(), batch.categorical[t].ids.end());
    }
  }
  std::vector<std::vector<std::uint64_t>> ids;
  for (const auto& set : seen) {
    ids.emplace_back(set.begin(), set.end());
    std::sort(ids.back().begin(), ids.back().end());
  }
  return ids;
}

data::RowTable to_file(embedding::Rows rows, const std::string& table) {
  data::RowTable file;
  file.tables.assign(rows.size(), table);
  for (const std::uint32_t mask : rows.masks) {
    file.masks.push_back(mask);
    file.widths.push_back(std::popcount(mask));
  }
  file.ids = std::move(rows.ids);
  file.importances = std::move(rows.importances);
  file.vectors = std::move(rows.values);
  return file;
}

template <typename Collection>
DumpedRows dump_collection(const Collection& collection, int dim,
                           const data::ReaderOptions& options, const std::string& path) {
  const std::vector<std::string>& names = options.schema.categorical;
  embedding::Rows none;
  collection.read_rows(0, {}, none);  // a method without rows says so before the files are read
  const auto ids = distinct_ids(options);
  const std::unique_ptr<data::RowTableWriter> file = data::open_row_table(path, dim);
  DumpedRows dumped;
  for (std::size_t t = 0; t < ids.size(); ++t) {
    dumped.ids += static_cast<std::int64_t>(ids[t].size());
    for (std::size_t first = 0; first < ids[t].size(); first += kRowsPerWrite) {
      const std::size_t count = std::min(kRowsPerWrite, ids[t].size() - first);
      embedding::Rows rows;
      collection.read_rows(t, std::span(ids[t]).subspan(first, count), rows);
      dumped.rows += static_cast<std::int64_t>(rows.size());
      if (rows.size() > 0) file->write(to_file(std::move(rows), names[t]));
    }
  }
  dumped.bytes = file->commit();
  return dumped;
}

[[noreturn]] void throw_no_tables(const std::string& source) {
  throw Error(ErrorKind::kConfig, "there are no tables: the model has no categorical columns",
              source);
}

// Files that the model did not learn from: in their own format, with labels or without.
void take_ids_alone(const std::vector<std::string>& files, data::ReaderOptions& options) {
  options.format = data::choose_format(files, options);
  options.schema.label.clear();
}

DumpedRows dump_run(const std::string& run, const std::string& path,
                    const std::vector<std::string>& files, int threads) {
  const OpenedRun whole = open_run(run, threads);
  const RecommenderRun opened = recommender_of(whole, "dump");
  if (opened.model->tables() == nullptr) throw_no_tables(run);
  data::ReaderOptions options = reader_options(
      opened.config, files.empty() ? opened.config.data.train : files, opened.profile);
  if (!files.empty()) take_ids_alone(files, options);
  DumpedRows dumped =
      dump_collection(*opened.model->tables(), opened.config.embedding.dim, options, path);
  dumped.source = opened.checkpoint;
  return dumped;
}

DumpedRows dump_package(const std::string& source, const std::string& path,
                        const std::vector<std::string>& files) {
  const infer::Package package(source);
  if (package.tables() == nullptr) throw_no_tables(source);
  data::ReaderOptions options =
      data::parse_input_spec(nlohmann::json::parse(package.model().input), source);
  options.files = files.empty() ? infer::test_files(package.model()) : files;
  if (!files.empty()) take_ids_alone(files, options);
  if (options.files.empty()) {
    throw Error(ErrorKind::kConfig, "the package names no files to take ids from", source,
                "name one with --data");
  }
  DumpedRows dumped = dump_collection(*package.tables(), package.tables()->dim(), options, path);
  dumped.source = source;
  return dumped;
}

}  // namespace

embedding::LoadedRows load_row_file(const std::string& path, embedding::Embedding& tables) {
  data::RowTable file = data::read_row_table(path, tables.options().dim);
  embedding::Rows rows;
  rows.tables = table_numbers(file, path, table_names(tables.options()));
  rows.ids = std::move(file.ids);
  rows.importances = std::move(file.importances);
  rows.values = std::move(file.vectors);
  return tables.load_rows(rows);
}

DumpedRows dump_rows(const std::string& source, const std::string& path,
                     const std::vector<std::string>& files, int threads) {
  return std::filesystem::is_directory(source) ? dump_run(source, path, files, threads)
                                               : dump_package(source, path, files);
}

}  // namespace taut::train
