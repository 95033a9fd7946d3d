#pragma once
// Files of validation and test beside a training file.

#include <filesystem>
#include <string>

#include "taut/data/init.h"

namespace taut::data {

struct FileBeside {
  std::filesystem::path path;  ///< empty: there is none
  std::string unused;          ///< why it cannot be one: "no label: for predict"; "" if it can
};

/// The files of a data set, absolute; train may be a glob.
struct FilesBeside {
  std::filesystem::path train;
  FileBeside valid;
  FileBeside test;
  double train_files = 1;  ///< bytes of all training files over those of the one looked at
};

/// train.parquet, or one of train-0.parquet, train-1.parquet ... (then all of them), brings what is
/// beside it by name. Each is opened with the guess's columns; a file that cannot be read at all is
/// taken all the same, for training to name what is wrong.
[[nodiscard]] FilesBeside files_beside(const SchemaGuess& guess);

}  // namespace taut::data
