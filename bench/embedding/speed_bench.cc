// How many rows a second a table looks up and trains, forward and exact backward with the
// optimizer's step, row-wise Adagrad by default.
//
//   embedding_speed_bench [METHOD] [DIM] [ZIPF] [THREADS] [IDS] [POOLING] [BATCH] [VALUE_TYPE]
//                         [OPTIMIZER]
//   e.g. elastic 16 1.05 1 1000000 10 2048 mixed; ZIPF 0: uniform ids
//
// The table is at a tenth of the full one's bytes (full takes what it needs) and is filled by
// training first. METHOD `reads` is no table but the machine's own limit: rows of DIM floats at
// known places among IDS, read and summed as the ids name them. Prints one JSON object: medians
// over rounds of some batches each, by the clock and (..._cpu) by the processor time of all
// threads, which other programs disturb less; and a checksum of all outputs, by which two builds
// can be compared: it depends on nothing but the arguments.

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "taut/core/aligned_buffer.h"
#include "taut/core/hash.h"
#include "taut/core/random.h"
#include "taut/core/spelling.h"
#include "taut/core/text.h"
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

// Bags of a batch: a task.
struct BagRange {
  std::size_t first;
  std::size_t end;
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

std::vector<Batch> make_batches(const Setting& setting) {
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
  return batches;
}

// Batches of a round.
std::size_t batches_a_round(const Setting& setting) {
  return std::max<std::size_t>(4,
                               400000 / static_cast<std::size_t>(setting.batch * setting.pooling));
}

double million_rows(const Setting& setting) {
  return static_cast<double>(batches_a_round(setting)) *
         static_cast<double>(setting.batch * setting.pooling) * 1e-6;
}

// Rows [ids, dim] in huge pages, all values of a row its number modulo kValues: sums are whole
// numbers, exact.
class PlainRows {
 public:
  PlainRows(std::int64_t ids, int dim)
      : ids_(static_cast<std::uint64_t>(ids)),
        dim_(static_cast<std::size_t>(dim)),
        values_(ids_ * dim_) {
    for (std::uint64_t row = 0; row < ids_; ++row) {
      std::fill_n(values_.data() + row * dim_, dim_, value_of(row));
    }
  }

  // The pooled sums of some bags into out [batch, dim].
  void lookup(const Setting& setting, const Batch& batch, const BagRange& bags,
              std::vector<float>& out) const {
    constexpr std::size_t kAhead = 24;  // rows whose memory is on its way
    const auto pooling = static_cast<std::size_t>(setting.pooling);
    const std::size_t end = bags.end * pooling;
    for (std::size_t bag = bags.first; bag < bags.end; ++bag) {
      float* sums = out.data() + bag * dim_;
      std::fill_n(sums, dim_, 0.0f);
      for (std::size_t i = bag * pooling; i < (bag + 1) * pooling; ++i) {
        const float* later = row(batch.ids[std::min(i + kAhead, end - 1)]);
        for (std::size_t at = 0; at < dim_; at += kFloatsALine) __builtin_prefetch(later + at);
        const float* values = row(batch.ids[i]);
        for (std::size_t at = 0; at < dim_; ++at) sums[at] += values[at];
      }
    }
  }
  // What any value of a row is.
  [[nodiscard]] float value(std::uint64_t id) const { return value_of(reduce_range(id, ids_)); }

 private:
  static constexpr std::uint64_t kValues = 1000;
  static constexpr std::size_t kFloatsALine = 16;

  static float value_of(std::uint64_t row) { return static_cast<float>(row % kValues); }
  [[nodiscard]] const float* row(std::uint64_t id) const {
    return values_.data() + reduce_range(id, ids_) * dim_;
  }

  std::uint64_t ids_;
  std::size_t dim_;
  AlignedBuffer<float> values_;
};

void run_reads(const Setting& setting) {
  const std::vector<Batch> batches = make_batches(setting);
  const PlainRows rows(setting.ids, setting.dim);
  ThreadPool pool(setting.threads);
  const auto dim = static_cast<std::size_t>(setting.dim);
  const auto pooling = static_cast<std::size_t>(setting.pooling);
  std::vector<float> out(static_cast<std::size_t>(setting.batch) * dim);
  const auto lookup = [&](const Batch& batch) {
    constexpr std::int64_t kBags = 256;
    pool.run((setting.batch + kBags - 1) / kBags, [&](std::int64_t task) {
      rows.lookup(setting, batch,
                  {.first = static_cast<std::size_t>(task * kBags),
                   .end = static_cast<std::size_t>(std::min(setting.batch, (task + 1) * kBags))},
                  out);
    });
  };
  for (const Batch& batch : batches) {
    lookup(batch);
    for (std::size_t i = 0; i < out.size(); ++i) {
      float wanted = 0;
      for (std::size_t k = 0; k < pooling; ++k)
        wanted += rows.value(batch.ids[i / dim * pooling + k]);
      if (out[i] != wanted) throw std::runtime_error(concat("sum ", i, " of the reads is wrong"));
    }
  }
  Times times;
  std::size_t next = 0;
  for (int round = 0; round < kRounds; ++round) {
    times.measure([&] {
      for (std::size_t i = 0; i < batches_a_round(setting); ++i) {
        lookup(batches[next++ % batches.size()]);
      }
    });
  }
  std::printf(
      "{\"method\": \"%s\", \"dim\": %d, \"zipf\": %g, \"threads\": %d, \"lookup\": %.2f, "
      "\"lookup_cpu\": %.2f}\n",
      setting.method.c_str(), setting.dim, setting.zipf, setting.threads,
      million_rows(setting) / median(times.clock), million_rows(setting) / median(times.cpu));
}

void run(const Setting& setting) {
  const std::vector<Batch> batches = make_batches(setting);
  const std::size_t outputs =
      static_cast<std::size_t>(setting.batch) * static_cast<std::size_t>(setting.dim);
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
  const std::size_t timed = batches_a_round(setting);
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
  const double rows = million_rows(setting);
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
    setting.method == "reads" ? run_reads(setting) : run(setting);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
}
