// Random tables of texts, written in every form that text files come in, come back cell by cell.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "taut/core/hash.h"
#include "taut/core/random.h"
#include "taut/core/text.h"
#include "test_files.h"

namespace taut::data {
namespace {

using namespace testing;  // NOLINT: helpers of these tests

// How a file is written.
struct Form {
  char separator = ',';
  std::string line_end = "\n";
  bool tail = false;    // a separator behind each row
  bool quotes = false;  // around every cell
  int encoding = 0;     // 0: UTF-8, 1: with a mark, 2, 3: UTF-16, 4: Latin-1
};

std::string encode(const std::string& latin1, int encoding) {
  if (encoding == 4) return latin1;
  std::string out = encoding == 1   ? "\xEF\xBB\xBF"
                    : encoding == 2 ? "\xFF\xFE"
                    : encoding == 3 ? "\xFE\xFF"
                                    : "";
  for (const char c : latin1) {
    const auto byte = static_cast<unsigned char>(c);
    if (encoding == 2) {
      out += {c, '\0'};
    } else if (encoding == 3) {
      out += {'\0', c};
    } else if (byte < 0x80) {
      out += c;
    } else {
      out += {static_cast<char>(0xC0 | byte >> 6), static_cast<char>(0x80 | (byte & 0x3F))};
    }
  }
  return out;
}

std::string quoted(const std::string& cell) {
  std::string text = "\"";
  for (const char c : cell) text += c == '"' ? "\"\"" : std::string(1, c);
  return text + "\"";
}

std::string write(const std::vector<std::vector<std::string>>& rows, const Form& form) {
  std::string text;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t c = 0; c < rows[r].size(); ++c) {
      const std::string& cell = rows[r][c];
      const bool special =
          cell.find_first_of(std::string("\"\n\r") + form.separator) != std::string::npos;
      if (c > 0) text += form.separator;
      text += form.quotes || special ? quoted(cell) : cell;
    }
    if (form.tail && r > 0) text += form.separator;
    text += form.line_end;
  }
  return text;
}

TEST(RandomForms, EveryFormOfATableGivesTheSameRows) {
  const test::TemporaryDirectory dir;
  for (std::uint64_t seed = 0; seed < 160; ++seed) {
    const CounterRandom random(seed);
    std::uint64_t counter = 0;
    const auto below = [&](std::uint64_t n) { return random.below(counter++, n); };
    Form form;
    form.separator = std::string(",;\t|")[below(4)];
    form.line_end = std::vector<std::string>{"\n", "\r\n", "\r"}[below(3)];
    form.tail = below(3) == 0;
    form.quotes = below(3) == 0;
    form.encoding = static_cast<int>(below(5));
    SCOPED_TRACE(concat("seed ", seed, " separator '", form.separator, "' tail ", form.tail,
                        " encoding ", form.encoding));
    const std::vector<std::string> texts = {"a",       "b,c",   "d;e", "f\tg", "h|i",
                                            "caf\xE9", "\"q\"", "",    "42",   "7.0",
                                            "x y",     "NA",    "-",   "0x1",  "1,5"};
    std::vector<std::vector<std::string>> rows = {{"y", "\xE9t\xE9", "c"}};
    for (std::uint64_t left = 1 + below(90); left > 0; --left) {
      rows.push_back(
          {std::to_string(below(2)), texts[below(texts.size())], texts[below(texts.size())]});
    }
    const std::string path = dir.file(below(2) == 0 ? "t.csv" : "t.txt");
    write_text(path, encode(write(rows, form), form.encoding));
    ReaderOptions options;
    options.files = {path};
    options.schema = {"y", {}, {"\xC3\xA9t\xC3\xA9", "c"}, ""};
    options.list_separator = '\0';
    if (form.encoding == 4) options.encoding = Encoding::kLatin1;
    options.threads = static_cast<int>(1 + below(2));
    const Batch batch = read_all(options);
    ASSERT_EQ(batch.size, static_cast<std::int64_t>(rows.size()) - 1);
    for (std::size_t r = 1; r < rows.size(); ++r) {
      ASSERT_EQ(batch.labels[r - 1], rows[r][0] == "1" ? 1.0F : 0.0F);
      for (std::size_t c = 0; c < 2; ++c) {
        ASSERT_EQ(batch.categorical[c].ids[r - 1], id_of_text(encode(rows[r][c + 1], 0)))
            << "row " << r << ": " << rows[r][c + 1];
      }
    }
  }
}

}  // namespace
}  // namespace taut::data
