#include "taut/core/snapshot.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "core/folder.h"
#include "taut/core/error.h"
#include "taut/core/hash.h"
#include "taut/core/text.h"

namespace taut {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPieceBytes = 4096;
constexpr std::uint64_t kPlaceUnit = 64;  // pieces begin at multiples of it
constexpr std::size_t kMostFiles = 32;    // of one snapshot that a new one goes on from
constexpr std::size_t kMostSections = 1 << 20;
constexpr std::string_view kPiecesKind = "pieces";
constexpr std::uint32_t kPiecesVersion = 1;
constexpr std::string_view kPieces = "pieces";
constexpr std::string_view kFiles = "files";
constexpr std::string_view kSections = "sections";

// Where a piece lies and what it is.
struct Piece {
  std::uint32_t file;   // index into the manifest's list
  std::uint32_t place;  // in kPlaceUnit
  std::uint64_t checksum;
};

struct Section {
  std::string name;
  std::uint64_t size = 0;
  std::vector<Piece> pieces;
};

std::size_t piece_count(std::uint64_t size) {
  return size / kPieceBytes + (size % kPieceBytes == 0 ? 0 : 1);
}

// The bytes of piece `index` of a section.
std::size_t piece_bytes(const Section& section, std::size_t index) {
  return std::min<std::uint64_t>(kPieceBytes, section.size - index * kPieceBytes);
}

struct Manifest {
  std::vector<std::string> files;  // names in the manifest's folder
  std::vector<Section> sections;
};

bool is_pieces_name(const std::string& name) {
  return name.starts_with("pieces-") && name.ends_with(".taut");
}

[[noreturn]] void throw_manifest(const SectionReader& file, std::string_view section,
                                 const std::string& what) {
  throw Error(ErrorKind::kFormat, concat("section \"", section, "\" ", what), file.path(),
              "restore it from a copy or an earlier checkpoint");
}

// Calls take(line) for every line of a text that is not empty.
template <typename Take>
void for_lines(std::string_view text, Take&& take) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) take(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::vector<std::string> read_files(const SectionReader& file) {
  std::vector<std::string> files;
  for_lines(file.text(kFiles), [&](std::string_view line) {
    const std::string name(line);
    if (!is_pieces_name(name) || name.find('/') != std::string::npos ||
        std::find(files.begin(), files.end(), name) != files.end()) {
      throw_manifest(file, kFiles, concat("names a file that cannot be: \"", name, "\""));
    }
    if (files.size() > kMostFiles) {
      throw_manifest(file, kFiles, concat("names more than ", kMostFiles + 1, " files"));
    }
    files.push_back(name);
  });
  return files;
}

// "SIZE NAME" of a section whose pieces are the first of those that are left; takes them.
Section read_section(const SectionReader& file, std::string_view line,
                     std::span<const Piece>& left) {
  const std::size_t space = line.find(' ');
  Section section;
  const char* end = line.data() + std::min(space, line.size());
  const auto number = std::from_chars(line.data(), end, section.size);
  if (space == std::string_view::npos || number.ec != std::errc{} || number.ptr != end ||
      piece_count(section.size) > left.size()) {
    throw_manifest(file, kSections, concat("does not fit the pieces: \"", line, "\""));
  }
  section.name = line.substr(space + 1);
  const auto taken = left.first(piece_count(section.size));
  left = left.subspan(taken.size());
  section.pieces.assign(taken.begin(), taken.end());
  return section;
}

Manifest read_manifest(const SectionReader& file) {
  Manifest manifest;
  manifest.files = read_files(file);
  const std::span<const Piece> pieces = file.array<Piece>(kPieces);
  std::span<const Piece> left = pieces;
  std::set<std::string_view> names;
  for_lines(file.text(kSections), [&](std::string_view line) {
    if (manifest.sections.size() == kMostSections) {
      throw_manifest(file, kSections, concat("names more than ", kMostSections, " sections"));
    }
    manifest.sections.push_back(read_section(file, line, left));
    if (!names.insert(line.substr(line.find(' ') + 1)).second) {
      throw_manifest(file, kSections, concat("names a section twice: \"", line, "\""));
    }
  });
  if (!left.empty()) {
    throw_manifest(file, kPieces, concat("holds ", left.size(), " pieces of no section"));
  }
  for (const Piece& piece : pieces) {
    if (piece.file < manifest.files.size()) continue;
    throw_manifest(file, kPieces, concat("names file ", piece.file, " of ", manifest.files.size()));
  }
  return manifest;
}

// The manifest of a base, or an empty one where it is damaged: then all is written.
Manifest readable_manifest(const std::string& path, const SnapshotKind& kind) {
  try {
    return read_manifest(SectionReader(path, kind.kind, kind.version));
  } catch (const Error& failed) {
    if (failed.kind() != ErrorKind::kFormat) throw;
    return {};
  }
}

// The name of a file of pieces that is not there yet.
std::string unused_name(const std::string& folder) {
  std::uint64_t next = 1;
  for (const std::string& name : names_in(folder)) {
    if (!is_pieces_name(name)) continue;
    std::uint64_t number = 0;
    std::from_chars(name.data() + 7, name.data() + name.size(), number);
    next = std::max(next, number + 1);
  }
  std::array<char, 40> name{};
  std::snprintf(name.data(), name.size(), "pieces-%06llu.taut",
                static_cast<unsigned long long>(next));
  return name.data();
}

// The files of a base that a new snapshot may go on referring to.
std::set<std::uint32_t> kept_files(const Manifest& base, const std::string& folder) {
  std::vector<std::uint64_t> used(base.files.size(), 0);
  for (const Section& section : base.sections) {
    for (std::size_t i = 0; i < section.pieces.size(); ++i) {
      used[section.pieces[i].file] += piece_bytes(section, i);
    }
  }
  std::set<std::uint32_t> kept;
  std::uint32_t largest = 0;
  for (std::uint32_t i = 0; i < used.size(); ++i) {
    std::error_code missing;
    const std::uint64_t size = fs::file_size(fs::path(folder) / base.files[i], missing);
    if (!missing && 2 * used[i] >= size) kept.insert(i);
    if (used[i] > used[largest]) largest = i;
  }
  // Many small files are gathered into one again.
  if (kept.size() > kMostFiles) kept = {largest};
  return kept;
}

class SnapshotSink final : public SectionSink {
 public:
  SnapshotSink(const std::string& folder, const Manifest& base) : folder_(folder) {
    const std::set<std::uint32_t> kept = kept_files(base, folder);
    for (const Section& section : base.sections) base_.emplace(section.name, &section);
    renumbered_.assign(base.files.size(), kGivenUp);
    for (const std::uint32_t file : kept) {
      renumbered_[file] = static_cast<std::uint32_t>(manifest_.files.size());
      manifest_.files.push_back(base.files[file]);
    }
    new_file_ = static_cast<std::uint32_t>(manifest_.files.size());
    manifest_.files.push_back(unused_name(folder));
    pending_.reserve(kPieceBytes);
  }

  void begin(std::string_view name) override {
    close_section();
    const auto found = base_.find(name);
    before_ = found == base_.end() ? nullptr : found->second;
    manifest_.sections.push_back({.name = std::string(name), .size = 0, .pieces = {}});
  }

  void append(const void* data, std::size_t size) override {
    TAUT_ASSERT(!manifest_.sections.empty());
    manifest_.sections.back().size += size;
    const auto* bytes = static_cast<const std::byte*>(data);
    while (size > 0) {
      if (pending_.empty() && size >= kPieceBytes) {
        put(bytes, kPieceBytes);
        bytes += kPieceBytes;
        size -= kPieceBytes;
        continue;
      }
      const std::size_t taken = std::min(size, kPieceBytes - pending_.size());
      pending_.insert(pending_.end(), bytes, bytes + taken);
      bytes += taken;
      size -= taken;
      if (pending_.size() == kPieceBytes) flush();
    }
  }

  // Makes the new pieces durable, then the manifest.
  SnapshotCost commit(const std::string& path, const SnapshotKind& kind) {
    close_section();
    SnapshotCost cost{};
    if (writer_) {
      cost.written = writer_->commit();
    } else {
      manifest_.files.pop_back();
    }
    SectionWriter file(path, kind.kind, kind.version);
    file.add(kFiles, join(manifest_.files, "\n"));
    std::string sections;
    for (const Section& section : manifest_.sections) {
      sections += concat(section.size, " ", section.name, "\n");
      cost.contents.count += static_cast<std::int64_t>(section.size);
    }
    file.add(kSections, sections);
    file.begin(kPieces);
    for (const Section& section : manifest_.sections) {
      file.append(section.pieces.data(), section.pieces.size() * sizeof(Piece));
    }
    cost.written.count += file.commit().count;
    return cost;
  }

 private:
  static constexpr std::uint32_t kGivenUp = UINT32_MAX;

  void close_section() {
    if (!pending_.empty()) flush();
  }
  void flush() {
    put(pending_.data(), pending_.size());
    pending_.clear();
  }
  void put(const std::byte* bytes, std::size_t size) {
    std::vector<Piece>& pieces = manifest_.sections.back().pieces;
    const std::uint64_t checksum = hash_bytes(bytes, size);
    const std::size_t index = pieces.size();
    if (before_ != nullptr && index < before_->pieces.size() &&
        piece_bytes(*before_, index) == size) {
      const Piece& old = before_->pieces[index];
      if (old.checksum == checksum && renumbered_[old.file] != kGivenUp) {
        pieces.push_back({.file = renumbered_[old.file], .place = old.place, .checksum = checksum});
        return;
      }
    }
    if (!writer_) {
      writer_ = std::make_unique<SectionWriter>(folder_ + "/" + manifest_.files.back(), kPiecesKind,
                                                kPiecesVersion);
      writer_->begin(kPieces);
    }
    pieces.push_back({.file = new_file_, .place = next_place_, .checksum = checksum});
    writer_->append(bytes, size);
    constexpr std::array<std::byte, kPlaceUnit> kZeros{};
    const std::size_t padding = (kPlaceUnit - size % kPlaceUnit) % kPlaceUnit;
    writer_->append(kZeros.data(), padding);
    next_place_ += static_cast<std::uint32_t>((size + padding) / kPlaceUnit);
  }

  std::string folder_;
  std::map<std::string, const Section*, std::less<>> base_;
  std::vector<std::uint32_t> renumbered_;  // the base's files in the new manifest
  std::uint32_t new_file_ = 0;
  Manifest manifest_;
  const Section* before_ = nullptr;  // the open section in the base
  std::vector<std::byte> pending_;
  std::unique_ptr<SectionWriter> writer_;
  std::uint32_t next_place_ = 0;
};

}  // namespace

