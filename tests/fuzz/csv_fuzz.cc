// Text files with a header and Criteo lines, their cells, separators and quotes changed; read into
// batches, learnt from, and looked at as init does.
#include <array>

#include "fuzz/fuzz.h"
#include "taut/core/file.h"
#include "taut/data/init.h"
#include "taut/data/reader.h"

namespace taut::fuzz {
namespace {

std::string small_table() {
  std::string text = "label,price,user,tags,when\n";
  for (int row = 0; row < 40; ++row) {
    text += std::to_string(row * 7 % 2) + "," + std::to_string(row) + ".25,u" +
            std::to_string(row % 9) + ",\"a|b\"," + std::to_string(1600000000 + row) + "\n";
  }
  return text;
}

std::string criteo_lines() {
  std::string text;
  for (int row = 0; row < 20; ++row) {
    text += std::to_string(row % 2);
    for (int i = 0; i < 13; ++i) text += "\t" + std::to_string(row * i % 11);
    for (int i = 0; i < 26; ++i) text += "\t68fd1e6" + std::to_string(row % 7);
    text += "\n";
  }
  return text;
}

const std::array<std::string, 2>& tables() {
  static const std::array<std::string, 2> kTables = {small_table(), criteo_lines()};
  return kTables;
}

constexpr std::array<std::string_view, 22> kCells = {"",
                                                     ",",
                                                     ",,",
                                                     "\"",
                                                     "\"\"",
                                                     "\n",
                                                     "\r\n",
                                                     "\r",
                                                     "\t",
                                                     "|",
                                                     "||",
                                                     "nan",
                                                     "inf",
                                                     "1e999",
                                                     "-0",
                                                     "NA",
                                                     "9223372036854775808",
                                                     "18446744073709551616",
                                                     "0x10",
                                                     "\xff\xfe",
                                                     "\xef\xbb\xbf",
                                                     "2017-05-06 00:00:00"};

void use(const std::string& path, bool criteo) {
  data::ReaderOptions options;
  options.files = {path};
  options.format = criteo ? "criteo" : "csv";
  options.schema = criteo ? data::criteo_schema()
                          : data::Schema{.label = "label",
                                         .dense = {"price"},
                                         .categorical = {"user", "tags"},
                                         .time = "when"};
  options.on_bad_row = data::OnBadRow::kSkip;
  options.prefetch = false;
  options.threads = 1;
  options.batch_size = 7;
  (void)data::learn_profile(options, data::ScalingKind::kStandard);
  options.shuffle_rows = 16;
  data::BatchReader reader(options);
  for (data::Batch batch; reader.next(batch);) {
  }
}

}  // namespace

Target target() {
  return {.name = "csv",
          .make =
              [](Random& random) {
                std::string text = random.pick(tables());
                for (std::uint64_t n = 1 + random.below(4); n > 0; --n) {
                  if (random.one_in(3)) {
                    spoil_bytes(text, random);
                    continue;
                  }
                  const std::size_t begin = random.below(text.size() + 1);
                  const std::size_t end = std::min(text.find_first_of(",\t\n", begin), text.size());
                  text.replace(begin, end - begin, random.pick(kCells));
                }
                return text;
              },
          .read =
              [](std::string_view text) {
                const std::string path = scratch("table.csv");
                write_file(path, text);
                const bool guessed = is_refused([&] {
                  const data::SchemaGuess guess = data::guess_schema(path);
                  (void)data::starter_config(guess);
                });
                // One of the two is always refused: the file has the columns of one format.
                static_cast<void>(is_refused([&] { use(path, false); }));
                static_cast<void>(is_refused([&] { use(path, true); }));
                return guessed;
              }};
}

}  // namespace taut::fuzz
