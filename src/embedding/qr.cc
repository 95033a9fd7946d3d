// method = qr: quotient-remainder (Shi et al., arXiv 1909.02107). A row is the elementwise product
// of a row of the remainder table and a row of the quotient table, so far fewer rows name all ids.
//
// Ids are hashed, so quotient and remainder are taken from the hash, over kNamesPerId names for
// each distinct id: at most one id in a dozen shares both parts with another.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "dense_rows.h"
#include "frozen_form.h"
#include "registry.h"
#include "row_array.h"
#include "state.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::embedding {
namespace {

constexpr int kQrShards = 16;
constexpr std::int64_t kNamesPerId = 8;
constexpr std::int64_t kUnknownIds =
    10;  // distinct ids assumed for each row where they are not known

/// The rows of one feature, in the array of all.
struct Parts {
  std::uint64_t first_remainder = 0;
  std::uint64_t remainders = 1;
  std::uint64_t first_quotient = 0;
  std::uint64_t quotients = 1;
};

struct QrReader {
  DenseRowFormat format;
  const std::vector<Parts>* parts = nullptr;
  const std::uint8_t* bytes = nullptr;

  /// Row numbers of both parts: remainder in the upper half.
  [[nodiscard]] std::uint64_t key(std::size_t table, std::uint64_t id) const noexcept {
    const Parts& part = (*parts)[table];
    const std::uint64_t hash = row_key(table, id);
    const std::uint64_t remainder = part.first_remainder + reduce_range(hash, part.remainders);
    const std::uint64_t quotient =
        part.first_quotient + reduce_range(mix64(hash ^ 0x7175ull), part.quotients);
    return remainder << 32 | quotient;
  }
  [[nodiscard]] const std::uint8_t* row(std::uint64_t index) const noexcept {
    return bytes + index * static_cast<std::uint64_t>(format.row_bytes());
  }
  [[nodiscard]] TAUT_INLINE std::uint64_t where(std::uint64_t key) const noexcept {
    format.prefetch(row(key >> 32));
    format.prefetch(row(key & 0xFFFFFFFF));
    return key;
  }
  void read(std::uint64_t key, float* remainder, float* quotient) const noexcept {
    format.read(row(key >> 32), remainder);
    format.read(row(key & 0xFFFFFFFF), quotient);
  }
  [[nodiscard]] std::size_t shard_of(std::uint64_t key) const noexcept {
    return mix64(key) % kQrShards;
  }
  void add(std::uint64_t key, float weight, float* out, RowAdder& sums) const noexcept {
    const std::span<float> product = sums.room(format.size());
    const RowPart remainder = format.part(row(key >> 32), weight, out);
    const RowPart quotient = format.part(row(key & 0xFFFFFFFF), weight, out);
    read_products(remainder, quotient, product.data());
    sums.add(product, weight, out);
  }
};

struct QrHeader {
  std::int64_t tables = 0;
  std::int64_t dim = 0;
  std::int64_t value_type = 0;
  std::int64_t rows = 0;
};

std::int64_t rows_within(const Options& options, const DenseRowFormat& format) {
  const auto least = static_cast<std::int64_t>(2 * options.tables.size());
  const std::int64_t rows = rows_in_budget(options, format);
  if (rows < least) {
    throw_budget(options, concat("two rows a table for ", options.tables.size(), " tables"),
                 least * format.row_bytes());
  }
  return std::min<std::int64_t>(rows, std::int64_t{1} << 31);
}

// Deals the rows to the features in proportion to their ids (evenly where these are not known),
// each at least two; then each feature's rows to quotients and remainders.
std::vector<Parts> deal(const Options& options, std::int64_t rows) {
  std::vector<std::int64_t> ids;
  for (const TableOptions& table : options.tables) ids.push_back(table.distinct_ids);
  const bool known = std::find(ids.begin(), ids.end(), 0) == ids.end();
  if (!known) ids.assign(ids.size(), std::max<std::int64_t>(1, rows * kUnknownIds));
  const auto tables = static_cast<std::int64_t>(ids.size());
  const auto all = static_cast<double>(std::accumulate(ids.begin(), ids.end(), std::int64_t{0}));
  std::vector<Parts> parts;
  std::uint64_t first = 0;
  for (const std::int64_t count : ids) {
    const auto spare = static_cast<double>(rows - 2 * tables);
    const std::int64_t share =
        2 + static_cast<std::int64_t>(spare * static_cast<double>(count) / all);
    // remainders * quotients >= names, with as few quotients as that takes
    const std::int64_t names = kNamesPerId * count;
    std::int64_t quotients = std::clamp<std::int64_t>(names / share + 1, 1, share / 2);
    while (quotients < share / 2 && quotients * (share - quotients) < names) ++quotients;
    parts.push_back({.first_remainder = first,
                     .remainders = static_cast<std::uint64_t>(share - quotients),
                     .first_quotient = first + static_cast<std::uint64_t>(share - quotients),
                     .quotients = static_cast<std::uint64_t>(quotients)});
    first += static_cast<std::uint64_t>(share);
  }
  return parts;
}

class QrEmbedding final : public LiveForm<QrEmbedding, RowArrayEmbedding> {
 public:
  QrEmbedding(const Options& options, std::shared_ptr<ThreadPool> pool)
      : QrEmbedding(options, std::move(pool),
                    deal(options, rows_within(options, DenseRowFormat(options, options.dim)))) {}

