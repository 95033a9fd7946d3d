// Parquet files whose bytes say what cannot be: dictionary indices without a value, pages that do
// not fit their checksums, footers that are something else.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <arrow/io/file.h>
#include <parquet/arrow/writer.h>
#include <parquet/exception.h>

#include <algorithm>
#include <new>
#include <stdexcept>

#include "data/arrow_guard.h"
#include "taut/core/hash.h"
#include "taut/core/text.h"
#include "taut/data/images.h"
#include "taut/data/init.h"
#include "taut/data/row_table.h"
#include "test_files.h"

namespace taut::data {
namespace {

using namespace testing;  // NOLINT: helpers of these tests
using ::testing::HasSubstr;

constexpr int kValues = 200;  // so that indices take a byte each
constexpr int kForgedRow = 77;

// Rows whose column x holds kValues texts in turn, so that its dictionary's indices are the bytes
// 0, 1, 2 ... in the file; they are packed in runs of eight.
std::string write_texts(const std::string& path, bool checksums = false) {
  std::string texts;
  std::string labels;
  for (int row = 0; row < kValues; ++row) {
    texts += concat(row > 0 ? "," : "", "\"text ", row, "\"");
    labels += concat(row > 0 ? "," : "", row % 2);
  }
  const auto table = make_table(
      {{"y", arrow::int8(), "[" + labels + "]"}, {"x", arrow::utf8(), "[" + texts + "]"}});
  parquet::WriterProperties::Builder properties;
  properties.compression(parquet::Compression::UNCOMPRESSED);
  if (checksums) properties.enable_page_checksum();
  const auto sink = arrow::io::FileOutputStream::Open(path).ValueOrDie();
  EXPECT_TRUE(parquet::arrow::WriteTable(*table, arrow::default_memory_pool(), sink, 1 << 20,
                                         properties.build())
                  .ok());
  EXPECT_TRUE(sink->Close().ok());
  return read_text(path);
}

// Where the index of a row stands.
std::size_t find_index(const std::string& file, int row) {
  std::string run;
  for (int i = 64; i < 96; ++i) run += static_cast<char>(i);
  const std::size_t found = file.find(run);
  if (found == std::string::npos) throw std::runtime_error("the indices are not where they were");
  return found + static_cast<std::size_t>(row - 64);
}

class LyingParquetTest : public ::testing::Test {
 protected:
  ReaderOptions reading(const Schema& schema) {
    ReaderOptions options;
    options.files = {path_};
    options.schema = schema;
    return options;
  }

