#pragma once
// Memory that runs out where a test says. failing_allocations.cc replaces operator new in the
// binary that holds it, and wraps the calls by which AlignedBuffer takes memory.

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <new>
#include <optional>
#include <string>

#include "taut/core/error.h"

namespace taut::test {

/// While it lives, the n-th allocation from now on fails, counted over all threads: that one alone,
/// or it and all that come after it. One at a time.
class FailingAllocations {
 public:
  enum class Then { kGoesOn, kStaysOut };

  FailingAllocations(std::int64_t n, Then then) noexcept;
  ~FailingAllocations();
  FailingAllocations(const FailingAllocations&) = delete;
  FailingAllocations& operator=(const FailingAllocations&) = delete;

  /// Whether an allocation has failed.
  [[nodiscard]] bool failed() const noexcept;
};

/// Allocations that are held now, by operator new and AlignedBuffer together.
[[nodiscard]] std::int64_t held_allocations() noexcept;

/// A case for fail_each_allocation() whose two steps are functions.
struct FailingCase {
  std::function<void()> work;
  std::function<void(bool ended)> expect;
  void run() const { work(); }
  void check(bool ended) const { expect(ended); }
};

/// Runs a case again and again, its first, second, third, ... allocation failing, until it needs no
/// more. A case has a constructor (memory is there), run() (memory fails) and check(ended), called
/// with memory there; ended: whether run() came to its end. run() may end with std::bad_alloc or a
/// taut::Error, else it fails the test, as does what is still held when the case is gone.
/// Returns how many allocations run() makes.
template <typename MakeCase>
std::int64_t fail_each_allocation(MakeCase&& make_case) {
  constexpr std::int64_t kMost = 100000;
  for (std::int64_t n = 1; n < kMost; ++n) {
    bool any = false;
    for (const auto then :
         {FailingAllocations::Then::kGoesOn, FailingAllocations::Then::kStaysOut}) {
      SCOPED_TRACE("allocation " + std::to_string(n) +
                   (then == FailingAllocations::Then::kGoesOn ? "" : " and all after it"));
      const std::int64_t held = held_allocations();
      {
        auto one = make_case();
        bool ended = true;
        bool failed = false;
        {
          const FailingAllocations failing(n, then);
          try {
            one.run();
          } catch (const std::bad_alloc&) {
            ended = false;
          } catch (const Error&) {
            ended = false;
          }
          failed = failing.failed();
        }
        EXPECT_TRUE(ended || failed) << "an error although there was memory";
        any = any || failed;
        one.check(ended);
      }
      EXPECT_EQ(held_allocations(), held) << "memory was lost";
      if (testing::Test::HasFailure()) return n;
    }
    if (!any) return n - 1;
  }
  ADD_FAILURE() << "more than " << kMost << " allocations";
  return kMost;
}

/// The same for what make() makes, each time alike: it is whole or not there, as told() tells of
/// it.
template <typename Make, typename Told>
std::int64_t fail_making(const Make& make, const Told& told) {
  const std::string wanted = told(make());
  std::optional<decltype(make())> made;
  const auto making = [&] {
    made.reset();
    return FailingCase{[&] { made.emplace(make()); },
                       [&](bool ended) {
                         ASSERT_EQ(made.has_value(), ended);
                         if (ended) {
                           EXPECT_EQ(told(*made), wanted);
                         }
                         made.reset();
                       }};
  };
  return fail_each_allocation(making);
}

}  // namespace taut::test
