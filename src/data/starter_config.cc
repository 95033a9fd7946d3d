#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "files_beside.h"
#include "split_choice.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/data/init.h"

namespace taut::data {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kListWidth = 90;
constexpr std::size_t kCommentColumn = 30;
constexpr std::size_t kMostNamed = 10;  // columns in a message

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

std::string file_line(const std::string& key, const fs::path& path, const std::string& base) {
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
  if (options.thousands != usual.thousands) {
    text += line(concat("thousands = ", quoted(options.thousands)), "between digits of numbers");
  }
  if (!options.na_values.empty()) {
    text += line(concat("na_values = ", list_of(options.na_values, 12)), "missing, beside empty");
  }
  if (options.encoding != usual.encoding) {
    text += concat("encoding = ", quoted(std::string(spelling_of(options.encoding))), "\n");
  }
  return text;
}

// without: what is said where there is no such file.
std::string file_line(const std::string& key, const FileBeside& file, const std::string& base,
                      const std::string& without) {
  if (file.path.empty()) return line(concat("# ", key, " = \"...\""), without);
  std::string setting = file_line(key, file.path, base);
  if (file.unused.empty()) return setting;
  return line("# " + setting.substr(0, setting.size() - 1), one_line(file.unused));
}

// A model needs something to go by.
void check_inputs(const SchemaGuess& guess) {
  if (!guess.schema.dense.empty() || !guess.schema.categorical.empty()) return;
  std::vector<std::string> left;
  for (const ColumnGuess& column : guess.columns) {
    if (column.role != GuessedRole::kSkipped || left.size() == kMostNamed) continue;
    left.push_back(one_line(concat("\"", column.name, "\": ", column.reason)));
  }
  throw Error(ErrorKind::kData, "no column is left as an input", guess.path,
              left.empty() ? "there is no column but the label and the time"
                           : concat("left out are ", join(left, "; ")));
}

// What goes by the number of rows: steps are what a network learns in, and a small set has few.
struct Scale {
  std::int64_t batch = 2048;
  std::int64_t epochs = 1;
  bool whole_tables = false;  // nothing is worth saving
};

constexpr std::int64_t kStepsOfAnEpoch = 100;  // at least, where rows allow
constexpr std::int64_t kStepsOfARun = 300;
constexpr std::int64_t kSmallestBatch = 64;
constexpr std::int64_t kLargestBatch = 2048;
constexpr std::int64_t kMostEpochs = 10;
constexpr std::int64_t kDim = 16;
constexpr std::int64_t kSmallTables = std::int64_t{1} << 20;  // bytes

std::int64_t table_bytes(const SchemaGuess& guess) {
  return guess.ids * (4 * kDim + 4);
}

Scale scale_of(const SchemaGuess& guess, std::int64_t rows) {
  Scale scale{.batch = kSmallestBatch, .epochs = 1, .whole_tables = false};
  while (scale.batch < kLargestBatch && rows / (2 * scale.batch) >= kStepsOfAnEpoch)
    scale.batch *= 2;
  const std::int64_t steps = std::max<std::int64_t>(1, rows / scale.batch);
  scale.epochs = std::clamp<std::int64_t>((kStepsOfARun + steps - 1) / steps, 1, kMostEpochs);
  if (steps >= kStepsOfAnEpoch && scale.batch == kLargestBatch) scale.epochs = 1;
  scale.whole_tables = table_bytes(guess) < kSmallTables;
  return scale;
}

bool can_be_used(const FileBeside& file) {
  return !file.path.empty() && file.unused.empty();
}

// Whether train's own rows are all that there is to measure on.
bool needs_split(const FilesBeside& files) {
  return !can_be_used(files.valid) && !can_be_used(files.test);
}

// The files, or parts of the training files where nothing else could be measured on.
std::string files_text(const SchemaGuess& guess, const FilesBeside& files,
                       const std::string& base) {
  const std::string valid =
      file_line("valid", files.valid, base, "not found beside it; needed for early_stop");
  const std::string test = file_line("test", files.test, base,
                                     "not found beside it; what the summary's AUC is measured on");
  if (!needs_split(files)) {
    return file_line("train", files.train, base) + valid + test;
  }
  const SplitChoice split = choose_split(guess, files.train.string());
  const auto part = [&](const char* key, const std::string& rows) {
    return file_line(key, files.train.string() + rows, base);
  };
  return concat(files.valid.path.empty() ? "" : valid, files.test.path.empty() ? "" : test,
                "# There are no other rows to measure on, so test is ", split.why,
                ", valid the one before.\n", part("train", split.train), part("valid", split.valid),
                part("test", split.test));
}

std::string data_section(const SchemaGuess& guess, const FilesBeside& files,
                         const std::string& base) {
  const Schema& schema = guess.schema;
  std::string text = "[data]\n";
  text += files_text(guess, files, base);
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
  check_inputs(guess);
  const bool has_dense = !guess.schema.dense.empty();
  std::string text =
      concat("# Written by taut init after a look at ", guess.sampled_rows, " rows of ",
             one_line(fs::path(guess.path).filename().string()), ".\n",
             "# Each column was taken for:\n", column_table(guess),
             "# Move names between the lists below, or leave them out, where that is wrong.\n\n");
  const FilesBeside files = files_beside(guess);
  const double share = files.train_files * (needs_split(files) ? kTrainShare : 1);
  const auto rows = static_cast<std::int64_t>(static_cast<double>(guess.rows) * share);
  const Scale scale = scale_of(guess, rows);
  const bool validates = can_be_used(files.valid) || needs_split(files);
  text += data_section(guess, files, base);
  text += "\n[model]\n";
  text += line("kind = \"dlrm\"", "or \"wide_deep\"");
  text += has_dense ? line("bottom = [64]", "hidden layers over the dense columns")
                    : line("bottom = []", "there are no dense columns");
  text += line("top = [128, 64]", "hidden layers over the dots of embeddings");
  text += "\n[embedding]\n";
  text += line("method = \"elastic\"", "or \"full\", \"hash\"");
  text += line(concat("dim = ", kDim), "numbers in the longest embedding");
  text += scale.whole_tables
              ? line("budget = \"1/1\"",
                     concat("all that the full tables take, for it is little: "
                            "at least ",
                            table_bytes(guess) / 1024, " KiB; or a part (\"1/10\"), or bytes"))
              : line("budget = \"1/10\"", "of what the full table takes; or bytes: \"16MiB\"");
  text +=
      line("value_type = \"mixed\"", "how numbers are held: fp32, or fewer bits to hold more rows");
  text += "\n[train]\n";
  const std::int64_t steps = (rows + scale.batch - 1) / scale.batch;
  text +=
      line(concat("epochs = ", scale.epochs),
           scale.epochs == 1 ? std::string("passes over train")
                             : concat("few rows: ", scale.epochs, " passes of ", steps, " steps"));
  text += line(concat("batch_size = ", scale.batch),
               scale.batch == kLargestBatch
                   ? std::string("rows of a step")
                   : concat("small, since train has ", rows, " rows: ", steps, " steps an epoch"));
  if (scale.epochs > 1 && validates) {
    text += line("early_stop = 2", "epochs without a better result on valid; the best is kept");
  }
  text += line("optimizer = \"adam\"", "of the dense layers; embeddings use row-wise Adagrad");
  text += "learning_rate = 0.001\n";
  text += line("checkpoint_every = \"5m\"", "or steps: 1000");
  text += line("log_every = 50", "steps");
  return text;
}

}  // namespace taut::data
