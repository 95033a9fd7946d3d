// The container of named, checksummed sections.
#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>
#include <unordered_set>
#include <utility>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/hash.h"
#include "taut/core/text.h"

namespace taut {
namespace {

constexpr std::array<char, 8> kMagic = {'T', 'A', 'U', 'T', 'F', 'I', 'L', 'E'};
constexpr std::size_t kKindSize = 8;
constexpr std::size_t kNameSize = 104;
constexpr std::uint64_t kAlignment = 64;

struct Header {
  std::array<char, 8> magic;
  std::array<char, kKindSize> kind;
  std::uint32_t version;
  std::array<char, 44> reserved;
};
static_assert(sizeof(Header) == 64);

struct TableEntry {
  std::array<char, kNameSize> name;
  std::uint64_t offset;
  std::uint64_t size;
  std::uint64_t checksum;
};
static_assert(sizeof(TableEntry) == 128);

struct Footer {
  std::uint64_t table_offset;
  std::uint64_t table_entries;
  std::uint64_t checksum;  // of header and table
  std::array<char, 8> magic;
};
static_assert(sizeof(Footer) == 32);

std::uint64_t seal(const Header& header, const void* table, std::size_t table_size) {
  return hash_combine(hash_bytes(&header, sizeof(header)), hash_bytes(table, table_size));
}

template <std::size_t N>
std::array<char, N> fixed_text(std::string_view text) {
  TAUT_ASSERT(text.size() <= N);
  std::array<char, N> fixed{};
  std::copy(text.begin(), text.end(), fixed.begin());
  return fixed;
}

template <std::size_t N>
std::string plain_text(const std::array<char, N>& fixed) {
  return {fixed.begin(), std::find(fixed.begin(), fixed.end(), '\0')};
}

constexpr std::string_view kDamaged = "restore it from a copy or an earlier checkpoint";

[[noreturn]] void throw_format(std::string_view what, const std::string& path,
                               std::string_view mend = kDamaged) {
  throw Error(ErrorKind::kFormat, what, path, mend);
}

constexpr std::string_view kOther = "name another file";

// The header, whatever kind and version it names.
Header read_header(std::span<const std::byte> bytes, const std::string& path) {
  if (bytes.size() < sizeof(Header)) throw_format("not a file of ours: too short", path, kOther);
  Header header{};
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.magic != kMagic) throw_format("not a file of ours: wrong magic", path, kOther);
  return header;
}

Header read_header(std::span<const std::byte> bytes, const std::string& path, std::string_view kind,
                   std::uint32_t version) {
  const Header header = read_header(bytes, path);
  if (plain_text(header.kind) != kind) {
    throw_format(concat("holds \"", plain_text(header.kind), "\" where \"", kind, "\" is wanted"),
                 path, kOther);
  }
  if (header.version != version) {
    throw_format(
        concat("format version ", header.version, " where this build reads version ", version),
        path, "write it again with this version");
  }
  return header;
}

constexpr std::uint64_t padded(std::uint64_t size) {
  return (size + kAlignment - 1) / kAlignment * kAlignment;
}

// Sections follow one another from the header to the table, with zeros up to each boundary: so that
// no byte of the file can change unseen.
void check_places(std::span<const std::byte> bytes, const std::string& path,
                  std::span<const TableEntry> table, std::uint64_t table_offset) {
  std::uint64_t place = sizeof(Header);
  for (const TableEntry& entry : table) {
    if (entry.offset != place || entry.size > table_offset - place ||
        padded(entry.size) > table_offset - place) {
      throw_format(concat("the file is damaged: section \"", plain_text(entry.name),
                          "\" is not in its place"),
                   path);
    }
    place += padded(entry.size);
    const auto padding = bytes.subspan(entry.offset + entry.size, padded(entry.size) - entry.size);
    if (std::any_of(padding.begin(), padding.end(),
                    [](std::byte b) { return b != std::byte{0}; })) {
      throw_format("the file is damaged: bytes between two sections differ from zero", path);
    }
  }
  if (place != table_offset) throw_format("the file is damaged: bytes of no section", path);
}

std::span<const TableEntry> read_table(std::span<const std::byte> bytes, const std::string& path,
                                       const Header& header) {
  Footer footer{};
  if (bytes.size() < sizeof(Header) + sizeof(Footer)) throw_format("the file is cut short", path);
  std::memcpy(&footer, bytes.data() + bytes.size() - sizeof(footer), sizeof(footer));
  const std::uint64_t body = bytes.size() - sizeof(Footer);
  if (footer.magic != kMagic || footer.table_offset > body ||
      footer.table_offset < sizeof(Header) || footer.table_offset % kAlignment != 0 ||
      footer.table_entries > body / sizeof(TableEntry) ||
      footer.table_offset + footer.table_entries * sizeof(TableEntry) != body) {
    throw_format("the file is cut short or damaged: no footer", path);
  }
  const std::byte* start = bytes.data() + footer.table_offset;
  if (seal(header, start, body - footer.table_offset) != footer.checksum) {
    throw_format("the file is damaged: checksum of the section table differs", path);
  }
  const std::span<const TableEntry> table(reinterpret_cast<const TableEntry*>(start),
                                          footer.table_entries);
  check_places(bytes, path, table, footer.table_offset);
  return table;
}

}  // namespace

struct SectionWriter::Impl {
  explicit Impl(std::string path) : file(std::move(path)) { XXH3_64bits_reset(&hash); }

  AtomicFile file;
  Header header{};
  std::vector<TableEntry> table;
  std::unordered_set<std::string> names;  // of the table
  XXH3_state_t hash;
  bool open = false;

