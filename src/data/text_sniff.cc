#include "text_sniff.h"

#include <algorithm>
#include <array>
#include <utility>

namespace taut::data {
namespace {

constexpr std::size_t kSniffedRows = 64;
constexpr double kUsualIsGood = 0.5;  // share of rows that the usual separator must cut well

constexpr std::array<std::pair<std::string_view, DeclaredType>, 4> kTypes = {{
    {":token", DeclaredType::kToken},
    {":token_seq", DeclaredType::kTokenList},
    {":float", DeclaredType::kFloat},
    {":float_seq", DeclaredType::kFloatList},
}};

// Rows whose number of fields is the header's, as a share; below 0: the header has one field.
double fit(std::string_view text, char separator) {
  const TextDialect dialect{separator, true};
  TextIndex index;
  index.build(text, dialect);
  if (index.rows() == 0 || index.fields(0) < 2) return -1;
  std::int64_t good = 0;
  for (std::int64_t row = 1; row < index.rows(); ++row) {
    const std::int64_t fields = index.fields(row);
    const bool tail = fields == index.fields(0) + 1 && index.raw(row, fields - 1).empty();
    good += fields == index.fields(0) || tail ? 1 : 0;
  }
  return static_cast<double>(good) /
         static_cast<double>(std::max<std::int64_t>(index.rows() - 1, 1));
}

// The first records, by lines: whether a quoted field holds one does not matter for a look.
std::string_view first_lines(std::string_view text) {
  std::size_t end = 0;
  for (std::size_t line = 0; line < kSniffedRows && end < text.size(); ++line) {
    const std::size_t newline = text.find('\n', end);
    if (newline == std::string_view::npos) break;
    end = newline + 1;
  }
  return text.substr(0, end);
}

}  // namespace

char sniff_separator(std::string_view text, Format format) {
  const char usual = format == Format::kCsv ? ',' : '\t';
  const std::string_view lines = first_lines(text);
  char best = usual;
  double best_fit = fit(lines, usual);
  if (best_fit >= kUsualIsGood) return usual;
  for (const char separator : std::string_view(format == Format::kText ? ",\t;| " : ",\t;|")) {
    const double its_fit = fit(lines, separator);
    if (its_fit > best_fit) {
      best = separator;
      best_fit = its_fit;
    }
  }
  return best;
}

bool has_empty_tail(std::string_view text, const TextDialect& dialect) {
  TextIndex index;
  const std::string_view lines = first_lines(text);
  index.build(lines, dialect);
  if (index.rows() < 2) return false;
  const std::int64_t fields = index.fields(1);
  return fields == index.fields(0) + 1 && index.raw(1, fields - 1).empty();
}

std::vector<DeclaredType> take_declared_types(std::vector<std::string>& names) {
  std::vector<DeclaredType> types;
  for (const std::string& name : names) {
    const auto type = std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& known) {
      return name.ends_with(known.first) && name.size() > known.first.size();
    });
    if (type == kTypes.end()) return std::vector(names.size(), DeclaredType::kNone);
    types.push_back(type->second);
  }
  for (std::string& name : names) name.erase(name.rfind(':'));
  return types;
}

}  // namespace taut::data
