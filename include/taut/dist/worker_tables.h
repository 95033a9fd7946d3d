#pragma once
// Embedding tables whose rows lie on several workers, under one budget.

#include <memory>

#include "taut/core/thread_pool.h"
#include "taut/dist/process_group.h"
#include "taut/embedding/embedding.h"

namespace taut::dist {

/// How gradients are summed over the examples that read a row.
enum class GradientSums {
  kByWorker,  ///< on each worker, then by rank: fewest bytes; one process's sums to rounding
  /// In the order of the batch, by the worker that has the row: each bag's gradient travels by
  /// itself, and of lookups rows alone do. All that is looked up and updated has the bits of one
  /// process.
  kInOrder,
};

/// The tables that embedding::make_embedding makes of the same options, dealt to the workers of a
/// group (taut/embedding/part.h). All workers call the same functions in the same order, each with
/// its own part of one global batch, parts in the order of ranks; a part may be empty.
///
/// lookup(): of each table and worker come its distinct rows, in fp32, or its share of the pooled
/// sums, where these are fewer bytes: what one process looks up, to the rounding of sums. update():
/// of the ids of the lookup before (kInvalidArgument otherwise); gradients are summed as `sums`
/// says: rows, widths and bytes are those of one process for gradients whose sums do not round,
/// else kByWorker's sums differ by their rounding. A gradient that is not finite on one worker
/// leaves the batch out on all, or ends that worker (on_nan). memory_bytes() and
/// peak_memory_bytes(): of all workers when statistics() or load() was called last. statistics():
/// sums over all workers; rebalance_seconds are this one's. save(): the first worker's file gets
/// everything, a piece of at most 4 MiB at a time, the others' sections are empty; load(): any
/// number of workers, and one process, reads it. Not there (kUnsupported): read_rows, load_rows,
/// resize_budget, export_frozen, which one process does from a checkpoint.
///
/// Threads: as Embedding. Errors: those of embedding::make_embedding_part and of ProcessGroup.
[[nodiscard]] std::unique_ptr<embedding::Embedding> make_worker_tables(
    const embedding::Options& options, std::shared_ptr<ThreadPool> pool,
    std::shared_ptr<ProcessGroup> workers, GradientSums sums = GradientSums::kByWorker);

}  // namespace taut::dist
