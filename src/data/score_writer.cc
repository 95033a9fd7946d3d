#include "taut/data/score_writer.h"

#include <arrow/api.h>
#include <arrow/io/api.h>
#include <parquet/arrow/writer.h>
#include <parquet/properties.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <optional>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

// Hands what Arrow writes to an AtomicFile.
class AtomicOutput : public arrow::io::OutputStream {
 public:
  explicit AtomicOutput(const std::string& path) : file_(path) {}
  arrow::Status Write(const void* data, std::int64_t size) override {
    file_.write(data, static_cast<std::size_t>(size));
    return arrow::Status::OK();
  }
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  [[nodiscard]] bool closed() const override { return closed_; }
  [[nodiscard]] arrow::Result<std::int64_t> Tell() const override {
    return static_cast<std::int64_t>(file_.size());
  }
  void commit() { file_.commit(); }

 private:
  AtomicFile file_;
  bool closed_ = false;
};

void require_ok(const arrow::Status& status, const std::string& path) {
  if (!status.ok()) throw Error(ErrorKind::kIo, concat("cannot write: ", status.message()), path);
}

class ParquetScores : public ScoreWriter {
 public:
  explicit ParquetScores(const std::string& path)
      : path_(path),
        schema_(arrow::schema({arrow::field("row", arrow::int64()), arrow::field("score", arrow::float32())})),
        output_(std::make_shared<AtomicOutput>(path)) {
    auto opened = parquet::arrow::FileWriter::Open(*schema_, arrow::default_memory_pool(), output_);
    require_ok(opened.status(), path_);
    writer_ = std::move(*opened);
  }

  void write(std::span<const float> scores) override {
    arrow::Int64Builder rows;
    arrow::FloatBuilder values;
    for (std::size_t i = 0; i < scores.size(); ++i) require_ok(rows.Append(row_++), path_);
    require_ok(values.AppendValues(scores.data(), static_cast<std::int64_t>(scores.size())), path_);
    std::shared_ptr<arrow::Array> row_array;
    std::shared_ptr<arrow::Array> score_array;
    require_ok(rows.Finish(&row_array), path_);
    require_ok(values.Finish(&score_array), path_);
    const auto count = static_cast<std::int64_t>(scores.size());
    require_ok(writer_->WriteRecordBatch(
                   *arrow::RecordBatch::Make(schema_, count, {row_array, score_array})),
               path_);
  }

  void commit() override {
    require_ok(writer_->Close(), path_);
    output_->commit();
  }

 private:
  std::string path_;
  std::shared_ptr<arrow::Schema> schema_;
  std::shared_ptr<AtomicOutput> output_;
  std::unique_ptr<parquet::arrow::FileWriter> writer_;
  std::int64_t row_ = 0;
};

class CsvScores : public ScoreWriter {
 public:
  explicit CsvScores(const std::string& path) : path_(path) {
    if (!path.empty()) file_.emplace(path);
    put("row,score\n");
  }

  void write(std::span<const float> scores) override {
    std::string text;
    for (const float score : scores) {
      std::array<char, 32> digits{};
      const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), score).ptr;
      text += std::to_string(row_++);
      text += ',';
      text.append(digits.data(), end);
      text += '\n';
    }
    put(text);
  }

  void commit() override {
    if (file_) {
      file_->commit();
    } else if (std::fflush(stdout) != 0) {
      throw Error(ErrorKind::kIo, "cannot write to stdout");
    }
  }

 private:
  void put(std::string_view text) {
    if (file_) {
      file_->write(text);
    } else if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) {
      throw Error(ErrorKind::kIo, "cannot write to stdout");
    }
  }

  std::string path_;
  std::optional<AtomicFile> file_;
  std::int64_t row_ = 0;
};

}  // namespace

std::unique_ptr<ScoreWriter> open_scores(const std::string& path) {
  if (path.empty() || path.ends_with(".csv")) return std::make_unique<CsvScores>(path);
  if (path.ends_with(".parquet")) return std::make_unique<ParquetScores>(path);
  throw Error(ErrorKind::kUnsupported, "scores can be written as .csv or .parquet", path,
              "choose one of these endings");
}

}  // namespace taut::data
