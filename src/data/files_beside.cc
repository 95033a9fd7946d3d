#include "files_beside.h"

#include <initializer_list>

#include "files.h"
#include "taut/core/error.h"
#include "taut/data/reader.h"

namespace taut::data {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kRowsTried = 1024;

fs::path first_existing(const fs::path& folder, const std::string& ending,
                        std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const fs::path path = folder / (name + ending);
    if (fs::is_regular_file(path)) return path;
  }
  return {};
}

// Reads the first rows.
void try_rows(const fs::path& path, const SchemaGuess& guess, const Schema& schema) {
  ReaderOptions options;
  options.files = {path.string()};
  options.format = guess.format;
  options.schema = schema;
  set_text_options(guess.text, "", options);
  options.on_bad_row = OnBadRow::kSkip;
  options.batch_size = kRowsTried;
  options.prefetch = false;
  BatchReader reader(options);
  Batch batch;
  (void)reader.next(batch);
}

FileBeside try_file(const fs::path& path, const SchemaGuess& guess) {
  FileBeside file{.path = path, .unused = {}};
  if (path.empty()) return file;
  try {
    try_rows(path, guess, guess.schema);
    return file;
  } catch (const Error& failed) {
    file.unused = failed.what();
  }
  Schema unlabelled = guess.schema;
  unlabelled.label.clear();
  try {
    try_rows(path, guess, unlabelled);
    file.unused = "no label: for predict";
  } catch (const Error& failed) {
    if (failed.kind() != ErrorKind::kNotFound) file.unused.clear();
  }
  return file;
}

double bytes_of(const std::string& pattern) {
  double bytes = 0;
  for (const std::string& path : expand_glob(pattern)) {
    bytes += static_cast<double>(fs::file_size(path));
  }
  return bytes;
}

}  // namespace

FilesBeside files_beside(const SchemaGuess& guess) {
  FilesBeside files{.train = fs::absolute(guess.path).lexically_normal(), .valid = {}, .test = {}};
  const fs::path folder = files.train.parent_path();
  const std::string ending = files.train.extension().string();
  const std::string stem = files.train.stem().string();
  if (!stem.starts_with("train")) return files;
  const std::string part = stem.substr(5);
  const bool numbered = part.size() > 1 && (part[0] == '-' || part[0] == '_') &&
                        part.find_first_not_of("0123456789", 1) == std::string::npos;
  if (!part.empty() && !numbered) return files;
  if (numbered) {
    const fs::path all = folder / ("train" + std::string(1, part[0]) + "*" + ending);
    files.train_files = bytes_of(all.string()) / bytes_of(files.train.string());
    files.train = all;
  }
  files.valid = try_file(first_existing(folder, ending, {"valid", "validation", "val"}), guess);
  files.test = try_file(first_existing(folder, ending, {"test"}), guess);
  return files;
}

}  // namespace taut::data
