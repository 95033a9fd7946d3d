// Streams distinct ids through an elastic table: is the budget kept, does the process take what
// memory_bytes() says, and does it slow down?
//
//   embedding_budget_bench [BUDGET] [IDS]      e.g. 1GiB 40000000; 100MiB 100000000
//
// Every batch has a tenth of its ids from a head of a million (Zipf-like), the rest never seen
// before. Prints a line for each tenth of the stream, then one JSON object. Exit 1 where the budget
// was exceeded or the resident set grew by more than memory_bytes() and a tenth.

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/random.h"
#include "taut/core/units.h"
#include "taut/embedding/embedding.h"

namespace {

using namespace taut;
using namespace taut::embedding;

constexpr std::int64_t kBatch = 32768;
constexpr int kDim = 16;
constexpr std::uint64_t kHead = 1000000;

std::int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::int64_t total = 0;
  std::int64_t resident = 0;
  file >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

struct Stream {
  std::vector<std::uint64_t> ids = std::vector<std::uint64_t>(kBatch);
  std::vector<float> gradient = std::vector<float>(kBatch * kDim);

  void fill(std::uint64_t batch) {
    const CounterRandom random = CounterRandom(1).with(batch);
    for (std::uint64_t i = 0; i < kBatch; ++i) {
      const double u = random.uniform(i);
      ids[i] =
          i % 10 == 0 ? static_cast<std::uint64_t>(kHead * u * u * u) : kHead + batch * kBatch + i;
    }
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      gradient[i] = static_cast<float>(random.bits(i + kBatch) >> 40) * 0x1.0p-24f - 0.5f;
    }
  }
};

int run(Bytes budget, std::int64_t ids) {
  Stream stream;
  stream.fill(0);
  const std::int64_t before = resident_bytes();
  Options options;
  options.tables = {{.name = "ids", .distinct_ids = 0}};
  options.dim = kDim;
  options.budget = budget;
  const auto table = make_embedding(options, std::make_shared<ThreadPool>());
  const std::int64_t batches = (ids + kBatch - 1) / kBatch;
  const std::vector<JaggedIds> tables = {{.ids = stream.ids, .offsets = {}, .weights = {}}};
  double first_rate = 0;
  double last_rate = 0;
  std::int64_t done = 0;
  for (int tenth = 1; tenth <= 10; ++tenth) {
    const std::int64_t end = batches * tenth / 10;
    const std::int64_t begin = done;
    double seconds = 0;
    for (; done < end; ++done) {
      stream.fill(static_cast<std::uint64_t>(done));
      const auto start = std::chrono::steady_clock::now();
      table->update(tables, kBatch, stream.gradient);
      seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    last_rate = static_cast<double>((end - begin) * kBatch) / seconds;
    if (tenth == 2) first_rate = last_rate;  // the first tenth fills an empty table
    std::printf("%3d %%  %11lld ids  %8.0f ids/s  held %s  resident set grew by %s\n", tenth * 10,
                static_cast<long long>(done * kBatch), last_rate,
                format_bytes(Bytes{table->memory_bytes()}).c_str(),
                format_bytes(Bytes{resident_bytes() - before}).c_str());
  }
  const std::int64_t grown = resident_bytes() - before;
  const std::int64_t held = table->memory_bytes();
  const bool kept = table->peak_memory_bytes() <= budget.count;
  const bool resident = static_cast<double>(grown) <= 1.1 * static_cast<double>(held);
  std::printf(
      "{\"budget_bytes\": %lld, \"peak_memory_bytes\": %lld, \"memory_bytes\": %lld, "
      "\"resident_growth_bytes\": %lld, \"ids\": %lld, \"ids_per_second\": %.0f, "
      "\"rate_of_last_to_second_tenth\": %.3f, \"budget_kept\": %s, \"resident_within_tenth\": "
      "%s}\n",
      static_cast<long long>(budget.count), static_cast<long long>(table->peak_memory_bytes()),
      static_cast<long long>(held), static_cast<long long>(grown), static_cast<long long>(ids),
      last_rate, last_rate / first_rate, kept ? "true" : "false", resident ? "true" : "false");
  return kept && resident ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Bytes budget = parse_bytes(argc > 1 ? argv[1] : "1GiB");
    return run(budget, argc > 2 ? std::stoll(argv[2]) : 40000000);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
}
