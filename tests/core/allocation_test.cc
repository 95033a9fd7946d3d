// Threads, files and snapshots with memory that runs out at each allocation in turn.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "support/failing_allocations.h"
#include "support/temporary_directory.h"
#include "taut/core/aligned_buffer.h"
#include "taut/core/file.h"
#include "taut/core/snapshot.h"
#include "taut/core/text.h"
#include "taut/core/thread_pool.h"

namespace taut {
namespace {

using test::fail_each_allocation;
using test::FailingCase;
using test::TemporaryDirectory;

std::ptrdiff_t open_files() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                       std::filesystem::directory_iterator());
}

TEST(FailingAllocations, FailAtTheCountedOneAlone) {
  for (const std::int64_t n : {1, 2, 5}) {
    std::vector<bool> got;
    got.reserve(8);
    {
      const test::FailingAllocations failing(n, test::FailingAllocations::Then::kGoesOn);
      for (int i = 0; i < 8; ++i) {
        std::unique_ptr<int> made(new (std::nothrow) int(i));
        got.push_back(made != nullptr);
      }
      EXPECT_TRUE(failing.failed());
    }
    for (std::int64_t i = 0; i < 8; ++i) {
      EXPECT_EQ(got[static_cast<std::size_t>(i)], i + 1 != n);
    }
  }
}

TEST(FailingAllocations, ReachAlignedBuffersBigAndSmall) {
  for (const std::size_t size : {std::size_t{100}, std::size_t{6} << 20}) {
    MemoryCounter counter;
    const test::FailingAllocations failing(1, test::FailingAllocations::Then::kGoesOn);
    EXPECT_THROW(AlignedBuffer<char>(size, &counter), std::bad_alloc);
    EXPECT_EQ(counter.bytes(), 0);
    EXPECT_EQ(counter.peak_bytes(), 0);
    const AlignedBuffer<char> second(size, &counter);
    EXPECT_GE(counter.bytes(), static_cast<std::int64_t>(size));
  }
}

// A stream without memory would give the beginning of the text: of a file beside another, the name
// of somebody else's.
TEST(Allocation, TextIsWholeOrNotThere) {
  const std::string path(300, 'p');
  struct Joining {
    const std::string& path;
    std::string text;
    void run() { text = concat(path, ".tmp.", 12345, ' ', 0.5, path); }
    void check(bool ended) const {
      EXPECT_EQ(text, ended ? path + ".tmp.12345 0.5" + path : std::string());
    }
  };
  EXPECT_GT(fail_each_allocation([&] { return Joining{path, {}}; }), 1);
}

TEST(Allocation, AThreadPoolThatCannotStartEndsItsThreads) {
  struct Starting {
    std::unique_ptr<ThreadPool> pool;
    void run() { pool = std::make_unique<ThreadPool>(4); }
    void check(bool ended) const {
      ASSERT_EQ(pool != nullptr, ended);
      if (!ended) return;
      std::atomic<int> sum{0};
      pool->run(10, [&](std::int64_t i) { sum += static_cast<int>(i); });
      EXPECT_EQ(sum.load(), 45);
    }
  };
  EXPECT_GT(fail_each_allocation([] { return Starting{}; }), 4);
}

TEST(Allocation, ATaskWithoutMemoryEndsItsLoopAndNotThePool) {
  ThreadPool pool(3);
  const auto loop = [&] {
    return FailingCase{[&] {
                         pool.run(20, [](std::int64_t i) {
                           const std::vector<std::int64_t> taken(static_cast<std::size_t>(i) + 1,
                                                                 i);
                           ASSERT_EQ(taken.back(), i);
                         });
                       },
                       [&](bool) {
                         std::atomic<int> sum{0};
                         pool.run(10, [&](std::int64_t i) { sum += static_cast<int>(i); });
                         EXPECT_EQ(sum.load(), 45);
                       }};
  };
  EXPECT_GE(fail_each_allocation(loop), 20);
}

TEST(Allocation, AFileIsTheOldOrTheNewOne) {
  const TemporaryDirectory folder;
  const std::string path = folder.file("a.txt");
  const std::string text(5000, 'n');
  const std::ptrdiff_t files = open_files();
  const auto writing = [&] {
    write_file(path, "old");
    return FailingCase{[&] { write_file(path, text); },
                       [&](bool ended) {
                         const std::string now = read_file(path);
                         EXPECT_TRUE(now == text || (!ended && now == "old")) << now.substr(0, 20);
                         EXPECT_EQ(folder.names(), std::vector<std::string>{"a.txt"});
                         EXPECT_EQ(open_files(), files);
                       }};
  };
  EXPECT_GT(fail_each_allocation(writing), 2);
}

