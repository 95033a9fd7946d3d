#include "dist/table_route.h"

#include <algorithm>
#include <bit>

#include "taut/core/hash.h"

namespace taut::dist {
namespace {

constexpr std::int64_t kBagsPerTask = 256;

std::uint64_t fingerprint(std::span<const JaggedIds> tables) {
  std::uint64_t hash = tables.size();
  for (const JaggedIds& table : tables) {
    hash = hash_combine(hash, hash_bytes(table.ids.data(), table.ids.size_bytes()));
    hash = hash_combine(hash, hash_bytes(table.offsets.data(), table.offsets.size_bytes()));
  }
  return hash;
}

float weight_of(const JaggedIds& table, std::int64_t i) {
  return table.weights.empty() ? 1.0F : table.weights[static_cast<std::size_t>(i)];
}

// Calls body(bag, i) for the ids of bags [first, end) in order.
template <typename Body>
void for_ids(const JaggedIds& table, std::int64_t first, std::int64_t end, Body&& body) {
  for (std::int64_t bag = first; bag < end; ++bag) {
    const std::int64_t last = table.offsets[static_cast<std::size_t>(bag) + 1];
    for (std::int64_t i = table.offsets[static_cast<std::size_t>(bag)]; i < last; ++i) body(bag, i);
  }
}

// to [dim] += weight * from.
void add_scaled(const float* from, float weight, std::size_t dim, float* to) {
  for (std::size_t d = 0; d < dim; ++d) to[d] += weight * from[d];
}

}  // namespace

void TableRoute::take(std::span<const JaggedIds> tables, const Owner& owner, int workers) {
  const auto parts = static_cast<std::size_t>(workers);
  counts_.assign(parts * tables.size(), 0);
  rows_of_.resize(tables.size());
  found_.clear();
  std::vector<std::vector<std::uint64_t>> of_workers(parts);
  for (std::size_t t = 0; t < tables.size(); ++t) take_table(t, tables[t], owner, of_workers);
  std::vector<std::int64_t> begins(parts);
  ids_.clear();
  for (std::size_t worker = 0; worker < parts; ++worker) {
    begins[worker] = std::ssize(ids_);
    ids_.insert(ids_.end(), of_workers[worker].begin(), of_workers[worker].end());
  }
  for (std::vector<std::int64_t>& rows : rows_of_) {
    for (std::int64_t& row : rows) {
      const Found& found = found_[static_cast<std::size_t>(row)];
      row = begins[static_cast<std::size_t>(found.worker)] + found.place;
    }
  }
  taken_ = fingerprint(tables);
}

void TableRoute::take_table(std::size_t table, const JaggedIds& bags, const Owner& owner,
                            std::vector<std::vector<std::uint64_t>>& of_workers) {
  slots_.assign(std::bit_ceil(2 * bags.ids.size() + 1), -1);
  const std::size_t mask = slots_.size() - 1;
  std::vector<std::int64_t>& rows = rows_of_[table];
  rows.resize(bags.ids.size());
  const auto id_of = [&](std::int64_t number) {
    const Found& found = found_[static_cast<std::size_t>(number)];
    return of_workers[static_cast<std::size_t>(found.worker)]
                     [static_cast<std::size_t>(found.place)];
  };
  for (std::size_t i = 0; i < bags.ids.size(); ++i) {
    const std::uint64_t id = bags.ids[i];
    std::size_t slot = mix64(id) & mask;
    while (slots_[slot] >= 0 && id_of(slots_[slot]) != id) slot = (slot + 1) & mask;
    if (slots_[slot] < 0) {
      const std::int64_t worker = owner(table, id);
      std::vector<std::uint64_t>& asked = of_workers[static_cast<std::size_t>(worker)];
      slots_[slot] = std::ssize(found_);
      found_.push_back({.worker = worker, .place = std::ssize(asked)});
      asked.push_back(id);
      ++counts_[static_cast<std::size_t>(worker) * rows_of_.size() + table];
    }
    rows[i] = slots_[slot];
  }
}

bool TableRoute::is_of(std::span<const JaggedIds> tables) const {
  return tables.size() == rows_of_.size() && fingerprint(tables) == taken_;
}

void TableRoute::pool(std::span<const JaggedIds> tables, std::int64_t batch,
                      std::span<const float> rows, std::span<float> out,
                      ThreadPool& threads) const {
  if (out.empty()) return;
  const std::size_t dim = out.size() / (static_cast<std::size_t>(batch) * tables.size());
  const std::int64_t ranges = (batch + kBagsPerTask - 1) / kBagsPerTask;
  std::fill(out.begin(), out.end(), 0.0F);
  threads.run(ranges * std::ssize(tables), [&](std::int64_t task) {
    const auto t = static_cast<std::size_t>(task / ranges);
    const std::int64_t first = task % ranges * kBagsPerTask;
    for_ids(tables[t], first, std::min(batch, first + kBagsPerTask),
            [&](std::int64_t bag, std::int64_t i) {
              const std::int64_t row = rows_of_[t][static_cast<std::size_t>(i)];
              const std::size_t output = static_cast<std::size_t>(bag) * tables.size() + t;
              add_scaled(rows.data() + static_cast<std::size_t>(row) * dim, weight_of(tables[t], i),
                         dim, out.data() + output * dim);
            });
  });
}

void TableRoute::sum(std::span<const JaggedIds> tables, std::int64_t batch,
                     std::span<const float> gradient, std::span<float> sums,
                     ThreadPool& threads) const {
  std::fill(sums.begin(), sums.end(), 0.0F);
  if (gradient.empty()) return;
  const std::size_t dim = gradient.size() / (static_cast<std::size_t>(batch) * tables.size());
  // A row is of one table, so tables never meet in a sum.
  threads.run(std::ssize(tables), [&](std::int64_t task) {
    const auto t = static_cast<std::size_t>(task);
    for_ids(tables[t], 0, batch, [&](std::int64_t bag, std::int64_t i) {
      const std::int64_t row = rows_of_[t][static_cast<std::size_t>(i)];
      const std::size_t output = static_cast<std::size_t>(bag) * tables.size() + t;
      add_scaled(gradient.data() + output * dim, weight_of(tables[t], i), dim,
                 sums.data() + static_cast<std::size_t>(row) * dim);
    });
  });
}

}  // namespace taut::dist
