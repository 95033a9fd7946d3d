#pragma once
// What the top MLP of a DLRM reads: all pairwise dots of an example's vectors, then vectors
// themselves (Naumov et al., arXiv 1906.00091, section 2.1). One fused kernel, compiled once for
// each instruction set, that training and serving share.

#include <cstdint>
#include <span>

namespace taut::embedding {

/// Shape of an interaction.
struct InteractionShape {
  std::int64_t vectors = 0;  ///< per example
  std::int64_t dim = 0;
  std::int64_t copied = 0;  ///< the first so many vectors follow the dots
  [[nodiscard]] std::int64_t pairs() const noexcept { return vectors * (vectors - 1) / 2; }
  [[nodiscard]] std::int64_t outputs() const noexcept { return pairs() + copied * dim; }
};

/// Vectors of each row that lie together, those of the next row `stride` values on.
template <typename Value>
struct RowVectors {
  Value* values = nullptr;
  std::int64_t count = 0;  ///< per row
  std::int64_t stride = 0;
};

/// out [rows, outputs]: for each row, whose vectors [vectors, dim] are those of all parts of x in
/// order, the dots i.j, j < i, i rising, then the copied vectors. Each row by itself: results do
/// not depend on how rows are grouped or vectors lie. x and out do not overlap. Threads: any number
/// of calls at once. Errors: kInvalidArgument for a shape of no vectors, no dim, or more copied
/// than there are, or parts that have not as many vectors as the shape.
void interact(const InteractionShape& shape, std::int64_t rows,
              std::span<const RowVectors<const float>> x, float* out);

/// The gradient of x from out_gradient [rows, outputs], into parts of its own (no values: left
/// out), which overlap nothing; threads and errors as above.
void interact_backward(const InteractionShape& shape, std::int64_t rows,
                       std::span<const RowVectors<const float>> x, const float* out_gradient,
                       std::span<const RowVectors<float>> x_gradient);

/// The same where x and its gradient are [rows, vectors, dim].
void interact(const InteractionShape& shape, std::int64_t rows, const float* x, float* out);
void interact_backward(const InteractionShape& shape, std::int64_t rows, const float* x,
                       const float* out_gradient, float* x_gradient);

/// Plain C++ forms of the same, what the tests compare with.
void interact_reference(const InteractionShape& shape, std::int64_t rows, const float* x,
                        float* out);
void interact_backward_reference(const InteractionShape& shape, std::int64_t rows, const float* x,
                                 const float* out_gradient, float* x_gradient);

}  // namespace taut::embedding
