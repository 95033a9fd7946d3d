#pragma once
// Gradients that wait for a step: of several batches, or until an optimizer says so.

#include <cstdint>
#include <span>
#include <vector>

#include "nn/bags.h"
#include "taut/embedding/embedding.h"

namespace taut::nn {

/// Ids and gradients of batches, stepped as the one batch that they are together.
/// Threads: one call at a time.
class GatheredGradients {
 public:
  explicit GatheredGradients(std::size_t tables) : tables_(tables) {}

  [[nodiscard]] bool empty() const noexcept { return batch_ == 0; }
  /// Adds a batch; gradient [Bags::batch(), tables, dim] is multiplied by factor.
  void add(const Bags& bags, float factor, std::span<const float> gradient);
  /// One step of the collection with all that is here, multiplied by factor; nothing where nothing
  /// is here. What is here stays.
  void step(embedding::Embedding& tables, float factor) const;

  /// Ends a backward pass: what was here before it is multiplied by factor (0: forgotten), since
  /// that is what became of the gradient meanwhile.
  void end_pass(float factor);
  /// Bags that losses were averaged over: in each pass as many as its largest lookup had, added
  /// over passes.
  [[nodiscard]] std::int64_t examples() const noexcept { return examples_; }
  /// L2 norm of the gradient, that of a dense weight: equal ids of a table are summed first.
  [[nodiscard]] double norm(int dim) const;

 private:
  // The ids of one table.
  struct Ids {
    std::vector<std::uint64_t> ids;
    std::vector<std::int64_t> offsets{0};
    std::vector<float> weights;  // of all ids, or none while no batch had any
  };

  void append(const JaggedIds& given, Ids& table);
  void forget_passes();

  std::vector<Ids> tables_;
  std::vector<float> gradient_;
  std::int64_t batch_ = 0;
  std::int64_t passed_ = 0;  // of the batch: of passes that have ended
  std::int64_t examples_ = 0;
  std::int64_t pass_examples_ = 0;  // of the pass at work
};

}  // namespace taut::nn
