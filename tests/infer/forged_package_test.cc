// Packages whose checksums are right and whose numbers are not: written by our own writer, a field
// of a header changed, sealed again. One error each, naming file, section and value.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <ostream>
#include <string>
#include <vector>

#include "infer/small_packages.h"
#include "support/error_matchers.h"
#include "support/temporary_directory.h"
#include "taut/graph/network_json.h"

namespace taut::infer {
namespace {

using test::error_of;
using test::IsError;
using test::TemporaryDirectory;
using test_support::Sections;

// A package of clicks whose tables are of a method.
Sections sections_of(const TemporaryDirectory& folder, const std::string& method) {
  const auto tables = test_support::small_tables(method);
  if (tables->wants_counts()) tables->finish_counting();
  const std::string path = folder.file("good.taut");
  write_package(path, test_support::click_model().model, tables.get());
  return test_support::read_sections(path);
}

struct Lie {
  const char* method;
  const char* section;
  std::size_t at;
  std::size_t size;  // of the number
  std::int64_t value;
};

void PrintTo(const Lie& lie, std::ostream* stream) {
  *stream << lie.method << ' ' << lie.section << '[' << lie.at << "] = " << lie.value;
}

class ForgedHeader : public testing::TestWithParam<Lie> {};

TEST_P(ForgedHeader, IsNamedByFileSectionAndValue) {
  const TemporaryDirectory folder;
  const Lie& lie = GetParam();
  Sections sections = sections_of(folder, lie.method);
  std::string& bytes = sections.at(lie.section);
  ASSERT_LE(lie.at + lie.size, bytes.size());
  std::memcpy(bytes.data() + lie.at, &lie.value, lie.size);
  const std::string path = folder.file("forged.taut");
  test_support::write_sections(path, sections);
  const Error error = error_of([&] { const Package never(path); });
  EXPECT_THAT(error, IsError(ErrorKind::kFormat, path));
  EXPECT_THAT(error, IsError(ErrorKind::kFormat, lie.section));
  EXPECT_THAT(error, IsError(ErrorKind::kFormat, std::to_string(lie.value)));
}

constexpr const char* kHeader = "embedding/header";
constexpr std::int64_t k2To55 = std::int64_t{1} << 55;
constexpr std::int64_t k2To58 = std::int64_t{1} << 58;
constexpr std::int64_t k2To61 = std::int64_t{1} << 61;

INSTANTIATE_TEST_SUITE_P(
    EveryMethod, ForgedHeader,
    testing::Values(Lie{"hash", kHeader, 8, 8, k2To58}, Lie{"hash", kHeader, 8, 8, -1},
                    Lie{"hash", kHeader, 16, 8, 6}, Lie{"hash", kHeader, 16, 8, 516},
                    Lie{"hash", kHeader, 24, 8, 9}, Lie{"hash", kHeader, 0, 8, 0},
                    Lie{"full", kHeader, 16, 4, 5}, Lie{"full", kHeader, 16, 4, -4},
                    Lie{"full", kHeader, 0, 8, k2To58}, Lie{"qr", kHeader, 24, 8, k2To58},
                    Lie{"qr", kHeader, 8, 8, 5}, Lie{"fiited", kHeader, 32, 8, k2To55},
                    Lie{"fiited", kHeader, 32, 8, k2To61}, Lie{"fiited", kHeader, 24, 8, 3},
                    Lie{"fiited", kHeader, 24, 8, k2To61}, Lie{"elastic", kHeader, 20, 4, 1 << 30},
                    Lie{"elastic", kHeader, 24, 4, 1 << 30}, Lie{"elastic", kHeader, 16, 4, 1},
                    Lie{"elastic", kHeader, 8, 8, k2To58}, Lie{"row", kHeader, 28, 4, 77},
                    Lie{"elastic", "embedding/shard/0/sizes", 0, 8, k2To58},
                    Lie{"elastic", "embedding/shard/0/sizes", 8, 8, k2To61},
                    Lie{"cafe", "embedding/shard/0/sizes", 32, 8, 64}));

// Dense widths, as a network's description says them.
TEST(ForgedNetwork, SizesThatNoFileHoldsAreNamed) {
  const TemporaryDirectory folder;
  const Sections good = sections_of(folder, "hash");
  const std::string path = folder.file("forged.taut");
  for (const std::string wide :
       {"1125899906842624", "4611686018427387904", "-4", "18446744073709551615", "0", "1e30"}) {
    Sections sections = good;
    std::string& network = sections.at("network");
    const std::string from = "\"channels\":4";
    for (std::size_t at = network.find(from); at != std::string::npos;
         at = network.find(from, at)) {
      network.replace(at, from.size(), "\"channels\":" + wide);
      at += wide.size();
    }
    test_support::write_sections(path, sections);
    EXPECT_THAT(error_of([&] { const Package never(path); }), IsError(ErrorKind::kFormat, path))
        << wide;
  }
}

// Copies side by side: twice as many classes with each layer, and not a byte of weights more.
TEST(ForgedNetwork, ClassesThatTheFileHoldsNothingOfAreNamed) {
  const TemporaryDirectory folder;
  const std::string path = folder.file("forged.taut");
  for (const int doublings : {16, 29, 33}) {
    test_support::SmallModel small = test_support::image_model();
    small.model.input =
        image_input_json({.mean = {0, 0, 0}, .deviation = {1, 1, 1}, .class_names = {}});
    write_package(path, small.model);
    Sections sections = test_support::read_sections(path);
    test_support::SmallNetwork& net = *small.network;
    for (int i = 0; i < doublings; ++i) {
      const int last = static_cast<int>(net.network.layers.size()) - 1;
      net.to(graph::Op::kConcat, {.channels = std::int64_t{4} << i}, {last, last});
    }
    sections.at("network") = graph::network_json(net.network);
    test_support::write_sections(path, sections);
    const Error error = error_of([&] { const Package never(path); });
    EXPECT_THAT(error, IsError(ErrorKind::kFormat, path));
    EXPECT_THAT(error, IsError(ErrorKind::kFormat,
                               std::to_string(std::int64_t{2} << doublings) + " classes"));
  }
}

TEST(ForgedText, OfAPackageIsATypedErrorThatNamesFileAndSection) {
  const TemporaryDirectory folder;
  const Sections good = sections_of(folder, "hash");
  const std::string path = folder.file("forged.taut");
  const std::string deep(200000, '[');
  for (const std::string section : {"metadata", "network"}) {
    for (const std::string& text :
         {std::string(), std::string("junk"), std::string("[]"), std::string("{}"),
          std::string("\xff"), std::string("{\"task\":\"\xff\"}"), deep,
          deep + std::string(deep.size(), ']'),
          std::string("{\"task\":5,\"input\":[],\"facts\":[]}")}) {
      Sections sections = good;
      sections.at(section) = text;
      test_support::write_sections(path, sections);
      EXPECT_THAT(error_of([&] { const Package never(path); }), IsError(ErrorKind::kFormat, path))
          << section << " " << text.substr(0, 40);
    }
  }
}

TEST(ManySections, AreOpenedInTimeThatGrowsWithThem) {
  const TemporaryDirectory folder;
  Sections sections = sections_of(folder, "hash");
  for (int i = 0; i < 100000; ++i) sections["more/" + std::to_string(i)];
  const std::string path = folder.file("many.taut");
  test_support::write_sections(path, sections);
  const auto start = std::chrono::steady_clock::now();
  const Package package(path);
  for (const std::string& name : package.file().names()) (void)package.file().section(name);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  EXPECT_LT(taken.count(), 10.0);  // a second or so; hours where every look-up walks them all
}

}  // namespace
}  // namespace taut::infer
