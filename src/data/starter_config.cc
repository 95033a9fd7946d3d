#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "taut/core/text.h"
#include "taut/data/init.h"

namespace taut::data {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kListWidth = 90;
constexpr std::size_t kCommentColumn = 30;

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      constexpr const char* kDigits = "0123456789ABCDEF";
      result += concat("\\u00", kDigits[c >> 4], kDigits[c & 15]);
    } else {
      result += c;
    }
  }
  return result + "\"";
}

// ["a", "b", ...] over as many lines as it takes.
std::string list_of(const std::vector<std::string>& names, std::size_t indent) {
  std::string text = "[";
  std::size_t width = indent + 1;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string item = quoted(names[i]) + (i + 1 < names.size() ? "," : "");
    if (i > 0 && width + item.size() > kListWidth) {
      text += "\n" + std::string(indent + 1, ' ');
      width = indent + 1;
    } else if (i > 0) {
      text += ' ';
    }
    text += item;
    width += item.size() + 1;
  }
  return text + "]";
}

// A line with its comment in one column with the others'.
std::string line(const std::string& setting, const std::string& comment) {
  const std::size_t pad = setting.size() < kCommentColumn ? kCommentColumn - setting.size() : 1;
  return concat(setting, std::string(pad, ' '), "# ", comment, "\n");
}

std::string role_name(GuessedRole role) {
  switch (role) {
    case GuessedRole::kLabel:
      return "label";
    case GuessedRole::kTime:
      return "time";
    case GuessedRole::kDense:
      return "dense";
    case GuessedRole::kCategorical:
      return "categorical";
    case GuessedRole::kSkipped:
      return "left out";
  }
  return "";
}

// What the lines of comment say must not break out of them.
std::string one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, '?');
  return text;
}

std::string column_table(const SchemaGuess& guess) {
  std::size_t width = 0;
  for (const ColumnGuess& column : guess.columns) width = std::max(width, column.name.size());
  std::string text;
  for (const ColumnGuess& column : guess.columns) {
    const std::string pad(width - column.name.size(), ' ');
    const std::string role = role_name(column.role);
    text +=
        one_line(concat("#   ", column.name, pad, "  ", role, std::string(11 - role.size(), ' '),
                        "  ", column.type, ": ", column.reason)) +
        "\n";
  }
  return text;
}

struct Files {
  fs::path train;
  fs::path valid;
  fs::path test;
};

fs::path first_existing(const fs::path& folder, const std::string& ending,
                        std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const fs::path path = folder / (name + ending);
    if (fs::is_regular_file(path)) return path;
  }
  return {};
}

// train.parquet, or one of train-0.parquet, train-1.parquet ... (then all of them), brings what is
// beside it.
Files files_beside(const std::string& path) {
  Files files{.train = fs::absolute(path).lexically_normal(), .valid = {}, .test = {}};
  const fs::path folder = files.train.parent_path();
  const std::string ending = files.train.extension().string();
  const std::string stem = files.train.stem().string();
  if (!stem.starts_with("train")) return files;
  const std::string part = stem.substr(5);
  const bool numbered = part.size() > 1 && (part[0] == '-' || part[0] == '_') &&
                        part.find_first_not_of("0123456789", 1) == std::string::npos;
  if (!part.empty() && !numbered) return files;
  if (numbered) files.train = folder / concat("train", part[0], "*", ending);
  files.valid = first_existing(folder, ending, {"valid", "validation", "val"});
  files.test = first_existing(folder, ending, {"test"});
  return files;
}

std::string file_line(const std::string& key, const fs::path& path, const std::string& base,
                      const std::string& without) {
  if (path.empty()) return line(concat("# ", key, " = \"...\""), without);
  const fs::path shown =
      base.empty() ? path : path.lexically_relative(fs::absolute(base).lexically_normal());
  return concat(key, " = ", quoted((shown.empty() ? path : shown).string()), "\n");
}

// How texts are read, where that is not by default.
std::string text_lines(const TextOptions& options) {
  const TextOptions usual;
  std::string text;
  if (options.separator != usual.separator) {
    text += line(concat("separator = ", quoted(options.separator)), "between fields");
  }
  if (options.list_separator != usual.list_separator) {
    text += line(concat("list_separator = ", quoted(options.list_separator)),
                 "cuts texts into lists of ids; \"\": none");
  }
  if (!options.na_values.empty()) {
    text += line(concat("na_values = ", list_of(options.na_values, 12)), "missing, beside empty");
  }
  if (options.encoding != usual.encoding) {
    text += concat("encoding = ", quoted(std::string(spelling_of(options.encoding))), "\n");
  }
  return text;
}

std::string data_section(const SchemaGuess& guess, const std::string& base) {
  const Schema& schema = guess.schema;
  const Files files = files_beside(guess.path);
  std::string text = "[data]\n";
  text += file_line("train", files.train, base, "");
  text += file_line("valid", files.valid, base, "not found beside it; needed for early_stop");
  text += file_line("test", files.test, base,
                    "not found beside it; what the summary's AUC is measured on");
  text += concat("format = ", quoted(guess.format), "\n");
  text += concat("label = ", quoted(schema.label), "\n");
  text += concat("dense = ", list_of(schema.dense, 8), "\n");
  text += concat("categorical = ", list_of(schema.categorical, 14), "\n");
  if (!schema.time.empty()) text += concat("time = ", quoted(schema.time), "\n");
  const std::string scaling(spelling_of(guess.scaling));
  text += line(concat("scaling = ", quoted(scaling)),
               "of dense columns, learnt on train: standard, log (long tails) or none");
  text += line(concat("on_bad_row = ", quoted(std::string(spelling_of(guess.on_bad_row)))),
               "fail, or skip: count them and name the first ten");
  text += text_lines(guess.text);
  text += line("shuffle = 1000000", "rows of the shuffle buffer; 0: file order");
  return text;
}

}  // namespace

std::string starter_config(const SchemaGuess& guess, const std::string& base) {
  const bool has_dense = !guess.schema.dense.empty();
  std::string text =
      concat("# Written by taut init after a look at ", guess.sampled_rows, " rows of ",
             one_line(fs::path(guess.path).filename().string()), ".\n",
             "# Each column was taken for:\n", column_table(guess),
             "# Move names between the lists below, or leave them out, where that is wrong.\n\n");
  text += data_section(guess, base);
  text += "\n[model]\n";
  text += line("kind = \"dlrm\"", "or \"wide_deep\"");
  text += has_dense ? line("bottom = [64]", "hidden layers over the dense columns")
                    : line("bottom = []", "there are no dense columns");
  text += line("top = [128, 64]", "hidden layers over the dots of embeddings");
  text += "\n[embedding]\n";
  text += line("method = \"elastic\"", "or \"full\", \"hash\"");
  text += line("dim = 16", "numbers in the longest embedding");
  text += line("budget = \"1/10\"", "of what the full table takes; or bytes: \"16MiB\"");
  text +=
      line("value_type = \"mixed\"", "how numbers are held: fp32, or fewer bits to hold more rows");
  text += "\n[train]\n";
  text += "epochs = 1\n";
  text += "batch_size = 2048\n";
  text += line("optimizer = \"adam\"", "of the dense layers; embeddings use row-wise Adagrad");
  text += "learning_rate = 0.001\n";
  text += line("checkpoint_every = \"5m\"", "or steps: 1000");
  text += line("log_every = 50", "steps");
  return text;
}

}  // namespace taut::data
