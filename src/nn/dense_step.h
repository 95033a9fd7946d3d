#pragma once
// A training step of a recommender's dense half without autograd: the layers are known, so their
// passes are a fixed list of products and fused passes over memory that is kept between steps.

#include <atomic>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "nn/dense_plan.h"
#include "nn/piece_sums.h"
#include "taut/dist/overlap.h"

namespace taut::nn {

/// Steps a Program whose network is a recommender_network(). Sums have one order: a slice's are
/// made by one thread, a weight's over the slices of a piece are one product for each tile of fixed
/// size, and pieces are added in the order of PieceOrder. So bits do not depend on the number of
/// threads, and where options.piece says what a piece is, not on the number of workers either.
class DenseStep {
 public:
  /// program and options outlive it. With options.bf16 activations and products are bf16, and
  /// parameters, sums of their gradients, the interaction and the logit fp32.
  DenseStep(Program& program, const RecommenderOptions& options, OptimizerChoice choice);

  /// After the program has other workers, or none.
  void follow_workers();

  /// Recommender::train_step, of arguments that were checked.
  double run(const RecommenderInput& input, std::span<const float> labels, std::span<float> logits,
             std::span<float> vectors_gradient);

 private:
  template <typename Body>
  void for_tasks(std::int64_t tasks, const Body& body) const;
  /// Slices of a group whose gradients are one product.
  struct Piece {
    std::int64_t first_slice = 0;  ///< in the group
    std::int64_t slices = 0;
    std::int64_t first_row = 0;  ///< in the group
    std::int64_t rows = 0;
    PieceSums::Place place;
  };
  [[nodiscard]] bool has_fixed_pieces() const { return plan_.options.piece > 0; }
  [[nodiscard]] std::int64_t first_piece(const RecommenderInput& input) const;
  [[nodiscard]] std::vector<Piece> take_pieces(std::int64_t first, const Slice& group);
  [[nodiscard]] double loss_of_all(std::span<const double> own, std::int64_t whole) const;
  [[nodiscard]] double step_together(std::span<const double> own_losses,
                                     const RecommenderInput& input);
  [[nodiscard]] bool sends_pieces() const {
    return program_.workers != nullptr && has_fixed_pieces();
  }
  [[nodiscard]] dist::Overlap& start_sending(const RecommenderInput& input);
  void send(const WeightTile& tile);
  [[nodiscard]] std::vector<FusedStep> begin_steps(double loss, std::int64_t batch);
  void refresh_weights();
  void sum_weight(const WeightTile& tile, const at::Tensor& input, const Piece& piece) const;
  void sum_vectors(const WeightTile& tile, const Piece& piece) const;
  template <typename Body>
  void for_values(const WeightTile& tile, const Body& body) const;
  template <typename Body>
  void for_buckets(const WeightTile& tile, const Body& body) const;
  void merge(const WeightTile& tile, const PieceSums::Place& place) const;
  void step_parameters(const WeightTile& tile, const std::vector<FusedStep>& steps) const;

  Program& program_;
  DensePlan plan_;
  OptimizerChoice choice_;
  double weight_decay_;
  PieceSums sums_;  ///< of gradients
  GroupMemory memory_;
  std::deque<std::atomic<std::int64_t>> missing_;  ///< tiles of a bucket of sums that are not there
  std::unique_ptr<dist::Overlap> overlap_;         ///< of those with workers, in fixed pieces
};

}  // namespace taut::nn
