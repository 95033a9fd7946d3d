#include "taut/core/spelling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace fruit {

enum class Taste { kSweet, kSour, kBitter };

constexpr auto spellings(std::type_identity<Taste>) {
  return std::to_array<taut::Spelling<Taste>>({{"sweet", Taste::kSweet},
                                               {"sour", Taste::kSour},
                                               {"acid", Taste::kSour},
                                               {"bitter", Taste::kBitter}});
}

enum class Nameless { kOne };

}  // namespace fruit

namespace taut {
namespace {

using fruit::Taste;
using testing::ElementsAre;

static_assert(Spelled<Taste>);
static_assert(!Spelled<fruit::Nameless>);
static_assert(!Spelled<int>);
static_assert(find_spelling<Taste>("bitter") == Taste::kBitter);
static_assert(spelling_of(Taste::kSweet) == "sweet");

std::string message_of(const std::string& name, ErrorKind kind, std::string_view what,
                       std::string_view where) {
  try {
    static_cast<void>(parse_spelling<Taste>(name, kind, what, where));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    return error.what();
  }
  return "no error";
}

TEST(Spelling, ReadsWhatItWrites) {
  for (const Taste taste : {Taste::kSweet, Taste::kSour, Taste::kBitter}) {
    EXPECT_EQ(parse_spelling<Taste>(spelling_of(taste), ErrorKind::kConfig), taste);
  }
}

TEST(Spelling, WritesTheFirstOfTwoNamesAndReadsBoth) {
  EXPECT_EQ(spelling_of(Taste::kSour), "sour");
  EXPECT_EQ(find_spelling<Taste>("sour"), Taste::kSour);
  EXPECT_EQ(find_spelling<Taste>("acid"), Taste::kSour);
}

TEST(Spelling, ListsNamesInTheOrderOfTheTable) {
  EXPECT_THAT(spelling_names<Taste>(), ElementsAre("sweet", "sour", "acid", "bitter"));
}

TEST(Spelling, FindsWholeNamesOnly) {
  for (const char* name : {"", "s", "Sweet", "sweet ", "sweets"}) {
    EXPECT_EQ(find_spelling<Taste>(name), std::nullopt) << name;
  }
}

TEST(Spelling, NamesWhatWhereAndTheNearestName) {
  EXPECT_EQ(message_of("swet", ErrorKind::kData, "taste", "fruit.taste"),
            "unknown taste \"swet\", fruit.taste, did you mean sweet?");
  EXPECT_EQ(message_of("umami-and-more", ErrorKind::kConfig, "value", {}),
            "unknown value \"umami-and-more\", known: sweet, sour, acid, bitter");
}

}  // namespace
}  // namespace taut
