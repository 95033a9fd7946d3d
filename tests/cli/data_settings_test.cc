// --set of commands that read data for a model that is made already.

#include "cli/data_settings.h"

#include <gtest/gtest.h>

#include "support/error_matchers.h"

namespace taut::cli {
namespace {

using test::error_of;
using test::IsError;

data::ReaderOptions laid_over(const std::vector<std::string>& sets) {
  data::ReaderOptions options;
  DataSettings(sets).apply(options);
  return options;
}

TEST(DataSettings, LieOverOptionsTheLastOneWinning) {
  const data::ReaderOptions options = laid_over({"data.format=csv", "data.on_bad_row=\"skip\"",
                                                 "data.list_separator=^", "data.format='tsv'"});
  EXPECT_EQ(options.format, "tsv");
  EXPECT_EQ(options.on_bad_row, data::OnBadRow::kSkip);
  EXPECT_EQ(options.list_separator, '^');
  EXPECT_EQ(laid_over({}).format, data::ReaderOptions().format);
}

TEST(DataSettings, SayHowTextsAreRead) {
  const data::ReaderOptions options = laid_over({"data.separator=tab", "data.na_values=missing,-",
                                                 "data.encoding=latin-1", "data.thousands=,"});
  EXPECT_EQ(options.separator, '\t');
  EXPECT_EQ(options.na_values, (std::vector<std::string>{"missing", "-"}));
  EXPECT_EQ(options.encoding, data::Encoding::kLatin1);
  EXPECT_EQ(options.thousands, ',');
  EXPECT_THAT(error_of([] { (void)DataSettings({"data.thousands=."}); }),
              IsError(ErrorKind::kConfig, "--set data.thousands"));
  EXPECT_THAT(error_of([] { (void)DataSettings({"data.separator=::"}); }),
              IsError(ErrorKind::kConfig, "--set data.separator"));
}

TEST(DataSettings, KnowWhetherTheFormatIsGiven) {
  EXPECT_TRUE(DataSettings({"data.format=csv"}).gives_format());
  EXPECT_FALSE(DataSettings({"data.on_bad_row=skip"}).gives_format());
}

TEST(DataSettings, RefuseWhatTheyDoNotKnow) {
  EXPECT_THAT(error_of([] { (void)laid_over({"data.formt=csv"}); }),
              IsError(ErrorKind::kConfig, "did you mean data.format?"));
  EXPECT_THAT(error_of([] { (void)laid_over({"train.epochs=3"}); }),
              IsError(ErrorKind::kConfig, "unknown key \"train.epochs\""));
  EXPECT_THAT(error_of([] { (void)laid_over({"data.format"}); }),
              IsError(ErrorKind::kConfig, "not a setting: \"data.format\""));
  EXPECT_THAT(error_of([] { (void)DataSettings({"data.on_bad_row=drop"}); }),
              IsError(ErrorKind::kConfig, "--set data.on_bad_row"));
  EXPECT_THAT(error_of([] { (void)DataSettings({"data.list_separator=ab"}); }),
              IsError(ErrorKind::kConfig, "--set data.list_separator"));
}

}  // namespace
}  // namespace taut::cli
