#pragma once
// RUN/metrics.jsonl: a JSON line every log_every steps.

#include <cstdint>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

namespace taut::train {

/// Appends lines; on resume the file is cut back to where the checkpoint stood.
/// Errors: kIo, kFormat when the file is shorter than the checkpoint says.
class MetricsFile {
 public:
  explicit MetricsFile(std::string path) : path_(std::move(path)) {}

  void open_at(std::int64_t bytes);
  void append(const nlohmann::ordered_json& line);
  /// Makes what was appended survive a power cut.
  void flush();
  [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  [[noreturn]] void throw_io(const char* action) const;

  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  std::int64_t bytes_ = 0;
};

}  // namespace taut::train
