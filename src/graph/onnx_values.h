#pragma once
// The values of a network that was read from an ONNX file: views of the file where they lie as they
// are wanted, else copies; all of them owned here.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/onnx_file.h"
#include "taut/core/file.h"

namespace taut::graph {

/// What is read of the constants of a model.
enum class OnnxContent {
  kValues,
  kSizes,  ///< what lies in the file and is no more than OnnxValues::kMostRead numbers
};

/// Views stay valid while the object lives, and while the bytes of the model do.
/// Not for sharing between threads.
class OnnxValues {
 public:
  /// Bytes that copies may take in all: what bounds memory and time, whatever the file says.
  static constexpr std::int64_t kMostCopied = std::int64_t{1} << 30;
  /// Numbers of a constant that is read where sizes are all that is asked for.
  static constexpr std::int64_t kMostRead = std::int64_t{1} << 16;

  /// folder: where external values lie; empty: nowhere. source names the model in errors.
  OnnxValues(std::string source, std::string folder, OnnxContent content = OnnxContent::kValues)
      : source_(std::move(source)), folder_(std::move(folder)), content_(content) {}
  OnnxValues(const OnnxValues&) = delete;
  OnnxValues& operator=(const OnnxValues&) = delete;

  /// The values of a constant in the order of its shape. Errors, naming the constant: kData (none
  /// are there, no numbers), kFormat (another number than its shape says, a place outside of the
  /// model's folder), kNotFound and kIo (its file), kUnsupported (a type, sparse values, copies
  /// above kMostCopied). Of a constant that is not read: as many numbers that mean nothing.
  [[nodiscard]] std::span<const float> floats(const OnnxTensor& tensor);
  /// The same of signed 8-bit codes.
  [[nodiscard]] std::span<const std::int8_t> codes(const OnnxTensor& tensor);

  /// Whether so many numbers are worth working on: where they are not read, they mean nothing.
  [[nodiscard]] bool reads(std::int64_t count) const noexcept {
    return content_ == OnnxContent::kValues || count <= kMostRead;
  }

  /// Zeros to be filled in; shared ones, of no meaning, for more than reads(). Errors: kUnsupported
  /// above kMostCopied, naming the owner.
  [[nodiscard]] std::span<float> make(std::int64_t count, const std::string& owner);
  [[nodiscard]] std::span<std::int8_t> make_codes(std::int64_t count, const std::string& owner);

  [[nodiscard]] const std::string& source() const noexcept { return source_; }

 private:
  void charge(std::int64_t count, std::int64_t width, const std::string& owner);
  [[noreturn]] void refuse_large(const std::string& owner) const;
  std::span<const float> read(const OnnxTensor& tensor, const std::string& owner);
  std::string_view stored(const OnnxTensor& tensor, std::int64_t count, const std::string& owner);
  [[nodiscard]] bool leaves_out(const OnnxTensor& tensor, std::int64_t count) const noexcept;
  template <typename T>
  std::span<T> stand_in(std::int64_t count, const std::string& owner);

  struct Freed {
    void operator()(void* memory) const noexcept;
  };

  std::string source_;
  std::string folder_;
  OnnxContent content_;
  std::int64_t copied_ = 0;
  std::deque<std::vector<float>> floats_;  // deques: views of their elements stay valid
  std::deque<std::vector<std::int8_t>> codes_;
  std::map<std::string, MappedFile> files_;
  std::map<const OnnxTensor*, std::span<const float>> read_;
  /// In place of what is not read: pages that nobody touches take no memory. The last is the
  /// largest.
  std::vector<std::unique_ptr<void, Freed>> stand_ins_;
  std::int64_t stand_in_bytes_ = 0;
};

}  // namespace taut::graph
