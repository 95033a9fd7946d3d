#include "embedding/page.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "taut/core/random.h"

namespace taut::embedding {
namespace {

struct LayoutCase {
  std::string name;
  PageLayout layout;
};

void PrintTo(const LayoutCase& one, std::ostream* stream) {
  *stream << one.name;
}

std::vector<LayoutCase> layouts() {
  const auto make = [](int bytes, int chunk, int chunks, Storage low, bool mixed, bool exact,
                       bool value_state = false, bool row_state = false) {
    return PageLayout{.page_bytes = bytes,
                      .chunk = chunk,
                      .chunks = chunks,
                      .low = low,
                      .high = mixed ? Storage::kInt16 : low,
                      .mixed = mixed,
                      .exact = exact,
                      .value_state = value_state,
                      .row_state = row_state};
  };
  return {{"mixed", make(512, 4, 4, Storage::kInt8, true, false)},
          {"mixed_exact", make(500, 2, 8, Storage::kInt8, true, true)},
          {"int8_many_chunks", make(1024, 4, 32, Storage::kInt8, false, false)},
          {"fp32", make(2048, 4, 4, Storage::kFloat32, false, false)},
          {"bf16_exact", make(777, 4, 4, Storage::kBFloat16, false, true)},
          {"mixed_adagrad", make(900, 4, 4, Storage::kInt8, true, false, true)},
          {"mixed_adam_exact", make(900, 2, 8, Storage::kInt8, true, true, true, true)}};
}

// What a row of a page should hold.
struct ModelRow {
  std::uint16_t tag;
  std::uint64_t key;
  RowState state;
  std::uint8_t scale;
  std::uint16_t row_state;
  std::vector<std::uint8_t> bytes;      // the values
  std::vector<std::uint8_t> optimizer;  // their state
};

constexpr int kOperations = 50000;  // times 4 seeds and 7 layouts: more than a million

class PageModel : public testing::TestWithParam<LayoutCase> {};

void run_page_model(const PageLayout& layout, std::uint64_t seed) {
  const CounterRandom random(seed);
  std::uint64_t counter = 0;
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(layout.page_bytes) + 64, 0xEE);
  Page page(bytes.data(), layout);
  page.clear();
  std::vector<ModelRow> model;
  const auto fill = [&](int row) {
    ModelRow& expected = model[static_cast<std::size_t>(row)];
    for (std::size_t i = 0; i < expected.bytes.size(); ++i) {
      expected.bytes[i] = static_cast<std::uint8_t>(random.bits(counter++));
    }
    std::copy(expected.bytes.begin(), expected.bytes.end(), page.values(row));
    expected.row_state = static_cast<std::uint16_t>(layout.row_state ? random.bits(counter++) : 0);
    page.set_row_state(row, expected.row_state);
    for (std::uint8_t& byte : expected.optimizer) {
      byte = static_cast<std::uint8_t>(random.bits(counter++));
    }
    std::copy(expected.optimizer.begin(), expected.optimizer.end(), page.value_states(row));
  };
  const auto values_alone = [&](const RowState& state) {
    return static_cast<std::size_t>(layout.value_bytes(state) - layout.state_bytes(state));
  };
  const auto states_alone = [&](const RowState& state) {
    return static_cast<std::size_t>(layout.state_bytes(state));
  };
  const auto has_state = [&](int row, const std::vector<std::uint8_t>& bytes_there) {
    return std::equal(bytes_there.begin(), bytes_there.end(), page.value_states(row));
  };
  const auto random_state = [&] {
    return RowState{.width = 1 + static_cast<int>(random.below(
                                     counter++, static_cast<std::uint64_t>(layout.chunks))),
                    .precise = layout.mixed && random.below(counter++, 3) == 0,
                    .importance = static_cast<int>(random.below(counter++, 1024))};
  };
  int removed = 0;
  int resized = 0;
  for (int operation = 0; operation < kOperations; ++operation) {
    const std::uint64_t what = random.below(counter++, 4);
    const int row = model.empty() ? -1 : static_cast<int>(random.below(counter++, model.size()));
    if (what < 2) {
      const RowState state = random_state();
      const int need = layout.overhead_bytes() + layout.value_bytes(state);
      if (page.free_bytes() < need) continue;
      const std::uint64_t key = random.bits(counter++);
      model.push_back({.tag = static_cast<std::uint16_t>(key),
                       .key = key,
                       .state = state,
                       .scale = static_cast<std::uint8_t>(is_scaled(layout.low) ? key >> 20 : 0),
                       .row_state = 0,
                       .bytes = std::vector<std::uint8_t>(values_alone(state)),
                       .optimizer = std::vector<std::uint8_t>(states_alone(state))});
      ASSERT_EQ(page.append(model.back().tag, key, state), static_cast<int>(model.size()) - 1);
      page.set_scale(static_cast<int>(model.size()) - 1, model.back().scale);
      ASSERT_TRUE(has_state(static_cast<int>(model.size()) - 1, model.back().optimizer));
      ASSERT_EQ(page.row_state(static_cast<int>(model.size()) - 1), 0);
      fill(static_cast<int>(model.size()) - 1);
    } else if (what == 2 && row >= 0) {
      page.remove(row);
      model.erase(model.begin() + row);
      ++removed;
    } else if (row >= 0) {
      ModelRow& expected = model[static_cast<std::size_t>(row)];
      const RowState state = random_state();
      const int more = layout.value_bytes(state) - layout.value_bytes(expected.state);
      if (page.free_bytes() < more) continue;
      page.resize(row, state);
      const std::size_t kept = std::min(expected.bytes.size(), values_alone(state));
      ASSERT_TRUE(std::equal(expected.bytes.begin(),
                             expected.bytes.begin() + static_cast<std::ptrdiff_t>(kept),
                             page.values(row)));
      expected.state = state;
      expected.bytes.resize(values_alone(state));
      expected.optimizer.resize(states_alone(state));  // new ones are 0
      ASSERT_TRUE(has_state(row, expected.optimizer));
      fill(row);
      ++resized;
    }
    ASSERT_TRUE(page.valid());
    ASSERT_EQ(page.rows(), static_cast<int>(model.size()));
    for (int i = 0; i < page.rows(); ++i) {
      const ModelRow& expected = model[static_cast<std::size_t>(i)];
      ASSERT_EQ(page.tag(i), expected.tag);
      ASSERT_EQ(page.state(i).pack(), expected.state.pack());
      ASSERT_EQ(page.scale(i), expected.scale);
      ASSERT_EQ(page.row_state(i), expected.row_state);
      ASSERT_TRUE(has_state(i, expected.optimizer));
      if (layout.exact) {
        ASSERT_EQ(page.key(i), expected.key);
      }
      ASSERT_TRUE(std::equal(expected.bytes.begin(), expected.bytes.end(), page.values(i)));
    }
    if (row >= 0 && row < page.rows()) {
      const int found = page.find(model[static_cast<std::size_t>(row)].tag,
                                  model[static_cast<std::size_t>(row)].key);
      ASSERT_GE(found, 0);
      ASSERT_EQ(page.tag(found), model[static_cast<std::size_t>(row)].tag);
    }
  }
  EXPECT_GT(removed, 1000);
  EXPECT_GT(resized, 500);
  for (std::size_t i = static_cast<std::size_t>(layout.page_bytes); i < bytes.size(); ++i) {
    EXPECT_EQ(bytes[i], 0xEE) << "byte behind the page was written";
  }
}

TEST_P(PageModel, HoldsWhatAPlainListHoldsUnderRandomOperations) {
  for (const std::uint64_t seed : {42, 43, 44, 45}) {
    SCOPED_TRACE(seed);
    run_page_model(GetParam().layout, seed);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, PageModel, testing::ValuesIn(layouts()),
                         [](const auto& one) { return one.param.name; });

TEST(Page, StatesSurvivePacking) {
  for (int bits = 0; bits < 65536; ++bits) {
    ASSERT_EQ(RowState::unpack(static_cast<std::uint16_t>(bits)).pack(), bits);
  }
}

TEST(Page, ABrokenPageIsNotValid) {
  const PageLayout layout = layouts()[0].layout;
  std::vector<std::uint8_t> bytes(512);
  Page page(bytes.data(), layout);
  page.clear();
  (void)page.append(1, 1, {.width = 2, .precise = false, .importance = 5});
  ASSERT_TRUE(page.valid());
  for (const std::size_t broken : {0u, 2u, 6u}) {  // rows, value bytes, width
    std::vector<std::uint8_t> copy = bytes;
    copy[broken] = static_cast<std::uint8_t>(copy[broken] ^ 0x78);
    EXPECT_FALSE(PageView(copy.data(), layout).valid()) << broken;
  }
}

}  // namespace
}  // namespace taut::embedding
