#include "text_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "source.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{4} << 20;
constexpr std::size_t kPieceBytes = std::size_t{1} << 18;
constexpr std::size_t kMostRecordBytes = std::size_t{64} << 20;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

Schema criteo_schema() {
  Schema schema{.label = "label"};
  for (int i = 1; i <= 13; ++i) schema.dense.push_back("I" + std::to_string(i));
  for (int i = 1; i <= 26; ++i) schema.categorical.push_back("C" + std::to_string(i));
  return schema;
}

TextDialect dialect_of(Format format) noexcept {
  return {format == Format::kCsv ? ',' : '\t', format != Format::kCriteo};
}

TextFile::TextFile(const InputFile& file) : file_(file), dialect_(dialect_of(file.format)) {
  descriptor_ = open(file.path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) throw Error(ErrorKind::kIo, std::strerror(errno), file.path);
  try {
    read_more();
    if (buffer_.find('\0') != std::string::npos) {
      throw Error(ErrorKind::kFormat, "not a text file", file.path,
                  "unpack it, or name its format by its ending");
    }
    if (file.format == Format::kCriteo) {
      columns_ = column_names(column_roles(criteo_schema()));
      const std::string_view line = std::string_view(buffer_).substr(0, buffer_.find('\n'));
      const auto fields = std::count(line.begin(), line.end(), '\t') + 1;
      if (fields + 1 == static_cast<std::ptrdiff_t>(columns_.size())) {
        columns_.erase(columns_.begin());  // lines to predict, without a label
      }
    } else {
      read_header();
    }
  } catch (...) {
    close(descriptor_);
    throw;
  }
}

TextFile::~TextFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

TextFile::TextFile(TextFile&& other) noexcept
    : file_(std::move(other.file_)),
      dialect_(other.dialect_),
      columns_(std::move(other.columns_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      buffer_(std::move(other.buffer_)),
      begin_(other.begin_),
      at_end_(other.at_end_) {}

bool TextFile::read_more() {
  if (at_end_) return false;
  buffer_.erase(0, begin_);
  begin_ = 0;
  const std::size_t before = buffer_.size();
  buffer_.resize(before + kChunkBytes);
  std::size_t got = 0;
  while (got < kChunkBytes && !at_end_) {
    const ssize_t bytes = ::read(descriptor_, buffer_.data() + before + got, kChunkBytes - got);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) throw Error(ErrorKind::kIo, std::strerror(errno), file_.path);
    at_end_ = bytes == 0;
    got += static_cast<std::size_t>(bytes);
  }
  buffer_.resize(before + got);
  if (at_end_ && !buffer_.empty() && buffer_.back() != '\n') buffer_ += '\n';
  return got > 0;
}

void TextFile::read_header() {
  if (buffer_.starts_with(kByteOrderMark)) begin_ = kByteOrderMark.size();
  while (begin_ < buffer_.size() && (buffer_[begin_] == '\n' || buffer_[begin_] == '\r')) ++begin_;
  const std::string_view text = std::string_view(buffer_).substr(begin_);
  const std::vector<std::size_t> ends = cut_pieces(text, 1, dialect_);
  if (ends.empty()) {
    throw Error(ErrorKind::kFormat, "no line with column names", file_.path,
                "write the names of the columns into the first line");
  }
  TextIndex index;
  index.build(text.substr(0, ends.front()), dialect_);
  std::string scratch;
  for (std::int64_t field = 0; field < index.fields(0); ++field) {
    columns_.emplace_back(index.value(0, field, scratch));
  }
  begin_ += ends.front();
}

std::vector<std::string_view> TextFile::next_pieces() {
  while (true) {
    const std::string_view text = std::string_view(buffer_).substr(begin_);
    std::vector<std::size_t> ends = cut_pieces(text, kPieceBytes, dialect_);
    if (at_end_ && !text.empty() && (ends.empty() || ends.back() < text.size())) {
      ends.push_back(text.size());  // a quote that is never closed
    }
    if (!ends.empty()) {
      std::vector<std::string_view> pieces;
      std::size_t begin = 0;
      for (const std::size_t end : ends) {
        pieces.push_back(text.substr(begin, end - begin));
        begin = end;
      }
      begin_ += begin;
      return pieces;
    }
    if (text.size() > kMostRecordBytes) {
      throw Error(ErrorKind::kFormat, concat("a row of more than ", kMostRecordBytes, " bytes"),
                  file_.path, "look for a quote that is never closed");
    }
    if (!read_more()) return {};
  }
}

}  // namespace taut::data
