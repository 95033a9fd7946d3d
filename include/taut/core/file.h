#pragma once
// Files that are never half written, and a checksummed container of named sections.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "taut/core/units.h"

namespace taut {

/// Writes a file beside its path, flushes it to the disk and renames it into place on commit().
/// Without commit() the path is left as it was and what was written is removed.
/// The file beside it is NAME.taut.tmp.PID, made anew and locked while it is written; those that
/// processes which are gone left in the folder are removed. Of a path that is a symbolic link the
/// file that it leads to is replaced. A device, pipe or socket is written into as it is.
/// Errors: kIo, naming the path (disk full, no permission, a directory). Not for sharing between
/// threads.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Bytes written so far.
  [[nodiscard]] std::uint64_t size() const noexcept;
  void commit();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Replaces a file by the text, atomically.
void write_file(const std::string& path, std::string_view text);

/// The whole file, or all that comes out of a pipe or device (kIo above 1 GiB). Errors: kNotFound,
/// kIo (a directory, not readable).
[[nodiscard]] std::string read_file(const std::string& path);

/// Makes the directory and its parents; fine if it is there. Errors: kIo.
void make_directories(const std::string& path);

/// Holds a folder for one piece of work: while the object lives, a second lock of the folder is
/// refused, also in the same process. Nothing is written; the system drops the lock when the
/// process ends, however that is. Where a file system knows no locks nothing is held.
/// Errors: kIo (the folder is held by another, or cannot be opened), kNotFound.
class FolderLock {
 public:
  explicit FolderLock(const std::string& folder);
  ~FolderLock();
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;

 private:
  int fd_;
};

/// A read-only mapping of a file, or of a copy of bytes in memory, from a whole page on. Errors:
/// kNotFound, kIo (a directory, a pipe, not readable); std::bad_alloc for a copy.
/// Threads: reading is free. Valid while the object lives, also when the path is replaced
/// meanwhile. Reading what lies behind a file's end that somebody cuts is SIGBUS: mapped_path()
/// tells a handler which file it was.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  explicit MappedFile(std::span<const std::byte> copied);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// The path of the mapping that an address lies in; null where it lies in none (or more than 256
/// files are mapped). May be called in a signal handler; valid while the mapping lives.
[[nodiscard]] const char* mapped_path(const void* address) noexcept;

/// Where named sections of bytes are written: one file, or a snapshot of several.
class SectionSink {
 public:
  virtual ~SectionSink() = default;

  /// Opens a section; append() adds to it until the next begin(). Names are unique.
  virtual void begin(std::string_view name) = 0;
  virtual void append(const void* data, std::size_t size) = 0;
  /// begin() and append() in one.
  void add(std::string_view name, std::span<const std::byte> bytes) {
    begin(name);
    append(bytes.data(), bytes.size());
  }
  void add(std::string_view name, std::string_view text) {
    add(name, std::as_bytes(std::span(text)));
  }
  template <typename T>
  void add_array(std::string_view name, std::span<const T> values) {
    add(name, std::as_bytes(values));
  }
};

/// Where named sections of bytes are read.
class SectionSource {
 public:
  virtual ~SectionSource() = default;

  [[nodiscard]] virtual bool has(std::string_view name) const noexcept = 0;
  /// The verified bytes, valid while the source lives. Throws kFormat naming the file if the
  /// section is absent or differs from its checksum.
  [[nodiscard]] virtual std::span<const std::byte> section(std::string_view name) const = 0;
  /// The file that messages name.
  [[nodiscard]] virtual const std::string& path() const noexcept = 0;
  [[nodiscard]] std::string_view text(std::string_view name) const;
  /// The section as values of T; throws kFormat if its size is not a multiple.
  template <typename T>
  [[nodiscard]] std::span<const T> array(std::string_view name) const {
    const std::span<const std::byte> bytes = section(name);
    if (bytes.size() % sizeof(T) != 0) throw_bad_size(name);
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }

 private:
  [[noreturn]] void throw_bad_size(std::string_view name) const;
};

/// Writes a container: a header (magic, kind, version), sections one after another on 64-byte
/// boundaries, a table of (name, offset, size, XXH3 checksum) and a footer that seals the table.
/// Layout in docs/architecture.md. Atomic as AtomicFile is.
class SectionWriter final : public SectionSink {
 public:
  /// kind: up to 8 characters that say what the file holds ("ckpt", "package"); version >= 1.
  SectionWriter(std::string path, std::string_view kind, std::uint32_t version);
  ~SectionWriter() override;

  void begin(std::string_view name) override;
  void append(const void* data, std::size_t size) override;
  /// Seals and renames into place; the size of the file.
  Bytes commit();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// What a container says that it is.
struct SectionIdentity {
  std::string kind;
  std::uint32_t version = 0;
};

/// Kind and version of a container, whatever they are. Errors: kFormat for another file; kNotFound;
/// kIo.
[[nodiscard]] SectionIdentity identify_sections(const std::string& path);
/// The same of bytes; path names them in errors.
[[nodiscard]] SectionIdentity identify_sections(std::span<const std::byte> bytes,
                                                const std::string& path);

/// Reads a container through a mapping. The constructor checks header, version and table;
/// section() checks the section's checksum each time that it is asked.
/// Errors: kFormat naming the path and what differs (not ours, another kind, another version with
/// both numbers, cut short, checksum of section X); kNotFound; kIo.
class SectionReader final : public SectionSource {
 public:
  SectionReader(const std::string& path, std::string_view kind, std::uint32_t version);
  /// path: what the mapping is called.
  SectionReader(MappedFile file, const std::string& path, std::string_view kind,
                std::uint32_t version);

  [[nodiscard]] bool has(std::string_view name) const noexcept override;
  [[nodiscard]] std::span<const std::byte> section(std::string_view name) const override;
  /// The bytes as they are, for callers that keep checksums of their own. Throws kFormat if absent.
  [[nodiscard]] std::span<const std::byte> unverified_section(std::string_view name) const;
  /// In the order of the file.
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] Bytes section_bytes(std::string_view name) const;
  [[nodiscard]] const std::string& path() const noexcept override { return path_; }

 private:
  struct Entry {
    std::string name;
    std::uint64_t offset;
    std::uint64_t size;
    std::uint64_t checksum;
    std::size_t number;  // in the file
  };
  [[nodiscard]] const Entry* find(std::string_view name) const noexcept;
  [[nodiscard]] const Entry& require(std::string_view name) const;

  std::string path_;
  MappedFile file_;
  std::vector<Entry> entries_;  // by name
};

}  // namespace taut
