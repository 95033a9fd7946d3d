#pragma once
// What a worker sent to the others, counted where it is sent.

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>

#include "taut/core/spelling.h"

namespace taut::dist {

/// What something is sent for.
enum class Cause : std::uint8_t {
  kGradients,   ///< of weights
  kFeatures,    ///< what layers give, where the next one wants another part of it
  kErrors,      ///< the same for gradients of features
  kTables,      ///< ids, rows and their gradients
  kCheckpoint,  ///< what one worker writes for all
  kControl,     ///< losses, decisions, counts of measures
};
constexpr auto spellings(std::type_identity<Cause>) {
  return std::to_array<Spelling<Cause>>({{"gradients", Cause::kGradients},
                                         {"features", Cause::kFeatures},
                                         {"errors", Cause::kErrors},
                                         {"tables", Cause::kTables},
                                         {"checkpoint", Cause::kCheckpoint},
                                         {"control", Cause::kControl}});
}
[[nodiscard]] constexpr std::string_view to_string(Cause cause) noexcept {
  return spelling_of(cause);
}

/// What one worker sent for one cause. Bytes are those of values that went to another worker,
/// without the headers of the network.
struct Traffic {
  std::int64_t operations = 0;
  std::int64_t bytes = 0;
  double seconds = 0;  ///< in these operations, waiting for others included
  /// Of these, what a worker that computes beside them had to wait; otherwise all.
  double exposed_seconds = 0;

  Traffic& operator+=(const Traffic& other) noexcept {
    operations += other.operations;
    bytes += other.bytes;
    seconds += other.seconds;
    exposed_seconds += other.exposed_seconds;
    return *this;
  }
};

/// One operation, on the steady clock of the worker.
struct Exchange {
  std::string_view operation;  ///< "reduce-scatter", "all-to-all", ...; "wait" for those beside
  Cause cause = Cause::kControl;
  std::int64_t bytes = 0;  ///< as Traffic has them
  bool beside = false;     ///< while the worker computed
  std::chrono::steady_clock::time_point start;
  std::chrono::steady_clock::time_point end;
};

/// By cause.
class TrafficCount {
 public:
  [[nodiscard]] Traffic& operator[](Cause cause) noexcept {
    return by_cause_[static_cast<std::size_t>(cause)];
  }
  [[nodiscard]] const Traffic& operator[](Cause cause) const noexcept {
    return by_cause_[static_cast<std::size_t>(cause)];
  }
  [[nodiscard]] Traffic total() const noexcept {
    Traffic sum;
    for (const Traffic& one : by_cause_) sum += one;
    return sum;
  }

 private:
  std::array<Traffic, kSpellings<Cause>.size()> by_cause_{};
};

}  // namespace taut::dist
