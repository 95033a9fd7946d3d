#pragma once
// Snapshots of named sections in a folder, of which each writes only what changed.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "taut/core/aligned_buffer.h"
#include "taut/core/file.h"
#include "taut/core/units.h"

namespace taut {

/// Kind and version of a snapshot's manifest, a container like any other of ours.
struct SnapshotKind {
  std::string_view kind;
  std::uint32_t version;
};

/// What writing a snapshot cost.
struct SnapshotCost {
  Bytes written;   ///< to the disk: new pieces and the manifest
  Bytes contents;  ///< of all sections
};

/// Writes a snapshot: sections are cut into pieces of 4 KiB; a piece that the base snapshot holds
/// at the same place with the same checksum is referred to, all others go into one new file
/// `pieces-NUMBER.taut` beside the manifest. The manifest, a small container at `path`, names the
/// files and the place and checksum of every piece. It is written last and atomically: killed at
/// any moment, or with the disk full, what was at `path` is whole. Files of pieces of which less
/// than half is in use are given up, so that a folder holds at most about twice its contents.
///
/// Two snapshots of which neither was built on the other share no file. base: path of the snapshot
/// to build on, in the same folder; none, or one that is damaged or of another version: everything
/// is written. save: adds the sections. Errors: kIo (disk full, ...), kNotFound for the base.
SnapshotCost write_snapshot(const std::string& path, const SnapshotKind& kind,
                            const std::optional<std::string>& base,
                            const std::function<void(SectionSink&)>& save);

/// Removes from the folder the files of pieces that no manifest in it names, and what processes
/// that are gone left half written (NAME.tmp.PID). Nothing but the latter while a manifest cannot
/// be read. Not while a snapshot is being written there.
void clean_snapshots(const std::string& folder);

/// Removes what processes that are gone left half written in a folder of ours (NAME.tmp.PID).
void remove_abandoned_files(const std::string& folder);

/// Whether a container is the manifest of a snapshot.
[[nodiscard]] bool is_snapshot(const SectionReader& file);

/// Reads a snapshot. Every piece is verified when its section is asked for; messages name the file
/// that is damaged. Not for sharing between threads.
/// Errors: kFormat (naming file and section; another version: both numbers; more files than a
/// snapshot has), kNotFound, kIo.
class SnapshotReader final : public SectionSource {
 public:
  SnapshotReader(const std::string& path, const SnapshotKind& kind);
  ~SnapshotReader() override;

  [[nodiscard]] bool has(std::string_view name) const noexcept override;
  [[nodiscard]] std::span<const std::byte> section(std::string_view name) const override;
  [[nodiscard]] const std::string& path() const noexcept override;
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace taut
