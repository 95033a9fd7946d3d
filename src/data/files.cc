#include "files.h"

#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "file_kind.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

// How paths end.
constexpr auto kEndings = std::to_array<Spelling<Format>>({{".parquet", Format::kParquet},
                                                           {".arrow", Format::kArrow},
                                                           {".feather", Format::kArrow},
                                                           {".csv", Format::kCsv},
                                                           {".tsv", Format::kTsv},
                                                           {".txt", Format::kText},
                                                           {".inter", Format::kText}});

std::optional<Format> format_of_ending(std::string_view path) noexcept {
  for (const Spelling<Format>& ending : kEndings) {
    if (path.ends_with(ending.name)) return ending.value;
  }
  return std::nullopt;
}

bool exists(const std::string& path) {
  struct stat info{};
  return stat(path.c_str(), &info) == 0;
}

Format format_of(const std::string& path, const std::string& format) {
  const auto told = parse_spelling<Format>(format, ErrorKind::kConfig, "format");
  if (told != Format::kText) return told;
  if (const std::optional<Format> ending = format_of_ending(path)) return *ending;
  const std::optional<FileKind> kind = kind_of_file(path);
  throw Error(ErrorKind::kConfig, "the format does not follow from the file's ending", path,
              concat(kind ? concat("it is ", kind->what, ": ", kind->mend, "; or ") : "",
                     "name it .parquet, .csv, .tsv or .txt, or set format to parquet, "
                     "arrow, csv, tsv or criteo"));
}

void check_readable(const std::string& path) {
  struct stat info{};
  if (stat(path.c_str(), &info) != 0) {
    const ErrorKind kind =
        errno == ENOENT || errno == ENOTDIR ? ErrorKind::kNotFound : ErrorKind::kIo;
    throw Error(kind, kind == ErrorKind::kNotFound ? "no such file" : std::strerror(errno), path,
                "check the path; paths in a config are relative to the config");
  }
  if (S_ISDIR(info.st_mode)) {
    throw Error(ErrorKind::kIo, "is a directory, not a file", path,
                "name the files in it, for example with " + path + "/*.parquet");
  }
  refuse_stream(path);
  if (access(path.c_str(), R_OK) != 0) throw Error(ErrorKind::kIo, std::strerror(errno), path);
  if (info.st_size == 0) {
    throw Error(ErrorKind::kFormat, "the file is empty", path, "write it again");
  }
}

// A file is read as a whole or as one part.
void check_part(const std::string& path, const RowPart& part, const std::vector<InputFile>& files) {
  for (const InputFile& file : files) {
    if (file.path != path || file.part == part) continue;
    throw Error(ErrorKind::kConfig, "the file is named twice, with other parts of its rows", path,
                "name one part that holds both");
  }
}

}  // namespace

std::vector<std::string> expand_glob(const std::string& pattern) {
  if (exists(pattern) || pattern.find_first_of("*?[") == std::string::npos) return {pattern};
  glob_t matches{};
  const int status = glob(pattern.c_str(), GLOB_NOSORT, nullptr, &matches);
  std::vector<std::string> paths;
  if (status == 0) paths.assign(matches.gl_pathv, matches.gl_pathv + matches.gl_pathc);
  globfree(&matches);
  if (paths.empty()) {
    throw Error(ErrorKind::kNotFound, "no file matches the pattern", pattern,
                "check the pattern and the folder that it is relative to");
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

bool ends_like_table(const std::string& path) noexcept {
  return format_of_ending(path).has_value();
}

std::vector<InputFile> resolve_files(const ReaderOptions& options) {
  std::vector<InputFile> files = resolve_files(options.files, options.format);
  for (InputFile& file : files) {
    file.separator = options.separator;
    file.encoding = options.encoding;
  }
  return files;
}

std::vector<InputFile> resolve_files(std::span<const std::string> patterns,
                                     const std::string& format) {
  if (patterns.empty()) throw Error(ErrorKind::kConfig, "no files to read");
  std::vector<InputFile> files;
  for (const std::string& pattern : patterns) {
    const FileEntry entry = parse_file_entry(pattern);
    for (std::string& path : expand_glob(entry.path)) {
      check_readable(path);
      check_part(path, entry.part, files);
      const Format found = format_of(path, format);
      files.push_back({.path = std::move(path), .format = found, .part = entry.part});
    }
  }
  return files;
}

std::size_t find_column(const std::string& name, std::span<const std::string> columns,
                        const std::string& path) {
  const auto found = std::find(columns.begin(), columns.end(), name);
  if (found == columns.end()) {
    throw Error(ErrorKind::kNotFound, concat("no column \"", name, "\""), path,
                suggest(name, columns));
  }
  if (std::find(found + 1, columns.end(), name) != columns.end()) {
    throw Error(ErrorKind::kFormat, concat("two columns are called \"", name, "\""), path,
                "rename one of them");
  }
  return static_cast<std::size_t>(found - columns.begin());
}

}  // namespace taut::data
