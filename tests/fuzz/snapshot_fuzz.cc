// Snapshots whose manifest and files of pieces were taken apart, changed and sealed again; read
// whole, built upon and cleaned up.
#include <filesystem>

#include "fuzz/fuzz.h"
#include "taut/core/snapshot.h"

namespace taut::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr SnapshotKind kKind{.kind = "fuzz", .version = 1};
constexpr std::uint32_t kPiecesVersion = 1;

// Every container of a folder: "FILE/SECTION" to bytes.
Sections take_apart(const std::string& folder) {
  Sections parts;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const SectionIdentity identity = identify_sections(entry.path().string());
    const SectionReader file(entry.path().string(), identity.kind, identity.version);
    for (const std::string& section : file.names()) {
      parts[name + "/" + section] = file.text(section);
    }
  }
  return parts;
}

void put_together(const Sections& parts, const std::string& folder) {
  std::map<std::string, Sections> files;
  for (const auto& [name, bytes] : parts) {
    const std::size_t slash = name.rfind('/');
    if (slash == std::string::npos || slash == 0 || slash + 1 == name.size()) continue;
    files[name.substr(0, slash)][name.substr(slash + 1)] = bytes;
  }
  for (const auto& [name, sections] : files) {
    const bool pieces = name.starts_with("pieces-");
    SectionWriter file(folder + "/" + name, pieces ? "pieces" : kKind.kind,
                       pieces ? kPiecesVersion : kKind.version);
    for (const auto& [section, bytes] : sections) file.add(section, bytes);
    file.commit();
  }
}

void save(SectionSink& sink, int round) {
  sink.add("state", R"({"epoch":1,"steps":20})");
  sink.add("short", std::string(100 + static_cast<std::size_t>(round), 's'));
  std::string rows(20000, 'r');
  rows[static_cast<std::size_t>(round) * 5000] = 'x';
  sink.add("rows", rows);
  sink.begin("empty");
}

// Two snapshots, the second of which refers to pieces of the first.
const Sections& snapshots() {
  static const Sections kParts = [] {
    const std::string folder = scratch("good");
    for (int round = 0; round < 2; ++round) {
      write_snapshot(folder + "/" + std::to_string(round) + ".taut", kKind,
                     round == 0 ? std::nullopt : std::optional(folder + "/0.taut"),
                     [&](SectionSink& sink) { save(sink, round); });
    }
    return take_apart(folder);
  }();
  return kParts;
}

void spoil(const std::string& name, std::string& bytes, Random& random) {
  if (name.ends_with("files") || name.ends_with("sections")) {
    if (random.one_in(3)) return spoil_bytes(bytes, random);
    const std::size_t at = std::min(bytes.find('\n', random.below(bytes.size() + 1)), bytes.size());
    constexpr std::array kLines = {
        "pieces-000001.taut\n", "18446744073709551615 rows\n", "0 x\n", "4096 state\n", "-1 a\n",
        "pieces-999999.taut\n"};
    std::string line = random.pick(kLines);
    for (std::uint64_t n = random.below(12); n > 0; --n) line += line;
    bytes.insert(at, "\n" + line);
    return;
  }
  spoil_numbers(bytes, random);
}

bool read_folder(const std::string& folder) {
  bool refused = false;
  for (int round = 0; round < 2; ++round) {
    const std::string path = folder + "/" + std::to_string(round) + ".taut";
    refused |= is_refused([&] {
      const SnapshotReader snapshot(path, kKind);
      for (const std::string& name : snapshot.names()) (void)snapshot.section(name);
    });
    refused |= is_refused([&] {
      write_snapshot(folder + "/next.taut", kKind, path,
                     [&](SectionSink& sink) { save(sink, round); });
      const SnapshotReader snapshot(folder + "/next.taut", kKind);
      for (const std::string& name : snapshot.names()) (void)snapshot.section(name);
    });
  }
  clean_snapshots(folder);
  return refused;
}

}  // namespace

Target target() {
  return {.name = "snapshot",
          .make =
              [](Random& random) {
                Sections parts = snapshots();
                for (std::uint64_t n = 1 + random.below(3); n > 0; --n) {
                  const std::string name = random.pick(parts).first;
                  if (random.one_in(20)) {
                    parts.erase(name);
                  } else {
                    spoil(name, parts[name], random);
                  }
                }
                return join_sections(parts);
              },
          .read =
              [](std::string_view text) {
                const std::string folder = scratch("forged");
                fs::remove_all(folder);
                fs::create_directories(folder);
                put_together(split_sections(text), folder);
                return read_folder(folder);
              }};
}

}  // namespace taut::fuzz
