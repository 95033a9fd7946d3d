#pragma once
// How many different ids a stream has: exactly while they are few, estimated beyond.

#include <cstdint>
#include <span>
#include <vector>

namespace taut::data {

/// Counts distinct ids. Exact up to `exact_limit` ids (a hash set of at most 16 bytes an id), then
/// HyperLogLog with 2^17 registers: standard error 1.04 / sqrt(2^17) = 0.29 %
/// (Flajolet, Fusy, Gandouet, Meunier 2007, Figure 3; ids are hashed to 64 bits, so no correction
/// for large counts is needed, and counts beyond the limit are past the small-range correction).
class DistinctCounter {
 public:
  static constexpr std::int64_t kExactLimit = std::int64_t{1} << 22;

  explicit DistinctCounter(std::int64_t exact_limit = kExactLimit);

  void add(std::span<const std::uint64_t> ids);
  [[nodiscard]] std::int64_t count() const;

 private:
  void insert(std::uint64_t hash);
  void grow();
  void start_estimating();
  void record(std::uint64_t hash);

  std::int64_t exact_limit_;
  std::vector<std::uint64_t> slots_;  // hashes, open addressing; 0: empty
  std::int64_t used_ = 0;
  bool has_zero_ = false;                // the id whose hash is 0
  std::vector<std::uint8_t> registers_;  // empty while exact
};

}  // namespace taut::data
