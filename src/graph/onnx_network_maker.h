#pragma once
// From a trace of an ONNX model to a Network: each operator in turn becomes a layer, part of one,
// or another name of what it reads. What becomes none is collected, with the reason.

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/onnx_call.h"
#include "graph/onnx_trace.h"
#include "graph/onnx_values.h"
#include "graph/onnx_view.h"
#include "graph/unique_names.h"
#include "taut/graph/network.h"
#include "taut/graph/onnx_network.h"

namespace taut::graph {

/// How an input passes through 8 bits.
struct OnnxRounding {
  float scale = 0;
  bool is_unsigned = false;
  bool operator==(const OnnxRounding&) const = default;
};

/// A value whose axes were split, joined or turned, and that no layer gives as it is.
struct OnnxTurned {
  OnnxView view;         ///< of what the layer gives
  double factor = 1;     ///< that it is multiplied by
  int step = -1;         ///< that made it so, which is refused where nothing takes the value
  std::string why = {};  ///< the reason then
};

/// Scores of queries and keys, on their way to attention.
struct OnnxScores {
  int query = kNetworkInput;  ///< the layer
  int key = kNetworkInput;
  OnnxHeads query_heads;
  OnnxHeads key_heads;
  OnnxView view;                     ///< examples and heads, queries, keys
  double factor = 1;                 ///< that they are multiplied by before the mask
  std::span<const float> mask = {};  ///< [masks, queries, keys]
  std::int64_t masks = 0;
  bool replaces = false;     ///< the mask, see Layer::mask_replaces
  bool nan_is_zero = false;  ///< see Layer::nan_is_zero
  bool weighed = false;      ///< behind their softmax
  int step = -1;             ///< that made them
};

/// What a value of the model is in the network.
struct OnnxOperand {
  int layer = kNetworkInput;                      ///< whose output it is
  std::size_t channel_axis = 1;                   ///< of the value in the model
  bool averaged = false;                          ///< comes straight out of a mean over maps
  std::shared_ptr<const OnnxTurned> turned = {};  ///< channel_axis says nothing then
  std::shared_ptr<const OnnxScores> scores = {};  ///< the same, and no layer gives them
  // What is still to be said of it, by an operator that reads it:
  std::vector<std::int64_t> padding = {};     ///< zeros above, left, below, right
  std::optional<float> clipped = {};          ///< to -clipped .. clipped
  std::optional<OnnxRounding> codes = {};     ///< it is codes
  std::optional<OnnxRounding> rounding = {};  ///< codes that became floats again
};

/// A subgraph that chooses winners, as our writer makes it.
struct OnnxWinners {
  int input = -1;                ///< value that they are chosen from
  int result = -1;               ///< value with the winners
  std::vector<int> within = {};  ///< other steps of the subgraph
  sparsity::Unit unit = sparsity::Unit::kPosition;
  sparsity::Score score = sparsity::Score::kMeanMagnitude;
  std::int64_t block = 0;  ///< 0: the unit has none
  std::int64_t units = 0;
  std::int64_t count = 0;  ///< that win
};

/// A norm of channels that is written out, from ReduceMean to Div.
struct OnnxNorm {
  int input = -1;  ///< value that is normalized
  float epsilon = 0;
};

class OnnxNetworkMaker {
 public:
  /// batch: samples in the tensors. The trace must live as long as the maker, values as long as the
  /// network.
  OnnxNetworkMaker(const OnnxTrace& trace, std::int64_t batch, const std::string& folder,
                   OnnxValues& values);

  /// Errors: those of read_onnx_network().
  [[nodiscard]] OnnxNetwork make(const std::string& name,
                                 std::map<std::string, std::string> metadata);

 private:
  struct Refused : std::runtime_error {
    explicit Refused(const std::string& why, int blamed = -1)
        : std::runtime_error(why), step(blamed) {}
    int step;  ///< an earlier one that is to blame; -1: the one at hand
  };
  /// A step with its attributes at hand.
  struct Node {
    const OnnxStep& step;
    int number;
    OnnxCall call;
  };
  using Handler = void (OnnxNetworkMaker::*)(Node&);
  static const std::map<std::string_view, Handler>& handlers();
  [[noreturn]] static void refuse(const std::string& why) { throw Refused(why); }

  // onnx_network.cc: the walk.
  void count_readers();
  void find_input();
  std::size_t input_channel_axis(int value) const;
  void run(int number);
  void run_known(int number, Handler handler);
  [[nodiscard]] bool is_ready(int number) const;
  void note(const OnnxStep& step, std::string why);
  void note_trouble(const OnnxStep& step);
  void stand_in(const OnnxStep& step);
  [[nodiscard]] OnnxCall call_of(const OnnxStep& step);
  static std::optional<Shape> shape_of(const Dimensions& dims, std::size_t channel_axis);
  int append(const Node& node, Layer layer, const LayerValues& values = {});
  [[nodiscard]] Layer reading(Op op, std::vector<int> inputs) const;
  void give(const Node& node, OnnxOperand operand, std::size_t output = 0);
  [[nodiscard]] std::vector<OnnxRefusal> all_refused();

