// Snapshots write what changed, come back whole, and no damage to one hurts the one beside it.
#include "taut/core/snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/core/error.h"
#include "taut/core/random.h"

namespace taut {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::IsError;
using testing::HasSubstr;

constexpr SnapshotKind kKind{.kind = "ckpt", .version = 3};

using Sections = std::map<std::string, std::string>;

class SnapshotTest : public testing::Test {
 protected:
  [[nodiscard]] std::string path(int number) const {
    return directory_.file("step-" + std::to_string(number) + ".taut");
  }
  SnapshotCost write(int number, std::optional<int> base, const Sections& sections) const {
    std::optional<std::string> base_path;
    if (base) base_path = path(*base);
    return write_snapshot(path(number), kKind, base_path, [&](SectionSink& sink) {
      std::size_t cut = 1;
      for (const auto& [name, bytes] : sections) {
        // In uneven parts, as stores do.
        sink.begin(name);
        for (std::size_t at = 0; at < bytes.size();) {
          const std::size_t size = std::min(bytes.size() - at, cut);
          sink.append(bytes.data() + at, size);
          at += size;
          cut = cut * 7 % 100003;
        }
      }
    });
  }
  [[nodiscard]] Sections read(int number) const {
    const SnapshotReader reader(path(number), kKind);
    Sections sections;
    for (const std::string& name : reader.names()) sections[name] = reader.text(name);
    return sections;
  }
  [[nodiscard]] std::vector<fs::path> files() const {
    std::vector<fs::path> all;
    for (const auto& entry : fs::directory_iterator(directory_.path())) {
      all.push_back(entry.path());
    }
    std::sort(all.begin(), all.end());
    return all;
  }
  [[nodiscard]] std::uintmax_t folder_bytes() const {
    std::uintmax_t bytes = 0;
    for (const fs::path& file : files()) bytes += fs::file_size(file);
    return bytes;
  }

  static Sections make_sections() {
    Sections sections = {{"empty", ""},
                         {"small", "text"},
                         {"big", std::string(1 << 20, 'x')},
                         {"odd", std::string(12345, 'y')}};
    const CounterRandom random(5);
    for (std::size_t i = 0; i < sections["big"].size(); ++i) {
      sections["big"][i] = static_cast<char>(random.bits(i));
    }
    return sections;
  }

