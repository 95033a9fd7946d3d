#include "text_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "file_kind.h"
#include "source.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "text_cells.h"

namespace taut::data {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{4} << 20;
constexpr std::size_t kPieceBytes = std::size_t{1} << 18;
constexpr std::size_t kMostRecordBytes = std::size_t{64} << 20;

}  // namespace

Schema criteo_schema() {
  Schema schema{.label = "label"};
  for (int i = 1; i <= 13; ++i) schema.dense.push_back("I" + std::to_string(i));
  for (int i = 1; i <= 26; ++i) schema.categorical.push_back("C" + std::to_string(i));
  return schema;
}

TextFile::TextFile(const InputFile& file)
    : file_(file), dialect_{.delimiter = '\t', .quotes = file.format != Format::kCriteo} {
  descriptor_ = open(file.path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) throw Error(ErrorKind::kIo, std::strerror(errno), file.path);
  try {
    struct stat info{};
    if (fstat(descriptor_, &info) == 0) bytes_ = info.st_size;
    read_more();
    check_text();
    if (decoder_->plain()) std::string().swap(chunk_);
    if (file.separator != 0) dialect_.delimiter = file.separator;
    if (file.format == Format::kCriteo) {
      columns_ = column_names(column_roles(criteo_schema()));
      const std::string_view line = std::string_view(buffer_).substr(0, buffer_.find('\n'));
      const auto fields = std::count(line.begin(), line.end(), dialect_.delimiter) + 1;
      if (fields + 1 == static_cast<std::ptrdiff_t>(columns_.size())) {
        columns_.erase(columns_.begin());  // lines to predict, without a label
      }
      declared_.resize(columns_.size(), DeclaredType::kNone);
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

bool TextFile::read_more() {
  if (at_end_) return false;
  buffer_.erase(0, begin_);
  begin_ = 0;
  const std::size_t before = buffer_.size();
  // Bytes that are UTF-8 already are read where they will stay.
  const bool direct = decoder_ && decoder_->plain();
  std::string& to = direct ? buffer_ : chunk_;
  const std::size_t start = direct ? before : 0;
  to.resize(start + kChunkBytes);
  std::size_t got = 0;
  while (got < kChunkBytes && !at_end_) {
    const ssize_t bytes = ::read(descriptor_, to.data() + start + got, kChunkBytes - got);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) throw Error(ErrorKind::kIo, std::strerror(errno), file_.path);
    at_end_ = bytes == 0;
    got += static_cast<std::size_t>(bytes);
  }
  to.resize(start + got);
  if (!decoder_) decoder_.emplace(chunk_, file_.encoding, file_.path);
  if (!direct) decoder_->decode(chunk_, at_end_, buffer_);
  if (at_end_ && !buffer_.empty() && buffer_.back() != '\n') buffer_ += '\n';
  return got > 0;
}

void TextFile::check_text() const {
  const bool has_zero = buffer_.find('\0') != std::string::npos;
  const bool has_other =
      first_not_utf8(std::string_view(buffer_).substr(0, 64)) != std::string::npos;
  if (!has_zero && !has_other) return;
  const std::optional<FileKind> kind = known_kind(chunk_);
  if (!kind && !has_zero) return;
  throw Error(ErrorKind::kFormat,
              concat("not a text file", kind ? concat(" but ", kind->what) : ""), file_.path,
              kind ? kind->mend : "unpack it, or name its format by its ending");
}

void TextFile::read_header() {
  while (begin_ < buffer_.size() && (buffer_[begin_] == '\n' || buffer_[begin_] == '\r')) ++begin_;
  const std::string_view text = std::string_view(buffer_).substr(begin_);
  if (file_.separator == 0) dialect_.delimiter = sniff_separator(text, file_.format);
  const std::vector<std::size_t> ends = cut_pieces(text, 1, dialect_);
  if (ends.empty()) {
    throw Error(ErrorKind::kFormat, "no line with column names", file_.path,
                "write the names of the columns into the first line");
  }
  const std::string_view header = text.substr(0, ends.front());
  const std::size_t wrong = first_not_utf8(header);
  if (wrong != std::string_view::npos) {
    throw Error(ErrorKind::kFormat,
                concat("the column names are not UTF-8: byte ", begin_ + wrong + 1,
                       " of the file is ", shown(header.substr(wrong, 1))),
                file_.path,
                "set data.encoding = \"latin-1\" or \"windows-1252\", or write the file in UTF-8");
  }
  TextIndex index;
  index.build(header, dialect_);
  std::string scratch;
  for (std::int64_t field = 0; field < index.fields(0); ++field) {
    columns_.emplace_back(index.value(0, field, scratch));
  }
  declared_ = take_declared_types(columns_);
  empty_tails_ = has_empty_tail(text, dialect_);
  begin_ += ends.front();
}

void TextFile::index(std::string_view piece, TextIndex& index) const {
  index.build(piece, dialect_);
  if (empty_tails_) index.drop_empty_tails(static_cast<std::int64_t>(columns_.size()));
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
