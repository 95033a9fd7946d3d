// What each kind of image file gives, and how sources are joined, cut and mixed.

#include "taut/data/images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "image_files.h"
#include "test_files.h"

namespace taut::data {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

ImageSourceOptions from(std::vector<std::string> files) {
  ImageSourceOptions options;
  options.files = std::move(files);
  return options;
}

std::vector<std::uint8_t> pixels_of(const ImageSet& set, std::int64_t index) {
  const std::int64_t size = set.height * set.width * set.channels;
  return {set.pixels.begin() + index * size, set.pixels.begin() + (index + 1) * size};
}

std::vector<std::uint8_t> as_colour(const std::vector<std::uint8_t>& grey) {
  std::vector<std::uint8_t> colour;
  for (const std::uint8_t value : grey) colour.insert(colour.end(), 3, value);
  return colour;
}

void expect_idx_images(const ImageSet& set, std::int64_t first, std::int64_t count,
                       std::int64_t classes) {
  ASSERT_EQ(set.count, count);
  EXPECT_EQ(set.height, 4);
  EXPECT_EQ(set.width, 5);
  EXPECT_EQ(set.channels, 1);
  for (std::int64_t i = 0; i < count; ++i) {
    EXPECT_EQ(pixels_of(set, i), make_pixels(4, 5, 1, static_cast<std::uint64_t>(first + i)));
    EXPECT_EQ(set.labels[static_cast<std::size_t>(i)], (first + i) % classes);
  }
}

TEST(ImagesTest, IdxFilesBringTheirLabelsFromBeside) {
  const test::TemporaryDirectory dir;
  write_idx_pair(dir.file("t"), 25, 7);
  const ImageSet set = read_images(from({dir.file("t-images-idx3-ubyte")}));
  expect_idx_images(set, 0, 25, 7);
  EXPECT_EQ(set.classes, 7);
  EXPECT_THAT(set.class_names, IsEmpty());
}

TEST(ImagesTest, PackedIdxFilesAreUnpackedEvenInSeveralParts) {
  const test::TemporaryDirectory dir;
  write_idx_pair(dir.file("t"), 25, 7);
  const std::string images = read_text(dir.file("t-images-idx3-ubyte"));
  write_text(dir.file("p-images-idx3-ubyte.gz"),
             gzip(images.substr(0, 100)) + gzip(images.substr(100)));
  write_text(dir.file("p-labels-idx1-ubyte"), read_text(dir.file("t-labels-idx1-ubyte")));
  expect_idx_images(read_images(from({dir.file("p-images-idx3-ubyte.gz")})), 0, 25, 7);
  write_text(dir.file("p-labels-idx1-ubyte.gz"), gzip(read_text(dir.file("t-labels-idx1-ubyte"))));
  std::filesystem::remove(dir.file("p-labels-idx1-ubyte"));
  expect_idx_images(read_images(from({dir.file("p-images-idx3-ubyte.gz")})), 0, 25, 7);
}

TEST(ImagesTest, LabelsOfAnIdxFileCanBeNamedAndGlobsFindThemToo) {
  const test::TemporaryDirectory dir;
  write_idx_pair(dir.file("t"), 9, 3);
  std::filesystem::rename(dir.file("t-images-idx3-ubyte"), dir.file("a"));
  std::filesystem::rename(dir.file("t-labels-idx1-ubyte"), dir.file("b"));
  expect_idx_images(read_images(from({dir.file("a"), dir.file("b")})), 0, 9, 3);
  expect_idx_images(read_images(from({dir.file("[ab]")})), 0, 9, 3);
  expect_idx_images(read_images(from({dir.file("a[3:]"), dir.file("b")})), 3, 6, 3);
}

TEST(ImagesTest, IdxWithAChannelDimensionIsColour) {
  const test::TemporaryDirectory dir;
  const auto pixels = make_pixels(2, 3, 3, 1);
  write_text(dir.file("c-images"), encode_idx({1, 2, 3, 3}, pixels));
  write_text(dir.file("c-labels"), encode_idx({1}, {4}));
  const ImageSet set = read_images(from({dir.file("c-images")}));
  EXPECT_EQ(set.channels, 3);
  EXPECT_EQ(set.pixels, pixels);
  EXPECT_EQ(set.classes, 5);
}

TEST(ImagesTest, Cifar10HasTenClassesAndItsPlanesBecomeChannelLast) {
  const test::TemporaryDirectory dir;
  const auto a = make_pixels(32, 32, 3, 1);
  const auto b = make_pixels(32, 32, 3, 2);
  write_text(dir.file("data_batch_1.bin"), encode_cifar({{3}, {0}}, {a, b}));
  ImageSet set = read_images(from({dir.file("data_batch_1.bin")}));
  EXPECT_EQ(pixels_of(set, 0), a);
  EXPECT_EQ(pixels_of(set, 1), b);
  EXPECT_THAT(set.labels, ElementsAre(3, 0));
  EXPECT_EQ(set.classes, 10);
  write_text(dir.file("batches.meta.txt"), "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
  set = read_images(from({dir.file("data_batch_1.bin")}));
  EXPECT_EQ(set.class_names.size(), 10U);
  EXPECT_EQ(set.class_names[3], "d");
}

TEST(ImagesTest, Cifar100HasFineAndCoarseLabels) {
  const test::TemporaryDirectory dir;
  const auto a = make_pixels(32, 32, 3, 1);
  write_text(dir.file("train.bin"), encode_cifar({{19, 99}, {2, 7}}, {a, a}));
  ImageSourceOptions options = from({dir.file("train.bin")});
  EXPECT_THAT(read_images(options).labels, ElementsAre(99, 7));
  EXPECT_EQ(read_images(options).classes, 100);
  options.labels = "coarse";
  EXPECT_THAT(read_images(options).labels, ElementsAre(19, 2));
  EXPECT_EQ(read_images(options).classes, 20);
}

TEST(ImagesTest, ParquetHoldsPngsOfEveryKindExactly) {
  const test::TemporaryDirectory dir;
  const auto grey = make_pixels(6, 4, 1, 1);
  const auto colour = make_pixels(6, 4, 3, 2);
  const auto alpha = make_pixels(6, 4, 4, 3);
  std::vector<std::uint8_t> without_alpha;
  for (std::size_t i = 0; i < alpha.size(); ++i) {
    if (i % 4 != 3) without_alpha.push_back(alpha[i]);
  }
  write_image_parquet(dir.file("p.parquet"),
                      {encode_png(grey, 6, 4, 1), encode_png(colour, 6, 4, 3),
                       encode_png(alpha, 6, 4, 4), encode_png(colour, 6, 4, 3, 16)},
                      {0, 1, 2, 5}, 3);
  const ImageSet set = read_images(from({dir.file("p.parquet")}));
  ASSERT_EQ(set.count, 4);
  EXPECT_EQ(set.channels, 3);
  EXPECT_EQ(set.classes, 6);
  EXPECT_EQ(pixels_of(set, 0), as_colour(grey));
  EXPECT_EQ(pixels_of(set, 1), colour);
  EXPECT_EQ(pixels_of(set, 2), without_alpha);
  EXPECT_EQ(pixels_of(set, 3), colour);
}

TEST(ImagesTest, GreyAfterColourBecomesColourAndGreyAloneStaysGrey) {
  const test::TemporaryDirectory dir;
  const auto grey = make_pixels(6, 4, 1, 1);
  const auto colour = make_pixels(6, 4, 3, 2);
  const std::vector<std::string> files = {encode_png(colour, 6, 4, 3), encode_png(grey, 6, 4, 1)};
  write_image_parquet(dir.file("p.parquet"), files, {0, 1}, 10);
  EXPECT_EQ(pixels_of(read_images(from({dir.file("p.parquet")})), 1), as_colour(grey));
  EXPECT_EQ(read_images(from({dir.file("p.parquet[1:]")})).pixels, grey);
}

TEST(ImagesTest, ParquetHoldsJpegsNearTheirPixels) {
  const test::TemporaryDirectory dir;
  for (const int channels : {1, 3}) {
    const auto pixels = make_smooth_pixels(40, 24, channels);
    write_image_parquet(dir.file("j.parquet"), {encode_jpeg(pixels, 40, 24, channels)}, {0}, 10);
    const ImageSet set = read_images(from({dir.file("j.parquet")}));
    ASSERT_EQ(set.channels, channels);
    ASSERT_EQ(set.pixels.size(), pixels.size());
    for (std::size_t i = 0; i < pixels.size(); ++i) EXPECT_NEAR(set.pixels[i], pixels[i], 6) << i;
  }
}

TEST(ImagesTest, TextLabelsAreNumberedByNameAcrossFiles) {
  const test::TemporaryDirectory dir;
  const std::string image = encode_png(make_pixels(2, 2, 1, 1), 2, 2, 1);
  write_named_image_parquet(dir.file("1.parquet"), {image, image}, {"dog", "ant"});
  write_named_image_parquet(dir.file("2.parquet"), {image, image}, {"cat", "dog"});
  ImageSourceOptions options = from({dir.file("1.parquet"), dir.file("2.parquet")});
  ImageSet set = read_images(options);
  EXPECT_THAT(set.labels, ElementsAre(2, 0, 1, 2));
  EXPECT_THAT(set.class_names, ElementsAre("ant", "cat", "dog"));
  EXPECT_EQ(set.classes, 3);
  options.class_names = {"dog", "cat", "ant", "bee"};
  set = read_images(options);
  EXPECT_THAT(set.labels, ElementsAre(0, 2, 1, 0));
  EXPECT_EQ(set.classes, 4);
}

TEST(ImagesTest, AFolderHasAClassForEachSubFolderInNameOrder) {
  const test::TemporaryDirectory dir;
  const auto pixel = [](std::uint64_t seed) { return make_pixels(3, 3, 1, seed); };
  for (const char* name : {"b", "a", "c"}) std::filesystem::create_directory(dir.file(name));
  write_text(dir.file("b/2.png"), encode_png(pixel(2), 3, 3, 1));
  write_text(dir.file("b/10.PNG"), encode_png(pixel(1), 3, 3, 1));
  write_text(dir.file("a/x.png"), encode_png(pixel(0), 3, 3, 1));
  write_text(dir.file("a/notes.txt"), "no image");
  const ImageSet set = read_images(from({dir.file("")}));
  EXPECT_THAT(set.labels, ElementsAre(0, 1, 1));
  EXPECT_THAT(set.class_names, ElementsAre("a", "b", "c"));
  EXPECT_EQ(set.classes, 3);
  for (std::int64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(pixels_of(set, i), pixel(static_cast<std::uint64_t>(i)));
  }
}

TEST(ImagesTest, ASizeKeepsTheMiddleSquareOfTheScaledImage) {
  const test::TemporaryDirectory dir;
  // Left, middle and right thirds of 40, 120 and 200: the middle square is 120 alone.
  std::vector<std::uint8_t> bands;
  for (int y = 0; y < 32; ++y) {
    for (int x = 0; x < 96; ++x) bands.push_back(static_cast<std::uint8_t>(40 + 80 * (x / 32)));
  }
  write_image_parquet(dir.file("s.parquet"),
                      {encode_png(bands, 32, 96, 1), encode_png(make_pixels(8, 8, 1, 1), 8, 8, 1),
                       encode_jpeg(make_smooth_pixels(400, 300, 1), 400, 300, 1)},
                      {0, 0, 0}, 10);
  ImageSourceOptions options = from({dir.file("s.parquet")});
  options.size = 8;
  const ImageSet set = read_images(options);
  ASSERT_EQ(set.count, 3);
  EXPECT_EQ(set.height, 8);
  EXPECT_EQ(set.width, 8);
  const auto middle = pixels_of(set, 0);
  for (int y = 0; y < 8; ++y) {
    for (int x = 1; x < 7; ++x) EXPECT_EQ(middle[static_cast<std::size_t>(y * 8 + x)], 120);
  }
  EXPECT_EQ(pixels_of(set, 1), make_pixels(8, 8, 1, 1)) << "an image of that size is kept";
  const auto jpeg = pixels_of(set, 2);
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 8; ++x) {
      const double row = (50 + (y + 0.5) / 8 * 300) / 400;
      EXPECT_NEAR(jpeg[static_cast<std::size_t>(y * 8 + x)], 40 + 60 * row + 60 * (x + 0.5) / 8, 5);
    }
  }
}

