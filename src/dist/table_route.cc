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

// Calls body(bag, i) for the ids of all bags in order.
template <typename Body>
void for_ids(const JaggedIds& bags, Body&& body) {
  for (std::size_t bag = 0; bag + 1 < bags.offsets.size(); ++bag) {
    const auto end = static_cast<std::size_t>(bags.offsets[bag + 1]);
    for (auto i = static_cast<std::size_t>(bags.offsets[bag]); i < end; ++i) body(bag, i);
  }
}

template <typename Value>
void append(std::vector<std::byte>& bytes, const Value& value) {
  const auto* from = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), from, from + sizeof(Value));
}

// to [dim] += weight * from.
void add_scaled(const float* from, float weight, std::size_t dim, float* to) {
  for (std::size_t d = 0; d < dim; ++d) to[d] += weight * from[d];
}

}  // namespace

std::int64_t TableRequest::message_bytes() const noexcept {
  constexpr auto kId = static_cast<std::int64_t>(sizeof(std::uint64_t));
  constexpr auto kLength = static_cast<std::int64_t>(sizeof(std::uint32_t));
  constexpr auto kWeight = static_cast<std::int64_t>(sizeof(float));
  return ids * kId + (pooled != 0 ? vectors * kLength + weighted * ids * kWeight : 0);
}

void TableRoute::take(std::span<const JaggedIds> tables, const Owner& owner, int workers, int dim,
                      RouteVectors vectors) {
  requests_.assign(static_cast<std::size_t>(workers) * tables.size(), {});
  of_requests_.resize(requests_.size());
  tables_.resize(tables.size());
  for (std::size_t t = 0; t < tables.size(); ++t) {
    find_distinct(t, tables[t], owner);
    take_table(t, tables[t], dim, vectors);
  }
  // Vectors were numbered within their request.
  std::vector<std::int64_t> begins;
  vectors_ = 0;
  messages_.clear();
  for (std::size_t k = 0; k < requests_.size(); ++k) {
    begins.push_back(vectors_);
    vectors_ += requests_[k].vectors;
    messages_.insert(messages_.end(), of_requests_[k].begin(), of_requests_[k].end());
  }
  for (Bags& bags : tables_) {
    for (Term& term : bags.terms) {
      const auto request = static_cast<std::size_t>(term.vector % std::ssize(requests_));
      term.vector = begins[request] + term.vector / std::ssize(requests_);
    }
  }
  taken_ = fingerprint(tables);
}

// Numbers the distinct ids of a table as they come.
void TableRoute::find_distinct(std::size_t table, const JaggedIds& bags, const Owner& owner) {
  found_.clear();
  numbers_.resize(bags.ids.size());
  slots_.assign(std::bit_ceil(2 * bags.ids.size() + 1), -1);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t i = 0; i < bags.ids.size(); ++i) {
    const std::uint64_t id = bags.ids[i];
    std::size_t slot = mix64(id) & mask;
    while (slots_[slot] >= 0 && found_[static_cast<std::size_t>(slots_[slot])].id != id) {
      slot = (slot + 1) & mask;
    }
    if (slots_[slot] < 0) {
      slots_[slot] = std::ssize(found_);
      found_.push_back({.id = id, .worker = owner(table, id)});
    }
    numbers_[i] = slots_[slot];
  }
}

