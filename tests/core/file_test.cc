#include "taut/core/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <utility>

#include "support/error_matchers.h"
#include "support/temporary_directory.h"

namespace taut {
namespace {

using test::error_of;
using test::IsError;
using testing::ElementsAre;
using testing::IsEmpty;

// No file of this process can grow beyond so many bytes while it lives, as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    old_handler_ = std::signal(SIGXFSZ, SIG_IGN);  // the write then fails instead
    getrlimit(RLIMIT_FSIZE, &old_limit_);
    const rlimit limit{bytes, old_limit_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_limit_);
    std::signal(SIGXFSZ, old_handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit old_limit_{};
  void (*old_handler_)(int) = nullptr;
};

class AtomicFileTest : public testing::Test {
 protected:
  test::TemporaryDirectory directory_;
  std::string path_ = directory_.file("model.bin");
};

TEST_F(AtomicFileTest, IsThereAsAWholeAfterCommit) {
  AtomicFile file(path_);
  file.write("first ");
  const std::array<char, 3> bytes = {'a', '\0', 'b'};
  file.write(bytes.data(), bytes.size());
  EXPECT_EQ(file.size(), 9u);
  EXPECT_FALSE(std::filesystem::exists(path_));
  file.commit();
  EXPECT_EQ(read_file(path_), std::string("first a\0b", 9));
  EXPECT_THAT(directory_.names(), ElementsAre("model.bin"));
}

TEST_F(AtomicFileTest, LeavesTheOldFileWithoutCommit) {
  write_file(path_, "old");
  {
    AtomicFile file(path_);
    file.write("new and longer");
  }
  EXPECT_EQ(read_file(path_), "old");
  EXPECT_THAT(directory_.names(), ElementsAre("model.bin"));
}

TEST_F(AtomicFileTest, LeavesTheOldFileWhenAnExceptionPassesBy) {
  write_file(path_, "old");
  const auto interrupted = [&] {
    AtomicFile file(path_);
    file.write("new");
    throw std::runtime_error("interrupted");
  };
  EXPECT_THROW(interrupted(), std::runtime_error);
  EXPECT_EQ(read_file(path_), "old");
  EXPECT_THAT(directory_.names(), ElementsAre("model.bin"));
}

TEST_F(AtomicFileTest, LeavesTheOldFileWhenTheProcessIsKilled) {
  write_file(path_, "old");
  const pid_t child = fork();
  if (child == 0) {
    AtomicFile file(path_);
    file.write("half of the new");
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(read_file(path_), "old");
}

TEST_F(AtomicFileTest, ReplacesAnOldFileOfAnySize) {
  write_file(path_, std::string(100'000, 'x'));
  write_file(path_, "");
  EXPECT_EQ(read_file(path_), "");
  write_file(path_, std::string(300'000, 'y'));
  EXPECT_EQ(read_file(path_), std::string(300'000, 'y'));
}

TEST_F(AtomicFileTest, SaysWhichFileCannotGrowAndLeavesTheOldOne) {
  write_file(path_, "old");
  {
    const FileSizeLimit full(10'000);
    AtomicFile file(path_);
    const Error error = error_of([&] { file.write(std::string(20'000, 'x')); });
    EXPECT_THAT(error, IsError(ErrorKind::kIo, path_));
    EXPECT_THAT(error, IsError(ErrorKind::kIo, std::strerror(EFBIG)));
  }
  EXPECT_EQ(read_file(path_), "old");
  EXPECT_THAT(directory_.names(), ElementsAre("model.bin"));
}

TEST_F(AtomicFileTest, NeedsADirectoryThatIsThere) {
  const std::string path = directory_.file("absent/model.bin");
  EXPECT_THAT(error_of([&] { const AtomicFile file(path); }), IsError(ErrorKind::kNotFound, path));
}

TEST_F(AtomicFileTest, RefusesAPathThroughAFile) {
  write_file(path_, "a file");
  const std::string path = path_ + "/model.bin";
  EXPECT_THAT(error_of([&] { const AtomicFile file(path); }), IsError(ErrorKind::kIo, path));
}

TEST_F(AtomicFileTest, RefusesToReplaceADirectoryAndLeavesNothingBehind) {
  std::filesystem::create_directory(path_);
  EXPECT_THAT(error_of([&] { write_file(path_, "text"); }), IsError(ErrorKind::kIo, path_));
  EXPECT_TRUE(std::filesystem::is_directory(path_));
  EXPECT_THAT(directory_.names(), ElementsAre("model.bin"));
}

TEST_F(AtomicFileTest, WorksOnABareNameInTheCurrentDirectory) {
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(directory_.path());
  write_file("bare.txt", "here");
  EXPECT_EQ(read_file("bare.txt"), "here");
  std::filesystem::current_path(before);
}

TEST_F(AtomicFileTest, ReadFileSaysWhatIsWrong) {
  EXPECT_THAT(error_of([&] { (void)read_file(path_); }), IsError(ErrorKind::kNotFound, path_));
  EXPECT_THAT(error_of([&] { (void)read_file(directory_.path()); }),
              IsError(ErrorKind::kIo, "found a directory"));
}

TEST_F(AtomicFileTest, ReadFileNeedsPermission) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read every file";
  write_file(path_, "secret");
  ASSERT_EQ(chmod(path_.c_str(), 0), 0);
  EXPECT_THAT(error_of([&] { (void)read_file(path_); }), IsError(ErrorKind::kIo, path_));
}

TEST_F(AtomicFileTest, MakeDirectoriesMakesParentsAndIsFineWithWhatIsThere) {
  const std::string deep = directory_.file("a/b/c");
  make_directories(deep);
  make_directories(deep);
  EXPECT_TRUE(std::filesystem::is_directory(deep));
  write_file(path_, "a file");
  EXPECT_THAT(error_of([&] { make_directories(path_ + "/sub"); }), IsError(ErrorKind::kIo, path_));
}

TEST_F(AtomicFileTest, MappedFileShowsTheBytesAndOutlivesTheirReplacement) {
  write_file(path_, "old bytes");
  const MappedFile mapped(path_);
  write_file(path_, "new");
  ASSERT_EQ(mapped.bytes().size(), 9u);
  EXPECT_EQ(std::memcmp(mapped.bytes().data(), "old bytes", 9), 0);
}

TEST_F(AtomicFileTest, MappedFileMovesItsMapping) {
  write_file(path_, "bytes");
  MappedFile first(path_);
  const MappedFile second(std::move(first));
  EXPECT_EQ(second.bytes().size(), 5u);
  EXPECT_THAT(first.bytes(), IsEmpty());  // NOLINT(bugprone-use-after-move): empty by contract
}

TEST_F(AtomicFileTest, MappedFileOfAnEmptyFileIsEmpty) {
  write_file(path_, "");
  EXPECT_THAT(MappedFile(path_).bytes(), IsEmpty());
}

}  // namespace
}  // namespace taut
