#pragma once
// How a model's inputs are read, kept with the model: columns, format and learnt scaling as JSON.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "taut/data/reader.h"

namespace taut::data {

/// The fields of options that belong to a model: format, schema, scaling, on_bad_row, and
/// how text is read.
[[nodiscard]] nlohmann::json input_spec(const ReaderOptions& options);

/// Options with those fields set. where: for messages. kFormat when a field is missing or wrong.
[[nodiscard]] ReaderOptions parse_input_spec(const nlohmann::json& spec, const std::string& where);

/// Scaling alone, as it stands in an input spec.
[[nodiscard]] nlohmann::json scaling_json(const std::vector<DenseScaling>& scaling);
/// where: for messages. kFormat naming it and the field that is missing or wrong.
[[nodiscard]] std::vector<DenseScaling> parse_scaling(const nlohmann::json& list,
                                                      const std::string& where);

/// Throws kFormat, naming where and the field: a scaling has a mean that is a number, and a
/// deviation above 0.
void check_scaling(const DenseScaling& scaling, const std::string& where);

}  // namespace taut::data
