// Writers on disks that are full after any number of bytes: the last whole file stays.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "support/full_disk.h"
#include "support/temporary_directory.h"
#include "taut/core/checked.h"
#include "taut/core/file.h"
#include "taut/core/random.h"
#include "taut/core/snapshot.h"

namespace taut {
namespace {

using test::fill_disk;
using test::TemporaryDirectory;

TEST(FullDisk, CutsAWriteShort) {
  const TemporaryDirectory folder;
  const std::string path = folder.file("a");
  const std::string text(1000, 'x');
  {
    const test::FullDisk full(600);
    EXPECT_THROW(write_file(path, text), Error);
  }
  EXPECT_EQ(folder.names(), std::vector<std::string>{});
  write_file(path, text);
  EXPECT_EQ(read_file(path), text);
}

TEST(FullDisk, LeavesTheOldFile) {
  const TemporaryDirectory folder;
  const std::string path = folder.file("a.txt");
  std::string text;
  for (int i = 0; i < 3000; ++i) text += std::to_string(i);
  for (const std::size_t piece : {std::size_t{7}, std::size_t{1000}, text.size()}) {
    write_file(path, "old");
    const int failed = fill_disk(
        path, 1.7,
        [&] {
          AtomicFile file(path);
          for (std::size_t at = 0; at < text.size(); at += piece) {
            file.write(std::string_view(text).substr(at, piece));
          }
          file.commit();
        },
        [&](bool ended) {
          EXPECT_EQ(read_file(path), ended ? text : "old");
          EXPECT_EQ(folder.names(), std::vector<std::string>{"a.txt"});
        });
    EXPECT_GT(failed, 10);
  }
}

TEST(FullDisk, LeavesTheOldContainer) {
  const TemporaryDirectory folder;
  const std::string path = folder.file("a.taut");
  const auto write = [&](int sections) {
    SectionWriter writer(path, "test", 1);
    for (int i = 0; i < sections; ++i) {
      writer.add("s" + std::to_string(i), std::string(static_cast<std::size_t>(i) * 130, 'x'));
    }
    (void)writer.commit();
  };
  write(3);
  const int failed = fill_disk(
      path, 1.3, [&] { write(20); },
      [&](bool ended) {
        const SectionReader reader(path, "test", 1);
        EXPECT_EQ(reader.names().size(), ended ? 20u : 3u);
        for (const std::string& name : reader.names()) (void)reader.section(name);
        EXPECT_EQ(folder.names(), std::vector<std::string>{"a.taut"});
      });
  EXPECT_GT(failed, 20);
}

// A row of snapshots, each on the one before; any of them may meet a full disk.
TEST(FullDisk, LeavesTheSnapshotsBeforeAndNothingOfItsOwn) {
  constexpr SnapshotKind kKind{.kind = "test", .version = 1};
  const TemporaryDirectory folder;
  const CounterRandom random(3);
  std::uint64_t counter = 0;
  std::vector<std::string> contents(5);
  for (std::size_t i = 0; i < contents.size(); ++i) contents[i].assign(i * 7001, 'a');
  const auto save = [&](SectionSink& sink) {
    for (std::size_t i = 0; i < contents.size(); ++i) {
      sink.add("s" + std::to_string(i), contents[i]);
    }
  };
  std::optional<std::string> last;
  std::vector<std::string> whole;  // contents of the last one
  int failed = 0;
  for (int number = 1; number <= 6; ++number) {
    const std::string path = folder.file("step-" + std::to_string(number) + ".taut");
    for (std::string& bytes : contents) {
      for (std::size_t i = 0; i < 1 + bytes.size() / 9000; ++i) {
        if (!bytes.empty()) bytes[random.below(counter++, bytes.size())] ^= 1;
      }
      bytes.append(random.below(counter++, 3000), 'n');
    }
    const std::vector<std::string> before = folder.names();
    failed += fill_disk(
        folder.path(), 1.9, [&] { write_snapshot(path, kKind, last, save); },
        [&](bool ended) {
          if (ended) {
            last = path;
            whole = contents;
          } else {
            EXPECT_FALSE(std::filesystem::exists(path));
            clean_snapshots(folder.path());
            EXPECT_EQ(folder.names(), before);
          }
          if (!last) return;
          const SnapshotReader reader(*last, kKind);
          for (std::size_t i = 0; i < whole.size(); ++i) {
            EXPECT_EQ(reader.text("s" + std::to_string(i)), whole[i]);
          }
        });
  }
  EXPECT_GT(failed, 50);
}

TEST(FullDisk, OfADeviceIsAnErrorThatNamesIt) {
  const auto write = [] { write_file("/dev/full/none", "x"); };
  EXPECT_THAT(test::error_of(write), test::IsError(ErrorKind::kIo, "/dev/full/none"));
}

TEST(Checked, ProductsAndSumsAreThoseOfWiderIntegersOrNothing) {
  const CounterRandom random(17);
  std::uint64_t counter = 0;
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  const auto number = [&] {
    const auto bits = static_cast<std::int64_t>(random.bits(counter++) >> 1);
    const std::int64_t value = bits >> random.below(counter++, 63);
    return random.below(counter++, 20) == 0 ? -value - 1 : value;
  };
  int held = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::int64_t a = number();
    const std::int64_t b = number();
    const std::int64_t c = number() >> 40;
    const bool negative = a < 0 || b < 0 || c < 0;
    const __int128 two = static_cast<__int128>(a) * b;
    const bool fits = !negative && two <= kMost && two * c <= kMost;
    const auto product = checked_product({a, b, c});
    ASSERT_EQ(product.has_value(), fits) << a << " * " << b << " * " << c;
    if (product) {
      ASSERT_EQ(*product, static_cast<std::int64_t>(two * c));
    }
    const __int128 all = static_cast<__int128>(a) + b + c;
    const auto sum = checked_sum({a, b, c});
    ASSERT_EQ(sum.has_value(), !negative && all <= kMost) << a << " + " << b << " + " << c;
    if (sum) {
      ASSERT_EQ(*sum, static_cast<std::int64_t>(all));
    }
    held += product ? 1 : 0;
  }
  EXPECT_GT(held, 2000);
  EXPECT_LT(held, 18000);
  EXPECT_EQ(checked_product({}), 1);
  EXPECT_EQ(checked_sum({}), 0);
  EXPECT_EQ(checked_product({kMost, 0, kMost}), 0);
  EXPECT_EQ(checked_product({std::int64_t{1} << 58, 64}), std::nullopt);
}

}  // namespace
}  // namespace taut
