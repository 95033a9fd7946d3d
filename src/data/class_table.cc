#include "class_table.h"

#include <algorithm>
#include <numeric>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {

ClassTable::ClassTable(std::int64_t classes, std::vector<std::string> names)
    : count_(classes), fixed_(classes > 0), names_given_(!names.empty()), names_(std::move(names)) {
  if (!names_given_) return;
  const auto size = static_cast<std::int64_t>(names_.size());
  if (fixed_ && size != count_) {
    throw Error(ErrorKind::kConfig, concat(size, " class names but classes = ", count_), {},
                "leave classes out");
  }
  for (const std::string& name : names_) {
    if (!index_.emplace(name, static_cast<std::int32_t>(index_.size())).second) {
      throw Error(ErrorKind::kConfig, concat("class name \"", name, "\" comes twice"));
    }
  }
  count_ = size;
  fixed_ = true;
}

void ClassTable::add(const SourceClasses& source, const std::string& where) {
  if (source.count > 0) {
    if (fixed_ && source.count != count_) {
      throw Error(ErrorKind::kData,
                  concat("labels are of ", source.count, " classes, not of ", count_), where,
                  "join only files of the same classes");
    }
    count_ = source.count;
    fixed_ = true;
  }
  if (!source.names.empty()) {
    if (names_.empty()) names_ = source.names;
    if (names_ != source.names) {
      throw Error(ErrorKind::kData, "the classes have other names than those before", where,
                  concat("names: ", join(source.names, ", ")));
    }
  }
  if (names_given_) return;
  for (const std::string& name : source.in_files) number_of(name);
}

std::string ClassTable::resolve(std::int64_t number, const std::string& name, std::int32_t& label) {
  (name.empty() ? numbers_met_ : names_met_) = true;
  if (numbers_met_ && names_met_) return "some records have a class name, others a number";
  return name.empty() ? resolve_number(number, label) : resolve_name(name, label);
}

std::string ClassTable::resolve_number(std::int64_t number, std::int32_t& label) {
  const std::int64_t most = fixed_ ? count_ : kMostClasses;
  if (number < 0 || number >= most) {
    return concat("the label is ", number, ", must be 0 to ", most - 1);
  }
  label = static_cast<std::int32_t>(number);
  count_ = std::max(count_, number + 1);
  return {};
}

std::string ClassTable::resolve_name(const std::string& name, std::int32_t& label) {
  const auto known = index_.find(name);
  if (known != index_.end()) {
    label = known->second;
    return {};
  }
  if (names_given_) return concat("class \"", name, "\" is not one of the ", count_, " classes");
  if (static_cast<std::int64_t>(index_.size()) == (fixed_ ? count_ : kMostClasses)) {
    return concat("class \"", name, "\" is one more than the ", index_.size(), " classes");
  }
  label = number_of(name);
  return {};
}

std::int32_t ClassTable::number_of(const std::string& name) {
  const auto [place, is_new] = index_.emplace(name, static_cast<std::int32_t>(index_.size()));
  if (is_new) names_.push_back(name);
  if (!fixed_) count_ = static_cast<std::int64_t>(index_.size());
  return place->second;
}

void ClassTable::finish(std::span<std::int32_t> labels) {
  if (names_given_ || index_.empty()) return;
  std::vector<std::int32_t> order(names_.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return names_[static_cast<std::size_t>(a)] < names_[static_cast<std::size_t>(b)];
  });
  std::vector<std::int32_t> final_label(names_.size());
  std::vector<std::string> sorted;
  for (const std::int32_t provisional : order) {
    final_label[static_cast<std::size_t>(provisional)] = static_cast<std::int32_t>(sorted.size());
    sorted.push_back(names_[static_cast<std::size_t>(provisional)]);
  }
  names_ = std::move(sorted);
  for (std::int32_t& label : labels) label = final_label[static_cast<std::size_t>(label)];
}

}  // namespace taut::data
