// How many rows a second a table looks up and trains, forward and exact backward with the
// optimizer's step, row-wise Adagrad by default.
//
//   embedding_speed_bench [METHOD] [DIM] [ZIPF] [THREADS] [IDS] [POOLING] [BATCH] [VALUE_TYPE]
//                         [OPTIMIZER]
//   e.g. elastic 16 1.05 1 1000000 10 2048 mixed; ZIPF 0: uniform ids
//
// The table is at a tenth of the full one's bytes (full takes what it needs) and is filled by
// training first. Prints one JSON object: medians over rounds of some batches each, by the clock
// and
// (..._cpu) by the processor time of all threads, which other programs disturb less; and a checksum
// of all outputs, by which two builds can be compared: it depends on nothing but the arguments.

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "taut/core/hash.h"
#include "taut/core/random.h"
#include "taut/core/spelling.h"
#include "taut/embedding/embedding.h"

namespace {

using namespace taut;
using namespace taut::embedding;

constexpr int kBatches = 64;  // distinct ones, taken in turns
constexpr int kRounds = 15;

struct Setting {
  std::string method = "elastic";
  int dim = 16;
  double zipf = 1.05;
  int threads = 1;
  std::int64_t ids = 1000000;
  std::int64_t pooling = 10;
  std::int64_t batch = 2048;
  std::string value_type = "mixed";
  std::string optimizer = "rowwise_adagrad";
};

// Ids by their rank's inverse cumulative weight, spread over the 64-bit space.
class Ids {
 public:
  Ids(std::int64_t count, double exponent) {
    cumulative_.reserve(static_cast<std::size_t>(count));
    double sum = 0;
    for (std::int64_t rank = 1; rank <= count; ++rank) {
      sum += std::pow(static_cast<double>(rank), -exponent);
      cumulative_.push_back(sum);
    }
  }
  [[nodiscard]] std::uint64_t draw(double uniform) const {
    const auto found =
        std::upper_bound(cumulative_.begin(), cumulative_.end(), uniform * cumulative_.back());
    return mix64(static_cast<std::uint64_t>(found - cumulative_.begin()));
  }

 private:
  std::vector<double> cumulative_;
};

struct Batch {
  std::vector<std::uint64_t> ids;
  std::vector<float> gradient;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Seconds of a round, by the clock and of the processor.
struct Times {
  std::vector<double> clock;
  std::vector<double> cpu;

  template <typename Body>
  void measure(Body&& body) {
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t cpu_start = std::clock();
    body();
    cpu.push_back(static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC);
    clock.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
};

void run(const Setting& setting) {
  const Ids source(setting.ids, setting.zipf);
  const auto per_batch = static_cast<std::size_t>(setting.batch * setting.pooling);
  const std::size_t outputs =
      static_cast<std::size_t>(setting.batch) * static_cast<std::size_t>(setting.dim);
  std::vector<Batch> batches(kBatches);
  for (std::size_t b = 0; b < batches.size(); ++b) {
    const CounterRandom random = CounterRandom(7).with(b);
    for (std::size_t i = 0; i < per_batch; ++i) {
      batches[b].ids.push_back(source.draw(random.uniform(i)));
    }
    for (std::size_t i = 0; i < outputs; ++i) {
      batches[b].gradient.push_back(static_cast<float>(random.with(1).bits(i) >> 40) * 0x1.0p-24f -
                                    0.5f);
    }
  }
  std::vector<std::int64_t> offsets;
  for (std::int64_t bag = 0; bag <= setting.batch; ++bag) {
    offsets.push_back(bag * setting.pooling);
  }
  Options options;
  options.method = setting.method;
  options.tables = {{.name = "ids", .distinct_ids = setting.ids}};
  options.dim = setting.dim;
  options.budget = Bytes{full_bytes(options).count / 10};
  options.value_type =
      parse_spelling<ValueType>(setting.value_type, ErrorKind::kConfig, "VALUE_TYPE");
  options.optimizer = parse_spelling<Optimizer>(setting.optimizer, ErrorKind::kConfig, "OPTIMIZER");
  if (setting.method == "full") options.value_type = ValueType::kFloat32;
  const auto table = make_embedding(options, std::make_shared<ThreadPool>(setting.threads));
  std::vector<float> out(outputs);
  const auto tables_of = [&](const Batch& batch) {
    return std::vector<JaggedIds>{{.ids = batch.ids, .offsets = offsets, .weights = {}}};
  };
  const auto train = [&](const Batch& batch) {
    const auto tables = tables_of(batch);
    table->lookup(tables, setting.batch, out);
    table->update(tables, setting.batch, batch.gradient);
  };
  for (const Batch& batch : batches) train(batch);
  Times lookups;
  Times trains;
  const std::size_t timed = std::max<std::size_t>(4, 400000 / per_batch);
  std::size_t next = 0;
  std::uint64_t checksum = 0;
  for (int round = 0; round < kRounds; ++round) {
    lookups.measure([&] {
      for (std::size_t i = 0; i < timed; ++i) {
        table->lookup(tables_of(batches[(next + i) % batches.size()]), setting.batch, out);
      }
    });
    for (const float value : out) {
      checksum = hash_combine(checksum, std::bit_cast<std::uint32_t>(value));
    }
    trains.measure([&] {
      for (std::size_t i = 0; i < timed; ++i) train(batches[(next + i) % batches.size()]);
    });
    next += timed;
  }
  const double rows = static_cast<double>(timed * per_batch) * 1e-6;
  const Statistics held = table->statistics();
  std::printf(
      "{\"method\": \"%s\", \"dim\": %d, \"zipf\": %g, \"threads\": %d, \"lookup\": %.2f, "
      "\"train\": %.2f, \"lookup_cpu\": %.2f, \"train_cpu\": %.2f, \"resident_rows\": %lld, "
      "\"memory_bytes\": %lld, \"checksum\": "
      "\"%016llx\"}\n",
      setting.method.c_str(), setting.dim, setting.zipf, setting.threads,
      rows / median(lookups.clock), rows / median(trains.clock), rows / median(lookups.cpu),
      rows / median(trains.cpu), static_cast<long long>(held.resident_rows),
      static_cast<long long>(held.memory_bytes), static_cast<unsigned long long>(checksum));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Setting setting;
    int at = 1;
    const auto given = [&] { return at < argc ? argv[at++] : nullptr; };
    if (const char* text = given()) setting.method = text;
    if (const char* text = given()) setting.dim = std::stoi(text);
    if (const char* text = given()) setting.zipf = std::stod(text);
    if (const char* text = given()) setting.threads = std::stoi(text);
    if (const char* text = given()) setting.ids = std::stoll(text);
    if (const char* text = given()) setting.pooling = std::stoll(text);
    if (const char* text = given()) setting.batch = std::stoll(text);
    if (const char* text = given()) setting.value_type = text;
    if (const char* text = given()) setting.optimizer = text;
    run(setting);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
}
