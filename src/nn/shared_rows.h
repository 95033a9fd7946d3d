#pragma once
// Tables whose rows lie on several processes of torch.distributed, under one budget.

#include <ATen/ATen.h>

#include <memory>
#include <string>

#include "taut/core/share.h"
#include "taut/core/thread_pool.h"
#include "taut/embedding/embedding.h"

namespace taut::nn {

/// Processes of torch.distributed, by the name that their group has there.
struct ProcessNames {
  std::string group;
  Share share;  ///< which of them this one is
};

/// This process's part of the collection that embedding::make_embedding makes of the same options
/// (taut/embedding/part.h). All processes call the same functions in the same order, with the same
/// ids and gradients: those of the whole batch.
///
/// lookup(): the sums over the rows that lie here; those of all processes add up to what one
/// process looks up, to the rounding of sums. update(): rows, widths and bytes are those of one
/// process, the same bits. memory_bytes() and statistics() are of this part. save(): the first
/// process's file gets everything, the others' sections are empty; load(): what any number of
/// processes saved. Not there (kUnsupported): read_rows, load_rows, resize_budget, export_frozen.
/// Errors: those of embedding::make_embedding_part; c10::Error of the group.
[[nodiscard]] std::unique_ptr<embedding::Embedding> make_shared_rows(
    const embedding::Options& options, std::shared_ptr<ThreadPool> pool,
    const ProcessNames& processes);

/// The first process's bytes, uint8 [n], on all of them. Called by all.
[[nodiscard]] at::Tensor from_first(const at::Tensor& bytes, const ProcessNames& processes);

}  // namespace taut::nn
