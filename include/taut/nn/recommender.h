#pragma once
// The dense half of a recommender, on LibTorch: it takes pooled embeddings and gives their gradient
// back, so that the tables may live anywhere.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "taut/core/file.h"
#include "taut/core/thread_pool.h"
#include "taut/dist/process_group.h"
#include "taut/graph/network.h"
#include "taut/nn/named_tensor.h"

namespace taut::nn {

/// Shape and optimizer of a recommender.
struct RecommenderOptions {
  /// "dlrm": a bottom MLP over the dense columns, all pairwise dots, a top MLP (Naumov et al.,
  /// arXiv 1906.00091). "wide_deep": an MLP over everything plus a linear part, whose weight for an
  /// id is the first coordinate of its embedding (Cheng et al., arXiv 1606.07792).
  std::string kind = "dlrm";
  /// What the top MLP of a DLRM reads: "dots" (pairwise dots and the bottom's output, as published)
  /// or "dots_vectors" (pairwise dots and all vectors).
  std::string interaction = "dots_vectors";
  std::int64_t dense = 0;   ///< dense columns, may be 0: then there is no bottom MLP
  std::int64_t tables = 0;  ///< embedding vectors per example
  std::int64_t dim = 16;    ///< their length
  std::vector<std::int64_t> bottom = {64};    ///< hidden widths; the last layer to dim comes on top
  std::vector<std::int64_t> top = {128, 64};  ///< hidden widths; the last layer to 1 comes on top
  /// Share of the neurons that stay after each ReLU of both MLPs, in (0, 1]: those of largest value
  /// of each example (winners-take-all, DASNet, arXiv 1909.06964); the logit is no such layer.
  double winner_rate = 1.0;
  std::string optimizer = "adam";  ///< adam | adagrad | sgd
  double learning_rate = 1e-3;
  double weight_decay = 0;
  /// Training computes activations and products in bf16 (their sums, parameters, the interaction
  /// and the logit stay fp32); predictions are fp32.
  bool bf16 = false;
  /// Who multiplies in fp32: blas | onednn | auto, the faster on this processor (a rule).
  std::string products = "auto";
  /// Examples whose gradients are one sum, computed by one thread; these sums are added in the
  /// order of one binary tree over the batch, whoever has which: the same bits for any number of
  /// workers whose parts are cut by share_of() at whole pieces. 0: 8192, the faster on one process,
  /// cut at any example; sums over workers are then those of one process to rounding.
  std::int64_t piece = 0;
  std::uint64_t seed = 1;
};

/// Whether the processor has instructions for products in bf16; where it has none they are slower
/// than in fp32.
[[nodiscard]] bool has_bf16_products();

/// A batch as the dense half sees it. Views only.
struct RecommenderInput {
  std::int64_t batch = 0;
  std::span<const float> dense;    ///< [batch, dense]
  std::span<const float> vectors;  ///< [batch, tables, dim]
  /// With workers: examples of the batch of which these are a worker's part, which may be empty.
  std::int64_t whole = 0;
};

/// MLPs, interaction and their optimizer.
/// Threads: one call at a time. A batch is cut into slices of a fixed number of examples, each
/// computed by one thread, and their gradients are added in order: the same bits for any number of
/// threads.
/// Errors: kConfig for options out of range, kInvalidArgument for sizes that differ.
class Recommender {
 public:
  Recommender(const RecommenderOptions& options, std::shared_ptr<ThreadPool> pool);
  ~Recommender();
  Recommender(const Recommender&) = delete;
  Recommender& operator=(const Recommender&) = delete;

  [[nodiscard]] const RecommenderOptions& options() const noexcept;
  /// What is trained, with the present rates of winners (graph::recommender_network). Tables are
  /// named "table0", ...; how many rows they have is not known here.
  [[nodiscard]] const graph::Network& network() const noexcept;

  /// From now on train_step() is taken by these workers together, each with a part of a batch of
  /// input.whole examples: all end with the same parameters, those of one process where
  /// options().piece is given, else to rounding: gradients are then summed on each worker, then by
  /// rank. null: alone.
  void set_workers(std::shared_ptr<dist::ProcessGroup> workers);

  /// Another share of winners from now on, in training and prediction; options() keeps the first.
  /// Throws kConfig for a rate outside (0, 1].
  void set_winner_rate(double rate);

  /// One optimizer step on the mean binary cross-entropy. labels [batch]; writes logits [batch] (of
  /// the parameters before the step) and vectors_gradient [batch, tables, dim], the gradient of the
  /// SUMMED loss. Returns the summed loss, of all workers. A loss that is not finite throws kData
  /// and leaves the parameters as they were.
  double train_step(const RecommenderInput& input, std::span<const float> labels,
                    std::span<float> logits, std::span<float> vectors_gradient);

  /// logits [batch], without a step.
  void predict(const RecommenderInput& input, std::span<float> logits) const;

  /// Share of values that are not zero behind each site of the network, under the present rate.
  [[nodiscard]] std::vector<double> densities(const RecommenderInput& input) const;

  /// Parameters as sections prefix + "values/top.0.weight", ..., the optimizer's state as
  /// prefix + "optimizer/top.0.weight/exp_avg", ..., and shapes and steps as prefix + "tensors".
  void save(SectionSink& file, const std::string& prefix) const;
  /// Restores the same bits. kFormat naming the section when shapes or optimizer differ; then
  /// nothing has changed.
  void load(const SectionSource& file, const std::string& prefix);

  /// All parameters in order ("bottom.0.weight" [out, in], "bottom.0.bias", ..., "top.2.bias",
  /// "wide.weight" [1, dense]).
  [[nodiscard]] std::vector<NamedTensor> parameters() const;
  [[nodiscard]] std::int64_t parameter_count() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace taut::nn