TEST(ImagesTest, RangesCountFromBothEndsAndSourcesJoinInOrder) {
  const test::TemporaryDirectory dir;
  write_idx_pair(dir.file("t"), 30, 10);
  const std::string images = dir.file("t-images-idx3-ubyte");
  expect_idx_images(read_images(from({images + "[0:20]"})), 0, 20, 10);
  expect_idx_images(read_images(from({images + "[:-10]"})), 0, 20, 10);
  expect_idx_images(read_images(from({images + "[-4:]"})), 26, 4, 10);
  expect_idx_images(read_images(from({images + "[-4:-2]"})), 26, 2, 10);
  expect_idx_images(read_images(from({images + "[:]"})), 0, 30, 10);
  const ImageSet joined = read_images(from({images + "[7:8]", images + "[2:4]"}));
  EXPECT_THAT(joined.labels, ElementsAre(7, 2, 3));
  ImageSourceOptions limited = from({images + "[5:8]", images});
  limited.limit = 4;
  EXPECT_THAT(read_images(limited).labels, ElementsAre(5, 6, 7, 0));
}

TEST(ImagesTest, ARangeOfAGlobIsOverAllItsFiles) {
  const test::TemporaryDirectory dir;
  const auto a = make_pixels(32, 32, 3, 1);
  write_text(dir.file("data_batch_1.bin"), encode_cifar({{0}, {1}, {2}}, {a, a, a}));
  write_text(dir.file("data_batch_2.bin"), encode_cifar({{3}, {4}, {5}}, {a, a, a}));
  EXPECT_THAT(read_images(from({dir.file("data_batch_*.bin[2:-1]")})).labels, ElementsAre(2, 3, 4));
}