SnapshotCost write_snapshot(const std::string& path, const SnapshotKind& kind,
                            const std::optional<std::string>& base,
                            const std::function<void(SectionSink&)>& save) {
  const std::string folder = folder_of(path);
  make_directories(folder);
  const Manifest before = base ? readable_manifest(*base, kind) : Manifest{};
  SnapshotSink sink(folder, before);
  save(sink);
  return sink.commit(path, kind);
}

void clean_snapshots(const std::string& folder) {
  remove_abandoned_files(folder);
  std::error_code ignored;
  std::set<std::string> used;
  std::vector<std::string> pieces;
  for (const std::string& name : names_in(folder)) {
    if (!name.ends_with(".taut")) continue;
    if (is_pieces_name(name)) {
      pieces.push_back(name);
      continue;
    }
    try {
      const std::string path = concat(folder, "/", name);
      const SectionIdentity identity = identify_sections(path);
      const SectionReader file(path, identity.kind, identity.version);
      if (!is_snapshot(file)) continue;
      const Manifest manifest = read_manifest(file);
      used.insert(manifest.files.begin(), manifest.files.end());
    } catch (const Error&) {
      return;  // it may name any of them
    }
  }
  for (const std::string& name : pieces) {
    if (!used.contains(name)) fs::remove(fs::path(folder) / name, ignored);
  }
}

