// Random tables, written by the test itself in every format, come back cell by cell; batches, skips
// and shuffles are those of a plain list of rows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <string>
#include <vector>

#include "data/table_writer.h"
#include "taut/core/random.h"
#include "taut/core/text.h"
#include "test_files.h"

namespace taut::data {
namespace {

using namespace testing;  // NOLINT: helpers of these tests
using ::testing::HasSubstr;

std::string digits(float value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

/// What one row holds.
struct PlainRow {
  bool label = false;
  std::int64_t time = 0;
  std::vector<float> dense;
  std::int64_t number = 0;         // column c_number
  std::string text;                // column c_text
  std::vector<std::uint64_t> bag;  // column c_bag
};

class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : random_(seed) {}
  std::uint64_t below(std::uint64_t n) { return random_.below(counter_++, n); }
  std::uint64_t bits() { return random_.bits(counter_++); }
  float real() { return static_cast<float>(random_.normal(counter_++)); }

 private:
  CounterRandom random_;
  std::uint64_t counter_ = 0;
};

std::vector<PlainRow> random_rows(Numbers& numbers, std::size_t count, std::size_t dense) {
  // What text must survive: separators, quotes, line ends, bytes above 127, things like numbers.
  const std::vector<std::string> texts = {
      "a",   "a,b",   "\"",     "say \"no\"", "x\ny", "\r\n",  "tab\t", "\xC3\xA9", "007",  "-7",
      "1e3", " lead", "trail ", ",",          "nan",  "12345", "\"\"",  "0x10",     "end\""};
  std::vector<PlainRow> rows(count);
  for (std::size_t i = 0; i < count; ++i) {
    PlainRow& row = rows[i];
    row.label = numbers.below(2) == 1;
    row.time = static_cast<std::int64_t>(i);
    for (std::size_t d = 0; d < dense; ++d) {
      const std::uint64_t kind = numbers.below(6);
      row.dense.push_back(kind == 0   ? 0.0f
                          : kind == 1 ? static_cast<float>(numbers.bits() >> 30)
                          : kind == 2 ? numbers.real() * 1e-20f
                          : kind == 3 ? numbers.real() * 1e30f
                                      : numbers.real());
    }
    row.number = static_cast<std::int64_t>(numbers.bits()) >> numbers.below(64);
    row.text = texts[numbers.below(texts.size())];
    for (std::uint64_t n = numbers.below(5); n > 0; --n) row.bag.push_back(numbers.bits() >> 1);
  }
  return rows;
}

void write_rows(const std::string& path, const std::vector<PlainRow>& rows, std::size_t dense,
                std::size_t block) {
  std::vector<OutputColumn> columns = {{"label", OutputType::kInt8}, {"time", OutputType::kInt64}};
  for (std::size_t d = 0; d < dense; ++d) {
    columns.push_back({"d" + std::to_string(d), OutputType::kFloat});
  }
  columns.push_back({"c_number", OutputType::kInt64});
  columns.push_back({"c_text", OutputType::kText});
  columns.push_back({"c_bag", OutputType::kList});
  const auto table = open_table(path, columns);
  for (std::size_t first = 0; first < rows.size(); first += block) {
    const std::size_t last = std::min(rows.size(), first + block);
    std::vector<std::int8_t> labels;
    std::vector<std::int64_t> times;
    std::vector<std::vector<float>> values(dense);
    std::vector<std::int64_t> ids;
    std::vector<std::string> texts;
    IdRows bags;
    bags.offsets = {0};
    for (std::size_t i = first; i < last; ++i) {
      labels.push_back(rows[i].label ? 1 : 0);
      times.push_back(rows[i].time);
      for (std::size_t d = 0; d < dense; ++d) values[d].push_back(rows[i].dense[d]);
      ids.push_back(rows[i].number);
      texts.push_back(rows[i].text);
      bags.ids.insert(bags.ids.end(), rows[i].bag.begin(), rows[i].bag.end());
      bags.offsets.push_back(static_cast<std::int64_t>(bags.ids.size()));
    }
    std::vector<OutputValues> out;
    out.emplace_back(std::move(labels));
    out.emplace_back(std::move(times));
    for (std::vector<float>& column : values) out.emplace_back(std::move(column));
    out.emplace_back(std::move(ids));
    out.emplace_back(std::move(texts));
    out.emplace_back(std::move(bags));
    table->write(out, static_cast<std::int64_t>(last - first));
  }
  (void)table->commit();
}

ReaderOptions options_of(const std::string& path, std::size_t dense) {
  ReaderOptions options;
  options.files = {path};
  options.schema = {"label", {}, {"c_text", "c_bag", "c_number"}, "time"};
  for (std::size_t d = 0; d < dense; ++d) {
    options.schema.dense.push_back("d" + std::to_string(d));
  }
  return options;
}

// Row `at` of a batch is this one.
void expect_row(const Batch& batch, std::size_t at, const PlainRow& row) {
  ASSERT_EQ(batch.labels[at], row.label ? 1.0f : 0.0f);
  ASSERT_EQ(batch.time[at], row.time);
  for (std::size_t d = 0; d < row.dense.size(); ++d) {
    ASSERT_EQ(batch.dense[at * row.dense.size() + d], row.dense[d]) << "row " << row.time;
  }
  const auto bag = [&](std::size_t column) {
    const IdColumn& ids = batch.categorical[column];
    return std::vector<std::uint64_t>(ids.ids.begin() + ids.offsets[at],
                                      ids.ids.begin() + ids.offsets[at + 1]);
  };
  ASSERT_EQ(bag(0), std::vector{id_of_text(row.text)}) << row.text;
  ASSERT_EQ(bag(1), row.bag);
  ASSERT_EQ(bag(2), std::vector{static_cast<std::uint64_t>(row.number)});
}

TEST(RandomTables, ComeBackFromCsvAndParquetCellByCell) {
  const test::TemporaryDirectory dir;
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    SCOPED_TRACE(seed);
    Numbers numbers(seed);
    const std::size_t dense = numbers.below(4);
    const std::vector<PlainRow> rows = random_rows(numbers, 1 + numbers.below(700), dense);
    for (const char* name : {"t.csv", "t.parquet"}) {
      SCOPED_TRACE(name);
      write_rows(dir.file(name), rows, dense, 1 + numbers.below(300));
      ReaderOptions options = options_of(dir.file(name), dense);
      options.batch_size = static_cast<std::int64_t>(1 + numbers.below(rows.size() + 20));
      options.threads = static_cast<int>(1 + numbers.below(3));
      options.prefetch = numbers.below(2) == 1;
      options.list_separator = '|';
      BatchReader reader(options);
      std::size_t next = 0;
      for (Batch batch; reader.next(batch);) {
        ASSERT_EQ(batch.size, std::min<std::int64_t>(options.batch_size, static_cast<std::int64_t>(
                                                                             rows.size() - next)));
        for (std::int64_t i = 0; i < batch.size; ++i) {
          expect_row(batch, static_cast<std::size_t>(i), rows[next++]);
          if (HasFatalFailure()) return;
        }
      }
      ASSERT_EQ(next, rows.size());
      ASSERT_EQ(reader.bad_rows().count, 0);
    }
  }
}

TEST(RandomTables, SkippingIsReadingWithoutLookingInEveryOrder) {
  const test::TemporaryDirectory dir;
  for (std::uint64_t seed = 1; seed <= 16; ++seed) {
    SCOPED_TRACE(seed);
    Numbers numbers(100 + seed);
    const std::vector<PlainRow> rows = random_rows(numbers, 50 + numbers.below(400), 1);
    const char* name = seed % 2 == 0 ? "t.csv" : "t.parquet";
    write_rows(dir.file(name), rows, 1, 1 + numbers.below(200));
    ReaderOptions options = options_of(dir.file(name), 1);
    options.batch_size = static_cast<std::int64_t>(1 + numbers.below(40));
    options.shuffle_rows = static_cast<std::int64_t>(numbers.below(3) * numbers.below(200));
    options.seed = seed;
    const std::vector<Batch> all = read_batches(options);
    for (int round = 0; round < 4; ++round) {
      BatchReader reader(options);
      std::size_t at = 0;
      Batch batch;
      while (true) {
        const std::uint64_t skipped = numbers.below(4);
        reader.skip(static_cast<std::int64_t>(skipped));
        at += skipped;
        if (!reader.next(batch)) break;
        ASSERT_LT(at, all.size());
        ASSERT_EQ(batch.time, all[at].time);
        ASSERT_EQ(batch.dense, all[at].dense);
        for (std::size_t c = 0; c < 3; ++c) {
          ASSERT_EQ(batch.categorical[c].ids, all[at].categorical[c].ids);
          ASSERT_EQ(batch.categorical[c].offsets, all[at].categorical[c].offsets);
        }
        ++at;
      }
      ASSERT_GE(at, all.size());
    }
  }
}

TEST(RandomTables, AShuffleIsAPermutationOfWholeRowsForAllSizes) {
  const test::TemporaryDirectory dir;
  for (const std::size_t count : {1, 2, 3, 7, 64, 333}) {
    Numbers numbers(count);
    const std::vector<PlainRow> rows = random_rows(numbers, count, 2);
    write_rows(dir.file("t.parquet"), rows, 2, 50);
    for (const std::int64_t buffer : {1, 2, 3, 50, 333, 1000}) {
      ReaderOptions options = options_of(dir.file("t.parquet"), 2);
      options.shuffle_rows = buffer;
      options.batch_size = 1 + static_cast<std::int64_t>(numbers.below(count + 2));
      std::vector<std::vector<std::int64_t>> orders;
      for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
        options.epoch = epoch;
        std::vector<int> seen(count, 0);
        std::vector<std::int64_t>& order = orders.emplace_back();
        for (const Batch& batch : read_batches(options)) {
          for (std::size_t i = 0; i < batch.time.size(); ++i) {
            const auto row = static_cast<std::size_t>(batch.time[i]);
            ASSERT_LT(row, count);
            ++seen[row];
            order.push_back(batch.time[i]);
            expect_row(batch, i, rows[row]);
            if (HasFatalFailure()) return;
          }
        }
        ASSERT_EQ(seen, std::vector<int>(count, 1)) << count << " rows, buffer of " << buffer;
      }
      if (count >= 64 && buffer >= 50) {
        EXPECT_NE(orders[0], orders[1]);
        EXPECT_NE(orders[1], orders[2]);
      }
    }
  }
}

