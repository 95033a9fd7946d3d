#include "taut/core/memory.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut {
namespace {

constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

// The number that a file of the system holds; nothing for "max" or no such file.
std::optional<std::int64_t> number_in(const std::string& path) {
  std::ifstream file(path);
  std::int64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

// The lines of /proc/meminfo with these names, added up.
std::int64_t machine_bytes() {
  std::ifstream file("/proc/meminfo");
  std::int64_t bytes = 0;
  std::string name;
  std::int64_t kibibytes = 0;
  std::string unit;
  while (file >> name >> kibibytes && std::getline(file, unit)) {
    if (name == "MemTotal:" || name == "SwapTotal:") bytes += kibibytes * 1024;
  }
  return bytes > 0 ? bytes : kNoLimit;
}

std::int64_t group_bytes() {
  std::int64_t least = kNoLimit;
  const auto take = [&](const std::string& path) {
    least = std::min(least, number_in(path).value_or(kNoLimit));
  };
  take("/sys/fs/cgroup/memory.max");
  take("/sys/fs/cgroup/memory/memory.limit_in_bytes");
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (line.starts_with("0::")) take("/sys/fs/cgroup" + line.substr(3) + "/memory.max");
  }
  return least;
}

std::int64_t own_bytes(decltype(RLIMIT_AS) resource) {
  rlimit limit{};
  if (::getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kNoLimit;
  return static_cast<std::int64_t>(std::min<rlim_t>(limit.rlim_cur, static_cast<rlim_t>(kNoLimit)));
}

}  // namespace

Bytes memory_there() {
  return Bytes{
      std::min({machine_bytes(), group_bytes(), own_bytes(RLIMIT_AS), own_bytes(RLIMIT_DATA)})};
}

void check_memory(Bytes asked, std::string_view what, std::string_view where,
                  std::string_view mend) {
  const Bytes there = memory_there();
  if (asked.count <= there.count) return;
  throw Error(ErrorKind::kBudget,
              concat(what, " asks for ", format_bytes(asked), " of memory where there are ",
                     format_bytes(there)),
              where, mend);
}

}  // namespace taut