  void pad() {
    constexpr std::array<char, kAlignment> kZeros{};
    file.write(kZeros.data(), padded(file.size()) - file.size());
  }

  void close_section() {
    if (!std::exchange(open, false)) return;
    table.back().size = file.size() - table.back().offset;
    table.back().checksum = XXH3_64bits_digest(&hash);
    pad();
  }
};

SectionWriter::SectionWriter(std::string path, std::string_view kind, std::uint32_t version)
    : impl_(std::make_unique<Impl>(std::move(path))) {
  impl_->header = Header{
      .magic = kMagic, .kind = fixed_text<kKindSize>(kind), .version = version, .reserved = {}};
  impl_->file.write(&impl_->header, sizeof(Header));
}

SectionWriter::~SectionWriter() = default;

void SectionWriter::begin(std::string_view name) {
  TAUT_ASSERT(!name.empty() && name.size() < kNameSize);
  TAUT_ASSERT(impl_->names.count(std::string(name)) == 0);
  impl_->close_section();
  impl_->table.push_back({.name = fixed_text<kNameSize>(name),
                          .offset = impl_->file.size(),
                          .size = 0,
                          .checksum = 0});
  impl_->names.emplace(name);
  XXH3_64bits_reset(&impl_->hash);
  impl_->open = true;
}

void SectionWriter::append(const void* data, std::size_t size) {
  TAUT_ASSERT(impl_->open);
  if (size == 0) return;
  impl_->file.write(data, size);
  XXH3_64bits_update(&impl_->hash, data, size);
}

Bytes SectionWriter::commit() {
  impl_->close_section();
  const std::size_t table_size = impl_->table.size() * sizeof(TableEntry);
  const Footer footer{.table_offset = impl_->file.size(),
                      .table_entries = impl_->table.size(),
                      .checksum = seal(impl_->header, impl_->table.data(), table_size),
                      .magic = kMagic};
  impl_->file.write(impl_->table.data(), table_size);
  impl_->file.write(&footer, sizeof(footer));
  const Bytes size{static_cast<std::int64_t>(impl_->file.size())};
  impl_->file.commit();
  return size;
}

SectionIdentity identify_sections(const std::string& path) {
  return identify_sections(MappedFile(path).bytes(), path);
}

SectionIdentity identify_sections(std::span<const std::byte> bytes, const std::string& path) {
  const Header header = read_header(bytes, path);
  return {.kind = plain_text(header.kind), .version = header.version};
}

SectionReader::SectionReader(const std::string& path, std::string_view kind, std::uint32_t version)
    : SectionReader(MappedFile(path), path, kind, version) {}

SectionReader::SectionReader(MappedFile file, const std::string& path, std::string_view kind,
                             std::uint32_t version)
    : path_(path), file_(std::move(file)) {
  const std::span<const std::byte> bytes = file_.bytes();
  const Header header = read_header(bytes, path, kind, version);
  const std::span<const TableEntry> table = read_table(bytes, path, header);
  for (const TableEntry& entry : table) {
    entries_.push_back(
        {plain_text(entry.name), entry.offset, entry.size, entry.checksum, entries_.size()});
  }
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.name < b.name; });
  const auto twice =
      std::adjacent_find(entries_.begin(), entries_.end(),
                         [](const Entry& a, const Entry& b) { return a.name == b.name; });
  if (twice != entries_.end()) {
    throw_format(concat("the file is damaged: two sections \"", twice->name, "\""), path);
  }
}

const SectionReader::Entry* SectionReader::find(std::string_view name) const noexcept {
  const auto found = std::lower_bound(
      entries_.begin(), entries_.end(), name,
      [](const Entry& entry, std::string_view wanted) { return entry.name < wanted; });
  return found == entries_.end() || found->name != name ? nullptr : &*found;
}

const SectionReader::Entry& SectionReader::require(std::string_view name) const {
  const Entry* entry = find(name);
  if (entry == nullptr) {
    throw_format(concat("section \"", name, "\" is missing"), path_, {});
  }
  return *entry;
}

bool SectionReader::has(std::string_view name) const noexcept {
  return find(name) != nullptr;
}

std::span<const std::byte> SectionReader::section(std::string_view name) const {
  const Entry& entry = require(name);
  const std::span<const std::byte> bytes = file_.bytes().subspan(entry.offset, entry.size);
  if (hash_bytes(bytes.data(), bytes.size()) != entry.checksum) {
    throw_format(concat("damaged: checksum of section \"", name, "\" differs"), path_);
  }
  return bytes;
}

std::span<const std::byte> SectionReader::unverified_section(std::string_view name) const {
  const Entry& entry = require(name);
  return file_.bytes().subspan(entry.offset, entry.size);
}

std::string_view SectionSource::text(std::string_view name) const {
  const std::span<const std::byte> bytes = section(name);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<std::string> SectionReader::names() const {
  std::vector<const Entry*> placed;
  placed.reserve(entries_.size());
  for (const Entry& entry : entries_) placed.push_back(&entry);
  std::sort(placed.begin(), placed.end(),
            [](const Entry* a, const Entry* b) { return a->number < b->number; });
  std::vector<std::string> names;
  names.reserve(placed.size());
  for (const Entry* entry : placed) names.push_back(entry->name);
  return names;
}

Bytes SectionReader::section_bytes(std::string_view name) const {
  return Bytes{static_cast<std::int64_t>(require(name).size)};
}

void SectionSource::throw_bad_size(std::string_view name) const {
  throw_format(concat("section \"", name, "\" has a size that does not fit"), path(), {});
}

}  // namespace taut