// One bad cell in a random place of a random table: named by file and row, or left out alone.
TEST(RandomTables, ABadRowIsNamedByFileAndRowOrLeftOutAlone) {
  struct Spoil {
    const char* what;
    std::size_t field;  // of label, time, dense, category
    const char* cell;
  };
  const std::vector<Spoil> spoils = {
      {"label", 0, "2"},   {"label", 0, ""},      {"label", 0, "maybe"},
      {"time", 1, ""},     {"time", 1, "noon"},   {"dense", 2, "inf"},
      {"dense", 2, "nan"}, {"dense", 2, "1.2.3"}, {"dense", 2, "x"}};
  const test::TemporaryDirectory dir;
  Numbers numbers(9);
  for (int round = 0; round < 60; ++round) {
    const Spoil& spoil = spoils[static_cast<std::size_t>(round) % spoils.size()];
    const std::size_t count = 1 + numbers.below(200);
    const std::size_t bad = numbers.below(count);
    const char separator = round % 2 == 0 ? ',' : '\t';
    const std::string path = dir.file(round % 2 == 0 ? "bad.csv" : "bad.tsv");
    std::string text = concat("y", separator, "t", separator, "d", separator, "c\n");
    for (std::size_t row = 0; row < count; ++row) {
      std::vector<std::string> cells = {std::to_string(row % 2), std::to_string(row),
                                        digits(numbers.real()), std::to_string(numbers.below(9))};
      if (row == bad) cells[spoil.field] = spoil.cell;
      text += join(cells, std::string(1, separator)) + "\n";
    }
    write_text(path, text);
    SCOPED_TRACE(concat(spoil.what, " = \"", spoil.cell, "\" in row ", bad + 1, " of ", count));
    ReaderOptions options;
    options.files = {path};
    options.schema = {"y", {"d"}, {"c"}, "t"};
    options.batch_size = 1 + static_cast<std::int64_t>(numbers.below(50));
    const auto [kind, message] = error_of([&] { (void)read_batches(options); });
    EXPECT_EQ(to_string(kind), to_string(ErrorKind::kData));
    EXPECT_THAT(message, HasSubstr(path));
    EXPECT_THAT(message, HasSubstr(concat("row ", bad + 1)));
    options.on_bad_row = OnBadRow::kSkip;
    if (count == 1) continue;  // nothing would be left
    BatchReader reader(options);
    std::vector<std::int64_t> times;
    for (Batch batch; reader.next(batch);) {
      times.insert(times.end(), batch.time.begin(), batch.time.end());
    }
    std::vector<std::int64_t> wanted(count);
    std::iota(wanted.begin(), wanted.end(), std::int64_t{0});
    wanted.erase(wanted.begin() + static_cast<std::ptrdiff_t>(bad));
    EXPECT_EQ(times, wanted);
    ASSERT_EQ(reader.bad_rows().count, 1);
    EXPECT_THAT(reader.bad_rows().first[0], HasSubstr(concat("row ", bad + 1)));
  }
}