  void export_frozen(SectionSink& file, const std::string& prefix) const override {
    file.add(prefix + "method", options_.method);
    save_value(file, prefix + "header",
               QrHeader{.tables = static_cast<std::int64_t>(options_.tables.size()),
                        .dim = options_.dim,
                        .value_type = static_cast<std::int64_t>(options_.value_type),
                        .rows = static_cast<std::int64_t>(row_count())});
    file.add_array(prefix + "parts", std::span<const Parts>(parts_));
    export_rows(file, prefix);
  }

 protected:
  void begin_step() override {
    for (Touched& touched : touched_) touched.keys.clear();
  }
  // Two ids may share a part, so parts are trained when the gradients of all ids are there.
  void update_shard(int shard, const TouchedRows& rows) override {
    collect(rows, touched_[static_cast<std::size_t>(shard)]);
  }
  void end_step() override {
    pool_->run(2, [this](std::int64_t part) { apply(part == 0); });
  }

 private:
  friend LiveForm;

  // What a batch adds to one row of a part.
  struct Touched {
    std::vector<std::uint64_t> keys;
    std::vector<float> remainder_gradients;
    std::vector<float> quotient_gradients;
  };

  // The gradients of a part's rows.
  struct PartSums {
    std::vector<Occurrence> ids;
    RowSums sums;
  };

  QrEmbedding(const Options& options, std::shared_ptr<ThreadPool> pool, std::vector<Parts> parts)
      : LiveForm(
            options, std::move(pool), kQrShards,
            Dealt(static_cast<std::int64_t>(parts.back().first_quotient + parts.back().quotients),
                  nullptr)),
        parts_(std::move(parts)),
        touched_(kQrShards) {
    for (const Parts& part : parts_) {
      for (std::uint64_t i = 0; i < part.remainders; ++i) {
        const std::uint64_t index = part.first_remainder + i;
        format().initialize(row(index), options.seed, mix64(index), initial_bound(options.dim));
      }
      for (std::uint64_t i = 0; i < part.quotients; ++i) start_quotient(part.first_quotient + i);
    }
  }

  [[nodiscard]] QrReader reader() const noexcept {
    return {.format = format(), .parts = &parts_, .bytes = bytes()};
  }
  // Around 1, so that a product begins where its remainder does.
  void start_quotient(std::uint64_t index) {
    std::array<float, kLongestRow> values;
    initial_range(options_.seed, mix64(index), 0, options_.dim, 0.1f, values.data());
    for (float& value : values) value += 1.0f;
    RowRandom random = row_random(options_.seed, 0, index);
    format().write_start(row(index), values.data(), random);
  }
  void collect(const TouchedRows& rows, Touched& touched) const;
  void apply(bool remainders);

