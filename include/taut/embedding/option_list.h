#pragma once
// The one list of the options of embeddings. Configs, JSON and Python keywords, the text in
// checkpoints, range checks, help and the table in docs/embedding.md all walk it.

#include <cmath>
#include <concepts>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "taut/core/spelling.h"
#include "taut/core/text.h"
#include "taut/embedding/options.h"

namespace taut::embedding {

/// Where users may give an option. Checkpoints hold every one.
enum class GivenIn {
  kBoth,    ///< a key of [embedding] and a keyword of ElasticEmbeddingBag
  kConfig,  ///< the key alone; Python has an argument of its own for it
  kPython,  ///< the keyword alone; configs have a key of another section for it
  kNone,    ///< made from the data or from other arguments
};

/// One option of an Options: the member that it stands for, and all that is said about it.
template <typename T>
struct Option {
  std::string_view key;
  T& value;
  std::string_view range;  ///< what it may be; empty for names, which list themselves
  std::string_view help;   ///< one line
  bool good = true;        ///< whether the value is in range
  GivenIn given = GivenIn::kBoth;
  std::string wanted = {};  ///< what errors ask for, where that names other options' values

  [[nodiscard]] bool in_config() const noexcept {
    return given == GivenIn::kBoth || given == GivenIn::kConfig;
  }
  [[nodiscard]] bool in_python() const noexcept {
    return given == GivenIn::kBoth || given == GivenIn::kPython;
  }
};

/// The type of an option's member.
template <typename AnyOption>
using OptionValue = std::remove_cvref_t<decltype(std::declval<AnyOption>().value)>;

/// Calls visit(Option<T>) for every option, in the order of docs and files. AnyOptions is Options
/// or const Options.
template <typename AnyOptions, typename Visit>
  requires std::same_as<std::remove_const_t<AnyOptions>, Options>
void visit_options(AnyOptions& o, Visit&& visit) {
  const auto one = [&](std::string_view key, auto& value, std::string_view range,
                       std::string_view help, bool good, GivenIn given = GivenIn::kBoth,
                       std::string wanted = {}) {
    using T = std::remove_reference_t<decltype(value)>;
    visit(Option<T>{key, value, range, help, good, given, std::move(wanted)});
  };
  const auto name = [&](std::string_view key, auto& value, std::string_view help) {
    one(key, value, {}, help, true);
  };
  const auto above_0 = [&](std::string_view key, auto& value, std::string_view help) {
    one(key, value, "above 0", help, std::isfinite(value) && value > 0);
  };
  const auto from_to = [](double value, double low, double high) {
    return value >= low && value <= high;  // false for NaN
  };
  name("method", o.method, "what holds the rows (see Methods)");
  one("dim", o.dim, "a multiple of 4 from 4 to 512", "full length D of a row, in values",
      o.dim >= 4 && o.dim <= 512 && o.dim % 4 == 0, GivenIn::kConfig);
  one("tables", o.tables, "one or more", "name and distinct ids (0: not known) of each table",
      !o.tables.empty(), GivenIn::kNone);
  one("budget", o.budget, "0 bytes or more",
      "bytes of all tables together (16MiB), or a ratio of the full ones (1/10); all counts",
      o.budget.count >= 0, GivenIn::kConfig);
  name("value_type", o.value_type, "how values are stored; mixed is elastic's, fp32 elsewhere");
  name("admission", o.admission, "how a row that is not held gets in");
  name("keys", o.keys, "rows are found by a 16-bit tag, or by their whole 64-bit key");
  one("cold_share", o.cold_share, "at most 0.9 (negative: chosen)",
      "share of the budget for the cold pool", o.cold_share <= 0.9);
  one("chunk", o.chunk, "0, or even, a divisor of dim, at most 32 chunks a row",
      "values per chunk; 0: the shortest that gives at most 32",
      o.chunk == 0 ||
          (o.chunk >= 2 && o.chunk % 2 == 0 && o.dim % o.chunk == 0 && o.dim / o.chunk <= 32),
      GivenIn::kBoth, concat("0, or even, divide dim ", o.dim, " and give at most 32 chunks"));
  one("beta", o.beta, "at most 16 (negative: chosen)",
      "the k-th chunk of a row is worth importance * k^-beta", o.beta <= 16);
  one("decay", o.decay, "above 0, at most 1",
      "what importances are multiplied by at each rebalance; 1 on shuffled data",
      o.decay > 0 && o.decay <= 1);
  one("period", o.period, "1 step or more", "steps between two rebalances", o.period >= 1);
  name("optimizer", o.optimizer, "how a row follows its gradient, summed over the batch");
  above_0("learning_rate", o.learning_rate, "for gradients of the summed loss");
  one("initial_accumulator", o.initial_accumulator, "0 or more", "what Adagrad's sums start from",
      from_to(o.initial_accumulator, 0, 1e30));
  above_0("epsilon", o.epsilon, "added to the root of Adagrad's and Adam's sums");
  one("adam_beta1", o.adam_beta1, "in [0, 1)", "Adam's decay of the momentum",
      o.adam_beta1 >= 0 && o.adam_beta1 < 1);
  one("adam_beta2", o.adam_beta2, "in [0, 1)", "Adam's decay of the second moment",
      o.adam_beta2 >= 0 && o.adam_beta2 < 1);
  one("gradient_clip", o.gradient_clip, "0 (none) or more",
      "largest L2 norm of a row's summed gradient", from_to(o.gradient_clip, 0, 1e30));
  one("l2", o.l2, "0 or more", "adds l2 * value to the gradient of the rows of a batch",
      from_to(o.l2, 0, 1e30));
  name("on_nan", o.on_nan, "a batch whose gradient is not finite: an error, or left out, counted");
  one("seed", o.seed, "a whole number, 0 or more",
      "of initial values, rounding and admission; configs: train.seed", true, GivenIn::kPython);
  one("sketch_share", o.sketch_share, "above 0, at most 0.5",
      "share of the budget for the sketch of admission = sketch",
      from_to(o.sketch_share, 1e-6, 0.5));
  one("reserve", o.reserve, "from 0 to 0.5", "share of the pages left free for what comes in",
      from_to(o.reserve, 0, 0.5));
  one("hysteresis", o.hysteresis, "from 0 to 2",
      "how much more a held chunk counts than one that wants in", from_to(o.hysteresis, 0, 2));
  one("precision_ratio", o.precision_ratio, "from 1 to 1000000",
      "mixed: 16-bit values from this multiple of a chunk's threshold on",
      from_to(o.precision_ratio, 1, 1e6));
  above_0("cold_learning_rate", o.cold_learning_rate, "learning rate of the cold pool");
}

/// A value as text: names by their spelling, bytes as a number, tables as their count; other
/// numbers with so many significant digits.
template <typename T>
[[nodiscard]] std::string option_text(const T& value, int digits = 6) {
  if constexpr (Spelled<T>) {
    return std::string(spelling_of(value));
  } else if constexpr (std::same_as<T, Bytes>) {
    return std::to_string(value.count);
  } else if constexpr (std::same_as<T, std::vector<TableOptions>>) {
    return std::to_string(value.size());
  } else {
    std::ostringstream text;
    text.precision(digits);
    text << value;
    return std::move(text).str();
  }
}

/// The value of a name. Throws kConfig naming the key, with the nearest known name.
template <Spelled Enum>
[[nodiscard]] Enum parse_option(std::string_view key, std::string_view text) {
  return parse_spelling<Enum>(text, ErrorKind::kConfig, key, concat("embedding.", key));
}

/// What help and docs show of an option.
struct OptionFacts {
  std::string key;
  std::string initial;  ///< its value when not given; empty: must be given
  std::string range;    ///< what it may be; names with commas between them
  std::string help;
  bool in_config = false;
  bool in_python = false;
};

/// All options, in order.
[[nodiscard]] std::vector<OptionFacts> option_facts();

/// The same as a table in Markdown: key, default, range, meaning, where it is given.
[[nodiscard]] std::string option_table();

}  // namespace taut::embedding
