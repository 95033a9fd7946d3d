#include "file_kind.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "taut/core/error.h"

namespace taut::data {
namespace {

using namespace std::string_view_literals;

struct Magic {
  std::string_view bytes;
  FileKind kind;
};

constexpr Magic kMagics[] = {
    {"ARROW1"sv, {kArrowKind, "name it .arrow, or set format to arrow"}},
    {"\xFF\xFF\xFF\xFF"sv,
     {"a stream of Arrow record batches", "write the batches as one Parquet file"}},
    {"FEA1"sv, {"a Feather file of version 1", "write it as Parquet"}},
    {"\x1F\x8B"sv, {"a gzip file", "unpack it: gunzip FILE"}},
    {"\x28\xB5\x2F\xFD"sv, {"a Zstandard file", "unpack it: unzstd FILE"}},
    {"BZh"sv, {"a bzip2 file", "unpack it: bunzip2 FILE"}},
    {"\xFD"
     "7zXZ\0"sv,
     {"an xz file", "unpack it: unxz FILE"}},
    {"\x04\x22\x4D\x18"sv, {"an LZ4 file", "unpack it: unlz4 FILE"}},
    {"PK\x03\x04"sv, {"a zip file (or a spreadsheet)", "unpack it, or save the sheet as CSV"}},
    {"ORC"sv, {"an ORC file", "write it as Parquet"}},
    {"Obj\x01"sv, {"an Avro file", "write it as Parquet"}},
    {"SQLite format 3"sv, {"an SQLite data base", "export the table as CSV"}},
    {"\x89HDF\r\n\x1A\n"sv, {"an HDF5 file", "write the table as Parquet"}},
    {"\x93NUMPY"sv, {"a NumPy array", "write it with column names as Parquet"}},
    {"\x80\x04"sv, {"a Python pickle", "write it as Parquet"}},
    {"\x80\x05"sv, {"a Python pickle", "write it as Parquet"}},
    {"PARE"sv, {"a Parquet file with an encrypted footer", "write it without encryption"}},
};

// A header of a Parquet Bloom filter in Thrift's compact form: {1: bytes, 2: BLOCK, 3: XXHASH,
// 4: UNCOMPRESSED}.
bool is_bloom_filter(std::string_view head) {
  if (!head.starts_with('\x15')) return false;
  const auto varint_end = std::find_if(head.begin() + 1, head.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0x80) == 0;
  });
  if (varint_end == head.end()) return false;
  constexpr std::string_view kRest = "\x1C\x1C\0\0\x1C\x1C\0\0\x1C\x1C\0\0\0"sv;
  return std::string_view(varint_end + 1, head.end()).starts_with(kRest);
}

}  // namespace

std::optional<FileKind> known_kind(std::string_view head, std::string_view tail) {
  for (const Magic& magic : kMagics) {
    if (head.starts_with(magic.bytes)) return magic.kind;
  }
  if (head.starts_with("PAR1") && tail == "PARE") {
    return FileKind{"a Parquet file with an encrypted footer", "write it without encryption"};
  }
  if (head.starts_with("PAR1") && tail == "PAR1") {
    return FileKind{kParquetKind, "name it .parquet, or set format to parquet"};
  }
  if (is_bloom_filter(head)) {
    return FileKind{"a Parquet Bloom filter alone", "it holds no rows: name the file of the rows"};
  }
  return std::nullopt;
}

namespace {

bool is_stream(const std::string& path) {
  std::error_code unknown;
  return std::filesystem::is_other(std::filesystem::status(path, unknown));
}

}  // namespace

std::optional<FileKind> kind_of_file(const std::string& path) {
  if (is_stream(path)) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  std::string head(64, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  file.clear();
  std::string tail(4, '\0');
  if (!file.seekg(-4, std::ios::end) || !file.read(tail.data(), 4)) tail.clear();
  return known_kind(head, tail);
}

void refuse_stream(const std::string& path) {
  if (!is_stream(path)) return;
  throw Error(ErrorKind::kIo, "expected a file, found a pipe or device", path,
              "write the rows to a file and name it");
}

}  // namespace taut::data
