#pragma once
// Embedding tables as a LibTorch module: forward() looks up, backward() trains them.

#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "taut/embedding/embedding.h"

namespace taut::nn {

/// How the loss was reduced over the batch. The tables' optimizer wants the gradient of the summed
/// loss; kMean multiplies what arrives by the number of bags.
enum class LossReduction { kMean, kSum };

/// A collection of tables inside a byte budget. The rows are no parameters: backward() applies the
/// tables' own optimizer (row-wise Adagrad) at once, exactly, and each backward() is one step of
/// it. Threads: one call at a time. Errors: c10::ValueError that names the argument and both
/// values.
class EmbeddingTablesImpl : public torch::nn::Module {
 public:
  /// threads: 0 means one for each processor. Errors as embedding::make_embedding.
  explicit EmbeddingTablesImpl(const embedding::Options& options,
                               LossReduction reduction = LossReduction::kMean, int threads = 0);
  ~EmbeddingTablesImpl() override;

  /// One entry per table: ids [n], int32 or int64; offsets [batch + 1], int32 or int64, from 0 to
  /// n; weights [n], float32, or no weights at all. Returns pooled sums [batch, tables, dim].
  torch::Tensor forward(at::TensorList ids, at::TensorList offsets, at::TensorList weights = {});

  [[nodiscard]] const embedding::Embedding& tables() const noexcept { return *tables_; }

 private:
  std::shared_ptr<embedding::Embedding> tables_;
  std::int64_t handle_;
  LossReduction reduction_;
  torch::Tensor anchor_;  // makes autograd come by; its value and gradient are 0
};
TORCH_MODULE(EmbeddingTables);

}  // namespace taut::nn
