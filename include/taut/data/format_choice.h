#pragma once
// In which format files are read that a model did not learn from.

#include <span>
#include <string>

#include "taut/data/reader.h"

namespace taut::data {

/// The value of ReaderOptions::format for files that a model is asked about, which may be of
/// another format than those that it learnt from (learnt.format, learnt.schema): Parquet by
/// content, text by ending. What says nothing of itself (no ending of ours, or Criteo's lines
/// without a header) is read as it was learnt from. Files that cannot be opened are left for the
/// reader to name.
[[nodiscard]] std::string choose_format(std::span<const std::string> files,
                                        const ReaderOptions& learnt);

}  // namespace taut::data