TEST(RandomTables, CriteoLinesComeBackFieldByField) {
  const test::TemporaryDirectory dir;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    Numbers numbers(seed);
    const std::size_t count = 1 + numbers.below(300);
    std::string text;
    std::vector<float> labels;
    std::vector<float> dense;
    std::vector<std::vector<std::uint64_t>> ids(26);
    for (std::size_t row = 0; row < count; ++row) {
      labels.push_back(static_cast<float>(numbers.below(2)));
      text += labels.back() == 1 ? "1" : "0";
      for (int i = 0; i < 13; ++i) {
        const bool missing = numbers.below(4) == 0;
        const auto value = static_cast<std::int64_t>(numbers.below(100000)) - 3;
        text += missing ? "\t" : concat("\t", value);
        dense.push_back(missing ? 0.0f : static_cast<float>(value));
      }
      for (std::vector<std::uint64_t>& column : ids) {
        std::string cell;  // eight hexadecimal digits, or nothing
        if (numbers.below(5) != 0) {
          for (int i = 0; i < 8; ++i) cell += "0123456789abcdef"[numbers.below(16)];
        }
        text += "\t" + cell;
        column.push_back(id_of_text(cell));
      }
      text += numbers.below(10) == 0 ? "\r\n" : "\n";
    }
    write_text(dir.file("day_1"), text);
    ReaderOptions options;
    options.files = {dir.file("day_1")};
    options.format = "criteo";
    options.schema = criteo_schema();
    const Batch batch = read_all(options);
    ASSERT_EQ(batch.size, static_cast<std::int64_t>(count));
    EXPECT_EQ(batch.labels, labels);
    EXPECT_EQ(batch.dense, dense);
    for (std::size_t c = 0; c < 26; ++c) EXPECT_EQ(batch.categorical[c].ids, ids[c]) << c;
  }
}

}  // namespace
}  // namespace taut::data
