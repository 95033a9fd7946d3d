#include "taut/core/jagged.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "taut/core/error.h"

namespace taut {
namespace {

struct Column {
  std::vector<std::uint64_t> ids;
  std::vector<std::int64_t> offsets;
};

std::string refusal(const JaggedIds& jagged, std::int64_t batch) {
  try {
    check_jagged(jagged, batch, "tables[2]");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInvalidArgument);
    return error.what();
  }
  return "";
}

const std::vector<std::uint64_t> kIds = {5, 6, 7};
const std::vector<float> kTwoWeights = {1, 2};

std::string refusal(const std::vector<std::int64_t>& offsets, std::int64_t batch) {
  return refusal({.ids = kIds, .offsets = offsets, .weights = {}}, batch);
}

TEST(JaggedIds, TakeEmptyBagsAndOneIdAnExample) {
  EXPECT_EQ(refusal(std::vector<std::int64_t>{0, 0, 3, 3}, 3), "");
  EXPECT_EQ(refusal(std::vector<std::int64_t>{}, 3), "");
  EXPECT_EQ(refusal(JaggedIds{}, 0), "");
}

TEST(JaggedIds, AreRefusedByMemberWithWhatIsWantedAndGiven) {
  EXPECT_EQ(refusal(std::vector<std::int64_t>{}, 4),
            "tables[2].ids must be one an example, 4, got 3");
  EXPECT_EQ(refusal(std::vector<std::int64_t>{0, 3}, 2),
            "tables[2].offsets must be of size batch + 1 = 3, got 2");
  EXPECT_EQ(refusal(std::vector<std::int64_t>{1, 3}, 1), "tables[2].offsets[0] must be 0, got 1");
  EXPECT_EQ(refusal(std::vector<std::int64_t>{0, 2, 1, 3}, 3),
            "tables[2].offsets[2] must be at least 2, got 1");
  EXPECT_EQ(refusal(std::vector<std::int64_t>{0, 2}, 1),
            "tables[2].offsets.back() must be ids' size 3, got 2");
  EXPECT_EQ(refusal(std::vector<std::int64_t>{0, 4}, 1),
            "tables[2].offsets.back() must be ids' size 3, got 4");
  EXPECT_EQ(refusal({.ids = kIds, .offsets = {}, .weights = kTwoWeights}, 3),
            "tables[2].weights must be empty or of ids' size 3, got 2");
}

TEST(JaggedIds, ViewColumnsWithoutCopies) {
  const std::vector<Column> columns = {{{1, 2, 3}, {0, 1, 3}}, {{}, {0, 0, 0}}};
  std::vector<JaggedIds> views(5);
  view_ids(columns, views);
  ASSERT_EQ(views.size(), 2);
  EXPECT_EQ(views[0].ids.data(), columns[0].ids.data());
  EXPECT_EQ(views[0].offsets.data(), columns[0].offsets.data());
  EXPECT_EQ(views[0].ids.size(), 3);
  EXPECT_TRUE(views[1].ids.empty());
  EXPECT_EQ(views[1].offsets.size(), 3);
  EXPECT_TRUE(views[1].weights.empty());
}

}  // namespace
}  // namespace taut
