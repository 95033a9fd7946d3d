// Tables dealt to real processes: what one process holds after the same updates.
#include "taut/dist/worker_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "embedding/support.h"
#include "support/error_matchers.h"
#include "support/memory_sections.h"
#include "support/workers.h"
#include "taut/core/text.h"

namespace taut::dist {
namespace {

using embedding::BatchShape;
using embedding::Embedding;
using embedding::Options;
using embedding::TestBatch;
using test::error_of;
using test::expect_workers;
using test::IsError;
using test::MemorySections;

const GroupOptions kPatient{.timeout = std::chrono::seconds(60)};
const BatchShape kShape{.size = 150, .tables = 3, .dim = 16, .ids = 20'000, .bags = true};

// Four shards of pages.
Options options_of(const std::string& method) {
  Options options;
  options.method = method;
  options.dim = kShape.dim;
  options.budget = Bytes{300 << 10};
  for (std::size_t t = 0; t < kShape.tables; ++t) {
    options.tables.push_back({.name = concat("t", t), .distinct_ids = 0});
  }
  return options;
}

// Gradients and weights whose sums do not round, whatever their order: eighths of 64ths.
void make_exact(TestBatch& batch) {
  for (float& value : batch.gradient) value = std::round(value * 64) / 64;
  for (auto& weights : batch.weights) {
    for (float& weight : weights) weight = std::round(weight * 8) / 8;
  }
}

TestBatch exact_batch(std::uint64_t step) {
  TestBatch batch = embedding::make_batch(kShape, 7, step);
  make_exact(batch);
  return batch;
}

// Bags of 20 ids in tables 0 and 1, with weights in table 1.
TestBatch bags_of_twenty(std::uint64_t step) {
  TestBatch batch = embedding::make_batch(kShape, 7, step);
  const CounterRandom random = CounterRandom(11).with(step);
  std::uint64_t counter = 0;
  for (std::size_t t = 0; t < 2; ++t) {
    batch.ids[t].clear();
    batch.weights[t].clear();
    for (std::int64_t bag = 0; bag <= batch.size; ++bag) {
      batch.offsets[t][static_cast<std::size_t>(bag)] = 20 * bag;
    }
    for (std::int64_t i = 0; i < 20 * batch.size; ++i) {
      batch.ids[t].push_back(random.below(counter++, kShape.ids));
      if (t == 1) batch.weights[t].push_back(static_cast<float>(random.uniform(counter++)));
    }
  }
  return batch;
}

TestBatch long_bags(std::uint64_t step) {
  TestBatch batch = bags_of_twenty(step);
  make_exact(batch);
  return batch;
}

// A worker's part of a batch.
TestBatch part_of(const TestBatch& whole, const ProcessGroup& group) {
  const Range mine = share_of(whole.size, 1, {.index = group.rank(), .of = group.size()});
  TestBatch part;
  part.size = mine.size;
  for (std::size_t t = 0; t < whole.ids.size(); ++t) {
    const auto begin = whole.offsets[t].begin() + mine.begin;
    const std::int64_t first = *begin;
    const std::int64_t last = *(begin + mine.size);
    std::vector<std::int64_t> offsets(begin, begin + mine.size + 1);
    for (std::int64_t& offset : offsets) offset -= first;
    part.ids.emplace_back(whole.ids[t].begin() + first, whole.ids[t].begin() + last);
    part.offsets.push_back(std::move(offsets));
    part.weights.emplace_back();
    if (whole.weights[t].empty()) continue;
    part.weights[t].assign(whole.weights[t].begin() + first, whole.weights[t].begin() + last);
  }
  const auto values = static_cast<std::int64_t>(whole.ids.size()) * kShape.dim;
  part.gradient.assign(whole.gradient.begin() + mine.begin * values,
                       whole.gradient.begin() + mine.end() * values);
  return part;
}

std::vector<float> lookup(const Embedding& tables, const TestBatch& batch) {
  std::vector<float> out(batch.gradient.size());
  tables.lookup(batch.tables(), batch.size, out);
  return out;
}

// Steps one process's tables and those of the workers, and holds their lookups together.
void step_both(Embedding& one, Embedding& many, const ProcessGroup& group, const TestBatch& whole) {
  const TestBatch part = part_of(whole, group);
  const std::vector<float> wanted = lookup(one, whole);
  const std::vector<float> got = lookup(many, part);
  const Range mine = share_of(whole.size, 1, {.index = group.rank(), .of = group.size()});
  const auto values = static_cast<std::int64_t>(whole.ids.size()) * kShape.dim;
  for (std::size_t i = 0; i < got.size(); ++i) {
    // Of 20 rows of values below 2 at most; each is scaled and weighted in one rounding or two.
    const float value = wanted[static_cast<std::size_t>(mine.begin * values) + i];
    ASSERT_NEAR(got[i], value, 20 * 2 * 0x1p-24 * 40) << i;
  }
  one.update(whole.tables(), whole.size, whole.gradient);
  many.update(part.tables(), part.size, part.gradient);
}

std::map<std::string, std::string, std::less<>> saved(const Embedding& tables) {
  MemorySections file;
  tables.save(file, "e/");
  auto sections = file.contents();
  sections.erase("e/state");  // says how long rebalances took
  return sections;
}

void expect_same(const Embedding& one, const Embedding& many, const ProcessGroup& group) {
  const auto got = saved(many);
  if (group.rank() == 0) {
    EXPECT_EQ(got, saved(one));
  }
  const embedding::Statistics alone = one.statistics();
  const embedding::Statistics together = many.statistics();
  EXPECT_EQ(together.rows_by_width, alone.rows_by_width);
  EXPECT_EQ(together.resident_rows, alone.resident_rows);
  EXPECT_EQ(together.admitted_rows, alone.admitted_rows);
  EXPECT_EQ(together.evicted_rows, alone.evicted_rows);
  EXPECT_EQ(together.threshold, alone.threshold);
  EXPECT_EQ(many.steps(), one.steps());
}

class WorkerTablesOf : public ::testing::TestWithParam<std::string> {};

TEST_P(WorkerTablesOf, HoldTheBytesOfOneProcess) {
  for (const int workers : {1, 2, 3, 4}) {
    expect_workers(workers, [&](const WorkerEnvironment& environment) {
      const auto group = ProcessGroup::connect(environment, kPatient);
      const Options options = options_of(GetParam());
      const auto one = embedding::make_embedding(options, embedding::threads(1));
      const auto many = make_worker_tables(options, embedding::threads(1), group);
      for (std::uint64_t step = 0; step < 35; ++step)
        step_both(*one, *many, *group, exact_batch(step));
      expect_same(*one, *many, *group);
      if (GetParam() == "full") return;  // takes what it needs
      // The budget is that of all, and each holds but its share.
      EXPECT_LE(many->memory_bytes(), options.budget.count);
      EXPECT_LE(many->peak_memory_bytes(), options.budget.count);
      EXPECT_EQ(many->statistics().budget_bytes, options.budget.count);
    });
  }
}

TEST_P(WorkerTablesOf, GoOnWithAnotherNumber) {
  const test::TemporaryDirectory folder;
  const std::string path = folder.file("tables.taut");
  const Options options = options_of(GetParam());
  for (const int workers : {3, 2, 1}) {
    expect_workers(workers, [&](const WorkerEnvironment& environment) {
      const auto group = ProcessGroup::connect(environment, kPatient);
      const std::uint64_t done = 12 * (3 - static_cast<std::uint64_t>(workers));
      const auto one = embedding::make_embedding(options, embedding::threads(1));
      const auto many = make_worker_tables(options, embedding::threads(1), group);
      for (std::uint64_t step = 0; step < done; ++step) {
        const TestBatch whole = exact_batch(step);
        one->update(whole.tables(), whole.size, whole.gradient);
      }
      if (done > 0) many->load(SectionReader(path, "tables", 1), "e/");
      group->barrier();  // nobody replaces what another still reads
      for (std::uint64_t step = done; step < done + 12; ++step) {
        step_both(*one, *many, *group, exact_batch(step));
      }
      expect_same(*one, *many, *group);
      if (group->rank() == 0) {
        SectionWriter file(path, "tables", 1);
        many->save(file, "e/");
        file.commit();
      } else {
        MemorySections nothing;
        many->save(nothing, "e/");
      }
    });
  }
}

// Of gradients and weights as they come: lookups, rows and all else to the last bit.
TEST_P(WorkerTablesOf, HaveItsBitsWhereGradientsAreSummedInOrder) {
  for (const int workers : {2, 3}) {
    expect_workers(workers, [&](const WorkerEnvironment& environment) {
      const auto group = ProcessGroup::connect(environment, kPatient);
      Options options = options_of(GetParam());
      options.gradient_clip = 2.5;
      const auto one = embedding::make_embedding(options, embedding::threads(1));
      const auto many =
          make_worker_tables(options, embedding::threads(1), group, GradientSums::kInOrder);
      const auto values = static_cast<std::ptrdiff_t>(kShape.tables) * kShape.dim;
      const Range mine = share_of(kShape.size, 1, {.index = group->rank(), .of = workers});
      for (std::uint64_t step = 0; step < 24; ++step) {
        const TestBatch whole =
            step % 3 == 2 ? bags_of_twenty(step) : embedding::make_batch(kShape, 7, step % 5);
        const TestBatch part = part_of(whole, *group);
        const std::vector<float> wanted = lookup(*one, whole);
        ASSERT_EQ(lookup(*many, part), std::vector<float>(wanted.begin() + mine.begin * values,
                                                          wanted.begin() + mine.end() * values));
        one->update(whole.tables(), whole.size, whole.gradient);
        many->update(part.tables(), part.size, part.gradient);
      }
      expect_same(*one, *many, *group);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, WorkerTablesOf,
                         ::testing::Values("elastic", "row", "cafe", "full", "hash"),
                         [](const auto& method) { return method.param; });

// Of 150 examples in parts, with 2 tables: each id goes to its worker once, and its row comes back.
TEST(WorkerTables, SendEachIdOnce) {
  expect_workers(2, [](const WorkerEnvironment& environment) {
    const auto group = ProcessGroup::connect(environment, kPatient);
    Options options = options_of("full");
    options.tables.resize(2);
    const auto tables = make_worker_tables(options, embedding::threads(1), group);
    const std::vector<std::uint64_t> ids = {5, 6, 5, 5, 6, 5, 7, 5};
    const std::vector<JaggedIds> views(2, {.ids = ids, .offsets = {}, .weights = {}});
    std::vector<float> out(ids.size() * 2 * static_cast<std::size_t>(options.dim));
    const std::int64_t before = group->traffic()[Cause::kTables].bytes;
    tables->lookup(views, std::ssize(ids), out);
    const std::int64_t once = group->traffic()[Cause::kTables].bytes - before;
    // Both asked for the same 6 rows, each worker for those of the other: together all 6, twice.
    std::int64_t all = 0;
    for (const std::int64_t bytes : group->each(once)) all += bytes;
    const std::int64_t counts = 2 * 2 * 24;  // what is asked of each table, to the other
    EXPECT_EQ(all, counts + 6 * 8 + 6 * 4 * options.dim);
    tables->update(views, std::ssize(ids), out);
    const std::int64_t twice = group->traffic()[Cause::kTables].bytes - before;
    all = 0;
    for (const std::int64_t bytes : group->each(twice)) all += bytes;
    EXPECT_EQ(all, counts + 6 * 8 + 2 * 6 * 4 * options.dim);
  });
}

// Of a bag of 20 ids each worker has about ten, which it adds up.
TEST(WorkerTables, SendPooledVectorsWhereTheyAreFewerBytes) {
  for (const int workers : {2, 3}) {
    expect_workers(workers, [](const WorkerEnvironment& environment) {
      const auto group = ProcessGroup::connect(environment, kPatient);
      for (const char* method : {"elastic", "full"}) {
        const Options options = options_of(method);
        const auto one = embedding::make_embedding(options, embedding::threads(1));
        const auto many = make_worker_tables(options, embedding::threads(1), group);
        const std::int64_t before = group->traffic()[Cause::kTables].bytes;
        step_both(*one, *many, *group, long_bags(0));
        const std::int64_t sent = group->traffic()[Cause::kTables].bytes - before;
        // Rows of half of the ids or more would be this much, in one direction alone.
        const TestBatch part = part_of(long_bags(0), *group);
        EXPECT_LT(sent, std::ssize(part.ids[0]) * 4 * options.dim);
        for (std::uint64_t step = 1; step < 10; ++step) {
          step_both(*one, *many, *group, long_bags(step));
        }
        expect_same(*one, *many, *group);
      }
    });
  }
}

TEST(WorkerTables, LeaveOutABatchTogether) {
  expect_workers(3, [](const WorkerEnvironment& environment) {
    const auto group = ProcessGroup::connect(environment, kPatient);
    Options options = options_of("elastic");
    options.on_nan = embedding::OnNan::kSkip;
    const auto one = embedding::make_embedding(options, embedding::threads(1));
    const auto many = make_worker_tables(options, embedding::threads(1), group);
    for (std::uint64_t step = 0; step < 4; ++step) {
      step_both(*one, *many, *group, exact_batch(step));
      TestBatch whole = exact_batch(100 + step);
      whole.gradient[step] = std::numeric_limits<float>::quiet_NaN();
      const TestBatch part = part_of(whole, *group);
      static_cast<void>(lookup(*many, part));
      one->update(whole.tables(), whole.size, whole.gradient);
      many->update(part.tables(), part.size, part.gradient);
    }
    EXPECT_EQ(many->statistics().skipped_updates, one->statistics().skipped_updates);
    expect_same(*one, *many, *group);
  });
}

TEST(WorkerTables, AreRefusedWhatTheyCannotDo) {
  expect_workers(2, [](const WorkerEnvironment& environment) {
    const auto group = ProcessGroup::connect(environment, kPatient);
    const auto make = [&](const std::string& method) {
      return make_worker_tables(options_of(method), embedding::threads(1), group);
    };
    for (const char* method : {"qr", "md", "frequency", "fiited"}) {
      EXPECT_THAT(error_of([&] { static_cast<void>(make(method)); }),
                  IsError(ErrorKind::kUnsupported, concat("method ", method)));
    }
    const auto tables = make("elastic");
    const TestBatch part = part_of(exact_batch(1), *group);
    const TestBatch other = part_of(exact_batch(2), *group);
    static_cast<void>(lookup(*tables, part));
    EXPECT_THAT(error_of([&] { tables->update(other.tables(), other.size, other.gradient); }),
                IsError(ErrorKind::kInvalidArgument, "the ids of the lookup before"));
    embedding::Rows rows;
    MemorySections file;
    EXPECT_THAT(error_of([&] { tables->read_rows(0, {}, rows); }),
                IsError(ErrorKind::kUnsupported, "read row by row"));
    EXPECT_THAT(error_of([&] { static_cast<void>(tables->load_rows(rows)); }),
                IsError(ErrorKind::kUnsupported, "rows from a file"));
    EXPECT_THAT(error_of([&] { tables->resize_budget(Bytes{1 << 20}); }),
                IsError(ErrorKind::kUnsupported, "change their budget"));
    EXPECT_THAT(error_of([&] { tables->export_frozen(file, "e/"); }),
                IsError(ErrorKind::kUnsupported, "be exported"));
  });
}

}  // namespace
}  // namespace taut::dist
