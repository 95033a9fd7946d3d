#pragma once
// Scores data with a package, whatever it is for, or with an ONNX file: no LibTorch.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "taut/core/thread_pool.h"
#include "taut/data/reader.h"
#include "taut/data/score_writer.h"
#include "taut/embedding/embedding.h"
#include "taut/infer/engine.h"
#include "taut/infer/model.h"
#include "taut/infer/onnx_reader.h"

namespace taut::cli {

/// What to read, and how much at a time.
struct ScoringOptions {
  std::vector<std::string> files;
  std::int64_t batch = 2048;
  int threads = 0;
  bool labelled = false;               ///< labels are needed
  std::vector<std::string> sets = {};  ///< --set, as DataSettings takes them
};

/// A model to score with. Both pointers are into what is held.
struct OpenedModel {
  std::shared_ptr<const void> held;
  const infer::Model* model = nullptr;
  const embedding::FrozenEmbedding* tables = nullptr;
  std::string path;
};

/// Declares what an ONNX file does not say of its images: --mean, --deviation, --size, --dim.
/// Both must live as long as the command.
void add_onnx_input_options(CLI::App& app, infer::OnnxInput& input,
                            std::vector<std::string>& dimensions);

/// Throws kConfig where anything of it was given: the path is no ONNX file.
void refuse_onnx_input(const std::string& path, const infer::OnnxInput& input);

/// One pass over data, as a network reads it. Reused from batch to batch.
class ScoringPass {
 public:
  virtual ~ScoringPass() = default;
  /// The next batch; false at the end.
  virtual bool next() = 0;
  /// Of the present batch. Valid until next().
  [[nodiscard]] virtual infer::Inputs inputs() const = 0;
  /// [batch], 1 for an example that is in the files and has no values; empty: none has none.
  [[nodiscard]] virtual std::span<const std::uint8_t> left_out() const = 0;
  /// An example of the present batch for messages: "test.csv, row 17".
  [[nodiscard]] virtual std::string name(std::size_t example) const = 0;
  /// What was left out of all batches so far.
  [[nodiscard]] virtual data::BadRows bad_rows() const = 0;
  /// Examples of the whole pass; -1: not known.
  [[nodiscard]] virtual std::int64_t known_examples() const = 0;
  /// Takes the logits of the present batch into the quality. Only where labels were asked for.
  virtual void judge(std::span<const float> logits) = 0;
  /// Measures over all batches that were judged.
  [[nodiscard]] virtual nlohmann::json quality() const = 0;
};

/// What commands ask of a package: one class a task.
class Scorer {
 public:
  virtual ~Scorer() = default;

  /// Scores files and writes them, unless out is null. all: of every class, where there are
  /// several. A bad row (where the model or a setting says that they are left out), and one whose
  /// score is not a number, keeps its number and has an empty score; a warning counts them.
  /// Returns rows, bad_rows, unscored_rows, batch, seconds, examples_per_second, latency.
  [[nodiscard]] nlohmann::json predict(const ScoringOptions& options, bool all,
                                       const std::string* out) const;
  /// Writes what the network reads of every row, in the columns of input_columns(): what an ONNX
  /// file of the same run takes. Returns rows, bad_rows. Errors: kUnsupported for images.
  [[nodiscard]] nlohmann::json write_inputs(const ScoringOptions& options,
                                            const std::string& out) const;
  /// Quality on files; those that the package names when files is empty. Errors: kConfig when it
  /// names none.
  [[nodiscard]] nlohmann::json evaluate(ScoringOptions options) const;

 protected:
  explicit Scorer(OpenedModel opened);

  [[nodiscard]] const infer::Model& model() const noexcept { return *opened_.model; }
  [[nodiscard]] const std::string& path() const noexcept { return opened_.path; }
  [[nodiscard]] const embedding::FrozenEmbedding* tables() const noexcept { return opened_.tables; }
  [[nodiscard]] std::int64_t outputs() const noexcept { return engine_.outputs(); }

  /// pool: what may help to make batches.
  [[nodiscard]] virtual std::unique_ptr<ScoringPass> open(
      const ScoringOptions& options, const std::shared_ptr<ThreadPool>& pool) const = 0;
  /// What predict writes of a row.
  [[nodiscard]] virtual std::vector<data::ScoreColumn> columns(bool all) const = 0;
  /// The values of these columns. probabilities [rows, outputs()].
  [[nodiscard]] virtual std::vector<data::ScoreValues> values(std::span<const float> probabilities,
                                                              bool all) const = 0;
  /// What write_inputs() writes of a row, and the values of these columns.
  [[nodiscard]] virtual std::vector<data::ScoreColumn> input_columns() const;
  [[nodiscard]] virtual std::vector<data::ScoreValues> input_values(
      const infer::Inputs& inputs) const;

 private:
  OpenedModel opened_;
  infer::Engine engine_;
};

/// Opens a package for its task, or an .onnx file of an image classifier; warns where nobody says
/// how its images are normalized. Errors: those of infer::Package, infer::read_onnx_model and
/// infer::Engine; kFormat for an input that does not fit the network; kConfig for an onnx_input of
/// a package.
[[nodiscard]] std::unique_ptr<const Scorer> open_scorer(const std::string& path,
                                                        const infer::OnnxInput& onnx_input);

}  // namespace taut::cli
