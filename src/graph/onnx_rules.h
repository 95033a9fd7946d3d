#pragma once
// What each ONNX operator gives: one rule for each kind, used by the table in onnx_operators.cc.

#include "graph/onnx_call.h"

namespace taut::graph {

// onnx_elementwise.cc
void unary_rule(OnnxCall& call);      ///< the shape of the first input
void broadcast_rule(OnnxCall& call);  ///< all inputs stretched to one shape
void where_rule(OnnxCall& call);
void triangle_rule(OnnxCall& call);
void cast_rule(OnnxCall& call);
void normalization_rule(OnnxCall& call);  ///< with statistics as further outputs
void quantize_rule(OnnxCall& call);
void dynamic_quantize_rule(OnnxCall& call);

// onnx_reduce.cc
void reduce_rule(OnnxCall& call);
void arg_rule(OnnxCall& call);
void top_k_rule(OnnxCall& call);
void determinant_rule(OnnxCall& call);
void cumulative_rule(OnnxCall& call);

// onnx_create.cc
void constant_rule(OnnxCall& call);
void constant_of_shape_rule(OnnxCall& call);
void shape_rule(OnnxCall& call);
void size_rule(OnnxCall& call);
void range_rule(OnnxCall& call);
void one_hot_rule(OnnxCall& call);
void random_rule(OnnxCall& call);
void eye_rule(OnnxCall& call);
void window_rule(OnnxCall& call);
void non_zero_rule(OnnxCall& call);
void value_dependent_rule(OnnxCall& call);  ///< refuses: the shape depends on values

// onnx_reshape.cc
void reshape_rule(OnnxCall& call);
void flatten_rule(OnnxCall& call);
void squeeze_rule(OnnxCall& call);
void unsqueeze_rule(OnnxCall& call);
void transpose_rule(OnnxCall& call);
void expand_rule(OnnxCall& call);
void tile_rule(OnnxCall& call);
void pad_rule(OnnxCall& call);
void depth_to_space_rule(OnnxCall& call);
void space_to_depth_rule(OnnxCall& call);

// onnx_select.cc
void concat_rule(OnnxCall& call);
void split_rule(OnnxCall& call);
void slice_rule(OnnxCall& call);
/// Where a Slice of this shape begins on each axis; nothing where it takes steps other than 1.
[[nodiscard]] std::optional<Dimensions> slice_begin(const OnnxCall& call, const Dimensions& in);
void gather_rule(OnnxCall& call);
void gather_elements_rule(OnnxCall& call);
void gather_nd_rule(OnnxCall& call);
void scatter_nd_rule(OnnxCall& call);
void compress_rule(OnnxCall& call);

// onnx_windows.cc
void conv_rule(OnnxCall& call);
void conv_transpose_rule(OnnxCall& call);
void pool_rule(OnnxCall& call);
void unpool_rule(OnnxCall& call);
void global_pool_rule(OnnxCall& call);
void roi_rule(OnnxCall& call);
void resize_rule(OnnxCall& call);
void grid_sample_rule(OnnxCall& call);
void affine_grid_rule(OnnxCall& call);
void column_to_image_rule(OnnxCall& call);
void crop_pad_rule(OnnxCall& call);

// onnx_products.cc
void matmul_rule(OnnxCall& call);
void gemm_rule(OnnxCall& call);
void einsum_rule(OnnxCall& call);

// onnx_sequence.cc
void recurrent_rule(OnnxCall& call);
void attention_rule(OnnxCall& call);
void stft_rule(OnnxCall& call);
void dft_rule(OnnxCall& call);

}  // namespace taut::graph
