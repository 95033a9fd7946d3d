#pragma once
// A buffer of rows that takes rows in order and gives them in random order.

#include <cstdint>
#include <vector>

#include "rows.h"
#include "taut/core/random.h"

namespace taut::data {

/// Holds up to `capacity` rows. The n-th row that goes out comes from a place drawn by (random, n)
/// alone, uniform over the rows held; its place goes to the row that comes in (or to the last row
/// held, once no more come). With capacity >= all rows that is the Fisher-Yates shuffle.
class ShuffleBuffer {
 public:
  ShuffleBuffer(std::int64_t capacity, CounterRandom random);

  [[nodiscard]] std::int64_t size() const noexcept { return size_; }
  [[nodiscard]] std::int64_t room() const noexcept { return capacity_ - size_; }

  /// Takes rows [begin, begin + count); needs count <= room().
  void fill(const Rows& in, std::int64_t begin, std::int64_t count);
  /// Takes rows [begin, begin + count) and appends as many to out.
  void exchange(const Rows& in, std::int64_t begin, std::int64_t count, Rows& out);
  /// Appends count rows to out; needs count <= size().
  void drain(std::int64_t count, Rows& out);

 private:
  // Bags of one categorical column. As long as each has one id, ids holds them by place; from the
  // first that has not on, place p has the ids arena[begin[p] .. begin[p] + length[p]).
  struct Bags {
    bool single = true;
    std::vector<std::uint64_t> ids;
    std::vector<std::int64_t> begin;
    std::vector<std::int64_t> length;
    std::vector<std::uint64_t> arena;
    std::int64_t live = 0;  // ids in the arena that a place still has

    void make_multiple(std::int64_t places);
    void put(std::int64_t place, const IdRows& in, std::int64_t row);
    void append_to(std::int64_t place, IdRows& out) const;
    void move(std::int64_t from, std::int64_t to);
    void release(std::int64_t place);
    void compact(std::int64_t places);
  };

  void grow_to(const Rows& in);
  void exchange_bags(Bags& bags, const IdRows& in, std::int64_t begin, std::int64_t out_size,
                     IdRows& out);

  std::int64_t capacity_;
  CounterRandom random_;
  std::uint64_t emitted_ = 0;
  std::int64_t size_ = 0;
  std::vector<float> labels_;
  std::vector<std::int64_t> time_;
  std::vector<std::vector<float>> dense_;
  std::vector<Bags> categorical_;
  std::vector<std::int64_t> places_;  // drawn for the rows going out now
};

}  // namespace taut::data
