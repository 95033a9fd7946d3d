#pragma once
// A frozen recommender in one memory-mapped file, and scoring with it: no LibTorch.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "taut/core/file.h"
#include "taut/core/thread_pool.h"
#include "taut/embedding/embedding.h"

namespace taut::infer {

/// One linear layer, weights input-major: weight[i * outputs + o].
struct LinearLayer {
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  std::span<const float> weight;  ///< [inputs, outputs]
  std::span<const float> bias;    ///< [outputs]
};

/// What the dense half of a recommender computes; see nn::RecommenderOptions for kind, interaction
/// and winner_rate.
struct RecommenderSpec {
  std::string kind;
  std::string interaction;
  std::int64_t dense = 0;
  std::int64_t tables = 0;
  std::int64_t dim = 0;
  std::vector<LinearLayer> bottom;
  std::vector<LinearLayer> top;
  double winner_rate = 1.0;
  std::span<const float> wide;  ///< [dense] or empty
};

/// Writes the dense half as sections "model" (JSON) and "dense/...". Spans must fit the sizes.
void write_recommender(SectionWriter& file, const RecommenderSpec& spec);

/// Kind and version of package files.
inline constexpr std::string_view kPackageKind = "package";
inline constexpr std::uint32_t kPackageVersion = 2;

/// An opened package. Memory is planned at the start of a call; weights and tables are read from
/// the mapping, so that several processes share them. Threads: predict() may be called at once from
/// several threads with different pools. Errors: kNotFound, kFormat naming file and section.
class Package {
 public:
  explicit Package(const std::string& path);

  /// What the writer kept beside the model: schema, scaling, origin (JSON text).
  [[nodiscard]] std::string_view metadata() const;
  [[nodiscard]] const RecommenderSpec& spec() const noexcept { return spec_; }
  /// The tables, or null when there are none. Valid while the package lives.
  [[nodiscard]] const embedding::FrozenEmbedding* tables() const noexcept {
    return embedding_.get();
  }
  [[nodiscard]] const SectionReader& file() const noexcept { return file_; }

  /// dense [batch, spec().dense], ids one per table; writes probabilities [batch]. The same bits
  /// for any number of threads. Throws kInvalidArgument for sizes that differ.
  void predict(std::int64_t batch, std::span<const float> dense,
               std::span<const embedding::JaggedIds> ids, std::span<float> probabilities,
               ThreadPool& pool) const;

 private:
  SectionReader file_;
  RecommenderSpec spec_;
  std::unique_ptr<embedding::FrozenEmbedding> embedding_;
};

/// The instruction set whose kernels run here ("AVX3", "AVX2", "SSE4", "NEON", ...).
[[nodiscard]] std::string kernel_target();

}  // namespace taut::infer