  test::TemporaryDirectory dir_;
  std::string path_ = dir_.file("x.parquet");
};

TEST_F(LyingParquetTest, ADictionaryIndexWithoutAValueIsABadRow) {
  std::string file = write_texts(path_);
  file[find_index(file, kForgedRow)] = static_cast<char>(255);
  write_text(path_, file);
  ReaderOptions options = reading({.label = "y", .categorical = {"x"}});
  const auto [kind, message] = error_of([&] { (void)read_all(options); });
  EXPECT_EQ(kind, ErrorKind::kData);
  EXPECT_THAT(message, HasSubstr("the dictionary index is 255, but the dictionary has 200 values"));
  EXPECT_THAT(message, HasSubstr(concat("x.parquet, row ", kForgedRow + 1, ", column x")));
  options.on_bad_row = OnBadRow::kSkip;
  const Batch batch = read_all(options);
  ASSERT_EQ(batch.size, kValues - 1);
  EXPECT_EQ(batch.categorical[0].ids[kForgedRow], hash_string(concat("text ", kForgedRow + 1)));
}

TEST_F(LyingParquetTest, ADictionaryIndexWithoutAValueIsAnErrorWhereverItIsRead) {
  std::string file = write_texts(path_);
  file[find_index(file, kForgedRow)] = static_cast<char>(250);
  write_text(path_, file);
  for (const Schema& schema : {Schema{.label = "x"}, Schema{.dense = {"x"}}, Schema{.time = "x"}}) {
    const auto [kind, message] = error_of([&] { (void)read_all(reading(schema)); });
    EXPECT_TRUE(kind == ErrorKind::kData || kind == ErrorKind::kFormat) << message;
  }
  (void)error_of([&] { (void)guess_schema(path_, {.label = "y"}); });
  (void)error_of([&] { (void)read_row_table(path_, 4); });
  EXPECT_FALSE(holds_images(path_));
}

TEST_F(LyingParquetTest, ChecksumsOfPagesAreVerified) {
  std::string file = write_texts(path_, /*checksums=*/true);
  const ReaderOptions options = reading({.label = "y", .categorical = {"x"}});
  EXPECT_EQ(read_all(options).size, kValues);
  file[find_index(file, kForgedRow)] = static_cast<char>(3);  // a value that there is
  write_text(path_, file);
  const auto [kind, message] = error_of([&] { (void)read_all(options); });
  EXPECT_EQ(kind, ErrorKind::kFormat);
  EXPECT_THAT(message, HasSubstr("CRC"));
  EXPECT_THAT(message, HasSubstr("x.parquet, column x"));
}

TEST_F(LyingParquetTest, OtherKindsOfFilesAreCalledWhatTheyAre) {
  using namespace std::string_view_literals;
  const auto refused = [&](std::string_view bytes, std::string_view what) {
    std::string text(bytes);
    text.resize(std::max<std::size_t>(text.size(), 100), ' ');
    write_text(path_, text);
    const auto [kind, message] = error_of([&] { (void)read_all(reading({.label = "y"})); });
    EXPECT_TRUE(kind == ErrorKind::kFormat || kind == ErrorKind::kUnsupported);
    EXPECT_THAT(message, HasSubstr(std::string(what)));
    EXPECT_THAT(message, HasSubstr("x.parquet"));
    EXPECT_THAT(message, ::testing::Not(HasSubstr("write or copy it again")));
  };
  refused("ARROW1\0\0"sv, "an Arrow file");
  refused("\xFF\xFF\xFF\xFF", "a stream of Arrow record batches");
  refused("\x1F\x8B\x08\0\0"sv, "a gzip file");
  refused("PK\x03\x04", "a zip file");
  refused("ORC", "an ORC file");
  refused("Obj\x01", "an Avro file");
  refused("SQLite format 3\0"sv, "an SQLite data base");
  refused("\x15\x80\x40\x1C\x1C\0\0\x1C\x1C\0\0\x1C\x1C\0\0\0"sv, "a Parquet Bloom filter alone");
  refused("PARE", "encrypted");
  refused("PAR1" + std::string(200, ' ') + "PARE", "encrypted");
}

// Flips every byte of a small Arrow file in turn: rows or an error that names the file, nothing
// else.
TEST_F(LyingParquetTest, ArrowFilesWithAWrongByteAreReadOrRefused) {
  path_ = dir_.file("x.arrow");
  write_arrow(
      path_,
      *make_table({{"y", arrow::int8(), "[1, 0, 1]"},
                   {"x", arrow::dictionary(arrow::int8(), arrow::utf8()), R"(["a", "b", null])"},
                   {"l", arrow::list(arrow::utf8()), R"([["a"], [], ["b", "c"]])"}}));
  const std::string file = read_text(path_);
  ReaderOptions options = reading({.label = "y", .categorical = {"x", "l"}});
  options.prefetch = false;
  options.threads = 1;
  ASSERT_EQ(read_all(options).size, 3);
  for (std::size_t at = 0; at < file.size(); ++at) {
    std::string forged = file;
    forged[at] = static_cast<char>(forged[at] ^ 0x7F);
    write_text(path_, forged);
    try {
      (void)read_all(options);
      (void)guess_schema(path_, {.label = "y"});
    } catch (const Error& error) {
      EXPECT_NE(error.kind(), ErrorKind::kInternal) << at << ": " << error.what();
      EXPECT_THAT(error.what(), HasSubstr("x.arrow")) << at;
    }
  }
}

TEST(ArrowGuard, SaysWhatArrowMeans) {
  const auto message_of = [](auto&& fn, ErrorKind wanted) {
    const auto [kind, message] = error_of([&] { guarded(std::string("x.parquet"), fn); });
    EXPECT_EQ(kind, wanted) << message;
    EXPECT_THAT(message, HasSubstr("x.parquet"));
    return message;
  };
  using arrow::Status;
  EXPECT_THAT(
      message_of([] { return Status::OutOfMemory("malloc of size 5 failed"); }, ErrorKind::kIo),
      HasSubstr("out of memory (malloc of size 5 failed)"));
  EXPECT_THAT(message_of([]() -> int { throw std::bad_alloc(); }, ErrorKind::kIo),
              HasSubstr("out of memory"));
  EXPECT_THAT(
      message_of([]() -> int { throw parquet::ParquetStatusException(Status::OutOfMemory("m")); },
                 ErrorKind::kIo),
      HasSubstr("out of memory (m)"));
  EXPECT_THAT(message_of([]() -> int { throw parquet::ParquetException("cannot decrypt it"); },
                         ErrorKind::kUnsupported),
              HasSubstr("encrypted Parquet is not read"));
  EXPECT_THAT(
      message_of([] { return Status::NotImplemented("codec lzo"); }, ErrorKind::kUnsupported),
      HasSubstr("not read (codec lzo)"));
  EXPECT_THAT(message_of([]() -> int { throw std::length_error("vector"); }, ErrorKind::kFormat),
              HasSubstr("not a whole Parquet file (vector)"));
  EXPECT_EQ(guarded(std::string("x"), [] { return arrow::Result<int>(7); }), 7);
}

TEST_F(LyingParquetTest, AColumnNameThatIsNotUtf8IsNamed) {
  write_parquet(path_, *make_table({{"y", arrow::int8(), "[1]"}, {"naXe", arrow::int8(), "[1]"}}));
  std::string file = read_text(path_);
  for (std::size_t at = 0; (at = file.find("naXe", at)) != std::string::npos;)
    file[at + 2] = '\xEF';
  write_text(path_, file);
  const auto [kind, message] = error_of([&] { (void)guess_schema(path_); });
  EXPECT_EQ(kind, ErrorKind::kFormat);
  EXPECT_THAT(message, HasSubstr("the name of column 2 is not UTF-8: \"na\\xEFe\""));
}

}  // namespace
}  // namespace taut::data
