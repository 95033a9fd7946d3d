#include "data/text_index.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "data/text_index.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace taut::data::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t kStripBytes = 4096;

// Appends position + 1 of each delimiter and newline: a vector compare gives a bit for each byte.
void find_bounds(const char* text, std::size_t size, char delimiter,
                 std::vector<std::uint32_t>& bounds) {
  const hn::CappedTag<std::uint8_t, 64> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(text);
  const auto delimiters = hn::Set(d, static_cast<std::uint8_t>(delimiter));
  const auto newlines = hn::Set(d, static_cast<std::uint8_t>('\n'));
  std::size_t at = 0;
  std::size_t count = bounds.size();
  while (size - at >= lanes) {
    const std::size_t strip_end = at + std::min(kStripBytes, size - at) / lanes * lanes;
    if (bounds.size() < count + kStripBytes) bounds.resize(2 * (count + kStripBytes));
    std::uint32_t* out = bounds.data() + count;
    for (; at < strip_end; at += lanes) {
      const auto v = hn::LoadU(d, bytes + at);
      std::uint64_t bits = 0;
      hn::StoreMaskBits(d, hn::Or(hn::Eq(v, delimiters), hn::Eq(v, newlines)),
                        reinterpret_cast<std::uint8_t*>(&bits));
      for (; bits != 0; bits &= bits - 1) {
        *out++ = static_cast<std::uint32_t>(at) +
                 static_cast<std::uint32_t>(hwy::Num0BitsBelowLS1Bit_Nonzero64(bits)) + 1;
      }
    }
    count = static_cast<std::size_t>(out - bounds.data());
  }
  bounds.resize(count);
  for (; at < size; ++at) {
    if (text[at] == delimiter || text[at] == '\n')
      bounds.push_back(static_cast<std::uint32_t>(at) + 1);
  }
}

}  // namespace taut::data::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::data {

HWY_EXPORT(find_bounds);

namespace {

// Calls end_of_field(position, is_newline) at each delimiter and newline outside of quotes; true if
// the text ends inside a quote. A quote opens at the beginning of a field only.
template <typename Fn>
bool scan(std::string_view text, char delimiter, Fn&& end_of_field) {
  bool field_begins = true;
  std::size_t at = 0;
  while (at < text.size()) {
    if (field_begins && text[at] == '"') {
      do {  // to the closing quote; a doubled one reopens at once
        at = text.find('"', at + 1);
        if (at == std::string_view::npos) return true;
        ++at;
      } while (at < text.size() && text[at] == '"');
      field_begins = false;
      continue;
    }
    const bool newline = text[at] == '\n';
    field_begins = newline || text[at] == delimiter;
    if (field_begins) end_of_field(at, newline);
    ++at;
  }
  return false;
}

}  // namespace

void TextIndex::build(std::string_view text, const TextDialect& dialect) {
  text_ = text;
  open_quote_ = false;
  bounds_.assign(1, 0);
  rows_.clear();
  has_quotes_ = dialect.quotes && std::memchr(text.data(), '"', text.size()) != nullptr;
  if (has_quotes_) {
    scan_with_quotes(dialect.delimiter);
  } else {
    HWY_DYNAMIC_DISPATCH(find_bounds)(text.data(), text.size(), dialect.delimiter, bounds_);
  }
  find_rows();
}

void TextIndex::scan_with_quotes(char delimiter) {
  open_quote_ = scan(text_, delimiter, [&](std::size_t at, bool) {
    bounds_.push_back(static_cast<std::uint32_t>(at) + 1);
  });
  if (open_quote_) bounds_.push_back(static_cast<std::uint32_t>(text_.size()));
}

void TextIndex::find_rows() {
  std::uint32_t first = 0;
  for (std::uint32_t b = 1; b < bounds_.size(); ++b) {
    if (text_[bounds_[b] - 1] != '\n') continue;
    // A newline in a quoted field is no bound, so this one ends a record.
    const std::uint32_t fields = b - first;
    const std::uint32_t size = bounds_[b] - 1 - bounds_[first];
    const bool blank = fields == 1 && (size == 0 || (size == 1 && text_[bounds_[first]] == '\r'));
    if (!blank) rows_.push_back({first, fields});
    first = b;
  }
}

void TextIndex::drop_empty_tails(std::int64_t fields) {
  for (std::int64_t row = 0; row < rows(); ++row) {
    if (this->fields(row) == fields + 1 && raw(row, fields).empty()) --rows_[row].fields;
  }
}

std::string_view TextIndex::unquote(std::string_view text, std::string& scratch) {
  const std::string_view inside = text.substr(1, text.size() - (text.ends_with('"') ? 2 : 1));
  if (text.size() > 1 && inside.find('"') == std::string_view::npos) return inside;
  scratch.clear();
  for (std::size_t at = 0; at < inside.size(); ++at) {
    scratch += inside[at];
    if (inside[at] == '"' && at + 1 < inside.size() && inside[at + 1] == '"') ++at;
  }
  return scratch;
}

std::vector<std::size_t> cut_pieces(std::string_view text, std::size_t piece_bytes,
                                    const TextDialect& dialect) {
  std::vector<std::size_t> ends;
  if (text.empty()) return ends;
  if (dialect.quotes && std::memchr(text.data(), '"', text.size()) != nullptr) {
    std::size_t last = 0;
    std::size_t begin = 0;
    scan(text, dialect.delimiter, [&](std::size_t at, bool newline) {
      if (!newline) return;
      last = at + 1;
      if (last - begin >= piece_bytes) {
        ends.push_back(last);
        begin = last;
      }
    });
    if (last > begin) ends.push_back(last);
    return ends;
  }
  const std::size_t last = text.rfind('\n');
  if (last == std::string_view::npos) return ends;
  for (std::size_t begin = 0; begin <= last; begin = ends.back()) {
    const std::size_t target = begin + piece_bytes;
    ends.push_back(target >= last ? last + 1 : text.find('\n', target) + 1);
  }
  return ends;
}

}  // namespace taut::data
#endif  // HWY_ONCE
