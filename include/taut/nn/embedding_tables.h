#pragma once
// Embedding tables as a LibTorch module: forward() looks up, backward() trains them.

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "taut/embedding/embedding.h"

namespace taut::nn {

class Tables;

/// How the loss was reduced over the batch. The tables' optimizer wants the gradient of the summed
/// loss; kMean multiplies what arrives by the number of bags.
enum class LossReduction { kMean, kSum };

/// A collection of tables inside a byte budget. The rows are no parameters: backward() applies the
/// tables' own optimizer (row-wise Adagrad) at once, exactly, and each backward() is one step of
/// it. Threads: calls from several threads are done one after another, each whole; lookups work in
/// forked children. Errors: c10::ValueError that names the argument and both values.
class EmbeddingTablesImpl : public torch::nn::Module {
 public:
  /// threads: of the pool that all modules of a process share; 0 means one for each processor.
  /// Errors as embedding::make_embedding.
  explicit EmbeddingTablesImpl(const embedding::Options& options,
                               LossReduction reduction = LossReduction::kMean, int threads = 0);
  ~EmbeddingTablesImpl() override;

  /// One entry per table: ids [n], int32 or int64; offsets [batch + 1], int32 or int64, from 0 to
  /// n; weights [n], float32, or no weights at all. Returns pooled sums [batch, tables, dim].
  torch::Tensor forward(at::TensorList ids, at::TensorList offsets, at::TensorList weights = {});

  /// Not while another thread trains.
  [[nodiscard]] const embedding::Embedding& tables() const noexcept;

  /// torch::save() and torch::load() hold rows and optimizer state. load() wants the same options
  /// (c10::ValueError naming the first that differs; the tables are then as they were).
  void save(torch::serialize::OutputArchive& archive) const override;
  void load(torch::serialize::InputArchive& archive) override;

 private:
  c10::intrusive_ptr<Tables> tables_;
  LossReduction reduction_;
  torch::Tensor anchor_;  // makes autograd come by; its value and gradient are 0
};
TORCH_MODULE(EmbeddingTables);

}  // namespace taut::nn
