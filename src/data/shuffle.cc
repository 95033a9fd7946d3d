#include "shuffle.h"

#include <algorithm>

#include "taut/core/error.h"

namespace taut::data {
namespace {

constexpr std::int64_t kLeastArena = 1024;

// Fixed-width columns: what goes out and what comes in, place by place.
template <typename T, typename In>
void exchange_values(const std::vector<std::int64_t>& places, std::vector<T>& held, const In& in,
                     std::int64_t begin, std::vector<T>& out) {
  if (held.empty()) return;
  const std::size_t before = out.size();
  out.resize(before + places.size());
  for (std::size_t i = 0; i < places.size(); ++i) {
    T& place = held[static_cast<std::size_t>(places[i])];
    out[before + i] = place;
    place = in[static_cast<std::size_t>(begin) + i];
  }
}

// The last of `size` values takes the place of each that goes out.
template <typename T>
void drain_values(const std::vector<std::int64_t>& places, std::int64_t size, std::vector<T>& held,
                  std::vector<T>& out) {
  if (held.empty()) return;
  for (const std::int64_t place : places) {
    out.push_back(held[static_cast<std::size_t>(place)]);
    held[static_cast<std::size_t>(place)] = held[static_cast<std::size_t>(--size)];
  }
  held.resize(static_cast<std::size_t>(size));
}

template <typename In, typename T>
void fill_values(const In& in, std::int64_t begin, std::int64_t count, std::vector<T>& held) {
  if (in.empty()) return;
  held.insert(held.end(), in.begin() + begin, in.begin() + begin + count);
}

}  // namespace

void ShuffleBuffer::Bags::make_multiple(std::int64_t places) {
  if (!single) return;
  single = false;
  arena = std::move(ids);
  ids = {};
  live = static_cast<std::int64_t>(arena.size());
  begin.resize(static_cast<std::size_t>(places));
  length.assign(static_cast<std::size_t>(places), 1);
  for (std::int64_t place = 0; place < places; ++place) begin[place] = place;
}

void ShuffleBuffer::Bags::put(std::int64_t place, const IdRows& in, std::int64_t row) {
  const std::int64_t first = in.single() ? row : in.offsets[row];
  const std::int64_t last = in.single() ? row + 1 : in.offsets[row + 1];
  begin[place] = static_cast<std::int64_t>(arena.size());
  length[place] = last - first;
  const std::span<const std::uint64_t> values = in.values();
  arena.insert(arena.end(), values.begin() + first, values.begin() + last);
  live += last - first;
}

void ShuffleBuffer::Bags::append_to(std::int64_t place, IdRows& out) const {
  const auto first = arena.begin() + begin[place];
  out.ids.insert(out.ids.end(), first, first + length[place]);
  out.offsets.push_back(static_cast<std::int64_t>(out.ids.size()));
}

void ShuffleBuffer::Bags::move(std::int64_t from, std::int64_t to) {
  begin[to] = begin[from];
  length[to] = length[from];
}

void ShuffleBuffer::Bags::release(std::int64_t place) {
  live -= length[place];
}

void ShuffleBuffer::Bags::compact(std::int64_t places) {
  if (static_cast<std::int64_t>(arena.size()) <= 2 * live + kLeastArena) return;
  std::vector<std::uint64_t> packed;
  packed.reserve(static_cast<std::size_t>(live + live / 2));
  for (std::int64_t place = 0; place < places; ++place) {
    const auto first = arena.begin() + begin[place];
    begin[place] = static_cast<std::int64_t>(packed.size());
    packed.insert(packed.end(), first, first + length[place]);
  }
  arena = std::move(packed);
}

ShuffleBuffer::ShuffleBuffer(std::int64_t capacity, CounterRandom random)
    : capacity_(capacity), random_(random) {}

void ShuffleBuffer::grow_to(const Rows& in) {
  dense_.resize(in.dense.size());
  categorical_.resize(in.categorical.size());
  for (std::size_t c = 0; c < in.categorical.size(); ++c) {
    if (!in.categorical[c].single()) categorical_[c].make_multiple(size_);
  }
}

void ShuffleBuffer::fill(const Rows& in, std::int64_t begin, std::int64_t count) {
  TAUT_ASSERT(count <= room());
  grow_to(in);
  fill_values(in.labels, begin, count, labels_);
  fill_values(in.time, begin, count, time_);
  for (std::size_t c = 0; c < dense_.size(); ++c) fill_values(in.dense[c], begin, count, dense_[c]);
  for (std::size_t c = 0; c < categorical_.size(); ++c) {
    Bags& bags = categorical_[c];
    if (bags.single) {
      fill_values(in.categorical[c].values(), begin, count, bags.ids);
      continue;
    }
    bags.begin.resize(static_cast<std::size_t>(size_ + count));
    bags.length.resize(static_cast<std::size_t>(size_ + count));
    for (std::int64_t i = 0; i < count; ++i) bags.put(size_ + i, in.categorical[c], begin + i);
  }
  size_ += count;
}

void ShuffleBuffer::exchange_bags(Bags& bags, const IdRows& in, std::int64_t begin,
                                  std::int64_t out_size, IdRows& out) {
  if (bags.single && out.single()) {
    return exchange_values(places_, bags.ids, in.values(), begin, out.ids);
  }
  bags.make_multiple(size_);
  out.make_bags(out_size);
  for (std::size_t i = 0; i < places_.size(); ++i) {
    bags.append_to(places_[i], out);
    bags.release(places_[i]);
    bags.put(places_[i], in, begin + static_cast<std::int64_t>(i));
  }
  bags.compact(size_);
}

void ShuffleBuffer::exchange(const Rows& in, std::int64_t begin, std::int64_t count, Rows& out) {
  grow_to(in);
  places_.resize(static_cast<std::size_t>(count));
  for (std::int64_t& place : places_) {
    place = static_cast<std::int64_t>(random_.below(emitted_++, static_cast<std::uint64_t>(size_)));
  }
  exchange_values(places_, labels_, in.labels, begin, out.labels);
  exchange_values(places_, time_, in.time, begin, out.time);
  for (std::size_t c = 0; c < dense_.size(); ++c) {
    exchange_values(places_, dense_[c], in.dense[c], begin, out.dense[c]);
  }
  for (std::size_t c = 0; c < categorical_.size(); ++c) {
    exchange_bags(categorical_[c], in.categorical[c], begin, out.size, out.categorical[c]);
  }
  out.size += count;
}

void ShuffleBuffer::drain(std::int64_t count, Rows& out) {
  TAUT_ASSERT(count <= size_);
  places_.resize(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    places_[i] =
        static_cast<std::int64_t>(random_.below(emitted_++, static_cast<std::uint64_t>(size_ - i)));
  }
  drain_values(places_, size_, labels_, out.labels);
  drain_values(places_, size_, time_, out.time);
  for (std::size_t c = 0; c < dense_.size(); ++c) {
    drain_values(places_, size_, dense_[c], out.dense[c]);
  }
  for (std::size_t c = 0; c < categorical_.size(); ++c) {
    Bags& bags = categorical_[c];
    IdRows& column = out.categorical[c];
    if (bags.single && column.single()) {
      drain_values(places_, size_, bags.ids, column.ids);
      continue;
    }
    bags.make_multiple(size_);
    column.make_bags(out.size);
    std::int64_t last = size_;
    for (const std::int64_t place : places_) {
      bags.append_to(place, column);
      bags.release(place);
      bags.move(--last, place);
    }
  }
  size_ -= count;
  out.size += count;
}

}  // namespace taut::data