bool is_snapshot(const SectionReader& file) {
  return file.has(kFiles) && file.has(kSections) && file.has(kPieces);
}

struct SnapshotReader::Impl {
  Impl(const std::string& manifest_path, const SnapshotKind& kind)
      : path(manifest_path),
        manifest(read_manifest(SectionReader(manifest_path, kind.kind, kind.version))) {
    for (const std::string& name : manifest.files) {
      files.emplace_back(folder_of(path) + "/" + name, kPiecesKind, kPiecesVersion);
    }
    for (const Section& section : manifest.sections) by_name.emplace(section.name, &section);
  }

  [[nodiscard]] const Section* find(std::string_view name) const noexcept {
    const auto found = by_name.find(name);
    return found == by_name.end() ? nullptr : found->second;
  }

  [[noreturn]] void throw_damaged(const Section& section, const Piece& piece) const {
    throw Error(ErrorKind::kFormat,
                concat("damaged: checksum of section \"", section.name, "\" differs"),
                files[piece.file].path(), concat("remove ", path, " to use the one before"));
  }

  [[nodiscard]] std::span<const std::byte> piece(const Section& section, std::size_t index) const {
    const Piece& wanted = section.pieces[index];
    const std::span<const std::byte> all = files[wanted.file].unverified_section(kPieces);
    const std::uint64_t begin = wanted.place * kPlaceUnit;
    const std::size_t size = piece_bytes(section, index);
    if (begin > all.size() || size > all.size() - begin) throw_damaged(section, wanted);
    const std::span<const std::byte> bytes = all.subspan(begin, size);
    if (hash_bytes(bytes.data(), bytes.size()) != wanted.checksum) throw_damaged(section, wanted);
    return bytes;
  }

