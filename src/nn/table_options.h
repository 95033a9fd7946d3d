#pragma once
// Options of tables as JSON, the form in which Python hands them over.

#include <string>

#include "taut/embedding/options.h"

namespace taut::nn {

/// Reads {"tables": [{"name", "distinct_ids"}], "dim": 16, "budget": "1/10", ...}: the keys are the
/// members of embedding::Options. Errors: kConfig naming the key and the nearest known one.
[[nodiscard]] embedding::Options parse_table_options(const std::string& json);

/// Options in the form that parse_table_options() reads, every one named.
[[nodiscard]] std::string table_options_text(const embedding::Options& options);

/// The list of options that Python's keywords, signature and help are made from:
/// [{"key", "default", "range", "help", "keyword"}], in order; keyword: whether Python takes it.
[[nodiscard]] std::string table_option_list();

}  // namespace taut::nn
