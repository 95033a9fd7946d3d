#include "train/preflight.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>

#include "taut/core/error.h"
#include "taut/core/log.h"
#include "taut/core/text.h"
#include "taut/core/units.h"

namespace taut::train {
namespace {

namespace fs = std::filesystem;

// The last two checkpoints, the best one, and the one that is being written.
constexpr std::int64_t kCheckpointsAtOnce = 4;

// Counts what a checkpoint would write.
class CountingSink final : public SectionSink {
 public:
  void begin(std::string_view /*name*/) override {}
  void append(const void* /*data*/, std::size_t size) override { bytes_ += size; }
  [[nodiscard]] std::int64_t bytes() const noexcept { return static_cast<std::int64_t>(bytes_); }

 private:
  std::size_t bytes_ = 0;
};

}  // namespace

void check_room(const std::string& run, const CheckpointFolder::Save& save) {
  CountingSink sink;
  save(sink);
  std::error_code failed;
  const fs::space_info space = fs::space(run, failed);
  if (failed) return;
  const auto room =
      static_cast<std::int64_t>(std::min<std::uintmax_t>(space.available, std::uintmax_t{1} << 62));
  const auto shown = [](std::int64_t bytes) { return format_bytes(Bytes{bytes}); };
  if (room < sink.bytes()) {
    throw Error(
        ErrorKind::kIo,
        concat("the disk has room for ", shown(room), ", a checkpoint takes ", shown(sink.bytes())),
        run, "make room, or choose another --out");
  }
  if (room / kCheckpointsAtOnce >= sink.bytes()) return;
  log_warning(concat(run, ": the disk has room for ", shown(room), ", and up to ",
                     kCheckpointsAtOnce, " checkpoints of ", shown(sink.bytes()),
                     " lie there at once"));
}

}  // namespace taut::train
