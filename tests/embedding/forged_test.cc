// Every number that a checkpoint or a frozen form says of itself, replaced by numbers that cannot
// be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <ostream>

#include "forged_sections.h"

namespace taut::embedding {
namespace {

using testing::HasSubstr;

template <typename T>
void put(std::string& bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof(value));
}

// Sections that hold numbers of fixed places: all that are short.
bool holds_numbers(const std::string& name, const std::string& bytes) {
  return bytes.size() <= 512 && name.find("options") == std::string::npos &&
         name.find("method") == std::string::npos;
}

struct Attempts {
  std::size_t refused = 0;
  std::size_t read = 0;
};

// Puts each of the values in each place of its size in the numbers of every collection: what is
// refused must be named.
template <typename T>
Attempts put_everywhere(const std::vector<T>& values) {
  Attempts attempts;
  for (const Sealed& sealed : sealed_collections()) {
    Sealed forged = sealed;
    for (auto& [name, bytes] : forged.sections.contents()) {
      if (!holds_numbers(name, bytes)) continue;
      SCOPED_TRACE(sealed.options.method + (sealed.frozen ? " frozen " : " saved ") + name);
      const std::string good = bytes;
      for (std::size_t at = 0; at + sizeof(T) <= good.size(); at += sizeof(T)) {
        for (const T value : values) {
          put(bytes, at, value);
          const std::optional<Error> error = read_forged(forged);
          ++(error ? attempts.refused : attempts.read);
          if (error) {
            EXPECT_THAT(error->what(), HasSubstr("memory"));  // names the file
            EXPECT_THAT(error->what(), HasSubstr("t/"));      // and the section
          }
          bytes = good;
        }
      }
    }
  }
  return attempts;
}

TEST(Forged, LongNumbersThatCannotBeAreRefusedOrHarmless) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  const Attempts attempts = put_everywhere<std::int64_t>(
      {0, 1, -1, 3, 5, 7, 6, 1 << 20, std::int64_t{1} << 31, 33, 4097, 1023, kMost, kMost / 2,
       -kMost, std::int64_t{1} << 58, std::int64_t{1} << 55});
  EXPECT_GT(attempts.refused, 3000u);
  EXPECT_GT(attempts.read, 500u);
}

TEST(Forged, NumbersThatCannotBeAreRefusedOrHarmless) {
  const Attempts attempts =
      put_everywhere<std::int32_t>({0, 1, -1, 3, 6, 33, 1 << 30, INT32_MAX, INT32_MIN});
  EXPECT_GT(attempts.refused, 3000u);
  EXPECT_GT(attempts.read, 500u);
}

TEST(Forged, SectionsOfAnotherSizeOrThatAreMissingAreNamed) {
  for (const Sealed& sealed : sealed_collections()) {
    Sealed whole = sealed;
    for (const auto& [name, bytes] : whole.sections.contents()) {
      SCOPED_TRACE(sealed.options.method + (sealed.frozen ? " frozen " : " saved ") + name);
      for (const std::size_t size : {bytes.size() + 1, bytes.size() + 64, bytes.size() / 2}) {
        Sealed forged = sealed;
        forged.sections.contents()[name].resize(size, '\x7f');
        const std::optional<Error> error = read_forged(forged);
        const bool unread = bytes.empty() && size == 0;
        const bool slack = name.find("rows") != std::string::npos ||  // of full: bytes of no row
                           name.find("shard/") != std::string::npos;  // of elastic: unused bytes
        if (!unread && !slack) {
          EXPECT_TRUE(error.has_value()) << size << " for " << bytes.size();
        }
      }
      Sealed missing = sealed;
      missing.sections.contents().erase(name);
      const std::optional<Error> error = read_forged(missing);
      ASSERT_TRUE(error.has_value());
      EXPECT_THAT(error->what(), HasSubstr(name));
    }
  }
}

struct Lie {
  const char* method;
  const char* section;
  std::size_t at;  // of 8 bytes
  std::int64_t value;
};

void PrintTo(const Lie& lie, std::ostream* stream) {
  *stream << lie.method << ' ' << lie.section << '[' << lie.at << "] = " << lie.value;
}

class FrozenLie : public testing::TestWithParam<Lie> {};

// 2^58 rows of 64 bytes are 2^64 bytes: none, so that an empty section would do.
TEST_P(FrozenLie, IsRefusedThoughTheBytesFit) {
  Options options = make_options(GetParam().method, forged_shape(), 12000);
  options.dim = 16;
  const BatchShape shape{.size = 16, .tables = 2, .dim = 16, .ids = 300, .bags = true};
  const auto embedding = make_embedding(options, threads(1));
  train(*embedding, shape, 1, 0, 3);
  test::MemorySections file;
  embedding->export_frozen(file, "t/");
  EXPECT_NO_THROW((void)open_frozen(file, "t/"));
  put(file.contents()["t/header"], GetParam().at, GetParam().value);
  for (const char* emptied : {"", GetParam().section}) {
    if (*emptied != '\0') file.contents()[std::string("t/") + emptied].clear();
    const auto [kind, text] = error_of([&] { (void)open_frozen(file, "t/"); });
    EXPECT_EQ(kind, ErrorKind::kFormat);
    EXPECT_THAT(text, HasSubstr("t/"));
  }
}

INSTANTIATE_TEST_SUITE_P(Headers, FrozenLie,
                         testing::Values(Lie{"hash", "rows", 8, std::int64_t{1} << 58},
                                         Lie{"hash", "rows", 8, std::int64_t{1} << 62},
                                         Lie{"qr", "rows", 24, std::int64_t{1} << 58},
                                         Lie{"fiited", "slots", 32, std::int64_t{1} << 55},
                                         Lie{"fiited", "slots", 32, std::int64_t{1} << 60},
                                         Lie{"hash", "rows", 16, 6}, Lie{"hash", "rows", 16, 10},
                                         Lie{"qr", "rows", 8, 514}, Lie{"hash", "rows", 16, -16}));

}  // namespace
}  // namespace taut::embedding
