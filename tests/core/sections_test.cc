// The container of named sections: what is written comes back, and no damage goes unseen.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/core/file.h"

namespace taut {
namespace {

using test::error_of;
using test::IsError;
using testing::ElementsAre;
using testing::ElementsAreArray;

class SectionsTest : public testing::Test {
 protected:
  // Three sections: 70 bytes (padded), none, and 4 values.
  void write_small() const {
    SectionWriter writer(path_, "ckpt", 3);
    writer.add("notes", std::string(70, 'n'));
    writer.begin("empty");
    writer.add_array<std::int32_t>("values", values_);
    writer.commit();
  }

  // Reads all that there is, as a checkpoint's loader does.
  void read_all() const {
    const SectionReader reader(path_, "ckpt", 3);
    for (const std::string& name : reader.names()) (void)reader.section(name);
  }

  void put(std::string_view bytes) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

  test::TemporaryDirectory directory_;
  std::string path_ = directory_.file("run.ckpt");
  std::vector<std::int32_t> values_ = {1, -2, 3, -4};
};

TEST_F(SectionsTest, ComeBackAsTheyWereWritten) {
  write_small();
  const SectionReader reader(path_, "ckpt", 3);
  EXPECT_THAT(reader.names(), ElementsAre("notes", "empty", "values"));
  EXPECT_EQ(reader.text("notes"), std::string(70, 'n'));
  EXPECT_EQ(reader.section("empty").size(), 0u);
  EXPECT_THAT(reader.array<std::int32_t>("values"), ElementsAreArray(values_));
  EXPECT_EQ(reader.section_bytes("values").count, 16);
  EXPECT_EQ(reader.path(), path_);
  EXPECT_TRUE(reader.has("empty"));
  EXPECT_FALSE(reader.has("note"));
  EXPECT_FALSE(reader.has(""));
}

TEST_F(SectionsTest, AreReadFromACopyOfTheirBytes) {
  write_small();
  std::string bytes = read_file(path_);
  const auto view = std::as_bytes(std::span(bytes));
  EXPECT_EQ(identify_sections(view, "bytes").kind, "ckpt");
  const SectionReader reader(MappedFile(view), "bytes", "ckpt", 3);
  std::fill(bytes.begin(), bytes.end(), '\0');  // nobody reads them any more
  EXPECT_EQ(reader.text("notes"), std::string(70, 'n'));
  EXPECT_EQ(reader.path(), "bytes");
  EXPECT_EQ(mapped_path(reader.section("notes").data()), nullptr);  // it is no file's
  EXPECT_TRUE(MappedFile(std::span<const std::byte>()).bytes().empty());
  EXPECT_THAT(
      error_of([] { SectionReader(MappedFile(std::span<const std::byte>()), "none", "ckpt", 3); }),
      IsError(ErrorKind::kFormat, "none"));
}

TEST_F(SectionsTest, JoinWhatIsAppendedInPieces) {
  std::vector<std::uint8_t> bytes(200'000);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  SectionWriter writer(path_, "package", 1);
  writer.begin("weights");
  for (std::size_t at = 0, step = 1; at < bytes.size(); at += step, step = step * 3 + 1) {
    step = std::min(step, bytes.size() - at);
    writer.append(bytes.data() + at, step);
  }
  writer.append(nullptr, 0);
  writer.commit();
  const SectionReader reader(path_, "package", 1);
  EXPECT_THAT(reader.array<std::uint8_t>("weights"), ElementsAreArray(bytes));
}

TEST_F(SectionsTest, StartOn64ByteBoundaries) {
  write_small();
  const SectionReader reader(path_, "ckpt", 3);
  for (const std::string& name : reader.names()) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(reader.section(name).data()) % 64, 0u) << name;
  }
}

TEST_F(SectionsTest, CommitTellsTheSizeOfTheFile) {
  SectionWriter writer(path_, "ckpt", 1);
  writer.add("a", "text");
  const Bytes size = writer.commit();
  EXPECT_EQ(size.count, static_cast<std::int64_t>(read_file(path_).size()));
}

TEST_F(SectionsTest, HaveTheLayoutOfTheDocs) {
  SectionWriter writer(path_, "ckpt", 3);
  writer.add("a", "text");
  writer.commit();
  const std::string bytes = read_file(path_);
  // Header, one padded section, one table entry, footer.
  ASSERT_EQ(bytes.size(), 64u + 64u + 128u + 32u);
  EXPECT_EQ(bytes.substr(0, 8), "TAUTFILE");
  EXPECT_EQ(bytes.substr(8, 8), std::string("ckpt\0\0\0\0", 8));
  EXPECT_EQ(bytes.substr(16, 4), std::string("\3\0\0\0", 4));
  EXPECT_EQ(bytes.substr(20, 44), std::string(44, '\0'));
  EXPECT_EQ(bytes.substr(64, 5), std::string("text\0", 5));
  EXPECT_EQ(bytes.substr(128, 2), std::string("a\0", 2));
  EXPECT_EQ(bytes.substr(128 + 104, 8), std::string("\x40\0\0\0\0\0\0\0", 8));  // offset
  EXPECT_EQ(bytes.substr(128 + 112, 8), std::string("\4\0\0\0\0\0\0\0", 8));    // size
  EXPECT_EQ(bytes.substr(256, 8), std::string("\x80\0\0\0\0\0\0\0", 8));        // table offset
  EXPECT_EQ(bytes.substr(264, 8), std::string("\1\0\0\0\0\0\0\0", 8));          // entries
  EXPECT_EQ(bytes.substr(280, 8), "TAUTFILE");
}

TEST_F(SectionsTest, AreTheSameBytesForTheSameContent) {
  write_small();
  const std::string first = read_file(path_);
  write_small();
  EXPECT_EQ(read_file(path_), first);
}

TEST_F(SectionsTest, OfAnEmptyContainerAreNone) {
  SectionWriter(path_, "ckpt", 1).commit();
  EXPECT_THAT(SectionReader(path_, "ckpt", 1).names(), testing::IsEmpty());
}

TEST_F(SectionsTest, LeaveTheOldContainerWithoutCommit) {
  write_small();
  const std::string before = read_file(path_);
  {
    SectionWriter writer(path_, "ckpt", 3);
    writer.add("other", "half");
  }
  EXPECT_EQ(read_file(path_), before);
  EXPECT_THAT(directory_.names(), ElementsAre("run.ckpt"));
}

TEST_F(SectionsTest, NoFlippedBitGoesUnseen) {
  write_small();
  const std::string whole = read_file(path_);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      put(damaged);
      ASSERT_THAT(error_of([&] { read_all(); }), IsError(ErrorKind::kFormat, path_))
          << "byte " << at << ", bit " << bit;
    }
  }
}

