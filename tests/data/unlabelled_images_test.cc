// Images without labels, as they are predicted.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "image_files.h"
#include "taut/data/images.h"
#include "test_files.h"

namespace taut::data {
namespace {

using namespace testing;  // NOLINT: helpers of these tests
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class UnlabelledImages : public ::testing::Test {
 protected:
  static std::string png(std::uint64_t seed) {
    return encode_png(make_pixels(4, 5, 1, seed), 4, 5, 1);
  }
  [[nodiscard]] static ImageSourceOptions reading(const std::string& entry) {
    ImageSourceOptions options{.files = {entry}};
    options.unlabelled = true;
    return options;
  }

  test::TemporaryDirectory dir_;
};

TEST_F(UnlabelledImages, NeedNoFileOfLabels) {
  write_idx_pair(dir_.file("t"), 6, 3);
  const ImageSet labelled = read_images({.files = {dir_.file("t-images-idx3-ubyte")}});
  std::filesystem::remove(dir_.file("t-labels-idx1-ubyte"));
  EXPECT_EQ(read_images(reading(dir_.file("t-images-idx3-ubyte"))).pixels, labelled.pixels);
  EXPECT_EQ(
      error_of([&] { (void)read_images({.files = {dir_.file("t-images-idx3-ubyte")}}); }).first,
      ErrorKind::kNotFound);
}

TEST_F(UnlabelledImages, LieInAFolderOrAreOneFile) {
  std::filesystem::create_directories(dir_.file("shots/more"));
  write_text(dir_.file("shots/b.png"), png(2));
  write_text(dir_.file("shots/a.png"), png(1));
  write_text(dir_.file("shots/more/c.PNG"), png(3));
  const ImageSet images = read_images(reading(dir_.file("shots")));
  EXPECT_EQ(images.count, 3);
  const ImageSet one = read_images(reading(dir_.file("shots/b.png")));
  ASSERT_EQ(one.count, 1);
  EXPECT_EQ(std::vector(images.pixels.begin() + 20, images.pixels.begin() + 40), one.pixels);
}

TEST_F(UnlabelledImages, ComeFromParquetWithoutAColumnOfLabels) {
  write_parquet(dir_.file("x.parquet"),
                *make_table({{"image", arrow::binary(), "[\"no image\", \"none\"]"}}));
  EXPECT_THAT(error_of([&] { (void)read_images(reading(dir_.file("x.parquet"))); }).second,
              HasSubstr("record 0"));
}

TEST_F(UnlabelledImages, BadOnesKeepTheirPlace) {
  std::filesystem::create_directories(dir_.file("shots"));
  for (const char* name : {"a", "c", "e"}) {
    write_text(dir_.file(std::string("shots/") + name + ".png"), "broken");
  }
  for (const char* name : {"b", "d"})
    write_text(dir_.file(std::string("shots/") + name + ".png"), png(4));
  ImageSourceOptions options = reading(dir_.file("shots"));
  options.on_bad = OnBadRow::kSkip;
  const ImageSet images = read_images(options);
  EXPECT_EQ(images.count, 5);
  EXPECT_THAT(images.bad, ElementsAre(1, 0, 1, 0, 1));
  EXPECT_EQ(images.bad_rows.count, 3);
  EXPECT_EQ(images.pixels.size(), 5u * 20);
  EXPECT_EQ(images.labels.size(), 5u);
}

}  // namespace
}  // namespace taut::data
