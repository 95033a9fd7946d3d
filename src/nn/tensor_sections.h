#pragma once
// Tensors as plain sections of numbers: one section a tensor, and one of JSON with their shapes and
// a few facts. Nothing in them is executed when they are read.

#include <torch/types.h>
#include <torch/utils.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/json_text.h"
#include "taut/core/file.h"

namespace taut::nn {

/// Writes float32 tensors, row-major, as sections prefix + name; finish() writes the section
/// prefix + "tensors". Not for sharing between threads.
class TensorWriter {
 public:
  TensorWriter(SectionSink& file, std::string prefix);

  void add(const std::string& name, const torch::Tensor& tensor);
  /// A fact that fits JSON, e.g. a number of steps.
  template <typename Value>
  void fact(const std::string& name, const Value& value) {
    facts_[name] = value;
  }
  void finish();

 private:
  SectionSink& file_;
  std::string prefix_;
  nlohmann::json shapes_ = nlohmann::json::object();
  nlohmann::json facts_ = nlohmann::json::object();
};

/// Reads what a TensorWriter wrote. Errors of all calls: kFormat naming the file and the section
/// (absent, another shape with both, another number of bytes) or the fact (absent, another type).
class TensorReader {
 public:
  TensorReader(const SectionSource& file, std::string prefix);

  [[nodiscard]] bool has(const std::string& name) const;
  /// A tensor of this shape, which owns its numbers.
  [[nodiscard]] torch::Tensor read(const std::string& name, at::IntArrayRef shape) const;
  /// The same in the memory format of another tensor, whose shape it must have.
  [[nodiscard]] torch::Tensor read_like(const std::string& name, const torch::Tensor& like) const;
  template <typename Value>
  [[nodiscard]] Value fact(const std::string& name) const {
    return json_member<Value>(facts_, name, section_of(file_, prefix_));
  }
  /// Throws kFormat: "section ..." is wrong, because of what.
  [[noreturn]] void throw_wrong(std::string_view name, std::string_view what) const;

 private:
  const SectionSource& file_;
  std::string prefix_;
  nlohmann::json shapes_;
  nlohmann::json facts_;
};

}  // namespace taut::nn
