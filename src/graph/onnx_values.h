#pragma once
// The values of a network that was read from an ONNX file: views of the file where they lie as they
// are wanted, else copies; all of them owned here.

#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/onnx_file.h"
#include "taut/core/file.h"

namespace taut::graph {

/// Views stay valid while the object lives, and while the bytes of the model do.
/// Not for sharing between threads.
class OnnxValues {
 public:
  /// Bytes that copies may take in all: what bounds memory and time, whatever the file says.
  static constexpr std::int64_t kMostCopied = std::int64_t{1} << 30;

  /// folder: where external values lie; empty: nowhere. source names the model in errors.
  OnnxValues(std::string source, std::string folder)
      : source_(std::move(source)), folder_(std::move(folder)) {}
  OnnxValues(const OnnxValues&) = delete;
  OnnxValues& operator=(const OnnxValues&) = delete;

  /// The values of a constant in the order of its shape. Errors, naming the constant: kData (none
  /// are there, no numbers), kFormat (another number than its shape says, a place outside of the
  /// model's folder), kNotFound and kIo (its file), kUnsupported (a type, sparse values, copies
  /// above kMostCopied).
  [[nodiscard]] std::span<const float> floats(const OnnxTensor& tensor);
  /// The same of signed 8-bit codes.
  [[nodiscard]] std::span<const std::int8_t> codes(const OnnxTensor& tensor);

  /// Zeros to be filled in. Errors: kUnsupported above kMostCopied, naming the owner.
  [[nodiscard]] std::span<float> make(std::int64_t count, const std::string& owner);
  [[nodiscard]] std::span<std::int8_t> make_codes(std::int64_t count, const std::string& owner);

  [[nodiscard]] const std::string& source() const noexcept { return source_; }

 private:
  void charge(std::int64_t count, std::int64_t width, const std::string& owner);
  std::span<const float> read(const OnnxTensor& tensor, const std::string& owner);
  std::string_view stored(const OnnxTensor& tensor, std::int64_t count, const std::string& owner);

  std::string source_;
  std::string folder_;
  std::int64_t copied_ = 0;
  std::deque<std::vector<float>> floats_;  // deques: views of their elements stay valid
  std::deque<std::vector<std::int8_t>> codes_;
  std::map<std::string, MappedFile> files_;
  std::map<const OnnxTensor*, std::span<const float>> read_;
};

}  // namespace taut::graph
