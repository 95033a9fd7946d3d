#pragma once
// Rows of tables between collections and files.

#include <string>

#include "taut/embedding/embedding.h"

namespace taut::train {

/// Loads the rows of a Parquet file (data::read_row_table) into a collection; tables are found by
/// name, a file without names is for the only table. Errors: those of the reader; kData for a table
/// that is not there, naming the file and the nearest name; kUnsupported for the method.
embedding::LoadedRows load_row_file(const std::string& path, embedding::Embedding& tables);

}  // namespace taut::train
