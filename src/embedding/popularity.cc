// method = frequency and md: rows dealt once, by offline counts of the ids.
//   frequency  the most frequent ids have a full row each, the others none (frequency filter)
//   md         mixed dimensions (Ginart et al., arXiv 1909.11810): a row's length follows the
//   square
//              root of its id's frequency; here as a prefix, without the paper's projection to D
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dense_rows.h"
#include "dense_update.h"
#include "frozen_form.h"
#include "load_order.h"
#include "popularity_layout.h"
#include "registry.h"
#include "state.h"
#include "taut/core/aligned_buffer.h"
#include "taut/core/checked.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::embedding {
namespace {

constexpr std::int64_t kRounding = 3 * 4096;  // the three buffers' allocations, rounded up
constexpr std::int64_t kSmallRounding = 3 * 64;
constexpr std::int64_t kRoundedFrom = 4 << 20;
constexpr std::int64_t kIndexBytes = 12;  // key and row number of one slot

/// Slots of the index: a fifth of them free.
std::int64_t slots_for(std::int64_t rows) {
  return rows + rows / 4 + 1;
}

struct PopularityHeader {
  std::int64_t tables = 0;
  std::int32_t chunk = 0;
  std::int32_t unit = 0;  // chunks of the options in one of these; 0: not kept, by earlier versions
  std::int64_t chunks = 0;
  std::int64_t value_type = 0;
};

class PopularityEmbedding final : public RowwiseEmbedding {
 public:
  /// mixed: widths by frequency, else full rows.
  PopularityEmbedding(const Options& options, std::shared_ptr<ThreadPool> pool, bool mixed)
      : RowwiseEmbedding(options, std::move(pool), PopularityReader::kShards), mixed_(mixed) {
    const std::int64_t least =
        format(chunks()).row_bytes() + kIndexBytes * slots_for(1) + kSmallRounding;
    if (options.budget.count < least) {
      throw Error(
          ErrorKind::kBudget,
          concat(options.budget.count, " bytes hold not one row of ", options.dim, " dimensions"),
          "embedding.budget", concat("give at least ", least, " bytes"));
    }
  }

  [[nodiscard]] std::int64_t memory_bytes() const noexcept override { return counter_.bytes(); }
  [[nodiscard]] std::int64_t peak_memory_bytes() const noexcept override {
    return counter_.peak_bytes();
  }
  [[nodiscard]] bool wants_counts() const noexcept override { return true; }
  void finish_counting() override;
  [[nodiscard]] Statistics statistics() const override;
  void save(SectionSink& file, const std::string& prefix) const override;
  void load(const SectionSource& file, const std::string& prefix) override;
  void export_frozen(SectionSink& file, const std::string& prefix) const override;

 protected:
  void sort_ids(std::span<const JaggedIds> tables, std::int64_t batch,
                GradientGrouper& grouper) override {
    grouper.sort(reader(), tables, batch, *pool_);
  }
  void do_count(std::span<const JaggedIds> tables, std::int64_t batch) override;
  void do_lookup(std::span<const JaggedIds> tables, std::int64_t batch,
                 std::span<float> out) const override;
  void update_shard(int shard, const TouchedRows& rows) override;
  void do_read_rows(std::size_t table, std::span<const std::uint64_t> ids,
                    Rows& rows) const override {
    append_rows(reader(), table, ids, options_.dim, rows);
  }
  LoadedRows do_load_rows(const Rows& rows) override;
  void check_ready() const override {
    if (ready_) return;
    throw Error(ErrorKind::kInvalidArgument,
                concat("method ", options_.method, " has not counted the ids yet"), {},
                "call count() with every batch of a first pass, then finish_counting()");
  }

 private:
  using Count = std::pair<std::uint64_t, std::int64_t>;  // key, occurrences
  [[nodiscard]] int chunks() const noexcept { return mixed_ ? options_.dim / options_.chunk : 1; }
  [[nodiscard]] int chunk() const noexcept { return mixed_ ? options_.chunk : options_.dim; }
  [[nodiscard]] DenseRowFormat format(int width) const noexcept {
    return {options_, width * chunk()};
  }
  [[nodiscard]] std::vector<DenseRowFormat> formats() const {
    std::vector<DenseRowFormat> all;
    for (int k = 1; k <= chunks(); ++k) all.push_back(format(k));
    return all;
  }
  // How many rows have at least each width when a row of n occurrences is factor * sqrt(n) wide.
  [[nodiscard]] Classes classes_at(const std::vector<Count>& sorted, double factor) const;
  [[nodiscard]] bool fits(const Classes& classes) const;
  [[nodiscard]] Classes choose_classes(const std::vector<Count>& sorted) const;
  // What the classes take, empty rows. Of a collection that holds rows, these are given up first:
  // together they would not fit the budget.
  struct Contents {
    ClassLayout layout;
    AlignedBuffer<std::uint64_t> keys;
    AlignedBuffer<std::uint32_t> index;
    AlignedBuffer<std::uint8_t> rows;
  };
  [[nodiscard]] Contents allocate(const Classes& classes);
  void take(Contents contents) noexcept;
  void place(std::uint64_t key, std::int64_t row);
  [[nodiscard]] PopularityReader reader() const noexcept {
    return {.layout = &layout_,
            .keys = keys_.span(),
            .rows = index_.span(),
            .bytes = rows_.data(),
            .unit = chunk() / options_.chunk};
  }