  // onnx_network_constants.cc: what a step reads.
  [[nodiscard]] int input(const Node& node, std::size_t place) const;
  [[nodiscard]] bool is_constant(int value) const;
  [[nodiscard]] bool is_output(int value) const;
  [[nodiscard]] int readers(int value) const { return readers_[static_cast<std::size_t>(value)]; }
  /// The step that alone reads the value, once; -1: there is none.
  [[nodiscard]] int only_reader(int value) const;
  /// Whether the value is the model's output, or becomes it under other names alone.
  [[nodiscard]] bool is_last(int value) const;
  [[nodiscard]] const OnnxOperand& operand(const Node& node, std::size_t place) const;
  /// The same, whatever its axes are.
  [[nodiscard]] const OnnxOperand& raw(const Node& node, std::size_t place) const;
  /// The same with whole channels on its last axis, and positions and examples before them.
  [[nodiscard]] const OnnxOperand& rows(const Node& node, std::size_t place) const;
  /// The same of which nothing remains to be said.
  [[nodiscard]] const OnnxOperand& plain(const Node& node, std::size_t place) const;
  /// The place of the one operand that is no constant; nothing where there are several.
  [[nodiscard]] std::optional<std::size_t> moving_place(const Node& node) const;
  [[nodiscard]] std::span<const float> constant(int value);
  std::span<const float> computed_constant(int value);
  std::span<const float> transposed(const OnnxStep& step, std::span<const float> from);
  std::span<const float> stretched(const OnnxStep& step, std::span<const float> from);
  std::span<const float> cut(const OnnxStep& step, std::span<const float> from);
  std::span<const float> decoded(const OnnxStep& step);
  [[nodiscard]] std::optional<Number> one_number(int value) const;
  /// A constant as a number for each channel of a value; nothing where it differs by more.
  std::optional<std::span<const float>> by_channel(int constant_value, int moving,
                                                   std::int64_t channels);

  // onnx_network_layers.cc; from sigmoid() to joins_gate(), but for affine() and scaled(), those of
  // onnx_network_values.cc.
  void same(Node& node);
  void cast(Node& node);
  void relu(Node& node);
  void clip(Node& node);
  void sigmoid(Node& node);
  void function(Node& node);
  void map(const Node& node, const Pointwise& of);
  void batch_norm(Node& node);
  void layer_norm(Node& node);
  void sum(Node& node);
  void affine(Node& node);
  void scaled(const Node& node, std::size_t moving, std::span<const float> scale,
              std::span<const float> shift);
  void combine(const Node& node);
  int operand_layer(const Node& node, std::size_t place, std::size_t rank, std::size_t axis);
  int constant_layer(const Node& node, int value, std::size_t rank, std::size_t axis);
  bool joins_gate(const Node& node);
  bool keeps_maps(const Node& node, std::size_t moving, std::span<const float> factor);
  void join(Node& node);
  void reshape(Node& node);
  void transpose(Node& node);
  void probabilities(Node& node);

  // onnx_network_norms.cc: norms of channels, and powers.
  void find_norms(const std::vector<bool>& needed);
  std::optional<OnnxNorm> match_norm(const OnnxStep& divides, std::vector<int>& within) const;
  bool is_mean_of_channels(const OnnxStep* step) const;
  void written_norm(const Node& node, const OnnxNorm& norm);
  bool scales_norm(const Node& node, std::size_t moving, std::span<const float> scale,
                   std::span<const float> shift);
  void power(Node& node);

  // onnx_network_attention.cc: axes that are split and turned, and what attention makes of them.
  /// Why nothing but attention may read a value that is turned, or scores.
  static Refused turned_refusal(const OnnxOperand& operand);
  [[noreturn]] static void refuse_turned(const OnnxOperand& operand) {
    throw turned_refusal(operand);
  }
  [[nodiscard]] OnnxView view_at(const Node& node, std::size_t place) const;
  void give_view(const Node& node, int layer, OnnxTurned turned, std::size_t output = 0);
  void turn(const Node& node, std::optional<OnnxView> view, const std::string& why);
  void turn_scores(const Node& node, const std::optional<OnnxView>& view);
  void pass(const Node& node);
  void attention_product(const Node& node);
  void score(const Node& node);
  void weigh(const Node& node);
  bool scales(const Node& node);
  bool adds_mask(const Node& node);
  bool replaces_scores(const Node& node);
  void give_scores(const Node& node, OnnxScores scores);
  void mask_scores(const Node& node, OnnxScores scores, int mask, bool replaces,
                   const std::function<float(float)>& value_of);
  void soften(const Node& node);
  void is_nan(Node& node);
  bool zeroes_nan(const Node& node);