TEST(ImagesTest, AFileWhoseNameHasBracketsCanBeRead) {
  const test::TemporaryDirectory dir;
  const auto a = make_pixels(32, 32, 3, 1);
  write_text(dir.file("x[1].bin"), encode_cifar({{4}}, {a}));
  EXPECT_THAT(read_images(from({dir.file("x[1].bin")})).labels, ElementsAre(4));
}

TEST(ImagesTest, ThreadsDoNotChangeWhatIsRead) {
  const test::TemporaryDirectory dir;
  std::vector<std::string> files;
  std::vector<std::int64_t> labels;
  for (int i = 0; i < 2500; ++i) {
    files.push_back(encode_png(make_pixels(3, 4, 1, static_cast<std::uint64_t>(i)), 3, 4, 1));
    labels.push_back(i % 9);
  }
  write_image_parquet(dir.file("p.parquet"), files, labels, 700);
  ImageSourceOptions options = from({dir.file("p.parquet")});
  for (const int threads : {1, 2, 3}) {
    options.threads = threads;
    const ImageSet set = read_images(options);
    ASSERT_EQ(set.count, 2500);
    for (std::int64_t i = 0; i < set.count; ++i) {
      ASSERT_EQ(pixels_of(set, i), make_pixels(3, 4, 1, static_cast<std::uint64_t>(i)));
      ASSERT_EQ(set.labels[static_cast<std::size_t>(i)], i % 9);
    }
  }
}