TEST(Allocation, AContainerIsWrittenAndOpenedWholeOrNotAtAll) {
  const TemporaryDirectory folder;
  const std::string path = folder.file("a.taut");
  const std::ptrdiff_t files = open_files();
  const auto write = [&](int sections) {
    SectionWriter writer(path, "test", 3);
    for (int i = 0; i < sections; ++i) {
      writer.add("section " + std::to_string(i),
                 std::string(static_cast<std::size_t>(i) * 99, 'x'));
    }
    (void)writer.commit();
  };
  const auto sections = [&] { return SectionReader(path, "test", 3).names().size(); };
  const auto writing = [&] {
    write(2);
    return FailingCase{[&] { write(9); },
                       [&](bool ended) {
                         const std::size_t now = sections();
                         EXPECT_TRUE(now == 9 || (!ended && now == 2)) << now;
                         EXPECT_EQ(folder.names(), std::vector<std::string>{"a.taut"});
                         EXPECT_EQ(open_files(), files);
                       }};
  };
  EXPECT_GT(fail_each_allocation(writing), 9);
  write(9);
  std::size_t found = 0;
  const auto opening = [&] {
    found = 0;
    return FailingCase{[&] { found = sections(); },
                       [&](bool ended) {
                         EXPECT_EQ(found, ended ? 9u : 0u);
                         EXPECT_EQ(open_files(), files);
                       }};
  };
  EXPECT_GT(fail_each_allocation(opening), 5);
}

TEST(Allocation, ASnapshotIsTheOldOrTheNewOneAndLeavesNothing) {
  constexpr SnapshotKind kKind{.kind = "test", .version = 2};
  const TemporaryDirectory folder;
  const std::ptrdiff_t files = open_files();
  const std::string first = folder.file("1.taut");
  const std::string second = folder.file("2.taut");
  const auto contents = [](char tail) {
    std::vector<std::string> sections;
    for (int i = 0; i < 4; ++i) {
      std::string bytes(9000, static_cast<char>('a' + i));
      bytes[static_cast<std::size_t>(i) * 2500] = tail;
      sections.push_back(std::move(bytes));
    }
    return sections;
  };
  const std::vector<std::string> old = contents('1');
  const std::vector<std::string> now = contents('2');
  const auto save = [](const std::vector<std::string>& sections) {
    return [&sections](SectionSink& sink) {
      for (std::size_t i = 0; i < sections.size(); ++i) {
        sink.add("s" + std::to_string(i), sections[i]);
      }
    };
  };
  const auto holds = [&](const std::string& path, const std::vector<std::string>& sections) {
    const SnapshotReader reader(path, kKind);
    for (std::size_t i = 0; i < sections.size(); ++i) {
      EXPECT_EQ(reader.text("s" + std::to_string(i)), sections[i]) << path;
    }
  };
  write_snapshot(first, kKind, std::nullopt, save(old));
  const std::vector<std::string> clean = folder.names();
  const auto writing = [&] {
    return FailingCase{[&] { write_snapshot(second, kKind, first, save(now)); },
                       [&](bool ended) {
                         holds(first, old);
                         const bool there = std::filesystem::exists(second);
                         EXPECT_TRUE(there || !ended);
                         if (there) holds(second, now);
                         EXPECT_EQ(open_files(), files);
                         std::filesystem::remove(second);
                         clean_snapshots(folder.path());
                         EXPECT_EQ(folder.names(), clean);
                         holds(first, old);
                       }};
  };
  EXPECT_GT(fail_each_allocation(writing), 20);
  write_snapshot(second, kKind, first, save(now));
  std::size_t read = 0;
  const auto reading = [&] {
    read = 0;
    return FailingCase{[&] {
                         const SnapshotReader reader(second, kKind);
                         for (const std::string& name : reader.names())
                           read += reader.text(name).size();
                       },
                       [&](bool ended) {
                         EXPECT_EQ(read == 36000, ended);
                         EXPECT_EQ(open_files(), files);
                       }};
  };
  EXPECT_GT(fail_each_allocation(reading), 10);
}

}  // namespace
}  // namespace taut
