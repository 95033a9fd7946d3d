// Tables as objects: their state as bytes, their keys, the pool that they share.
#include "nn/tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "nn/section_bytes.h"
#include "nn/shared_pool.h"
#include "nn/table_keys.h"
#include "support/error_matchers.h"
#include "taut/core/hash.h"

namespace taut::nn {
namespace {

using taut::test::error_of;
using taut::test::IsError;

embedding::Options one_table(std::uint64_t seed = 1) {
  embedding::Options options;
  options.method = "full";
  options.tables = {{.name = "bag", .distinct_ids = 100}};
  options.dim = 4;
  options.seed = seed;
  return options;
}

at::Tensor ids_up_to(std::int64_t count) {
  return at::arange(count, at::kLong);
}

at::Tensor look_up(const Tables& tables, std::int64_t count) {
  return tables.lookup(Bags({ids_up_to(count)}, {ids_up_to(count + 1)}, {}, 1, {}));
}

void train(Tables& tables, std::int64_t count) {
  tables.update(Bags({ids_up_to(count)}, {ids_up_to(count + 1)}, {}, 1, {}), 1.0,
                at::ones({count, 1, 4}));
}

TEST(Tables, GiveTheirStateAndTakeItAgain) {
  Tables first(one_table(), 1);
  train(first, 50);
  Tables second(one_table(), 1);
  second.load(first.state());
  train(first, 70);
  train(second, 70);
  EXPECT_TRUE(at::equal(look_up(first, 100), look_up(second, 100)));
  EXPECT_TRUE(at::equal(first.state(), second.state()));
}

TEST(Tables, StateOfOtherOptionsLeavesThemAsTheyWere) {
  Tables tables(one_table(), 1);
  train(tables, 50);
  const at::Tensor before = look_up(tables, 100);
  const at::Tensor other = Tables(one_table(2), 1).state();
  EXPECT_THAT(error_of([&] { tables.load(other); }), IsError(ErrorKind::kFormat, "seed"));
  EXPECT_TRUE(at::equal(look_up(tables, 100), before));
}

TEST(SectionBytes, KeepSectionsOfAnySize) {
  SectionBytesWriter writer;
  writer.add("none", std::string_view());
  writer.add("text", std::string_view("abc"));
  writer.begin("parts");
  for (int part = 0; part < 3; ++part)
    writer.append("0123456789012345678901234567890123456789", 40);
  const at::Tensor bytes = writer.finish();
  const SectionBytesReader reader(bytes);
  EXPECT_EQ(reader.section("none").size(), 0U);
  EXPECT_EQ(reader.text("text"), "abc");
  EXPECT_EQ(reader.section("parts").size(), 120U);
  EXPECT_FALSE(reader.has("other"));
  EXPECT_THAT(error_of([&] { static_cast<void>(reader.section("other")); }),
              IsError(ErrorKind::kFormat, "other"));
  const at::Tensor shifted = at::cat({at::zeros({1}, at::kByte), bytes}).slice(0, 1);
  EXPECT_EQ(SectionBytesReader(shifted).text("text"), "abc");
}

TEST(SectionBytes, RefuseWhatWasChangedOrCut) {
  SectionBytesWriter writer;
  writer.add("text", std::string_view("abc"));
  const at::Tensor whole = writer.finish();
  const auto refused = [](const at::Tensor& bytes) {
    return error_of([&] { const SectionBytesReader reader(bytes); });
  };
  for (std::int64_t i = 0; i < whole.numel(); ++i) {
    at::Tensor flipped = whole.clone();
    flipped[i] = flipped[i].bitwise_xor(1);
    EXPECT_THAT(refused(flipped), IsError(ErrorKind::kFormat, "state of a table")) << i;
    EXPECT_THAT(refused(whole.slice(0, 0, i)), IsError(ErrorKind::kFormat, "state of a table"));
  }
  EXPECT_THAT(refused(whole.to(at::kFloat)), IsError(ErrorKind::kFormat, "uint8"));
}

TEST(SectionBytes, RefuseListsThatPointOutsideThoughTheChecksumIsRight) {
  SectionBytesWriter writer;
  writer.add("text", std::string_view("abc"));
  const at::Tensor whole = writer.finish();
  const std::int64_t numbers[] = {-1, std::int64_t{1} << 62, 1 << 20, 64, 1};
  const std::int64_t end = whole.numel() - 8;
  // The list: length of the name, name, offset, size; then the list's own offset.
  for (const std::int64_t place : {end - 8, end - 16, end - 24, end - 36}) {
    for (const std::int64_t number : numbers) {
      at::Tensor forged = whole.clone();
      auto* bytes = forged.mutable_data_ptr<std::uint8_t>();
      std::memcpy(bytes + place, &number, sizeof(number));
      const std::uint64_t checksum = hash_bytes(bytes, static_cast<std::size_t>(end));
      std::memcpy(bytes + end, &checksum, sizeof(checksum));
      try {
        const SectionBytesReader reader(forged);
        if (reader.has("text")) {
          EXPECT_LE(reader.section("text").size(), 64U);
        }
      } catch (const Error& refused) {
        EXPECT_EQ(refused.kind(), ErrorKind::kFormat);
      }
    }
  }
}

TEST(TableKeys, BelongToTheirTablesWhileThoseLive) {
  auto tables = c10::make_intrusive<Tables>(one_table(), 1);
  const auto other = c10::make_intrusive<Tables>(one_table(), 1);
  const at::Tensor key = key_of(tables);
  EXPECT_TRUE(at::equal(key, key_of(tables)));
  EXPECT_FALSE(at::equal(key, key_of(other)));
  EXPECT_EQ(tables_of(key), tables);
  tables.reset();
  EXPECT_THROW(static_cast<void>(tables_of(key)), c10::ValueError);
  EXPECT_THROW(static_cast<void>(tables_of(at::zeros({2}))), c10::ValueError);
}

TEST(SharedPool, IsOneForAllThatAskForAsManyThreads) {
  const auto first = shared_pool(3);
  EXPECT_EQ(first, shared_pool(3));
  EXPECT_EQ(first->threads(), 3);
  EXPECT_NE(first, shared_pool(2));
}

// What a child of a fork does; 0: well.
template <typename Body>
int exit_code_of_child(const Body& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);  // a child that hangs is killed
    ::_exit(body() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

TEST(Tables, LookUpAndTrainInAForkedChildWithTheSameBits) {
  constexpr std::int64_t kMany = 5000;
  Tables tables(one_table(), 4);
  train(tables, kMany);
  const at::Tensor before = look_up(tables, kMany);
  Tables copy(one_table(), 4);
  copy.load(tables.state());
  train(copy, kMany);
  const at::Tensor after = look_up(copy, kMany);
  EXPECT_EQ(exit_code_of_child([&] {
              const bool same = at::equal(look_up(tables, kMany), before);
              train(tables, kMany);
              return same && at::equal(look_up(tables, kMany), after) &&
                     shared_pool(4)->threads() == 4;
            }),
            0);
  EXPECT_TRUE(at::equal(look_up(tables, kMany), before));  // the child's rows are its own
}

TEST(Tables, AForkWaitsForTheCallAtWork) {
  Tables tables(one_table(), 2);
  // LibTorch takes locks of its own, which no fork waits for, at the first operator of a thread.
  (void)look_up(tables, 3000);
  std::atomic<bool> started = false;
  std::atomic<bool> stop = false;
  std::thread trainer([&] {
    train(tables, 3000);
    started = true;
    while (!stop) train(tables, 3000);
  });
  while (!started) std::this_thread::yield();
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    EXPECT_EQ(exit_code_of_child([&] { return look_up(tables, 3000).numel() == 12000; }), 0);
  }
  stop = true;
  trainer.join();
}

TEST(Tables, GatheredBatchesAreOneStep) {
  Tables whole(one_table(), 1);
  Tables parts(one_table(), 1);
  train(whole, 8);
  train(parts, 8);
  const at::Tensor gradient = at::arange(32, at::kFloat).reshape({8, 1, 4});
  whole.update(Bags({ids_up_to(8)}, {ids_up_to(9)}, {}, 1, {}), 0, gradient);
  parts.gather(4);
  EXPECT_THAT(error_of([&] { parts.gather(4); }), IsError(ErrorKind::kInvalidArgument, "already"));
  const at::Tensor before = look_up(parts, 8);
  for (std::int64_t part = 0; part < 4; ++part) {
    parts.update(Bags({ids_up_to(8).slice(0, 2 * part, 2 * part + 2)}, {ids_up_to(3)}, {}, 1, {}),
                 0, gradient.slice(0, 2 * part, 2 * part + 2));
  }
  EXPECT_TRUE(at::equal(look_up(parts, 8), before));
  parts.step();
  EXPECT_TRUE(at::equal(look_up(parts, 8), look_up(whole, 8)));
  EXPECT_EQ(parts.collection().steps(), whole.collection().steps());
}

// Three bags, one of them empty; each id is a row of the result, and a mean loss is that of bags.
TEST(Tables, RowsThatAreNotPooledAreStepsOfTheirBags) {
  const at::Tensor ids = at::tensor({5, 3, 5, 2, 9}, at::kLong);
  const at::Tensor offsets = at::tensor({0, 2, 2, 5}, at::kLong);
  const Bags pooled({ids}, {offsets}, {}, 1, {.padding = 2});
  const Bags single({ids}, {offsets}, {}, 1, {Pooling::Mode::kNone, 2});
  EXPECT_EQ(pooled.batch(), 3);
  EXPECT_EQ(single.batch(), 5);
  EXPECT_EQ(single.examples(), 3);
  Tables whole(one_table(), 1);
  Tables split(one_table(), 1);
  const at::Tensor rows = split.lookup(single).squeeze(1);
  EXPECT_TRUE(at::equal(rows[0], rows[2]));
  EXPECT_TRUE(at::equal(rows[3], at::zeros({4})));  // padding
  const at::Tensor sums = at::stack({rows[0] + rows[1], rows[3], rows[2] + rows[3] + rows[4]});
  EXPECT_TRUE(at::allclose(sums, whole.lookup(pooled).squeeze(1)));
  const at::Tensor gradient = at::arange(12, at::kFloat).reshape({3, 1, 4});
  whole.update(pooled, 0, gradient);
  split.update(single, 0, gradient.index_select(0, at::tensor({0, 0, 2, 2, 2}, at::kLong)));
  EXPECT_TRUE(at::equal(look_up(split, 10), look_up(whole, 10)));
}

TEST(Tables, WhatIsNotPooledIsOfOneTableWithoutWeights) {
  const at::Tensor ids = ids_up_to(2);
  const at::Tensor ends = ids_up_to(3);
  const Pooling none{Pooling::Mode::kNone, {}};
  EXPECT_THROW(Bags({ids, ids}, {ends, ends}, {}, 2, none), c10::ValueError);
  EXPECT_THROW(Bags({ids}, {ends}, {at::ones({2})}, 1, none), c10::ValueError);
  EXPECT_THROW((void)pooling_mode("max"), c10::ValueError);
}

}  // namespace
}  // namespace taut::nn
