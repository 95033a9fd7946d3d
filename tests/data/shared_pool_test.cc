// Readers that decode on a pool of the caller's: the same batches, whoever else uses the pool.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "taut/core/text.h"
#include "taut/core/thread_pool.h"
#include "test_files.h"

namespace taut::data::testing {
namespace {

void expect_same(const Batch& got, const Batch& wanted) {
  EXPECT_EQ(got.labels, wanted.labels);
  EXPECT_EQ(got.dense, wanted.dense);
  EXPECT_EQ(bags(got, 0), bags(wanted, 0));
}

// Reads while loops of the caller run on the pool between batches and from another thread.
void expect_same_on_a_pool(ReaderOptions options) {
  options.batch_size = 300;
  const std::vector<Batch> wanted = read_batches(options);
  ASSERT_GT(wanted.size(), 3u);
  const auto pool = std::make_shared<ThreadPool>(3);
  options.pool = pool;
  for (const bool prefetch : {false, true}) {
    SCOPED_TRACE(prefetch ? "read ahead" : "read when asked");
    options.prefetch = prefetch;
    BatchReader reader(options);
    std::atomic<std::int64_t> done{0};
    std::size_t batches = 0;
    for (Batch batch; reader.next(batch); ++batches) {
      ASSERT_LT(batches, wanted.size());
      expect_same(batch, wanted[batches]);
      pool->run(20, [&](std::int64_t i) { done += i; });
    }
    EXPECT_EQ(batches, wanted.size());
    EXPECT_EQ(done.load(), static_cast<std::int64_t>(batches) * 190);
  }
  BatchReader left(options);
  Batch batch;
  EXPECT_TRUE(left.next(batch));  // and is left before its end
}

TEST(SharedPool, ReadsParquetAsThreadsOfTheReadersOwn) {
  const test::TemporaryDirectory folder;
  write_numbered(folder.file("a.parquet"), 3000, 250);
  expect_same_on_a_pool(numbered_options({folder.file("a.parquet")}));
}

TEST(SharedPool, ReadsTextAsThreadsOfTheReadersOwn) {
  const test::TemporaryDirectory folder;
  std::string text = "label,d_row,c_row\n";
  for (int row = 0; row < 3000; ++row) text += concat(row % 2, ",", row, ",", row % 17, "\n");
  write_text(folder.file("a.csv"), text);
  ReaderOptions options;
  options.files = {folder.file("a.csv")};
  options.schema = {.label = "label", .dense = {"d_row"}, .categorical = {"c_row"}};
  expect_same_on_a_pool(options);
}

TEST(SharedPool, MayBeOneOfSeveralReaders) {
  const test::TemporaryDirectory folder;
  write_numbered(folder.file("a.parquet"), 2000, 250);
  ReaderOptions options = numbered_options({folder.file("a.parquet")});
  options.batch_size = 300;
  const std::vector<Batch> wanted = read_batches(options);
  options.pool = std::make_shared<ThreadPool>(2);
  BatchReader one(options);
  BatchReader two(options);
  for (const Batch& batch : wanted) {
    Batch first;
    Batch second;
    ASSERT_TRUE(one.next(first) && two.next(second));
    expect_same(first, batch);
    expect_same(second, batch);
  }
}

}  // namespace
}  // namespace taut::data::testing