  // onnx_network_parts.cc: parts of values, and rows of several.
  void split(Node& node);
  void slice(Node& node);
  void gather(Node& node);
  void take(const Node& node, std::size_t axis, std::int64_t first, std::int64_t count, bool drops,
            std::size_t output = 0);
  [[nodiscard]] static std::size_t row_axis(std::size_t channel_axis);

  // onnx_network_products.cc: products with weights.
  /// An Add of constants behind a product that has no bias itself.
  struct LaterBias {
    int step = -1;  ///< -1: there is none
    std::span<const float> values = {};
  };
  void convolution(Node& node);
  void gemm(Node& node);
  void matmul(Node& node);
  void product(Node& node, std::size_t channel_axis, bool turned, float scale,
               std::span<const float> bias);
  void give_product(const Node& node, Layer layer, LayerValues values, std::size_t channel_axis,
                    const LaterBias& later);
  std::span<const float> bias(const Node& node, std::size_t place, std::int64_t outputs,
                              float scale);
  LaterBias later_bias(const Node& node, std::int64_t outputs, std::size_t channel_axis);
  bool takes_codes(const Node& node, std::int64_t outputs, LayerValues& values);

  // onnx_network_windows.cc: windows over images.
  /// A window with weights as a square one: zeros stand beside the weights.
  struct Square {
    Window window;
    std::int64_t top = 0;  ///< where the weights begin in it
    std::int64_t left = 0;
  };
  struct Reach {
    std::vector<std::int64_t> kernel;  ///< height, width
    std::vector<std::int64_t> strides;
    std::vector<std::int64_t> dilations;
    std::vector<std::int64_t> pads;  ///< above, left, below, right
  };
  Reach reach_of(const Node& node, const OnnxOperand& from, std::vector<std::int64_t> kernel) const;
  using Strides = std::array<std::int64_t, 2>;  ///< down, across
  static Strides strides_of(const Reach& reach, const Shape& out);
  static std::optional<Square> square_of(const Reach& reach, const Shape& in, const Shape& out,
                                         const Strides& strides);
  static Square checked_square(const Reach& reach, const Shape& in, const Shape& out);
  static Window pool_window(const Reach& reach, const Shape& in, const Shape& out);
  template <typename T>
  static void spread(std::span<const T> from, const Reach& reach, const Square& square,
                     std::span<T> to);
  void spread_weights(const Node& node, const Reach& reach, const Square& square,
                      const Layer& layer, LayerValues& values);
  [[nodiscard]] const OnnxOperand& planes(const Node& node) const;
  void pad(Node& node);

  // onnx_network_sizes.cc: more positions out of each.
  void resize(Node& node);
  void transposed_convolution(Node& node);
  void depth_to_space(Node& node);
  void enlarge(const Node& node, Op op, int from, std::int64_t factor);
  std::int64_t factor_of(const Node& node) const;

  // onnx_network_windows.cc again
  void max_pool(Node& node);
  void average_pool(Node& node);
  void global_mean(Node& node);
  void reduce_mean(Node& node);
  void mean(const Node& node, std::size_t channel_axis);

  // onnx_network_winners.cc
  void find_winners(const std::vector<bool>& needed);
  std::optional<OnnxWinners> match_winners(int number) const;
  bool match_scores(int scores, int chosen, OnnxWinners& found) const;
  bool match_units(int chosen, int result, OnnxWinners& found) const;
  void winners(Node& node);
  void quantize(Node& node);
  void dequantize(Node& node);
  OnnxRounding rounding_of(const Node& node) const;
  void finish_winners(const std::map<std::string, std::string>& metadata);
  bool take_described(const std::string& text);

  const OnnxTrace& trace_;
  std::int64_t batch_;
  const std::string& folder_;
  OnnxValues& values_;
  NumberBudget budget_;
  Network network_;
  std::vector<std::pair<int, OnnxRefusal>> refused_;  ///< with the number of the step; inputs: -1
  std::set<int> blamed_;          ///< steps that are among them for others' sake
  std::vector<int> readers_;      ///< by value: how often it is read
  std::vector<int> last_reader_;  ///< by value
  std::vector<std::optional<OnnxOperand>> operands_;  ///< by value
  std::map<int, std::span<const float>> constants_;   ///< by value
  std::set<int> absorbed_;                            ///< steps that became part of another
  std::map<int, OnnxWinners> winners_;                ///< by the step that ends the subgraph
  std::map<int, OnnxNorm> norms_;                     ///< the same of norms
  std::map<int, OnnxWinners> sites_;                  ///< by layer
  std::vector<int> latest_;  ///< by layer: the value that is its output, as far as it was read
  UniqueNames names_;
  OnnxBorder input_;
  OnnxEnding ending_ = OnnxEnding::kNone;
  bool widened_ = false;  ///< a layer counts more than what the model has in its place
};

}  // namespace taut::graph
