// What Parquet columns of every type become.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "taut/core/hash.h"
#include "test_files.h"

namespace taut::data {
namespace {

using namespace testing;  // NOLINT: helpers of these tests
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Bags = std::vector<std::vector<std::uint64_t>>;

std::uint64_t id(std::int64_t value) {
  return static_cast<std::uint64_t>(value);
}

class ParquetTest : public ::testing::Test {
 protected:
  // Reads a file of one label column and what is given.
  Batch read(const std::vector<JsonColumn>& columns, const Schema& schema, bool dictionary = true) {
    write_parquet(path_, *make_table(columns), 1 << 20, dictionary);
    ReaderOptions options;
    options.files = {path_};
    options.schema = schema;
    return read_all(options);
  }

  test::TemporaryDirectory dir_;
  std::string path_ = dir_.file("data.parquet");
};

TEST_F(ParquetTest, ReadsLabelsOfEveryType) {
  for (const auto& type : {arrow::int8(), arrow::uint8(), arrow::int32(), arrow::int64(),
                           arrow::float32(), arrow::float64()}) {
    const Batch batch = read({{"y", type, "[0, 1, 1]"}}, {.label = "y"});
    EXPECT_THAT(batch.labels, ElementsAre(0, 1, 1)) << type->ToString();
  }
  EXPECT_THAT(read({{"y", arrow::boolean(), "[false, true, true]"}}, {.label = "y"}).labels,
              ElementsAre(0, 1, 1));
}

TEST_F(ParquetTest, ReadsDenseColumnsRowMajorWithMissingValuesAsZero) {
  const Batch batch = read({{"y", arrow::int8(), "[0, 1]"},
                            {"a", arrow::float64(), "[1.5, null]"},
                            {"b", arrow::uint16(), "[7, 65535]"},
                            {"c", arrow::boolean(), "[true, false]"}},
                           {.label = "y", .dense = {"c", "a", "b"}});
  EXPECT_THAT(batch.dense, ElementsAre(1, 1.5F, 7, 0, 0, 65535));
}

TEST_F(ParquetTest, ScalesDenseColumnsAndPutsMissingValuesAtTheMean) {
  write_parquet(path_, *make_table({{"a", arrow::float32(), "[1, null, 5]"},
                                    {"b", arrow::float32(), "[0, -3, 9]"}}));
  ReaderOptions options;
  options.files = {path_};
  options.schema.dense = {"a", "b"};
  options.scaling = {{ScalingKind::kStandard, 3, 2}, {ScalingKind::kLog, 1, 0.5}};
  const Batch batch = read_all(options);
  EXPECT_THAT(batch.dense,
              ElementsAre(-1, -2, 0, -2, 1, static_cast<float>((std::log1p(9.0) - 1) / 0.5)));
}

TEST_F(ParquetTest, KeepsIntegersOfEveryWidthAsTheirOwnIds) {
  const Batch batch = read({{"a", arrow::int8(), "[-1, 127]"},
                            {"b", arrow::uint32(), "[4294967295, 0]"},
                            {"c", arrow::int64(), "[-9223372036854775808, 5]"},
                            {"d", arrow::uint64(), "[18446744073709551615, 6]"},
                            {"e", arrow::boolean(), "[true, null]"}},
                           {.categorical = {"a", "b", "c", "d", "e"}});
  EXPECT_EQ(batch.size, 2);
  EXPECT_TRUE(batch.labels.empty());
  EXPECT_EQ(bags(batch, 0), (Bags{{id(-1)}, {127}}));
  EXPECT_EQ(bags(batch, 1), (Bags{{4294967295u}, {0}}));
  EXPECT_EQ(bags(batch, 2), (Bags{{std::uint64_t{1} << 63}, {5}}));
  EXPECT_EQ(bags(batch, 3), (Bags{{~std::uint64_t{0}}, {6}}));
  EXPECT_EQ(bags(batch, 4), (Bags{{1}, {kMissingId}}));
}

TEST_F(ParquetTest, HashesStringsAlikeWhateverTheirEncoding) {
  const Bags wanted{{hash_string("ZZ-1")}, {kMissingId}, {kMissingId}, {42}, {hash_string("ZZ-1")}};
  const std::string values = R"(["ZZ-1", null, "", "42", "ZZ-1"])";
  for (const auto& type : {arrow::utf8(), arrow::large_utf8(), arrow::binary(),
                           arrow::dictionary(arrow::int32(), arrow::utf8())}) {
    for (const bool dictionary : {true, false}) {
      EXPECT_EQ(bags(read({{"c", type, values}}, {.categorical = {"c"}}, dictionary), 0), wanted)
          << type->ToString() << " dictionary " << dictionary;
    }
  }
}

TEST_F(ParquetTest, ReadsListsAsBagsOfIds) {
  const Batch batch =
      read({{"a", arrow::list(arrow::int32()), "[[1, 2], [], null, [3, null, 4]]"},
            {"b", arrow::large_list(arrow::utf8()), R"([["x"], ["y", "7"], [], null])"}},
           {.categorical = {"a", "b"}});
  EXPECT_EQ(bags(batch, 0), (Bags{{1, 2}, {}, {kMissingId}, {3, 4}}));
  EXPECT_EQ(bags(batch, 1), (Bags{{hash_string("x")}, {hash_string("y"), 7}, {}, {kMissingId}}));
}

TEST_F(ParquetTest, ReadsTimeOfEveryType) {
  for (const auto& type : {arrow::int16(), arrow::int64(), arrow::date32(),
                           arrow::timestamp(arrow::TimeUnit::MILLI)}) {
    EXPECT_THAT(read({{"t", type, "[5, 6]"}}, {.time = "t"}).time, ElementsAre(5, 6))
        << type->ToString();
  }
}

TEST_F(ParquetTest, RefusesColumnsOfTheWrongType) {
  const auto refused = [&](const std::shared_ptr<arrow::DataType>& type, const std::string& values,
                           const Schema& schema, const std::string& reason) {
    const auto [kind, message] = error_of([&] { read({{"x", type, values}}, schema); });
    EXPECT_EQ(kind, ErrorKind::kData);
    EXPECT_THAT(message, HasSubstr(reason));
    EXPECT_THAT(message, HasSubstr("data.parquet, column x"));
  };
  refused(arrow::list(arrow::float64()), "[[1.5]]", {.categorical = {"x"}}, "but is list");
  refused(arrow::list(arrow::int8()), "[[1]]", {.dense = {"x"}}, "but is list");
  refused(arrow::date32(), "[1]", {.dense = {"x"}}, "but is date32");
  refused(arrow::date32(), "[1]", {.label = "x"}, "but is date32");
  refused(arrow::float64(), "[1]", {.time = "x"}, "but is double");
}

TEST_F(ParquetTest, ReadsManyFilesByGlobInNameOrder) {
  write_numbered(dir_.file("part-2.parquet"), 50, 20, 100);
  write_numbered(dir_.file("part-1.parquet"), 100, 30, 0);
  write_numbered(dir_.file("other.parquet"), 10, 30, 1000);
  const ReaderOptions options = numbered_options({dir_.file("part-*.parquet")});
  EXPECT_EQ(BatchReader(options).known_rows(), 150);
  const Batch batch = read_all(options);
  ASSERT_EQ(batch.size, 150);
  for (std::int64_t row = 0; row < 150; ++row) {
    EXPECT_EQ(batch.time[row], row);
    EXPECT_EQ(batch.labels[row], static_cast<float>(row % 2));
    EXPECT_EQ(batch.dense[row], static_cast<float>(row));
  }
  const Bags lists = bags(batch, 1);
  for (std::size_t row = 0; row < 150; ++row) EXPECT_EQ(lists[row], std::vector(row % 4, row));
}

TEST_F(ParquetTest, CutsTheStreamIntoFullBatchesAcrossFilesAndRowGroups) {
  write_numbered(dir_.file("a.parquet"), 70001, 40000, 0);
  write_numbered(dir_.file("b.parquet"), 1234, 100, 70001);
  const ReaderOptions options = numbered_options({dir_.file("a.parquet"), dir_.file("b.parquet")});
  std::int64_t row = 0;
  const std::vector<Batch> batches = read_batches(options);
  ASSERT_EQ(batches.size(), 72u);
  for (const Batch& batch : batches) {
    EXPECT_EQ(batch.size, std::min<std::int64_t>(1000, 71235 - row));
    for (std::int64_t i = 0; i < batch.size; ++i) ASSERT_EQ(batch.time[i], row++);
  }
}

TEST_F(ParquetTest, GivesTheSameBatchesForAnyThreadsWithAndWithoutPrefetch) {
  write_numbered(path_, 20000, 7000);
  ReaderOptions options = numbered_options({path_});
  options.shuffle_rows = 3000;
  const std::vector<Batch> wanted = read_batches(options);
  for (const int threads : {1, 2, 3}) {
    for (const bool prefetch : {true, false}) {
      options.threads = threads;
      options.prefetch = prefetch;
      const std::vector<Batch> batches = read_batches(options);
      ASSERT_EQ(batches.size(), wanted.size());
      for (std::size_t b = 0; b < batches.size(); ++b) {
        EXPECT_EQ(batches[b].time, wanted[b].time);
        EXPECT_EQ(batches[b].dense, wanted[b].dense);
        EXPECT_EQ(batches[b].categorical[1].ids, wanted[b].categorical[1].ids);
        EXPECT_EQ(batches[b].categorical[1].offsets, wanted[b].categorical[1].offsets);
      }
    }
  }
}

TEST_F(ParquetTest, SkipsExactly) {
  write_numbered(path_, 10500, 4000);
  for (const std::int64_t shuffle : {0, 2000, 20000}) {
    ReaderOptions options = numbered_options({path_});
    options.shuffle_rows = shuffle;
    const std::vector<Batch> batches = read_batches(options);
    for (const std::size_t skipped : {std::size_t{0}, std::size_t{3}, std::size_t{10}}) {
      BatchReader reader(options);
      reader.skip(static_cast<std::int64_t>(skipped));
      Batch batch;
      ASSERT_TRUE(reader.next(batch));
      EXPECT_EQ(batch.time, batches[skipped].time);
    }
    BatchReader reader(options);
    reader.skip(100);
    Batch batch;
    EXPECT_FALSE(reader.next(batch));
  }
}

TEST_F(ParquetTest, MayBeDestroyedInTheMiddle) {
  write_numbered(path_, 200000, 50000);
  ReaderOptions options = numbered_options({path_});
  options.batch_size = 10;
  for (int read_first = 0; read_first < 3; ++read_first) {
    BatchReader reader(options);
    Batch batch;
    for (int i = 0; i < read_first; ++i) EXPECT_TRUE(reader.next(batch));
  }
}

// The types of examples/data/flights: int8 label, int32 time, float32 dense, strings and int32.
TEST_F(ParquetTest, ReadsColumnsLikeThoseOfFlights) {
  const Batch batch =
      read({{"label", arrow::int8(), "[0, 1, 0]"},
            {"time", arrow::int32(), "[315, 329, 340]"},
            {"d_distance", arrow::float32(), "[7.2, 7.25, 6.9]"},
            {"c_carrier", arrow::utf8(), R"(["UA", "AA", "UA"])"},
            {"c_tailnum", arrow::utf8(), R"(["N14228", "", "N619AA"])"},
            {"c_flight", arrow::int32(), "[1545, 1714, 1141]"}},
           {"label", {"d_distance"}, {"c_carrier", "c_tailnum", "c_flight"}, "time"});
  EXPECT_THAT(batch.labels, ElementsAre(0, 1, 0));
  EXPECT_THAT(batch.time, ElementsAre(315, 329, 340));
  EXPECT_THAT(batch.dense, ElementsAre(7.2F, 7.25F, 6.9F));
  EXPECT_EQ(bags(batch, 0), (Bags{{hash_string("UA")}, {hash_string("AA")}, {hash_string("UA")}}));
  EXPECT_EQ(bags(batch, 1)[1], (std::vector{kMissingId}));
  EXPECT_EQ(bags(batch, 2), (Bags{{1545}, {1714}, {1141}}));
}

}  // namespace
}  // namespace taut::data