TEST(ImagesTest, FilesOfImagesAreToldFromOthers) {
  const test::TemporaryDirectory dir;
  write_idx_pair(dir.file("t"), 3, 3);
  write_text(dir.file("c.bin"), encode_cifar({{4}}, {make_pixels(32, 32, 3, 1)}));
  write_image_parquet(dir.file("p.parquet"), {"x"}, {0}, 1);
  write_parquet(dir.file("numbers.parquet"), *make_table({{"label", arrow::int64(), "[1]"}}));
  write_text(dir.file("text"), "some text");
  std::filesystem::create_directories(dir.file("folder/cat"));
  write_text(dir.file("folder/cat/1.png"), "x");
  std::filesystem::create_directories(dir.file("run/checkpoint"));
  write_text(dir.file("run/config.toml"), "");
  for (const char* name :
       {"t-images-idx3-ubyte", "t-images-idx3-ubyte[0:2]", "c.bin", "p.parquet", "folder"}) {
    EXPECT_TRUE(holds_images(dir.file(name))) << name;
  }
  for (const char* name : {"t-labels-idx1-ubyte", "numbers.parquet", "text", "run", "gone"}) {
    EXPECT_FALSE(holds_images(dir.file(name))) << name;
  }
}

TEST(ImagesTest, ASliceIsAPartAsItIs) {
  const test::TemporaryDirectory dir;
  write_idx_pair(dir.file("t"), 30, 10);
  const ImageSet set = read_images(from({dir.file("t-images-idx3-ubyte")}));
  const ImageSet part = slice(set, 11, 25);
  expect_idx_images(part, 11, 14, 10);
  EXPECT_EQ(part.classes, 10);
  for (const auto& [begin, end] : {std::pair{5, 5}, {-1, 3}, {29, 31}, {7, 2}}) {
    EXPECT_EQ(error_of([&] { (void)slice(set, begin, end); }).first, ErrorKind::kInvalidArgument);
  }
}

}  // namespace
}  // namespace taut::data