TEST_F(SectionsTest, NoTruncationGoesUnseen) {
  write_small();
  const std::string whole = read_file(path_);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    put(std::string_view(whole).substr(0, size));
    ASSERT_THAT(error_of([&] { read_all(); }), IsError(ErrorKind::kFormat, path_))
        << size << " bytes";
  }
}

TEST_F(SectionsTest, NoInsertedOrDroppedByteGoesUnseen) {
  write_small();
  const std::string whole = read_file(path_);
  for (std::size_t at = 0; at <= whole.size(); at += 7) {
    std::string longer = whole;
    longer.insert(at, 1, 'T');
    put(longer);
    ASSERT_THAT(error_of([&] { read_all(); }), IsError(ErrorKind::kFormat, path_))
        << "inserted at " << at;
    if (at == whole.size()) break;
    std::string shorter = whole;
    shorter.erase(at, 1);
    put(shorter);
    ASSERT_THAT(error_of([&] { read_all(); }), IsError(ErrorKind::kFormat, path_))
        << "dropped at " << at;
  }
}

TEST_F(SectionsTest, DamageInOneSectionIsNamedAndLeavesTheOthersReadable) {
  write_small();
  std::string bytes = read_file(path_);
  bytes[64 + 10] = 'X';
  put(bytes);
  const SectionReader reader(path_, "ckpt", 3);
  EXPECT_THAT(error_of([&] { (void)reader.section("notes"); }),
              IsError(ErrorKind::kFormat, "checksum of section \"notes\""));
  EXPECT_THAT(reader.array<std::int32_t>("values"), ElementsAreArray(values_));
}

TEST_F(SectionsTest, OfAnotherKindOrVersionAreRefusedWithBothNamed) {
  write_small();
  const Error kind = error_of([&] { const SectionReader reader(path_, "package", 3); });
  EXPECT_THAT(kind, IsError(ErrorKind::kFormat, "\"ckpt\""));
  EXPECT_THAT(kind, IsError(ErrorKind::kFormat, "\"package\""));
  const Error version = error_of([&] { const SectionReader reader(path_, "ckpt", 4); });
  EXPECT_THAT(version, IsError(ErrorKind::kFormat, "version 3"));
  EXPECT_THAT(version, IsError(ErrorKind::kFormat, "version 4"));
}

TEST_F(SectionsTest, SayWhatTheyAre) {
  write_small();
  EXPECT_EQ(identify_sections(path_).kind, "ckpt");
  EXPECT_EQ(identify_sections(path_).version, 3u);
  put("PAR1");
  EXPECT_THAT(error_of([&] { (void)identify_sections(path_); }),
              IsError(ErrorKind::kFormat, "too short"));
}

TEST_F(SectionsTest, OfAFileThatIsNotOursAreRefused) {
  put("PAR1" + std::string(500, 'p') + "PAR1");
  EXPECT_THAT(error_of([&] { read_all(); }), IsError(ErrorKind::kFormat, "wrong magic"));
  put("");
  EXPECT_THAT(error_of([&] { read_all(); }), IsError(ErrorKind::kFormat, "too short"));
}

TEST_F(SectionsTest, OfAMissingFileOrADirectoryAreErrorsThatNameIt) {
  EXPECT_THAT(error_of([&] { read_all(); }), IsError(ErrorKind::kNotFound, path_));
  EXPECT_THAT(error_of([&] { const SectionReader reader(directory_.path(), "ckpt", 3); }),
              IsError(ErrorKind::kIo, directory_.path()));
}

TEST_F(SectionsTest, ThatAreMissingOrOfAnotherSizeAreErrorsThatNameThem) {
  write_small();
  const SectionReader reader(path_, "ckpt", 3);
  EXPECT_THAT(error_of([&] { (void)reader.section("weights"); }),
              IsError(ErrorKind::kFormat, "section \"weights\" is missing"));
  EXPECT_THAT(error_of([&] { (void)reader.section_bytes("weights"); }),
              IsError(ErrorKind::kFormat, "section \"weights\" is missing"));
  EXPECT_THAT(error_of([&] { (void)reader.array<std::int64_t>("notes"); }),
              IsError(ErrorKind::kFormat, "section \"notes\" has a size that does not fit"));
}

}  // namespace
}  // namespace taut
