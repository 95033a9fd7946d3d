// Every method with memory that runs out at each allocation in turn: what the documentation of
// Embedding says of std::bad_alloc.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "support.h"
#include "support/failing_allocations.h"
#include "support/memory_sections.h"
#include "support/temporary_directory.h"

namespace taut::embedding {
namespace {

using test::fail_each_allocation;
using test::FailingCase;
using test::TemporaryDirectory;

struct AllocationCase {
  std::string name;
  std::string method;
  std::int64_t budget_bytes = 30000;
  Optimizer optimizer = Optimizer::kRowwiseAdagrad;
  Admission admission = Admission::kAuto;
};

void PrintTo(const AllocationCase& one, std::ostream* stream) {
  *stream << one.name;
}

std::vector<AllocationCase> cases() {
  std::vector<AllocationCase> all;
  for (const std::string& method : methods()) all.push_back({.name = method, .method = method});
  all.push_back({.name = "elastic_shards", .method = "elastic", .budget_bytes = 300000});
  all.push_back({.name = "elastic_adam",
                 .method = "elastic",
                 .budget_bytes = 300000,
                 .optimizer = Optimizer::kAdam});
  all.push_back({.name = "elastic_sketch",
                 .method = "elastic",
                 .budget_bytes = 140000,
                 .admission = Admission::kSketch});
  all.push_back({.name = "cafe_adagrad",
                 .method = "cafe",
                 .budget_bytes = 140000,
                 .optimizer = Optimizer::kAdagrad});
  return all;
}

/// What a case does while memory fails, and what must be so afterwards.
struct Step {
  std::unique_ptr<Embedding> embedding;
  std::function<void(Embedding&)> work;
  std::function<void(Embedding&, bool)> expect;

  void run() const { work(*embedding); }
  void check(bool ended) const { expect(*embedding, ended); }
};

class Allocation : public testing::TestWithParam<AllocationCase> {
 protected:
  [[nodiscard]] Options options() const {
    Options made = make_options(GetParam().method, shape_, GetParam().budget_bytes);
    made.optimizer = GetParam().optimizer;
    made.admission = GetParam().admission;
    made.learning_rate = made.optimizer == Optimizer::kAdam ? 0.02 : 0.4;
    made.period = 4;
    made.decay = 0.5;
    for (TableOptions& table : made.tables) {
      table.distinct_ids = GetParam().method == "elastic" ? 0 : 400;
    }
    return made;
  }
  [[nodiscard]] std::unique_ptr<Embedding> make() const { return make_embedding(options(), pool_); }
  [[nodiscard]] std::unique_ptr<Embedding> trained(int steps) const {
    auto embedding = make();
    if (embedding->wants_counts()) {
      count(*embedding);
      embedding->finish_counting();
    }
    train(*embedding, shape_, 1, 0, steps);
    return embedding;
  }
  void count(Embedding& embedding) const {
    for (std::uint64_t step = 0; step < 6; ++step) {
      const TestBatch batch = make_batch(shape_, 1, step);
      embedding.count(batch.tables(), batch.size);
    }
  }
  [[nodiscard]] std::vector<float> read(const Embedding& embedding) const {
    return look_up(embedding, probe_, shape_.dim);
  }
  // Whole, inside its budget, and of the same bits after a checkpoint; then it goes on.
  void expect_whole(Embedding& embedding) const {
    const Statistics now = embedding.statistics();
    const auto add = [](std::int64_t sum, const auto& part) { return sum + part.second; };
    EXPECT_EQ(std::accumulate(now.parts.begin(), now.parts.end(), std::int64_t{0}, add),
              embedding.memory_bytes());
    if (GetParam().method != "full") {
      EXPECT_LE(embedding.memory_bytes(), embedding.options().budget.count);
    }
    const std::vector<float> values = read(embedding);
    for (const float value : values) ASSERT_TRUE(std::isfinite(value));
    test::MemorySections file;
    embedding.save(file, "table/");
    const auto other = make_embedding(embedding.options(), pool_);
    other->load(file, "table/");
    EXPECT_EQ(read(*other), values);
    train(embedding, shape_, 1, 20, 26);
    train(*other, shape_, 1, 20, 26);
    EXPECT_EQ(read(*other), read(embedding));
  }

