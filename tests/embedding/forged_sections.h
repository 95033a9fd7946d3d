#pragma once
// Checkpoints and frozen forms whose sections were changed and sealed again: checksums hold, so
// only the checks of what they say stand between them and memory.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "support.h"
#include "support/memory_sections.h"
#include "taut/core/error.h"

namespace taut::embedding {

/// A collection's sections, as a checkpoint or as its read-only form.
struct Sealed {
  Options options;
  bool frozen = false;
  test::MemorySections sections;
};

inline BatchShape forged_shape() {
  return {.size = 16, .tables = 2, .dim = 8, .ids = 300, .bags = true};
}

/// Of every method, both forms, small; elastic with sketch, pool and each key.
inline std::list<Sealed> sealed_collections() {
  std::list<Sealed> all;
  const auto add = [&](const Options& options) {
    const auto embedding = make_ready(options, 1, forged_shape());
    train(*embedding, forged_shape(), 1, 0, 12);
    for (const bool frozen : {false, true}) {
      Sealed& made = all.emplace_back();
      made.options = options;
      made.frozen = frozen;
      if (frozen) {
        embedding->export_frozen(made.sections, "t/");
      } else {
        embedding->save(made.sections, "t/");
      }
    }
  };
  for (const std::string& method : methods()) {
    Options options = make_options(method, forged_shape(), 12000);
    options.period = 4;
    for (TableOptions& table : options.tables) table.distinct_ids = 300;
    add(options);
    options.value_type = ValueType::kInt8;
    options.optimizer = Optimizer::kAdam;
    options.learning_rate = 0.02;
    add(options);
  }
  Options options = make_options("elastic", forged_shape(), 12000);
  options.admission = Admission::kSketch;
  options.cold_share = 0.3;
  add(options);
  options.keys = Keys::kExact;
  options.admission = Admission::kAuto;
  options.budget = Bytes{140000};  // two shards
  add(options);
  return all;
}

inline void use(const Embedding& embedding) {
  for (const float value : look_up(embedding, make_batch(forged_shape(), 5, 1), 8)) (void)value;
  (void)embedding.statistics();
}

/// Reads what was forged and works with it. The error that reading ends with, or nothing; anything
/// else than a kFormat error passes through. A collection that was read keeps its budget.
inline std::optional<Error> read_forged(const Sealed& forged) {
  const BatchShape shape = forged_shape();
  if (forged.frozen) {
    std::unique_ptr<FrozenEmbedding> opened;
    try {
      opened = open_frozen(forged.sections, "t/");
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kFormat) throw;
      return error;
    }
    BatchShape wide = shape;
    wide.tables = static_cast<std::size_t>(std::clamp<std::int64_t>(opened->tables(), 1, 5));
    const TestBatch batch = make_batch(wide, 5, 1);
    if (static_cast<std::int64_t>(wide.tables) == opened->tables()) {
      (void)look_up(*opened, batch, opened->dim());
    }
    Rows rows;
    try {
      opened->read_rows(0, batch.ids[0], rows);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kUnsupported) throw;
    }
    return std::nullopt;
  }
  const auto embedding = make_embedding(forged.options, threads(1));
  try {
    embedding->load(forged.sections, "t/");
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kFormat) throw;
    return error;
  }
  try {
    use(*embedding);
  } catch (const Error& error) {  // md and frequency saved before they counted
    if (error.kind() != ErrorKind::kInvalidArgument || !embedding->wants_counts()) throw;
    return std::nullopt;
  }
  train(*embedding, shape, 1, 30, 35);
  use(*embedding);
  if (forged.options.method != "full" && embedding->memory_bytes() > forged.options.budget.count) {
    throw Error(ErrorKind::kInternal, "a forged file went over the budget");
  }
  test::MemorySections again;
  embedding->save(again, "t/");
  return std::nullopt;
}

}  // namespace taut::embedding
