// Files beside their paths, what is left of them, what they may lead to, and folders that are held.
#include "core/folder.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>

#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/core/file.h"

namespace taut {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::IsError;
using testing::ElementsAre;
using testing::UnorderedElementsAre;

class FolderTest : public testing::Test {
 protected:
  [[nodiscard]] std::string file(const std::string& name) const { return folder_.file(name); }

  // Runs a call in a process of its own, which is killed at its end. Its number, which is free
  // again.
  template <typename Call>
  static pid_t killed_after(Call&& call) {
    const pid_t child = ::fork();
    if (child == 0) {
      call();
      ::raise(SIGKILL);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status));
    return child;
  }

  test::TemporaryDirectory folder_;
};

TEST_F(FolderTest, WhatAKilledProcessLeftGoesWithTheNextFileThatIsWrittenThere) {
  const auto half = [&](const std::string& name) {
    AtomicFile written(file(name));
    written.write("half");
    ::raise(SIGKILL);
  };
  killed_after([&] { half("scores.csv"); });
  killed_after([&] { half("table.parquet"); });
  ASSERT_EQ(folder_.names().size(), 1u);
  EXPECT_TRUE(folder_.names()[0].starts_with("table.parquet" + std::string(kTemporaryMark)));
  write_file(file("other.csv"), "whole");
  EXPECT_THAT(folder_.names(), ElementsAre("other.csv"));
}

TEST_F(FolderTest, WhatIsBeingWrittenOrAnothersStays) {
  AtomicFile open(file("open.csv"));
  open.write("not yet");
  for (const char* theirs : {"notes.tmp.2", "data.tmp.999999", "x.taut.tmp.", "x.tmp.txt"}) {
    std::ofstream(file(theirs)) << "theirs";
  }
  std::ofstream(file("b.csv.tmp.999999")) << "of the same name";
  write_file(file("b.csv"), "whole");
  open.commit();
  EXPECT_THAT(folder_.names(), UnorderedElementsAre("b.csv", "data.tmp.999999", "notes.tmp.2",
                                                    "open.csv", "x.taut.tmp.", "x.tmp.txt"));
}

TEST_F(FolderTest, ALinkThatLiesWhereTheFileBesideWillBeIsNotFollowed) {
  std::ofstream(file("precious")) << "precious";
  const std::string beside =
      file("a.csv") + std::string(kTemporaryMark) + std::to_string(::getpid());
  fs::create_symlink(file("precious"), beside);
  write_file(file("a.csv"), "new");
  EXPECT_EQ(read_file(file("precious")), "precious");
  EXPECT_EQ(read_file(file("a.csv")), "new");
}

TEST_F(FolderTest, TwoFilesOfOneNameAreBothWhole) {
  AtomicFile first(file("a.csv"));
  AtomicFile second(file("a.csv"));
  first.write("first");
  second.write("second");
  first.commit();
  EXPECT_EQ(read_file(file("a.csv")), "first");
  second.commit();
  EXPECT_EQ(read_file(file("a.csv")), "second");
  EXPECT_THAT(folder_.names(), ElementsAre("a.csv"));
}

TEST_F(FolderTest, ALinkStaysAndWhatItLeadsToIsReplaced) {
  fs::create_directory(file("kept"));
  write_file(file("kept/a.csv"), "old");
  fs::create_symlink("kept/a.csv", file("link.csv"));
  fs::create_symlink(file("link.csv"), file("second.csv"));
  write_file(file("second.csv"), "new");
  EXPECT_TRUE(fs::is_symlink(file("link.csv")));
  EXPECT_TRUE(fs::is_symlink(file("second.csv")));
  EXPECT_EQ(read_file(file("kept/a.csv")), "new");
  fs::create_symlink("kept/b.csv", file("dangling.csv"));
  write_file(file("dangling.csv"), "made");
  EXPECT_EQ(read_file(file("kept/b.csv")), "made");
  fs::create_symlink("loop.csv", file("loop.csv"));
  EXPECT_THAT(error_of([&] { write_file(file("loop.csv"), "x"); }),
              IsError(ErrorKind::kIo, "loop.csv"));
}

TEST_F(FolderTest, APipeIsWrittenIntoAndStays) {
  ASSERT_EQ(::mkfifo(file("pipe").c_str(), 0600), 0);
  std::string got;
  std::thread reader([&] { got = read_file(file("pipe")); });
  write_file(file("pipe"), "through the pipe");
  reader.join();
  EXPECT_EQ(got, "through the pipe");
  EXPECT_THAT(folder_.names(), ElementsAre("pipe"));
}

TEST_F(FolderTest, DevicesAreWrittenIntoAndFoldersRefused) {
  fs::create_symlink("/dev/null", file("null"));
  write_file(file("null"), "gone");
  EXPECT_TRUE(fs::is_symlink(file("null")));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_THAT(error_of([] { write_file("/dev/full", "x"); }), IsError(ErrorKind::kIo, "/dev/full"));
  EXPECT_THAT(error_of([&] { const AtomicFile never(folder_.path()); }),
              IsError(ErrorKind::kIo, "directory"));
}

TEST_F(FolderTest, PipesAndDevicesAreNotMapped) {
  ASSERT_EQ(::mkfifo(file("pipe").c_str(), 0600), 0);
  for (const std::string& path : {file("pipe"), std::string("/dev/zero")}) {
    EXPECT_THAT(error_of([&] { const MappedFile never(path); }), IsError(ErrorKind::kIo, path));
  }
}

TEST_F(FolderTest, MappingsAreKnownByTheirAddresses) {
  write_file(file("a"), std::string(10000, 'a'));
  std::optional<MappedFile> mapped(std::in_place, file("a"));
  const std::byte* inside = mapped->bytes().data() + 9999;
  ASSERT_NE(mapped_path(inside), nullptr);
  EXPECT_EQ(mapped_path(inside), file("a"));
  EXPECT_EQ(mapped_path(&mapped), nullptr);
  mapped.reset();
  EXPECT_EQ(mapped_path(inside), nullptr);
}

TEST_F(FolderTest, IsHeldByOneUntilItsEnd) {
  std::optional<FolderLock> first(std::in_place, folder_.path());
  EXPECT_THAT(error_of([&] { const FolderLock never(folder_.path()); }),
              IsError(ErrorKind::kIo, "another process"));
  first.reset();
  const FolderLock second(folder_.path());
  EXPECT_TRUE(folder_.names().empty());
  EXPECT_THAT(error_of([&] { const FolderLock never(file("none")); }),
              IsError(ErrorKind::kNotFound, "none"));
}

TEST_F(FolderTest, IsNotHeldByAProcessThatWasKilled) {
  killed_after([&] { static const FolderLock held(folder_.path()); });
  const FolderLock next(folder_.path());
}

}  // namespace
}  // namespace taut