  test::TemporaryDirectory directory_;
};

TEST_F(SnapshotTest, ComeBackAsTheyWereWritten) {
  const Sections sections = make_sections();
  const SnapshotCost cost = write(1, std::nullopt, sections);
  EXPECT_EQ(read(1), sections);
  EXPECT_EQ(cost.contents.count, (1 << 20) + 12345 + 4);
  EXPECT_NEAR(static_cast<double>(cost.written.count), static_cast<double>(folder_bytes()), 1);
  const SnapshotReader reader(path(1), kKind);
  EXPECT_TRUE(reader.has("empty"));
  EXPECT_FALSE(reader.has("other"));
  EXPECT_THAT(error_of([&] { (void)reader.section("other"); }),
              IsError(ErrorKind::kFormat, "other"));
}

TEST_F(SnapshotTest, ASmallChangeIsASmallShareOfTheBytes) {
  Sections sections = make_sections();
  const SnapshotCost full = write(1, std::nullopt, sections);
  sections["big"][500000] = static_cast<char>(sections["big"][500000] + 1);
  sections["small"] = "other text";
  const SnapshotCost small = write(2, 1, sections);
  EXPECT_EQ(read(2), sections);
  EXPECT_LT(small.written.count, full.written.count / 50);
  const SnapshotCost none = write(3, 2, sections);
  EXPECT_EQ(read(3), sections);
  EXPECT_LT(none.written.count, small.written.count);
  RecordProperty("full_bytes", static_cast<int>(full.written.count));
  RecordProperty("small_bytes", static_cast<int>(small.written.count));
}

TEST_F(SnapshotTest, SectionsThatGrowShrinkComeAndGoAreWhole) {
  const CounterRandom random(11);
  std::uint64_t draw = 0;
  Sections sections = make_sections();
  write(0, std::nullopt, sections);
  std::uintmax_t before = folder_bytes();  // contents of the round before
  for (int round = 1; round <= 120; ++round) {
    std::string& big = sections["big"];
    switch (random.below(draw++, 5)) {
      case 0:
        big.resize(random.below(draw++, 1 << 20));
        break;
      case 1:
        big.resize(big.size() + random.below(draw++, 100000), 'z');
        break;
      case 2: {
        const std::uint64_t size = random.below(draw++, 20000);
        sections["extra" + std::to_string(random.below(draw++, 5))] = std::string(size, 'e');
        break;
      }
      case 3:
        sections.erase("extra" + std::to_string(random.below(draw++, 5)));
        break;
      default:
        for (int i = 0; i < 20 && !big.empty(); ++i) {
          const std::uint64_t at = random.below(draw++, big.size());
          big[at] = static_cast<char>(random.bits(draw++));
        }
    }
    write(round, round - 1, sections);
    fs::remove(path(round - 1));
    clean_snapshots(directory_.path());
    ASSERT_EQ(read(round), sections) << round;
    std::uintmax_t contents = 0;
    for (const auto& [name, bytes] : sections) contents += bytes.size();
    ASSERT_LT(folder_bytes(), 3 * std::max(contents, before) + (1u << 17)) << round;
    before = contents;
    ASSERT_LE(files().size(), 40u);
  }
}

TEST_F(SnapshotTest, AFlippedBitInAnyFileHurtsOneOfTwoChainsAndIsNamed) {
  Sections sections = make_sections();
  write(1, std::nullopt, sections);
  write(2, std::nullopt, sections);
  sections["big"][7] = 'q';
  write(3, 1, sections);
  sections["big"][900000] = 'q';
  write(4, 2, sections);
  fs::remove(path(1));
  fs::remove(path(2));
  clean_snapshots(directory_.path());
  for (const fs::path& file : files()) {
    const std::string good = read_file(file.string());
    for (std::size_t part = 0; part < 40; ++part) {
      std::string bad = good;
      const std::size_t at = good.size() * part / 40 + 3;
      bad[at] = static_cast<char>(bad[at] ^ 0x10);
      write_file(file.string(), bad);
      int hurt = 0;
      for (const int number : {3, 4}) {
        try {
          const Sections now = read(number);
          if (number == 4) {
            EXPECT_EQ(now, sections);
          }
        } catch (const Error& failed) {
          ++hurt;
          EXPECT_EQ(failed.kind(), ErrorKind::kFormat);
          EXPECT_THAT(failed.what(), HasSubstr(file.string()));
        }
      }
      EXPECT_LE(hurt, 1) << file << " at " << at;
    }
    write_file(file.string(), good);
  }
}

TEST_F(SnapshotTest, ALostFileOfPiecesIsNamed) {
  write(1, std::nullopt, make_sections());
  const std::string pieces = files()[0].string();
  fs::remove(pieces);
  EXPECT_THAT(error_of([&] { (void)read(1); }), IsError(ErrorKind::kNotFound, pieces));
}

TEST_F(SnapshotTest, ADamagedBaseIsNotBuiltOn) {
  const Sections sections = make_sections();
  const SnapshotCost full = write(1, std::nullopt, sections);
  write_file(path(1), "not a snapshot");
  const SnapshotCost again = write(2, 1, sections);
  EXPECT_EQ(read(2), sections);
  EXPECT_EQ(again.written.count, full.written.count);
}

TEST_F(SnapshotTest, AFailedWriteLeavesTheOneBefore) {
  const Sections sections = make_sections();
  write(1, std::nullopt, sections);
  const std::vector<fs::path> before = files();
  EXPECT_THROW(write_snapshot(path(1), kKind, path(1),
                              [&](SectionSink& sink) {
                                sink.add("big", std::string_view("new"));
                                throw Error(ErrorKind::kIo, "disk full");
                              }),
               Error);
  EXPECT_EQ(files(), before);
  EXPECT_EQ(read(1), sections);
}

TEST_F(SnapshotTest, CleaningRemovesWhatNoneNeedsAndNothingElse) {
  Sections sections = make_sections();
  write(1, std::nullopt, sections);
  write(2, std::nullopt, sections);
  const std::string gone = directory_.file("step-9.taut.tmp.999999999");
  const std::string alive = directory_.file("step-9.taut.tmp." + std::to_string(getppid()));
  const std::string other = directory_.file("notes.txt");
  for (const std::string& file : {gone, alive, other}) write_file(file, "text");
  fs::remove(path(1));
  clean_snapshots(directory_.path());
  EXPECT_FALSE(fs::exists(gone));
  EXPECT_TRUE(fs::exists(alive));
  EXPECT_TRUE(fs::exists(other));
  EXPECT_FALSE(fs::exists(directory_.file("pieces-000001.taut")));
  EXPECT_EQ(read(2), sections);
  // A manifest that cannot be read may name any of them.
  write_file(path(3), "damaged");
  fs::remove(path(2));
  clean_snapshots(directory_.path());
  EXPECT_TRUE(fs::exists(directory_.file("pieces-000002.taut")));
}

// A manifest of names and sections that are given as they are, without pieces.
void write_manifest(const std::string& path, const SnapshotKind& kind, const std::string& files,
                    const std::string& sections) {
  SectionWriter file(path, kind.kind, kind.version);
  file.add("files", files);
  file.add("sections", sections);
  file.begin("pieces");
  file.commit();
}

TEST_F(SnapshotTest, AManifestOfMoreThanASnapshotHasIsRefused) {
  const auto refused = [&](const std::string& files, const std::string& sections) {
    write_manifest(path(1), kKind, files, sections);
    EXPECT_THAT(error_of([&] { const SnapshotReader never(path(1), kKind); }),
                IsError(ErrorKind::kFormat, path(1)));
  };
  std::string names;
  for (int i = 0; i < 200000; ++i) names += "pieces-" + std::to_string(i) + ".taut\n";
  refused(names, "");
  refused("pieces-1.taut\npieces-1.taut\n", "");
  refused("../pieces-1.taut\n", "");
  refused("pieces-/../x.taut\n", "");
  refused("", "4096 big\n");
  refused("", "18446744073709551615 big\n");
  refused("", "0 twice\n0 twice\n");
  refused("", "big\n");
  std::string many;
  for (int i = 0; i < (1 << 20) + 1; ++i) many += "0 " + std::to_string(i) + "\n";
  refused("", many);
}

TEST_F(SnapshotTest, ManySectionsAreFoundInTimeThatGrowsWithThem) {
  std::string sections;
  for (int i = 0; i < 100000; ++i) sections += "0 section " + std::to_string(i) + "\n";
  write_manifest(path(1), kKind, "", sections);
  const auto start = std::chrono::steady_clock::now();
  const SnapshotReader reader(path(1), kKind);
  for (const std::string& name : reader.names()) ASSERT_EQ(reader.section(name).size(), 0u);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  EXPECT_LT(taken.count(), 10.0);  // far below a second, where a look-up does not walk them all
}

}  // namespace
}  // namespace taut
