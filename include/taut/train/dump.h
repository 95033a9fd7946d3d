#pragma once
// Dumping the rows of a run or package.

#include <cstdint>
#include <string>
#include <vector>

namespace taut::train {

/// What was dumped.
struct DumpedRows {
  std::int64_t rows = 0;
  std::int64_t ids = 0;    ///< distinct ids that were asked for
  std::int64_t bytes = 0;  ///< of the file
  std::string source;      ///< the checkpoint or package
};

/// Writes the resident rows of a run (its last or best checkpoint) or package as a row table
/// (data::open_row_table). Tables know hashes of ids alone, so ids come from files: those named,
/// else a run's training files or a package's test files. Distinct ids are held in memory.
/// Errors: kUnsupported for methods without rows (naming it), kConfig where no files are known;
/// those of the files.
DumpedRows dump_rows(const std::string& source, const std::string& path,
                     const std::vector<std::string>& files, int threads);

}  // namespace taut::train