  std::string path;
  Manifest manifest;
  std::map<std::string_view, const Section*> by_name;
  std::vector<SectionReader> files;
  std::map<std::string, AlignedBuffer<std::byte>, std::less<>> gathered;
};

SnapshotReader::SnapshotReader(const std::string& path, const SnapshotKind& kind)
    : impl_(std::make_unique<Impl>(path, kind)) {}

SnapshotReader::~SnapshotReader() = default;

bool SnapshotReader::has(std::string_view name) const noexcept {
  return impl_->find(name) != nullptr;
}

const std::string& SnapshotReader::path() const noexcept {
  return impl_->path;
}

std::vector<std::string> SnapshotReader::names() const {
  std::vector<std::string> names;
  for (const Section& section : impl_->manifest.sections) names.push_back(section.name);
  return names;
}

std::span<const std::byte> SnapshotReader::section(std::string_view name) const {
  const Section* section = impl_->find(name);
  if (section == nullptr) {
    throw Error(ErrorKind::kFormat, concat("section \"", name, "\" is missing"), path());
  }
  if (section->size == 0) return {};
  // Pieces that follow one another in one file are used where they are.
  std::span<const std::byte> whole;
  bool together = true;
  for (std::size_t i = 0; i < section->pieces.size(); ++i) {
    const std::span<const std::byte> bytes = impl_->piece(*section, i);
    if (i == 0) {
      whole = bytes;
    } else if (whole.data() + whole.size() == bytes.data()) {
      whole = {whole.data(), whole.size() + bytes.size()};
    } else {
      together = false;
    }
  }
  if (together) return whole;
  const auto found = impl_->gathered.find(name);
  if (found != impl_->gathered.end()) return found->second.span();
  AlignedBuffer<std::byte> bytes(section->size);
  for (std::size_t i = 0; i < section->pieces.size(); ++i) {
    const std::span<const std::byte> piece = impl_->piece(*section, i);
    std::memcpy(bytes.data() + i * kPieceBytes, piece.data(), piece.size());
  }
  return impl_->gathered.emplace(std::string(name), std::move(bytes)).first->second.span();
}

}  // namespace taut