  bool mixed_;
  MemoryCounter counter_;
  std::unordered_map<std::uint64_t, std::int64_t> counts_;
  ClassLayout layout_;
  AlignedBuffer<std::uint64_t> keys_;
  AlignedBuffer<std::uint32_t> index_;
  AlignedBuffer<std::uint8_t> rows_;
  bool ready_ = false;
};

void PopularityEmbedding::do_count(std::span<const JaggedIds> tables, std::int64_t) {
  for (std::size_t t = 0; t < tables.size(); ++t) {
    for (const std::uint64_t id : tables[t].ids) ++counts_[row_key(t, id)];
  }
}

Classes PopularityEmbedding::classes_at(const std::vector<Count>& sorted, double factor) const {
  Classes classes;
  for (int k = 1; k <= chunks(); ++k) {
    // factor * sqrt(n) >= k, for a list of falling n
    const double least = k / factor * (k / factor);
    classes.at_least[static_cast<std::size_t>(k)] =
        std::partition_point(
            sorted.begin(), sorted.end(),
            [&](const Count& count) { return static_cast<double>(count.second) >= least; }) -
        sorted.begin();
  }
  return classes;
}

bool PopularityEmbedding::fits(const Classes& classes) const {
  const std::int64_t rounding = options_.budget.count >= kRoundedFrom ? kRounding : kSmallRounding;
  return ClassLayout(classes, formats()).bytes() + slots_for(classes.rows()) * kIndexBytes +
             rounding <=
         options_.budget.count;
}

Classes PopularityEmbedding::choose_classes(const std::vector<Count>& sorted) const {
  Classes best;
  if (mixed_) {
    double low = 0;
    double high = kMostChunks;
    for (int i = 0; i < 60; ++i) {
      const double middle = (low + high) / 2;
      if (fits(classes_at(sorted, middle))) {
        low = middle;
        best = classes_at(sorted, middle);
      } else {
        high = middle;
      }
    }
    if (best.rows() > 0) return best;
  }
  // Full rows for as many of the most frequent as fit (md too, when even the narrowest class of
  // equally frequent ids is more than the budget).
  std::int64_t low = 0;
  auto high = static_cast<std::int64_t>(sorted.size()) + 1;
  while (high - low > 1) {
    const std::int64_t middle = (low + high) / 2;
    Classes classes;
    const int widest = mixed_ ? 1 : chunks();
    for (int k = 1; k <= widest; ++k) classes.at_least[static_cast<std::size_t>(k)] = middle;
    if (fits(classes)) {
      low = middle;
      best = classes;
    } else {
      high = middle;
    }
  }
  return best;
}

PopularityEmbedding::Contents PopularityEmbedding::allocate(const Classes& classes) {
  Contents made;
  made.layout = ClassLayout(classes, formats());
  take({});
  const auto slots = static_cast<std::size_t>(slots_for(classes.rows()));
  made.keys = AlignedBuffer<std::uint64_t>(slots, &counter_);
  made.index = AlignedBuffer<std::uint32_t>(slots, &counter_);
  made.rows = AlignedBuffer<std::uint8_t>(static_cast<std::size_t>(made.layout.bytes()), &counter_);
  return made;
}

void PopularityEmbedding::take(Contents contents) noexcept {
  ready_ = !contents.index.empty();
  layout_ = std::move(contents.layout);
  keys_ = std::move(contents.keys);
  index_ = std::move(contents.index);
  rows_ = std::move(contents.rows);
}

void PopularityEmbedding::place(std::uint64_t key, std::int64_t row) {
  const std::size_t slot = reader().slot(key);
  keys_[slot] = key;
  index_[slot] = static_cast<std::uint32_t>(row + 1);
}

void PopularityEmbedding::finish_counting() {
  std::vector<Count> sorted(counts_.begin(), counts_.end());
  std::sort(sorted.begin(), sorted.end(), [](const Count& a, const Count& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  take(allocate(choose_classes(sorted)));
  counts_ = {};
  for (std::int64_t row = 0; row < layout_.classes().rows(); ++row) {
    const std::uint64_t key = sorted[static_cast<std::size_t>(row)].first;
    place(key, row);
    const int width = layout_.width(row);
    layout_.format(width).initialize(rows_.data() + layout_.offset(row, width), options_.seed, key,
                                     initial_bound(options_.dim));
  }
}

void PopularityEmbedding::do_lookup(std::span<const JaggedIds> tables, std::int64_t batch,
                                    std::span<float> out) const {
  pooled_lookup(reader(), tables, batch, options_.dim, out, pool_.get());
}

void PopularityEmbedding::update_shard(int, const TouchedRows& rows) {
  constexpr std::size_t kAhead = 16;  // keys whose slots are on their way
  const RowOptimizer optimizer(options_, learning_rate());
  DenseUpdater steps({.optimizer = &optimizer, .seed = options_.seed, .step = steps_});
  const PopularityReader index = reader();
  const auto dim = static_cast<std::size_t>(options_.dim);
  for (std::size_t i = 0; i < rows.keys.size(); ++i) {
    if (i + kAhead < rows.keys.size()) (void)index.where(rows.keys[i + kAhead]);
    const std::uint64_t key = rows.keys[i];
    const std::uint32_t found = index_[index.slot(key)];
    if (found == 0) continue;
    const int width = layout_.width(found - 1);
    steps.add({.row = rows_.data() + layout_.offset(found - 1, width),
               .gradient = rows.gradients.data() + i * dim,
               .name = key,
               .format = &layout_.format(width)});
  }
  steps.flush();
}

LoadedRows PopularityEmbedding::do_load_rows(const Rows& rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::uint64_t key = row_key(rows.tables[i], rows.ids[i]);
    const std::uint32_t found = index_[reader().slot(key)];
    if (found == 0) continue;
    const int width = layout_.width(found - 1);
    std::uint8_t* row = rows_.data() + layout_.offset(found - 1, width);
    RowRandom random = row_random(options_.seed, 0, key);
    layout_.format(width).write_start(row, row_values(rows, i, options_.dim).data(), random);
    if (!rows.importances.empty()) layout_.format(width).set_importance(row, rows.importances[i]);
  }
  return count_loaded(reader(), rows);
}

Statistics PopularityEmbedding::statistics() const {
  Statistics result;
  result.memory_bytes = memory_bytes();
  result.budget_bytes = options_.budget.count;
  result.skipped_updates = skipped_updates_;
  result.resident_rows = layout_.classes().rows();
  const int per_chunk = chunk() / options_.chunk;
  result.rows_by_width.assign(static_cast<std::size_t>(options_.dim / options_.chunk) + 1, 0);
  for (int k = 1; k <= layout_.chunks(); ++k) {
    const auto i = static_cast<std::size_t>(k);
    result.rows_by_width[i * static_cast<std::size_t>(per_chunk)] =
        layout_.classes().at_least[i] - layout_.classes().at_least[i + 1];
  }
  const std::int64_t index = keys_.bytes() + index_.bytes();
  result.parts = {{"rows", layout_.bytes()},
                  {"index", index},
                  {"free", result.memory_bytes - layout_.bytes() - index}};
  return result;
}

void PopularityEmbedding::save(SectionSink& file, const std::string& prefix) const {
  save_options(file, prefix, options_);
  save_progress(file, prefix);
  save_value(file, prefix + "ready", static_cast<std::int64_t>(ready_));
  save_value(file, prefix + "classes", layout_.classes());
  file.add_array(prefix + "keys", keys_.span());
  file.add_array(prefix + "index", index_.span());
  file.add_array(prefix + "rows", rows_.span());
}

// The saved classes, where they are possible: then what they take does not overflow.
Classes load_classes(const SectionSource& file, const std::string& prefix, std::int64_t chunks) {
  const auto classes = load_value<Classes>(file, prefix + "classes");
  for (std::size_t k = 1; k < classes.at_least.size(); ++k) {
    const bool used = k <= static_cast<std::size_t>(chunks);
    const std::int64_t more = classes.at_least[k - 1];
    if (classes.at_least[k] < 0 || (!used && classes.at_least[k] != 0) ||
        (k > 1 && classes.at_least[k] > more) ||
        classes.at_least[k] > std::numeric_limits<std::int32_t>::max()) {
      throw_damaged(file, prefix + "classes", "holds impossible values");
    }
  }
  return classes;
}

// The sections have the sizes that follow from the classes.
void check_sections(const SectionSource& file, const std::string& prefix, const ClassLayout& layout,
                    bool ready) {
  const Classes& classes = layout.classes();
  const auto slots = ready ? static_cast<std::size_t>(slots_for(classes.rows())) : 0;
  const auto index = file.array<std::uint32_t>(prefix + "index");
  check_section_bytes(file, prefix + "keys", slots * 8, file.section(prefix + "keys").size());
  check_section_bytes(file, prefix + "index", slots * 4, index.size_bytes());
  check_section_bytes(file, prefix + "rows", static_cast<std::size_t>(layout.bytes()),
                      file.section(prefix + "rows").size());
  const auto filled = std::count_if(index.begin(), index.end(), [](auto row) { return row != 0; });
  if (ready && (filled != classes.rows() ||
                *std::max_element(index.begin(), index.end()) > classes.rows())) {
    throw_damaged(file, prefix + "index", "does not fit its rows");
  }
}

void PopularityEmbedding::load(const SectionSource& file, const std::string& prefix) {
  check_saved_options(file, prefix, options_);
  const Progress progress = load_progress(file, prefix);
  const bool ready = load_value<std::int64_t>(file, prefix + "ready") != 0;
  const Classes classes = load_classes(file, prefix, chunks());
  check_sections(file, prefix, ClassLayout(classes, formats()), ready);
  if (ready && !fits(classes)) throw_damaged(file, prefix + "classes", "is above the budget");
  const auto keys = file.array<std::uint64_t>(prefix + "keys");
  const auto index = file.array<std::uint32_t>(prefix + "index");
  const auto rows = file.array<std::uint8_t>(prefix + "rows");
  if (!ready || !ready_ || classes != layout_.classes()) {
    take(ready ? allocate(classes) : Contents{});
  }
  if (ready) {
    std::copy(keys.begin(), keys.end(), keys_.begin());
    std::copy(index.begin(), index.end(), index_.begin());
    std::copy(rows.begin(), rows.end(), rows_.begin());
  }
  set_progress(progress);
}

void PopularityEmbedding::export_frozen(SectionSink& file, const std::string& prefix) const {
  file.add(prefix + "method", options_.method);
  save_value(file, prefix + "header",
             PopularityHeader{.tables = static_cast<std::int64_t>(options_.tables.size()),
                              .chunk = chunk(),
                              .unit = chunk() / options_.chunk,
                              .chunks = chunks(),
                              .value_type = static_cast<std::int64_t>(options_.value_type)});
  save_value(file, prefix + "classes", layout_.classes());
  file.add_array(prefix + "keys", keys_.span());
  file.add_array(prefix + "index", index_.span());
  file.begin(prefix + "rows");
  for (std::int64_t row = 0; row < layout_.classes().rows(); ++row) {
    const int width = layout_.width(row);
    const DenseRowFormat& held = layout_.format(width);
    file.append(rows_.data() + layout_.offset(row, width) + held.state_bytes(),
                static_cast<std::size_t>(held.row_bytes() - held.state_bytes()));
  }
}

class FrozenPopularity final : public FrozenForm<PopularityReader> {
 public:
  FrozenPopularity(const SectionSource& file, const std::string& prefix)
      : FrozenForm(file, prefix, {}) {
    const auto header = load_value<PopularityHeader>(file, prefix + "header");
    check_frozen_shape(file, prefix, header.tables,
                       checked_product({header.chunk, header.chunks}).value_or(-1),
                       header.value_type);
    check_number(file, prefix + "header", "chunks", header.chunks, 1, kMostChunks);
    check_number(file, prefix + "header", "unit", header.unit, 0, kMostChunks / header.chunks);
    std::vector<DenseRowFormat> formats;
    for (std::int64_t k = 1; k <= header.chunks; ++k) {
      formats.emplace_back(static_cast<ValueType>(header.value_type),
                           static_cast<int>(k * header.chunk));
    }
    layout_ = ClassLayout(load_classes(file, prefix, header.chunks), std::move(formats));
    reader_ = {.layout = &layout_,
               .keys = file.array<std::uint64_t>(prefix + "keys"),
               .rows = file.array<std::uint32_t>(prefix + "index"),
               .bytes = file.array<std::uint8_t>(prefix + "rows").data(),
               .unit = std::max(1, header.unit)};
    check_sections(file, prefix, layout_, !reader_.rows.empty());
    set_shape(header.tables, static_cast<int>(header.chunk * header.chunks));
  }

 private:
  ClassLayout layout_;
};

}  // namespace

std::unique_ptr<Embedding> make_frequency(const Options& options,
                                          std::shared_ptr<ThreadPool> pool) {
  return std::make_unique<PopularityEmbedding>(options, std::move(pool), false);
}

std::unique_ptr<Embedding> make_md(const Options& options, std::shared_ptr<ThreadPool> pool) {
  return std::make_unique<PopularityEmbedding>(options, std::move(pool), true);
}

std::unique_ptr<FrozenEmbedding> open_popularity(const SectionSource& file,
                                                 const std::string& prefix) {
  return std::make_unique<FrozenPopularity>(file, prefix);
}

}  // namespace taut::embedding
