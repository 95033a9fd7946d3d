// taut_read_bench: reads files as training does and prints rows and seconds as JSON, or with
// --check what was read, summed up. bench/peers/train_reading.py runs it beside pyarrow.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/data/reader.h"

namespace {

using taut::data::Batch;
using taut::data::BatchReader;
using taut::data::IdColumn;
using taut::data::ReaderOptions;

// Sums do not depend on the order of rows; ids modulo 2^64.
struct Result {
  std::int64_t rows = 0;
  double seconds = 0;
  double labels = 0;
  double dense = 0;
  std::uint64_t ids = 0;

  void add(const Batch& batch) {
    for (const float value : batch.labels) labels += value;
    for (const float value : batch.dense) dense += value;
    for (const IdColumn& column : batch.categorical) {
      for (const std::uint64_t id : column.ids) ids += id;
    }
  }
};

std::vector<std::string> list(const std::string& text) {
  return text.empty() ? std::vector<std::string>() : taut::split(text, ',');
}

ReaderOptions parse(int argc, char** argv, bool& check) {
  ReaderOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    if (name == "--check") {
      check = true;
    } else if (name == "--label") {
      options.schema.label = value;
    } else if (name == "--dense") {
      options.schema.dense = list(value);
    } else if (name == "--categorical") {
      options.schema.categorical = list(value);
    } else if (name == "--shuffle") {
      options.shuffle_rows = std::atoll(value.c_str());
    } else if (name == "--threads") {
      options.threads = std::atoi(value.c_str());
    } else if (name == "--batch") {
      options.batch_size = std::atoll(value.c_str());
    } else if (name.starts_with("--")) {
      throw taut::Error(taut::ErrorKind::kConfig, "unknown option " + name);
    } else {
      options.files.push_back(argument);
    }
  }
  return options;
}

Result read(const ReaderOptions& options, bool check) {
  Result result;
  const auto started = std::chrono::steady_clock::now();
  BatchReader reader(options);
  for (Batch batch; reader.next(batch);) {
    result.rows += batch.size;
    if (check) result.add(batch);
  }
  result.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    bool check = false;
    const ReaderOptions options = parse(argc, argv, check);
    read(options, false);
    const Result result = read(options, check);
    std::printf("{\"rows\": %lld, \"seconds\": %.6f", static_cast<long long>(result.rows),
                result.seconds);
    if (check) {
      std::printf(", \"labels\": %.0f, \"dense\": %.9g, \"ids\": %llu", result.labels, result.dense,
                  static_cast<unsigned long long>(result.ids));
    }
    std::puts("}");
    return 0;
  } catch (const taut::Error& failed) {
    std::fprintf(stderr, "error: %s\n", failed.what());
    return taut::exit_code(failed.kind());
  }
}