  BatchShape shape_{.size = 24, .tables = 2, .dim = 8, .ids = 400, .bags = true};
  TestBatch probe_ = make_batch(shape_, 77, 1);
  std::shared_ptr<ThreadPool> pool_ = threads(2);
};

TEST_P(Allocation, MakingACollectionGivesBackWhatItTook) {
  struct Making {
    const Options* options;
    const std::shared_ptr<ThreadPool>* pool;
    std::unique_ptr<Embedding> made;
    void run() { made = make_embedding(*options, *pool); }
    void check(bool ended) const { EXPECT_EQ(made != nullptr, ended); }
  };
  const Options made = options();
  EXPECT_GT(fail_each_allocation([&] { return Making{&made, &pool_, nullptr}; }), 1);
}

TEST_P(Allocation, LookupsAndCheckpointsChangeNothing) {
  const auto embedding = trained(5);
  const std::vector<float> before = read(*embedding);
  std::vector<float> out(before.size());
  const std::vector<JaggedIds> tables = probe_.tables();
  const auto looking = [&] {
    return FailingCase{[&] { embedding->lookup(tables, probe_.size, out); },
                       [&](bool ended) {
                         if (ended) {
                           EXPECT_EQ(out, before);
                         }
                         EXPECT_EQ(read(*embedding), before);
                       }};
  };
  fail_each_allocation(looking);
  const auto saving = [&] {
    return FailingCase{[&] {
                         test::MemorySections file;
                         embedding->save(file, "table/");
                       },
                       [&](bool) { EXPECT_EQ(read(*embedding), before); }};
  };
  EXPECT_GT(fail_each_allocation(saving), 5);
}

TEST_P(Allocation, AnUpdateThatGrowsLeavesACollectionThatGoesOn) {
  const TestBatch batch = make_batch(shape_, 9, 1);
  const std::vector<JaggedIds> tables = batch.tables();
  for (const int steps : {0, 3, 7}) {  // the first, one with a rebalance, one that counts ids
    const auto updating = [&] {
      return Step{trained(steps),
                  [&](Embedding& e) { e.update(tables, batch.size, batch.gradient); },
                  [&](Embedding& e, bool ended) {
                    if (ended) {
                      EXPECT_EQ(e.steps(), steps + 1);
                    }
                    expect_whole(e);
                  }};
    };
    EXPECT_GT(fail_each_allocation(updating), 3);
  }
}

class AllocationOfCounts : public Allocation {};

TEST_P(AllocationOfCounts, AFirstPassCanBeFinishedAgain) {
  const auto whole = trained(4);
  const std::vector<float> expected = read(*whole);
  const auto finishing = [&] {
    auto embedding = make();
    count(*embedding);
    return Step{std::move(embedding), [](Embedding& e) { e.finish_counting(); },
                [&](Embedding& e, bool ended) {
                  if (!ended) e.finish_counting();
                  train(e, shape_, 1, 0, 4);
                  EXPECT_EQ(read(e), expected);
                }};
  };
  EXPECT_GT(fail_each_allocation(finishing), 5);
}

TEST_P(Allocation, LoadingACheckpointLeavesWhatWasThereOrWhatIsLoaded) {
  const auto saved = trained(12);
  const std::vector<float> after = read(*saved);
  const TemporaryDirectory folder;
  save_to(*saved, folder.file("saved"));
  const SectionReader file(folder.file("saved"), "ckpt", 1);
  for (const int steps : {0, 3}) {
    const std::vector<float> before = read(*trained(steps));
    const auto loading = [&] {
      return Step{trained(steps), [&](Embedding& e) { e.load(file, "table/"); },
                  [&](Embedding& e, bool ended) {
                    EXPECT_EQ(read(e), ended ? after : before);
                    EXPECT_EQ(e.steps(), ended ? 12 : steps);
                    expect_whole(e);
                  }};
    };
    EXPECT_GT(fail_each_allocation(loading), 3);
  }
}

class AllocationOfRows : public Allocation {};

TEST_P(AllocationOfRows, LoadingRowsLeavesACollectionThatGoesOn) {
  Rows rows;
  for (std::uint64_t id = 0; id < 60; ++id) {
    rows.tables.push_back(static_cast<std::uint32_t>(id % 2));
    rows.ids.push_back(id);
    rows.masks.push_back(3);
    rows.importances.push_back(static_cast<float>(id % 5));
    for (int i = 0; i < shape_.dim; ++i) rows.values.push_back(static_cast<float>(id) * 0.01f);
  }
  const auto loading = [&] {
    return Step{trained(5), [&](Embedding& e) { (void)e.load_rows(rows); },
                [&](Embedding& e, bool) { expect_whole(e); }};
  };
  fail_each_allocation(loading);
}

TEST_P(Allocation, AFrozenFormOpensWholeOrNotAtAll) {
  const auto embedding = trained(9);
  const std::vector<float> expected = read(*embedding);
  const TemporaryDirectory folder;
  SectionWriter writer(folder.file("frozen"), "package", 1);
  embedding->export_frozen(writer, "t/");
  (void)writer.commit();
  const SectionReader file(folder.file("frozen"), "package", 1);
  struct Opening {
    const SectionReader* file;
    std::function<void(const FrozenEmbedding*, bool)> expect;
    std::unique_ptr<FrozenEmbedding> opened;
    void run() { opened = open_frozen(*file, "t/"); }
    void check(bool ended) const { expect(opened.get(), ended); }
  };
  const auto opened = [&](const FrozenEmbedding* frozen, bool ended) {
    ASSERT_EQ(frozen != nullptr, ended);
    if (ended) {
      EXPECT_EQ(look_up(*frozen, probe_, shape_.dim), expected);
    }
  };
  EXPECT_GT(fail_each_allocation([&] { return Opening{&file, opened, nullptr}; }), 0);
}

class AllocationOfBudgets : public Allocation {};

TEST_P(AllocationOfBudgets, ABudgetThatChangesLeavesACollectionWithinTheLarger) {
  const std::int64_t budget = GetParam().budget_bytes;
  std::int64_t untouched = 0;
  std::int64_t between = 0;
  const std::vector<float> before = read(*trained(9));
  for (const std::int64_t next : {budget / 2, budget * 2, budget + 4096}) {
    const auto resizing = [&] {
      return Step{trained(9), [&](Embedding& e) { e.resize_budget(Bytes{next}); },
                  [&](Embedding& e, bool ended) {
                    const std::int64_t now = e.options().budget.count;
                    if (ended) {
                      EXPECT_EQ(now, next);
                    } else {
                      EXPECT_TRUE(now == budget || (now == next && next > budget)) << now;
                    }
                    const bool same = read(e) == before && now == budget;
                    untouched += !ended && same ? 1 : 0;
                    between += !ended && !same ? 1 : 0;
                    expect_whole(e);
                    e.resize_budget(Bytes{next});  // and now there is memory
                    EXPECT_EQ(e.options().budget.count, next);
                    expect_whole(e);
                  }};
    };
    EXPECT_GT(fail_each_allocation(resizing), 2);
  }
  EXPECT_GT(untouched, 0);
  if (budget >= 300000 && GetParam().optimizer == Optimizer::kRowwiseAdagrad) {
    EXPECT_GT(between, 0);
  }
}

std::vector<AllocationCase> cases_of(const std::vector<std::string>& methods) {
  std::vector<AllocationCase> all = cases();
  std::erase_if(all, [&](const AllocationCase& one) {
    return std::find(methods.begin(), methods.end(), one.method) == methods.end();
  });
  return all;
}

INSTANTIATE_TEST_SUITE_P(Methods, AllocationOfRows,
                         testing::ValuesIn(cases_of({"full", "md", "frequency", "row", "cafe",
                                                     "fiited", "elastic"})),
                         [](const auto& one) { return one.param.name; });
INSTANTIATE_TEST_SUITE_P(Methods, AllocationOfCounts,
                         testing::ValuesIn(cases_of({"md", "frequency"})),
                         [](const auto& one) { return one.param.name; });
INSTANTIATE_TEST_SUITE_P(Methods, AllocationOfBudgets,
                         testing::ValuesIn(cases_of({"elastic", "row", "cafe"})),
                         [](const auto& one) { return one.param.name; });
INSTANTIATE_TEST_SUITE_P(Methods, Allocation, testing::ValuesIn(cases()),
                         [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace taut::embedding
