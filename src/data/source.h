#pragma once
// A stream of decoded blocks, and the kinds of files that make one.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bad_rows.h"
#include "files.h"
#include "rows.h"
#include "taut/core/thread_pool.h"
#include "taut/data/reader.h"

namespace taut::data {

/// Most rows of a block.
inline constexpr std::int64_t kBlockRows = 32768;

class RowSource {
 public:
  RowSource() = default;
  virtual ~RowSource() = default;
  RowSource(const RowSource&) = delete;
  RowSource& operator=(const RowSource&) = delete;

  /// Replaces the block by the next one, bad rows left out (so it may be empty); false at the end.
  virtual bool read(Rows& rows) = 0;
  /// Rows in all files, 0 if not known.
  [[nodiscard]] virtual std::int64_t known_rows() const noexcept = 0;
  /// How many blocks to decode ahead.
  [[nodiscard]] virtual std::size_t blocks_ahead() const noexcept { return 2; }
};

/// What a column of the schema is for.
enum class Role { kLabel, kTime, kDense, kCategorical };

struct ColumnRole {
  std::string name;
  Role role;
  std::size_t index = 0;                 ///< among the dense or categorical columns
  std::optional<double> threshold = {};  ///< of a label: numbers from here on are a 1
};

/// Labels are 1 where the numbers reach the threshold, else 0; NaN is a bad cell.
void apply_threshold(double threshold, std::span<const double> numbers, std::vector<float>& labels,
                     BadCells& bad);

/// The schema as one list: label, time, dense, categorical.
[[nodiscard]] std::vector<ColumnRole> column_roles(const Schema& schema);
/// The names of these columns, for messages.
[[nodiscard]] std::vector<std::string> column_names(const std::vector<ColumnRole>& roles);

/// What all sources need to know. raw_dense: give Rows::unscaled in place of Rows::dense.
struct SourceOptions {
  ReaderOptions reader;
  std::vector<InputFile> files;
  bool raw_dense = false;
};

/// Checks options and finds the files.
[[nodiscard]] SourceOptions source_options(const ReaderOptions& options, bool raw_dense);

/// Opens the source that reads them.
[[nodiscard]] std::unique_ptr<RowSource> open_source(const SourceOptions& options);

[[nodiscard]] std::unique_ptr<RowSource> open_parquet(const SourceOptions& options);
[[nodiscard]] std::unique_ptr<RowSource> open_arrow(const SourceOptions& options);
[[nodiscard]] std::unique_ptr<RowSource> open_text(const SourceOptions& options);

/// The pool of a reader's options, or one of the threads that they ask for.
[[nodiscard]] std::shared_ptr<ThreadPool> decode_pool(const ReaderOptions& options);

/// Replaces one dense column of a block by these values, NaN where one is missing: scaled, or as
/// they are (then `values` is spent) where the source gives raw ones.
void finish_dense(const SourceOptions& options, std::size_t column, std::vector<double>& values,
                  Rows& rows);

/// The order in which n units (files, row groups) are read: 0, 1, ... or shuffled by (seed, epoch).
[[nodiscard]] std::vector<std::size_t> unit_order(const ReaderOptions& options, std::size_t units);

}  // namespace taut::data
