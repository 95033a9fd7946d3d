// Image files that are wrong in every way: what the error is and what it names.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "image_files.h"
#include "taut/core/random.h"
#include "taut/data/images.h"
#include "test_files.h"

namespace taut::data {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ImageSourceOptions from(std::vector<std::string> files) {
  ImageSourceOptions options;
  options.files = std::move(files);
  return options;
}

template <typename Matcher>
void expect_error(const ImageSourceOptions& options, ErrorKind kind, const Matcher& message) {
  const auto [got, what] = error_of([&] { (void)read_images(options); });
  EXPECT_EQ(got, kind) << what;
  EXPECT_THAT(what, message);
}

std::string png(std::uint64_t seed = 1) {
  return encode_png(make_pixels(3, 4, 3, seed), 3, 4, 3);
}

class BadIdxTest : public ::testing::Test {
 protected:
  BadIdxTest() {
    write_idx_pair(dir.file("t"), 10, 5);
    images = read_text(path);
    labels = read_text(label_path);
  }
  test::TemporaryDirectory dir;
  std::string path = dir.file("t-images-idx3-ubyte");
  std::string label_path = dir.file("t-labels-idx1-ubyte");
  std::string images;
  std::string labels;
};

TEST_F(BadIdxTest, CutShortNamesFileRecordAndBothSizes) {
  write_text(path, images.substr(0, 16 + 7 * 20 + 3));
  expect_error(from({path}), ErrorKind::kFormat,
               AllOf(HasSubstr(path + ", record 7"), HasSubstr("10 x 4 x 5"),
                     HasSubstr("216 bytes"), HasSubstr("159")));
  write_text(path, images.substr(0, 9));
  expect_error(from({path}), ErrorKind::kFormat, HasSubstr("header is cut short"));
  write_text(path, images);
  write_text(label_path, labels.substr(0, 12));
  expect_error(from({path}), ErrorKind::kFormat, HasSubstr(label_path + ", record 4"));
}

TEST_F(BadIdxTest, BytesTooManyAndCountsThatDifferAreRefused) {
  write_text(path, images + "x");
  expect_error(from({path}), ErrorKind::kFormat, HasSubstr("bytes after the last"));
  write_text(path, images);
  write_text(label_path, encode_idx({9}, std::vector<std::uint8_t>(9)));
  expect_error(from({path}), ErrorKind::kFormat, HasSubstr("10 images but 9 labels"));
}

TEST_F(BadIdxTest, PackedFilesThatEndEarlyOrAreDamagedAreRefused) {
  std::filesystem::remove(path);
  const std::string packed = gzip(images);
  const std::string gz = path + ".gz";
  write_text(gz, packed.substr(0, packed.size() - 40));
  expect_error(from({gz}), ErrorKind::kFormat, AllOf(HasSubstr(gz), HasSubstr("ends early")));
  write_text(gz, packed.substr(0, packed.size() - 3));
  expect_error(from({gz}), ErrorKind::kFormat, HasSubstr("ends early"));
  std::string wrong_sum = packed;
  wrong_sum[wrong_sum.size() - 6] ^= 1;
  write_text(gz, wrong_sum);
  expect_error(from({gz}), ErrorKind::kFormat, HasSubstr("incorrect data check"));
  write_text(gz, gzip("a text, not IDX"));
  expect_error(from({gz}), ErrorKind::kFormat, HasSubstr("not an IDX file"));
  write_text(gz, gzip(images.substr(0, 60)));
  expect_error(from({gz}), ErrorKind::kFormat, HasSubstr("record 2"));
}

TEST_F(BadIdxTest, HeadersThatClaimWhatCannotBeAreRefusedWithoutTakingMemory) {
  write_text(path, encode_idx({0xFFFFFFFF, 0xFFFF, 0xFFFF}, {1, 2, 3}));
  expect_error(from({path}), ErrorKind::kFormat, HasSubstr("no images"));
  write_text(path, encode_idx({0xFFFFFFFF, 0x1000, 0x1000}, {1, 2, 3}));
  expect_error(from({path}), ErrorKind::kFormat, HasSubstr("cut short"));
  write_text(path, encode_idx({10, 0, 5}, {}));
  expect_error(from({path}), ErrorKind::kFormat, HasSubstr("10 x 0 x 5"));
  write_text(path, encode_idx({10, 5, 2, 2}, std::vector<std::uint8_t>(200)));
  expect_error(from({path}), ErrorKind::kFormat, HasSubstr("2 channels"));
}

TEST_F(BadIdxTest, EmptySetsAndMissingOrLoneLabelsAreRefused) {
  write_text(path, encode_idx({0, 4, 5}, {}));
  write_text(label_path, encode_idx({0}, {}));
  expect_error(from({path}), ErrorKind::kData, AllOf(HasSubstr("no images"), HasSubstr(path)));
  expect_error(from({label_path}), ErrorKind::kConfig, HasSubstr("file of labels"));
  std::filesystem::remove(label_path);
  expect_error(from({path}), ErrorKind::kNotFound, HasSubstr("t-labels-idx1-ubyte"));
  std::filesystem::rename(path, dir.file("x"));
  expect_error(from({dir.file("x")}), ErrorKind::kNotFound, HasSubstr("next entry"));
}

TEST_F(BadIdxTest, RangesThatAreEmptyOrOutsideAreRefused) {
  for (const char* range : {"[0:11]", "[-11:]", "[11:]", "[:-11]"}) {
    expect_error(from({path + range}), ErrorKind::kConfig,
                 AllOf(HasSubstr("beyond the 10 images"), HasSubstr(range), HasSubstr(path)));
  }
  for (const char* range : {"[5:5]", "[7:3]", "[10:]", "[:0]", "[-1:-3]"}) {
    expect_error(from({path + range}), ErrorKind::kConfig, HasSubstr("is empty"));
  }
  for (const char* range :
       {"[a:]", "[::2]", "[1:2:3]", "[1.5:]", "[ 1:2]", "[99999999999999999999:]"}) {
    expect_error(from({path + range}), ErrorKind::kConfig, HasSubstr("not [begin:end]"));
  }
  expect_error(from({path, label_path + "[0:5]"}), ErrorKind::kConfig,
               HasSubstr("range of labels"));
}

TEST_F(BadIdxTest, LabelsOutsideTheClassesAreRefusedOrLeftOut) {
  ImageSourceOptions options = from({path});
  options.classes = 3;
  expect_error(options, ErrorKind::kData,
               AllOf(HasSubstr("label is 3, must be 0 to 2"), HasSubstr(path + ", record 3")));
  options.on_bad = OnBadRow::kSkip;
  const ImageSet set = read_images(options);
  EXPECT_THAT(set.labels, ElementsAre(0, 1, 2, 0, 1, 2));
  EXPECT_EQ(set.bad_rows.count, 4);
  ASSERT_EQ(set.bad_rows.first.size(), 4U);
  EXPECT_THAT(set.bad_rows.first[2], HasSubstr("record 8"));
}

TEST(BadImageTest, OptionsAndPathsThatCannotBeAreRefused) {
  const test::TemporaryDirectory dir;
  expect_error(from({}), ErrorKind::kConfig, HasSubstr("no files"));
  expect_error(from({dir.file("gone")}), ErrorKind::kNotFound, HasSubstr("gone"));
  expect_error(from({dir.file("gone-*")}), ErrorKind::kNotFound, HasSubstr("no file matches"));
  expect_error(from({dir.file("")}), ErrorKind::kData, HasSubstr("no sub-folders"));
  write_text(dir.file("text"), "what is this");
  expect_error(from({dir.file("text")}), ErrorKind::kFormat, HasSubstr("not a format of images"));
  write_text(dir.file("empty"), "");
  expect_error(from({dir.file("empty")}), ErrorKind::kFormat, HasSubstr("is empty"));
  ImageSourceOptions options = from({dir.file("text")});
  options.size = -1;
  expect_error(options, ErrorKind::kConfig, HasSubstr("size must be 0 to"));
  options.size = 0;
  options.limit = -1;
  expect_error(options, ErrorKind::kConfig, HasSubstr("limit"));
  options.limit = 0;
  options.class_names = {"a", "b", "a"};
  expect_error(options, ErrorKind::kConfig, HasSubstr("\"a\" comes twice"));
  options.class_names = {"a", "b"};
  options.classes = 3;
  expect_error(options, ErrorKind::kConfig, HasSubstr("2 class names"));
}

TEST(BadImageTest, CifarFilesCutShortNameRecordAndSizes) {
  const test::TemporaryDirectory dir;
  const auto a = make_pixels(32, 32, 3, 1);
  const std::string path = dir.file("data_batch_1.bin");
  const std::string whole = encode_cifar({{3}, {9}, {0}}, {a, a, a});
  write_text(path, whole.substr(0, 2 * 3073 + 100));
  expect_error(from({path}), ErrorKind::kFormat,
               AllOf(HasSubstr(path + ", record 2"), HasSubstr("3073"), HasSubstr("100")));
  write_text(path, encode_cifar({{3}, {12}}, {a, a}));
  expect_error(from({path}), ErrorKind::kData,
               AllOf(HasSubstr("label is 12, must be 0 to 9"), HasSubstr("record 1")));
  ImageSourceOptions options = from({path});
  options.labels = "coarse";
  expect_error(options, ErrorKind::kConfig, HasSubstr("CIFAR-10 has one kind"));
  write_text(path, encode_cifar({{3, 50}}, {a}));
  options.labels = "label";
  expect_error(options, ErrorKind::kConfig, HasSubstr("fine or coarse"));
  options.labels = "";
  options.classes = 10;
  expect_error(options, ErrorKind::kData, HasSubstr("100 classes, not of 10"));
}

struct BadFile {
  const char* name;
  std::string bytes;
  const char* reason;
};

std::vector<BadFile> bad_files() {
  const std::string good_png = png();
  const std::string good_jpeg = encode_jpeg(make_pixels(64, 64, 3, 1), 64, 64, 3);
  std::string wrong_sum = good_png;
  wrong_sum[wrong_sum.size() - 20] ^= 1;
  const std::string early_end = std::string(good_jpeg).replace(good_jpeg.size() / 2, 2, "\xFF\xD9");
  return {{"png cut short", good_png.substr(0, good_png.size() / 2), "PNG is damaged"},
          {"png header only", good_png.substr(0, 20), "PNG is damaged"},
          {"png checksum", wrong_sum, "PNG is damaged"},
          {"jpeg cut short", good_jpeg.substr(0, good_jpeg.size() / 2), "JPEG is damaged"},
          {"jpeg without end", good_jpeg.substr(0, good_jpeg.size() - 30), "JPEG is damaged"},
          {"jpeg header only", good_jpeg.substr(0, 40), "JPEG is damaged"},
          {"jpeg with an end in the middle", early_end, "JPEG is damaged"},
          {"cmyk", encode_jpeg(make_pixels(8, 8, 4, 1), 8, 8, 4), "JPEG is damaged"},
          {"text", "GIF89a", "neither JPEG nor PNG"},
          {"null", "", "image is missing"}};
}

TEST(BadImageTest, BrokenImagesInParquetNameFileAndRecord) {
  const test::TemporaryDirectory dir;
  const std::string path = dir.file("p.parquet");
  for (const BadFile& bad : bad_files()) {
    SCOPED_TRACE(bad.name);
    write_image_parquet(path, {png(1), png(2), bad.bytes, png(3)}, {0, 1, 2, 3}, 2);
    ImageSourceOptions options = from({path});
    expect_error(options, ErrorKind::kData,
                 AllOf(HasSubstr(bad.reason), HasSubstr(path + ", record 2")));
    options.on_bad = OnBadRow::kSkip;
    const ImageSet set = read_images(options);
    EXPECT_THAT(set.labels, ElementsAre(0, 1, 3));
    EXPECT_EQ(set.pixels.size(), 3U * 3 * 4 * 3);
    EXPECT_EQ(set.bad_rows.count, 1);
    EXPECT_THAT(set.bad_rows.first, ElementsAre(HasSubstr(bad.reason)));
  }
}

TEST(BadImageTest, ABrokenImageInAFolderIsNamedByItsPath) {
  const test::TemporaryDirectory dir;
  std::filesystem::create_directory(dir.file("cat"));
  expect_error(from({dir.file("")}), ErrorKind::kData, HasSubstr("no .jpg"));
  write_text(dir.file("cat/1.png"), png());
  write_text(dir.file("cat/2.jpg"), "not a JPEG");
  expect_error(from({dir.file("")}), ErrorKind::kData,
               AllOf(HasSubstr("neither"), HasSubstr("cat/2.jpg")));
  write_text(dir.file("cat/2.jpg"), "");
  expect_error(from({dir.file("")}), ErrorKind::kData, HasSubstr("image is empty"));
  ImageSourceOptions options = from({dir.file("")});
  options.class_names = {"dog"};
  expect_error(options, ErrorKind::kData,
               AllOf(HasSubstr("class \"cat\" is not one of"), HasSubstr("cat/1.png")));
}

TEST(BadImageTest, DifferingSizesAreRefusedUnlessASizeIsGiven) {
  const test::TemporaryDirectory dir;
  const std::string path = dir.file("p.parquet");
  write_image_parquet(path, {png(), encode_png(make_pixels(4, 3, 3, 1), 4, 3, 3)}, {0, 1}, 10);
  ImageSourceOptions options = from({path});
  expect_error(options, ErrorKind::kData,
               AllOf(HasSubstr("is 4 x 3, those before it are 3 x 4"), HasSubstr("record 1")));
  options.size = 3;
  EXPECT_EQ(read_images(options).count, 2);
}

TEST(BadImageTest, MissingAndNegativeLabelsAreRefused) {
  const test::TemporaryDirectory dir;
  const std::string path = dir.file("p.parquet");
  write_named_image_parquet(path, {png(), png()}, {"a", ""});
  expect_error(from({path}), ErrorKind::kData,
               AllOf(HasSubstr("label is missing"), HasSubstr("record 1")));
  write_image_parquet(path, {png(), png()}, {0, -1}, 10);
  expect_error(from({path}), ErrorKind::kData, HasSubstr("label is -1"));
  write_image_parquet(path, {png(), png()}, {0, std::int64_t{1} << 40}, 10);
  expect_error(from({path}), ErrorKind::kData, HasSubstr("label is 1099511627776"));
}

TEST(BadImageTest, NamesAndNumbersOfClassesDoNotMix) {
  const test::TemporaryDirectory dir;
  write_named_image_parquet(dir.file("a.parquet"), {png()}, {"a"});
  write_image_parquet(dir.file("b.parquet"), {png()}, {0}, 10);
  expect_error(from({dir.file("a.parquet"), dir.file("b.parquet")}), ErrorKind::kData,
               AllOf(HasSubstr("others a number"), HasSubstr("b.parquet")));
}

TEST(BadImageTest, ColumnsThatAreMissingOrUnclearAreNamed) {
  const test::TemporaryDirectory dir;
  const std::string path = dir.file("p.parquet");
  write_parquet(path, *make_table({{"x", arrow::int64(), "[1]"}, {"z", arrow::float32(), "[1]"}}));
  expect_error(from({path}), ErrorKind::kNotFound, HasSubstr("no column can be the image"));
  write_parquet(
      path, *make_table({{"a", arrow::binary(), "[\"x\"]"}, {"b", arrow::binary(), "[\"x\"]"}}));
  expect_error(from({path}), ErrorKind::kNotFound, HasSubstr("several columns"));
  ImageSourceOptions options = from({path});
  options.image = "a";
  expect_error(options, ErrorKind::kNotFound, HasSubstr("no column can be the labels"));
  options.labels = "b";
  expect_error(options, ErrorKind::kData, HasSubstr("cannot be binary"));
  options.labels = "c";
  expect_error(options, ErrorKind::kNotFound, HasSubstr("no column \"c\""));
  const std::string whole = read_text(path);
  write_text(path, whole.substr(0, whole.size() - 10));
  expect_error(options, ErrorKind::kFormat,
               AllOf(HasSubstr("not a whole Parquet"), HasSubstr(path)));
}

// Files with random bytes changed: read, or refused with an error of ours; nothing else.
TEST(BadImageTest, RandomDamageIsReadOrRefused) {
  const test::TemporaryDirectory dir;
  const auto a = make_pixels(32, 32, 3, 1);
  write_idx_pair(dir.file("t"), 10, 5);
  std::filesystem::create_directory(dir.file("f"));
  std::filesystem::create_directory(dir.file("f/c"));
  write_image_parquet(dir.file("p.parquet"), {png(1), encode_jpeg(a, 32, 32, 3), png(2)}, {0, 1, 2},
                      2);
  const std::vector<std::pair<std::string, std::string>> wholes = {
      {dir.file("t-images-idx3-ubyte"), read_text(dir.file("t-images-idx3-ubyte"))},
      {dir.file("t-images-idx3-ubyte"), gzip(read_text(dir.file("t-images-idx3-ubyte")))},
      {dir.file("c.bin"), encode_cifar({{3}, {9}}, {a, a})},
      {dir.file("p.parquet"), read_text(dir.file("p.parquet"))},
      {dir.file("f/c/1.png"), png()},
      {dir.file("f/c/1.png"), encode_png(make_pixels(9, 9, 2, 1), 9, 9, 2, 16)},
      {dir.file("f/c/1.png"), encode_jpeg(a, 32, 32, 3)},
      {dir.file("f/c/1.png"), encode_jpeg(make_pixels(20, 20, 1, 2), 20, 20, 1)}};
  const char* rounds = std::getenv("TAUT_FUZZ_ROUNDS");
  const std::uint64_t tries = rounds != nullptr ? std::stoull(rounds) : 150;
  int read = 0;
  int refused = 0;
  for (std::size_t w = 0; w < wholes.size(); ++w) {
    const auto& [path, whole] = wholes[w];
    for (std::uint64_t t = 0; t < tries; ++t) {
      const CounterRandom random = CounterRandom(w + 1).with(t);
      std::string bytes = whole;
      for (std::uint64_t i = 0; i <= t % 4; ++i) {
        // Half of the changes hit the first bytes, where headers are.
        const std::uint64_t reach =
            random.below(3 * i, 2) == 0 ? std::min<std::size_t>(64, bytes.size()) : bytes.size();
        bytes[random.below(3 * i + 1, reach)] = static_cast<char>(random.below(3 * i + 2, 256));
      }
      if (t % 5 == 0) bytes.resize(random.below(100, bytes.size()) + 1);
      write_text(path, bytes);
      ImageSourceOptions options = from({path.ends_with(".png") ? dir.file("f") : path});
      options.on_bad = t % 2 == 0 ? OnBadRow::kSkip : OnBadRow::kFail;
      options.threads = 1;
      options.size = t % 3 == 0 ? 8 : 0;
      try {
        const ImageSet set = read_images(options);
        ++read;
        EXPECT_EQ(set.pixels.size(),
                  static_cast<std::size_t>(set.count * set.height * set.width * set.channels));
      } catch (const Error& error) {
        ++refused;
        EXPECT_NE(error.kind(), ErrorKind::kInternal) << error.what();
      }
    }
  }
  EXPECT_GT(read, 0);
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace taut::data