// Chooses what is asked of each worker, and writes its request, its message and the bags' terms.
void TableRoute::take_table(std::size_t table, const JaggedIds& bags, int dim,
                            RouteVectors vectors) {
  const std::size_t tables = tables_.size();
  const std::size_t workers = requests_.size() / tables;
  const auto worker_of = [&](std::size_t i) {
    return static_cast<std::size_t>(found_[static_cast<std::size_t>(numbers_[i])].worker);
  };
  std::vector<TableRequest> rows(workers);
  std::vector<TableRequest> sums(workers);
  for (const Found& found : found_) {
    TableRequest& of = rows[static_cast<std::size_t>(found.worker)];
    of.vectors = ++of.ids;
  }
  constexpr std::size_t kNone = SIZE_MAX;
  std::vector<std::size_t> last_bag(workers, kNone);
  for_ids(bags, [&](std::size_t bag, std::size_t i) {
    const std::size_t worker = worker_of(i);
    ++sums[worker].ids;
    if (last_bag[worker] != bag) ++sums[worker].vectors;
    last_bag[worker] = bag;
  });
  for (std::size_t worker = 0; worker < workers; ++worker) {
    sums[worker].pooled = 1;
    sums[worker].weighted = bags.weights.empty() ? 0 : 1;
    const auto bytes = [&](const TableRequest& one) {
      return one.message_bytes() + 2 * one.vectors * dim * static_cast<std::int64_t>(sizeof(float));
    };
    const bool pools =
        vectors == RouteVectors::kBags ||
        (vectors == RouteVectors::kFewestBytes && bytes(sums[worker]) < bytes(rows[worker]));
    requests_[worker * tables + table] = pools ? sums[worker] : rows[worker];
    of_requests_[worker * tables + table].clear();
  }

  // The k-th vector of request r is called k * requests + r until all requests are known.
  const auto stride = std::ssize(requests_);
  std::vector<std::int64_t> next(workers, 0);
  std::vector<std::int64_t> names(found_.size(), -1);  // of vectors that are rows
  std::vector<std::vector<std::uint32_t>> lengths(workers);
  Bags& made = tables_[table];
  made.terms.clear();
  made.ends.assign(bags.offsets.size() - 1, 0);
  std::fill(last_bag.begin(), last_bag.end(), kNone);
  for_ids(bags, [&](std::size_t bag, std::size_t i) {
    const std::size_t worker = worker_of(i);
    const std::size_t request = worker * tables + table;
    const auto new_name = [&] {
      return next[worker]++ * stride + static_cast<std::int64_t>(request);
    };
    if (requests_[request].pooled != 0) {
      append(of_requests_[request], bags.ids[i]);
      if (last_bag[worker] != bag) {
        made.terms.push_back({.vector = new_name(), .weight = 1.0F});
        lengths[worker].push_back(0);
      }
      ++lengths[worker].back();
      last_bag[worker] = bag;
    } else {
      std::int64_t& name = names[static_cast<std::size_t>(numbers_[i])];
      if (name < 0) {
        name = new_name();
        append(of_requests_[request], bags.ids[i]);
      }
      const float weight = bags.weights.empty() ? 1.0F : bags.weights[i];
      made.terms.push_back({.vector = name, .weight = weight});
    }
    made.ends[bag] = std::ssize(made.terms);
  });
  for (std::size_t bag = 1; bag < made.ends.size(); ++bag) {  // of those without ids
    made.ends[bag] = std::max(made.ends[bag], made.ends[bag - 1]);
  }
  for (std::size_t worker = 0; worker < workers; ++worker) {
    for (const std::uint32_t length : lengths[worker]) {
      append(of_requests_[worker * tables + table], length);
    }
  }
  if (bags.weights.empty()) return;
  for_ids(bags, [&](std::size_t /*bag*/, std::size_t i) {
    const std::size_t request = worker_of(i) * tables + table;
    if (requests_[request].pooled != 0) append(of_requests_[request], bags.weights[i]);
  });
}

bool TableRoute::is_of(std::span<const JaggedIds> tables) const {
  return tables.size() == tables_.size() && fingerprint(tables) == taken_;
}

void TableRoute::pool(std::span<const float> vectors, std::int64_t batch, std::span<float> out,
                      ThreadPool& threads) const {
  if (out.empty()) return;
  const std::size_t tables = tables_.size();
  const std::size_t dim = out.size() / (static_cast<std::size_t>(batch) * tables);
  const std::int64_t ranges = (batch + kBagsPerTask - 1) / kBagsPerTask;
  std::fill(out.begin(), out.end(), 0.0F);
  threads.run(ranges * std::ssize(tables_), [&](std::int64_t task) {
    const auto t = static_cast<std::size_t>(task / ranges);
    const Bags& bags = tables_[t];
    const auto first = static_cast<std::size_t>(task % ranges * kBagsPerTask);
    const std::size_t end = std::min(bags.ends.size(), first + kBagsPerTask);
    auto k = static_cast<std::size_t>(first == 0 ? 0 : bags.ends[first - 1]);
    for (std::size_t bag = first; bag < end; ++bag) {
      for (; k < static_cast<std::size_t>(bags.ends[bag]); ++k) {
        const Term& term = bags.terms[k];
        add_scaled(vectors.data() + static_cast<std::size_t>(term.vector) * dim, term.weight, dim,
                   out.data() + (bag * tables + t) * dim);
      }
    }
  });
}

void TableRoute::sum(std::span<const float> gradient, std::int64_t batch, std::span<float> sums,
                     ThreadPool& threads) const {
  std::fill(sums.begin(), sums.end(), 0.0F);
  if (gradient.empty()) return;
  const std::size_t tables = tables_.size();
  const std::size_t dim = gradient.size() / (static_cast<std::size_t>(batch) * tables);
  // A vector is of one table, so tables never meet in a sum.
  threads.run(std::ssize(tables_), [&](std::int64_t task) {
    const auto t = static_cast<std::size_t>(task);
    std::size_t k = 0;
    for (std::size_t bag = 0; bag < tables_[t].ends.size(); ++bag) {
      for (; k < static_cast<std::size_t>(tables_[t].ends[bag]); ++k) {
        const Term& term = tables_[t].terms[k];
        add_scaled(gradient.data() + (bag * tables + t) * dim, term.weight, dim,
                   sums.data() + static_cast<std::size_t>(term.vector) * dim);
      }
    }
  });
}

}  // namespace taut::dist