  std::vector<Parts> parts_;
  std::vector<Touched> touched_;  // of each shard; kept between batches for its memory
  std::array<PartSums, 2> sums_;  // of remainders and quotients, likewise
};

void QrEmbedding::collect(const TouchedRows& rows, Touched& touched) const {
  constexpr std::size_t kAhead = 16;  // keys whose rows are on their way
  const auto dim = static_cast<std::size_t>(options_.dim);
  touched.remainder_gradients.resize(rows.gradients.size());
  touched.quotient_gradients.resize(rows.gradients.size());
  touched.keys.assign(rows.keys.begin(), rows.keys.end());
  std::array<float, kLongestRow> remainder;
  std::array<float, kLongestRow> quotient;
  const QrReader parts = reader();
  for (std::size_t i = 0; i < rows.keys.size(); ++i) {
    if (i + kAhead < rows.keys.size()) (void)parts.where(rows.keys[i + kAhead]);
    parts.read(rows.keys[i], remainder.data(), quotient.data());
    for (std::size_t d = 0; d < dim; ++d) {
      const float g = rows.gradients[i * dim + d];
      touched.remainder_gradients[i * dim + d] = g * quotient[d];
      touched.quotient_gradients[i * dim + d] = g * remainder[d];
    }
  }
}

void QrEmbedding::apply(bool remainders) {
  std::size_t most = 1;
  for (const Touched& touched : touched_) most += touched.keys.size();
  PartSums& part = sums_[remainders ? 0 : 1];
  part.sums.start(most, options_.dim);
  for (const Touched& touched : touched_) {
    part.ids.clear();
    for (std::size_t i = 0; i < touched.keys.size(); ++i) {
      const std::uint64_t key = touched.keys[i];
      part.ids.push_back({.key = remainders ? key >> 32 : key & 0xFFFFFFFF,
                          .output = static_cast<std::uint32_t>(i),
                          .weight = 1.0f});
    }
    part.sums.add(part.ids, remainders ? touched.remainder_gradients : touched.quotient_gradients);
  }
  update_rows(part.sums.rows());
}

class FrozenQr final : public FrozenForm<QrReader> {
 public:
  FrozenQr(const SectionSource& file, const std::string& prefix)
      : FrozenQr(file, prefix, load_value<QrHeader>(file, prefix + "header")) {}

 private:
  FrozenQr(const SectionSource& file, const std::string& prefix, const QrHeader& header)
      : FrozenForm(file, prefix, header, {.format = frozen_format(file, prefix, header)}) {
    const auto parts = file.array<Parts>(prefix + "parts");
    const auto rows = file.array<std::uint8_t>(prefix + "rows");
    const auto count = static_cast<std::uint64_t>(header.rows);
    check_row_count(file, prefix, header.rows, reader_.format.row_bytes(), rows.size());
    const bool inside = std::all_of(parts.begin(), parts.end(), [&](const Parts& part) {
      return part.remainders > 0 && part.quotients > 0 && part.remainders <= count &&
             part.quotients <= count && part.first_remainder <= count - part.remainders &&
             part.first_quotient <= count - part.quotients;
    });
    if (!inside || static_cast<std::int64_t>(parts.size()) != header.tables) {
      throw_damaged(file, prefix + "parts", "does not fit the rows");
    }
    parts_.assign(parts.begin(), parts.end());
    reader_.parts = &parts_;
    reader_.bytes = rows.data();
  }

  std::vector<Parts> parts_;
};

}  // namespace

std::unique_ptr<Embedding> make_qr(const Options& options, std::shared_ptr<ThreadPool> pool) {
  return std::make_unique<QrEmbedding>(options, std::move(pool));
}

std::unique_ptr<FrozenEmbedding> open_qr(const SectionSource& file, const std::string& prefix) {
  return std::make_unique<FrozenQr>(file, prefix);
}

}  // namespace taut::embedding
