#include "taut/data/score_writer.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <numeric>
#include <string_view>
#include <vector>

#include "table_writer.h"
#include "taut/core/error.h"

namespace taut::data {
namespace {

class FileScores : public ScoreWriter {
 public:
  explicit FileScores(const std::string& path)
      : table_(open_table(path, {{"row", OutputType::kInt64}, {"score", OutputType::kFloat}})) {}

  void write(std::span<const float> scores) override {
    const auto rows = static_cast<std::int64_t>(scores.size());
    std::vector<std::int64_t> numbers(scores.size());
    std::iota(numbers.begin(), numbers.end(), next_row_);
    next_row_ += rows;
    const OutputValues columns[] = {std::move(numbers),
                                    std::vector<float>(scores.begin(), scores.end())};
    table_->write(columns, rows);
  }

  void commit() override { (void)table_->commit(); }

 private:
  std::unique_ptr<TableWriter> table_;
  std::int64_t next_row_ = 0;
};

// The same text as a CSV file.
class StdoutScores : public ScoreWriter {
 public:
  StdoutScores() { put("row,score\n"); }

  void write(std::span<const float> scores) override {
    std::string text;
    for (const float score : scores) {
      std::array<char, 32> digits{};
      const std::to_chars_result end =
          std::to_chars(digits.data(), digits.data() + digits.size(), score);
      text += std::to_string(next_row_++);
      text += ',';
      text.append(digits.data(), end.ptr);
      text += '\n';
    }
    put(text);
  }

  void commit() override { check(std::fflush(stdout) == 0); }

 private:
  static void put(std::string_view text) {
    check(std::fwrite(text.data(), 1, text.size(), stdout) == text.size());
  }
  static void check(bool good) {
    if (!good) throw Error(ErrorKind::kIo, "cannot write the scores", "standard output");
  }

  std::int64_t next_row_ = 0;
};

}  // namespace

std::unique_ptr<ScoreWriter> open_scores(const std::string& path) {
  if (path.empty()) return std::make_unique<StdoutScores>();
  return std::make_unique<FileScores>(path);
}

}  // namespace taut::data
