#pragma once
// What tests of text files share: a file from its text, and what is wrong with it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "data/text_encoding.h"
#include "test_files.h"

namespace taut::data::testing {

class TextFiles : public ::testing::Test {
 protected:
  /// Writes the text, and gives the options that read it.
  ReaderOptions reading(const std::string& name, const std::string& text, const Schema& schema) {
    write_text(dir_.file(name), text);
    ReaderOptions options;
    options.files = {dir_.file(name)};
    options.schema = schema;
    return options;
  }

  /// Reading must end in an error of that kind, with these parts, in one line of UTF-8.
  static void expect_error(const ReaderOptions& options, ErrorKind wanted,
                           const std::vector<std::string>& parts) {
    const auto [kind, message] = error_of([&] { (void)read_batches(options); });
    EXPECT_EQ(to_string(kind), to_string(wanted)) << message;
    for (const std::string& part : parts) EXPECT_THAT(message, ::testing::HasSubstr(part));
    EXPECT_EQ(first_not_utf8(message), std::string::npos);
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }

  test::TemporaryDirectory dir_;
};

}  // namespace taut::data::testing
