// The rule of each ONNX operator by itself: shapes, numbers, and what does not fit.
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "graph/onnx_operators.h"
#include "support/error_matchers.h"

namespace taut::graph {
namespace {

using test::error_of;
using test::IsError;

using Whole = std::vector<std::int64_t>;

/// An operator on inputs of given shapes; what is known of them stands beside.
class Made {
 public:
  explicit Made(std::string op, std::int64_t operator_set = 18)
      : op_(std::move(op)), operator_set_(operator_set) {}

  Made& of(Dimensions shape, std::int32_t type = kOnnxFloat) {
    inputs_.push_back({.shape = std::move(shape), .type = type});
    present_.push_back(true);
    return *this;
  }
  Made& numbers(std::vector<Number> values, Dimensions shape, std::int32_t type = kOnnxInt64) {
    of(std::move(shape), type);
    inputs_.back().numbers = std::make_shared<const std::vector<Number>>(std::move(values));
    return *this;
  }
  Made& list(std::vector<Number> values) {
    const auto size = static_cast<std::int64_t>(values.size());
    return numbers(std::move(values), {size});
  }
  Made& one(Number value) { return numbers({value}, {}); }
  Made& none() {
    of({});
    present_.back() = false;
    return *this;
  }
  Made& set(const std::string& name, Whole values) {
    attributes_[name].numbers = std::move(values);
    return *this;
  }
  Made& text(const std::string& name, std::string_view value) {
    attributes_[name].text = value;
    return *this;
  }
  Made& scales(std::vector<double> values) {
    attributes_["scales"].reals = std::move(values);
    return *this;
  }
  Made& outputs(std::size_t count) {
    outputs_ = count;
    return *this;
  }

  std::vector<OnnxValue> run() {
    OnnxNode node;
    node.op = op_;
    node.outputs.assign(outputs_, "y");
    OnnxAttributes attributes;
    for (const auto& [name, attribute] : attributes_) attributes[name] = &attribute;
    std::vector<const OnnxValue*> inputs;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      inputs.push_back(present_[i] ? &inputs_[i] : nullptr);
    }
    NumberBudget budget;
    OnnxCall call(node, attributes, inputs, operator_set_, "y", source_, source_, budget);
    onnx_operator(op_)->rule(call);
    return call.outputs();
  }
  Dimensions shape() { return run()[0].shape; }
  Whole known() {
    const auto numbers = run()[0].numbers;
    if (numbers == nullptr) return {-999};
    return {numbers->begin(), numbers->end()};
  }
  Error error() {
    return error_of([&] { (void)run(); });
  }

 private:
  std::string op_;
  std::string source_ = "made.onnx";
  std::int64_t operator_set_;
  std::vector<OnnxValue> inputs_;
  std::vector<bool> present_;
  std::map<std::string, OnnxAttribute> attributes_;
  std::size_t outputs_ = 1;
};

TEST(OnnxRules, ConvolutionsAndPoolsCountTheirWindows) {
  const auto conv = [](std::int64_t side) {
    return Made("Conv").of({2, 3, side, side}).of({5, 3, 3, 3});
  };
  EXPECT_EQ(conv(8).shape(), (Dimensions{2, 5, 6, 6}));
  EXPECT_EQ(conv(8).set("pads", {1, 1, 1, 1}).set("strides", {2, 2}).shape(),
            (Dimensions{2, 5, 4, 4}));
  EXPECT_EQ(conv(8).text("auto_pad", "SAME_UPPER").set("strides", {3, 3}).shape(),
            (Dimensions{2, 5, 3, 3}));
  EXPECT_EQ(conv(8).set("dilations", {3, 3}).shape(), (Dimensions{2, 5, 2, 2}));
  EXPECT_THAT(conv(2).error(), IsError(ErrorKind::kFormat, "a window of 3 on an image of 2"));
  EXPECT_THAT(conv(8).set("strides", {0, 1}).error(),
              IsError(ErrorKind::kFormat, "strides holds 0"));
  EXPECT_THAT(conv(8).set("pads", {1, 1}).error(),
              IsError(ErrorKind::kFormat, "pads has 2 numbers"));
  EXPECT_THAT(conv(8).set("group", {2}).error(), IsError(ErrorKind::kFormat, "in 2 groups"));
  EXPECT_THAT(conv(8).set("dilations", {std::int64_t{1} << 40, 1}).error(),
              IsError(ErrorKind::kFormat, "a window of"));
  const auto pool = [] { return Made("MaxPool").of({1, 4, 7, 7}).set("kernel_shape", {2, 2}); };
  EXPECT_EQ(pool().set("strides", {2, 2}).shape(), (Dimensions{1, 4, 3, 3}));
  EXPECT_EQ(pool().set("strides", {2, 2}).set("ceil_mode", {1}).shape(), (Dimensions{1, 4, 4, 4}));
  EXPECT_EQ(pool().outputs(2).run()[1].type, kOnnxInt64);
  // No window begins in the padding behind the image.
  EXPECT_EQ(Made("AveragePool")
                .of({1, 1, 4})
                .set("kernel_shape", {1})
                .set("strides", {3})
                .set("pads", {0, 2})
                .set("ceil_mode", {1})
                .shape(),
            (Dimensions{1, 1, 2}));
  EXPECT_EQ(Made("GlobalAveragePool").of({2, 3, 8, 9}).shape(), (Dimensions{2, 3, 1, 1}));
  EXPECT_EQ(Made("MaxUnpool")
                .of({1, 1, 2, 2})
                .of({1, 1, 2, 2})
                .set("kernel_shape", {2, 2})
                .set("strides", {2, 2})
                .shape(),
            (Dimensions{1, 1, 4, 4}));
}

TEST(OnnxRules, TransposedConvolutionsGrow) {
  const auto conv = [] { return Made("ConvTranspose").of({1, 4, 5, 5}).of({4, 3, 3, 3}); };
  EXPECT_EQ(conv().shape(), (Dimensions{1, 3, 7, 7}));
  EXPECT_EQ(
      conv().set("strides", {2, 2}).set("pads", {1, 1, 1, 1}).set("output_padding", {1, 1}).shape(),
      (Dimensions{1, 3, 10, 10}));
  EXPECT_EQ(conv().set("output_shape", {9, 8}).shape(), (Dimensions{1, 3, 9, 8}));
  EXPECT_EQ(conv().set("strides", {2, 2}).text("auto_pad", "SAME_LOWER").shape(),
            (Dimensions{1, 3, 10, 10}));
  EXPECT_EQ(Made("ConvTranspose").of({1, 4, 5}).of({4, 3, 3}).set("group", {2}).shape(),
            (Dimensions{1, 6, 7}));
}

TEST(OnnxRules, ImagesAreResized) {
  const auto resize = [] { return Made("Resize").of({1, 3, 8, 6}).none(); };
  EXPECT_EQ(resize().numbers({1, 1, 2.5L, 0.4L}, {4}, kOnnxFloat).shape(),
            (Dimensions{1, 3, 20, 2}));
  EXPECT_EQ(resize().none().list({1, 3, 4, 4}).shape(), (Dimensions{1, 3, 4, 4}));
  EXPECT_EQ(resize().none().list({4, 4}).set("axes", {2, 3}).shape(), (Dimensions{1, 3, 4, 4}));
  EXPECT_EQ(resize()
                .none()
                .list({4, 4})
                .set("axes", {2, 3})
                .text("keep_aspect_ratio_policy", "not_larger")
                .shape(),
            (Dimensions{1, 3, 4, 3}));
  EXPECT_EQ(Made("Resize", 10).of({1, 3, 8, 6}).numbers({1, 1, 2, 2}, {4}, kOnnxFloat).shape(),
            (Dimensions{1, 3, 16, 12}));
  EXPECT_EQ(Made("Upsample", 7).of({1, 3, 8, 6}).scales({1, 1, 2, 3}).shape(),
            (Dimensions{1, 3, 16, 18}));
  EXPECT_THAT(resize().numbers({1, 1, 2}, {3}, kOnnxFloat).error(),
              IsError(ErrorKind::kFormat, "3 sizes for 4 axes"));
  EXPECT_EQ(Made("DepthToSpace").of({1, 12, 2, 3}).set("blocksize", {2}).shape(),
            (Dimensions{1, 3, 4, 6}));
  EXPECT_EQ(Made("SpaceToDepth").of({1, 3, 4, 6}).set("blocksize", {2}).shape(),
            (Dimensions{1, 12, 2, 3}));
  EXPECT_THAT(Made("DepthToSpace").of({1, 6, 2, 3}).set("blocksize", {2}).error(),
              IsError(ErrorKind::kFormat, "6 channels"));
  EXPECT_EQ(Made("GridSample").of({2, 3, 8, 8}).of({2, 5, 6, 2}).shape(), (Dimensions{2, 3, 5, 6}));
  EXPECT_EQ(Made("AffineGrid").of({2, 2, 3}).list({2, 3, 5, 6}).shape(), (Dimensions{2, 5, 6, 2}));
  EXPECT_EQ(Made("Col2Im").of({1, 12, 9}).list({4, 4}).list({2, 2}).shape(),
            (Dimensions{1, 3, 4, 4}));
  EXPECT_EQ(Made("CenterCropPad").of({3, 8, 8}).list({5, 9}).set("axes", {1, -1}).shape(),
            (Dimensions{3, 5, 9}));
  EXPECT_EQ(Made("RoiAlign")
                .of({1, 4, 8, 8})
                .of({7, 4})
                .of({7})
                .set("output_height", {3})
                .set("output_width", {2})
                .shape(),
            (Dimensions{7, 4, 3, 2}));
}

TEST(OnnxRules, ShapesAreChangedAndElementsKeepTheirOrder) {
  EXPECT_EQ(Made("Reshape").of({2, 3, 4}).list({0, -1}).shape(), (Dimensions{2, 12}));
  EXPECT_EQ(Made("Reshape").of({0, 4}).list({4, 0}).set("allowzero", {1}).shape(),
            (Dimensions{4, 0}));
  EXPECT_THAT(Made("Reshape").of({2, 3}).list({4, -1}).error(),
              IsError(ErrorKind::kFormat, "[2, 3] as [4, 1]"));
  EXPECT_THAT(Made("Reshape").of({2, 3}).list({-1, -1}).error(),
              IsError(ErrorKind::kFormat, "[-1, -1]"));
  EXPECT_THAT(Made("Reshape").of({2, 3}).of({2}).error(),
              IsError(ErrorKind::kUnsupported, "not known"));
  EXPECT_EQ(Made("Reshape", 4).of({2, 3}).set("shape", {3, 2}).shape(), (Dimensions{3, 2}));
  EXPECT_EQ(Made("Flatten").of({2, 3, 4}).set("axis", {3}).shape(), (Dimensions{24, 1}));
  EXPECT_EQ(Made("Flatten").of({2, 3, 4}).set("axis", {-1}).shape(), (Dimensions{6, 4}));
  EXPECT_EQ(Made("Squeeze").of({1, 3, 1}).shape(), (Dimensions{3}));
  EXPECT_EQ(Made("Squeeze").of({1, 3, 1}).list({-1}).shape(), (Dimensions{1, 3}));
  EXPECT_THAT(Made("Squeeze").of({1, 3}).list({1}).error(),
              IsError(ErrorKind::kFormat, "is not 1"));
  EXPECT_EQ(Made("Unsqueeze").of({3, 4}).list({0, -1}).shape(), (Dimensions{1, 3, 4, 1}));
  EXPECT_EQ(Made("Unsqueeze", 11).of({3, 4}).set("axes", {1}).shape(), (Dimensions{3, 1, 4}));
  EXPECT_THAT(Made("Unsqueeze").of({3}).list({0, 0}).error(), IsError(ErrorKind::kFormat, "twice"));
  EXPECT_EQ(Made("Transpose").of({2, 3, 4}).shape(), (Dimensions{4, 3, 2}));
  EXPECT_EQ(Made("Transpose").numbers({1, 2, 3, 4, 5, 6}, {2, 3}).set("perm", {1, 0}).known(),
            (Whole{1, 4, 2, 5, 3, 6}));
  EXPECT_THAT(Made("Transpose").of({2, 3}).set("perm", {0}).error(),
              IsError(ErrorKind::kFormat, "perm"));
  EXPECT_EQ(Made("Expand").numbers({1, 2}, {2, 1}).list({2, 3}).known(), (Whole{1, 1, 1, 2, 2, 2}));
  EXPECT_THAT(Made("Expand").of({2}).list({3}).error(), IsError(ErrorKind::kFormat, "[2] to [3]"));
  EXPECT_EQ(Made("Tile").list({7, 8}).list({2}).known(), (Whole{7, 8, 7, 8}));
  EXPECT_EQ(Made("Pad").of({2, 3}).list({1, 0, 0, 2}).shape(), (Dimensions{3, 5}));
  EXPECT_EQ(Made("Pad").of({2, 3}).list({-1, 1}).none().list({-1}).shape(), (Dimensions{2, 3}));
  EXPECT_THAT(Made("Pad").of({2, 3}).list({1, 1}).error(), IsError(ErrorKind::kFormat, "2 pads"));
  EXPECT_THAT(Made("Pad").of({2}).list({-3, 0}).error(),
              IsError(ErrorKind::kFormat, "a pad of -3"));
}

TEST(OnnxRules, PartsAreTakenAndJoined) {
  EXPECT_EQ(Made("Concat").list({1}).list({2, 3}).set("axis", {0}).known(), (Whole{1, 2, 3}));
  EXPECT_EQ(Made("Concat").numbers({1, 2}, {2, 1}).numbers({3, 4}, {2, 1}).set("axis", {1}).known(),
            (Whole{1, 3, 2, 4}));
  EXPECT_THAT(Made("Concat").of({2, 3}).of({3, 3}).set("axis", {1}).error(),
              IsError(ErrorKind::kFormat, "on axis 1"));
  const auto parts = Made("Split").of({7, 2}).outputs(3).run();
  EXPECT_EQ(parts[0].shape, (Dimensions{3, 2}));
  EXPECT_EQ(parts[2].shape, (Dimensions{1, 2}));
  EXPECT_EQ(*Made("Split").list({1, 2, 3}).list({1, 2}).outputs(2).run()[1].numbers,
            (std::vector<Number>{2, 3}));
  EXPECT_THAT(Made("Split").of({7}).list({3, 3}).outputs(2).error(),
              IsError(ErrorKind::kFormat, "[3, 3] of an axis of 7"));
  // The first part takes all: nothing is left for the second.
  EXPECT_THAT(Made("Split").of({7}).list({7, 3}).outputs(2).error(),
              IsError(ErrorKind::kFormat, "parts of [7, 3]"));
  EXPECT_EQ(Made("Gather").list({5, 6, 7}).one(-1).known(), (Whole{7}));
  EXPECT_EQ(Made("Gather").of({5, 6, 7}).of({2, 3}).set("axis", {1}).shape(),
            (Dimensions{5, 2, 3, 7}));
  EXPECT_THAT(Made("Gather").list({5, 6}).one(2).error(), IsError(ErrorKind::kFormat, "index 2"));
  EXPECT_EQ(Made("GatherElements")
                .numbers({1, 2, 3, 4}, {2, 2})
                .numbers({1, 0}, {2, 1})
                .set("axis", {1})
                .known(),
            (Whole{2, 3}));
  EXPECT_THAT(Made("GatherElements").of({2, 2}).of({2}).error(),
              IsError(ErrorKind::kFormat, "indices"));
  EXPECT_EQ(Made("GatherND").of({2, 3, 4}).of({2, 5, 1}).set("batch_dims", {1}).shape(),
            (Dimensions{2, 5, 4}));
  EXPECT_THAT(Made("GatherND").of({2, 3}).of({2, 3}).error(),
              IsError(ErrorKind::kFormat, "batch_dims"));
  EXPECT_EQ(Made("ScatterND").list({1, 2, 3}).numbers({2}, {1, 1}).list({9}).known(),
            (Whole{1, 2, 9}));
  EXPECT_EQ(Made("Compress").of({4, 5}).list({1, 0, 1}).set("axis", {0}).shape(),
            (Dimensions{2, 5}));
  EXPECT_EQ(Made("NonZero").numbers({0, 1, 1, 0}, {2, 2}).known(), (Whole{0, 1, 1, 0}));
  EXPECT_THAT(Made("NonZero").of({4}).error(),
              IsError(ErrorKind::kUnsupported, "depends on values"));
  EXPECT_THAT(Made("Slice").of({4}).list({0}).list({1, 2}).error(),
              IsError(ErrorKind::kFormat, "1 starts, 2 ends"));
  EXPECT_THAT(Made("Slice").of({4}).list({0}).list({4}).list({0}).list({0}).error(),
              IsError(ErrorKind::kFormat, "a step of 0"));
}

TEST(OnnxRules, ReductionsTakeTheirAxesFromWhereverTheyStand) {
  EXPECT_EQ(Made("ReduceMean", 13).of({2, 3, 4}).set("axes", {1}).shape(), (Dimensions{2, 1, 4}));
  EXPECT_EQ(Made("ReduceL2").of({2, 3, 4}).list({-1}).set("keepdims", {0}).shape(),
            (Dimensions{2, 3}));
  EXPECT_EQ(Made("ReduceMin").of({2, 3}).shape(), (Dimensions{1, 1}));
  EXPECT_EQ(Made("ReduceSum").of({2, 3}).list({}).set("noop_with_empty_axes", {1}).shape(),
            (Dimensions{2, 3}));
  EXPECT_EQ(Made("ReduceMax").numbers({1, 5, 2, 3}, {2, 2}).list({1}).known(), (Whole{5, 3}));
  EXPECT_EQ(Made("ReduceProd").list({2, 3, 4}).set("keepdims", {0}).known(), (Whole{24}));
  EXPECT_EQ(Made("ArgMax").of({2, 3, 4}).set("axis", {1}).shape(), (Dimensions{2, 1, 4}));
  EXPECT_EQ(Made("ArgMin").of({2, 3}).set("axis", {-1}).set("keepdims", {0}).shape(),
            (Dimensions{2}));
  EXPECT_THAT(Made("ArgMax").of({2}).set("axis", {1}).error(),
              IsError(ErrorKind::kFormat, "axis 1"));
  EXPECT_EQ(Made("TopK").of({2, 9}).list({4}).outputs(2).run()[1].shape, (Dimensions{2, 4}));
  EXPECT_EQ(Made("TopK", 9).of({2, 9}).set("k", {4}).shape(), (Dimensions{2, 4}));
  EXPECT_THAT(Made("TopK").of({2, 9}).list({10}).error(), IsError(ErrorKind::kFormat, "k is 10"));
  EXPECT_EQ(Made("CumSum").list({1, 2, 3}).one(0).known(), (Whole{1, 3, 6}));
  EXPECT_EQ(Made("Det").of({2, 3, 3}).shape(), (Dimensions{2}));
}

TEST(OnnxRules, ArithmeticOnWholeNumbersStaysWhole) {
  const auto two = [](const char* op, Number a, Number b) {
    return Made(op).one(a).one(b).known();
  };
  EXPECT_EQ(two("Div", -7, 2), (Whole{-3}));
  EXPECT_EQ(two("Div", 7, 0), (Whole{-999})) << "not known";
  EXPECT_EQ(two("Mod", -7, 3), (Whole{2}));
  EXPECT_EQ(Made("Mod").one(-7).one(3).set("fmod", {1}).known(), (Whole{-1}));
  EXPECT_EQ(two("Sub", 3, 5), (Whole{-2}));
  EXPECT_EQ(two("Pow", 2, 10), (Whole{1024}));
  EXPECT_EQ(two("Min", 2, 10), (Whole{2}));
  EXPECT_EQ(two("Equal", 2, 2), (Whole{1}));
  EXPECT_EQ(two("Xor", 1, 1), (Whole{0}));
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(two("Sub", kMost, 1), (Whole{kMost - 1})) << "no number loses its last digit";
  EXPECT_EQ(two("Mul", kMost, kMost), (Whole{-999}));
  EXPECT_EQ(Made("Cast").numbers({2.9L}, {1}, kOnnxFloat).set("to", {kOnnxInt64}).known(),
            (Whole{2}));
  EXPECT_EQ(Made("Cast").one(5).set("to", {kOnnxBool}).known(), (Whole{1}));
  EXPECT_EQ(Made("Where").list({1, 0}).list({1, 2}).list({3, 4}).known(), (Whole{1, 4}));
  EXPECT_EQ(Made("Where", 3).one(1).list({1, 2}).list({3, 4}).known(), (Whole{1, 2}));
  EXPECT_EQ(Made("Add").numbers({1, 2}, {2, 1}).list({10, 20}).known(), (Whole{11, 21, 12, 22}));
  EXPECT_EQ(Made("Add", 6).of({2, 3}).of({3}).shape(), (Dimensions{2, 3}));
  EXPECT_THAT(Made("Add").of({2}).of({3}).error(), IsError(ErrorKind::kFormat, "[2] and [3]"));
  EXPECT_EQ(Made("Not").one(0).known(), (Whole{1}));
  EXPECT_EQ(Made("Ceil").numbers({1.2L}, {}, kOnnxFloat).known(), (Whole{2}));
}

TEST(OnnxRules, TensorsAreMadeFromSizes) {
  EXPECT_EQ(Made("Shape", 15).of({2, 3, 4}).set("start", {-2}).known(), (Whole{3, 4}));
  EXPECT_EQ(Made("Shape").of({2, 3, 4}).set("start", {2}).set("end", {1}).shape(), (Dimensions{0}));
  EXPECT_EQ(Made("Size").of({2, 3}).known(), (Whole{6}));
  EXPECT_EQ(Made("Range").one(5).one(0).one(-2).known(), (Whole{5, 3, 1}));
  EXPECT_THAT(Made("Range").one(0).one(5).one(0).error(), IsError(ErrorKind::kFormat, "by 0"));
  EXPECT_EQ(Made("ConstantOfShape").list({2, 2}).known(), (Whole{0, 0, 0, 0}));
  EXPECT_EQ(Made("ConstantOfShape").list({5000}).known(), (Whole{-999})) << "too many to follow";
  EXPECT_THAT(Made("ConstantOfShape").list({-1}).error(), IsError(ErrorKind::kData, "[-1]"));
  EXPECT_THAT(Made("ConstantOfShape").list({1 << 30, 1 << 30}).error(),
              IsError(ErrorKind::kData, "2^50"));
  EXPECT_EQ(Made("Constant").set("value_ints", {3, 4}).known(), (Whole{3, 4}));
  EXPECT_EQ(Made("Constant").set("value_int", {3}).shape(), Dimensions{});
  EXPECT_THAT(Made("Constant").error(), IsError(ErrorKind::kFormat, "no value"));
  EXPECT_EQ(Made("OneHot").of({2, 3}).one(7).of({2}).set("axis", {1}).shape(),
            (Dimensions{2, 7, 3}));
  EXPECT_EQ(Made("EyeLike").of({3, 4}).shape(), (Dimensions{3, 4}));
  EXPECT_EQ(Made("RandomNormal").set("shape", {2, 2}).shape(), (Dimensions{2, 2}));
  EXPECT_EQ(Made("HannWindow").one(16).shape(), (Dimensions{16}));
}

TEST(OnnxRules, SequencesHaveOneOutputAWay) {
  const auto lstm = [](std::int64_t layout) {
    return Made("LSTM")
        .of(layout == 0 ? Dimensions{10, 2, 6} : Dimensions{2, 10, 6})
        .of({2, 32, 6})
        .of({2, 32, 8})
        .text("direction", "bidirectional")
        .set("layout", {layout})
        .outputs(3);
  };
  EXPECT_EQ(lstm(0).run()[0].shape, (Dimensions{10, 2, 2, 8}));
  EXPECT_EQ(lstm(0).run()[2].shape, (Dimensions{2, 2, 8}));
  EXPECT_EQ(lstm(1).run()[0].shape, (Dimensions{2, 10, 2, 8}));
  EXPECT_THAT(Made("LSTM").of({10, 2, 6}).of({1, 32, 5}).of({1, 32, 8}).error(),
              IsError(ErrorKind::kFormat, "shapes do not agree"));
  const auto attention = [] {
    return Made("Attention", 23).of({2, 8, 5, 16}).of({2, 4, 7, 16}).of({2, 4, 7, 3});
  };
  EXPECT_EQ(attention().shape(), (Dimensions{2, 8, 5, 3}));
  EXPECT_THAT(Made("Attention", 23).of({2, 8, 5, 16}).of({2, 3, 7, 16}).of({2, 3, 7, 3}).error(),
              IsError(ErrorKind::kFormat, "shapes do not agree"));
  EXPECT_EQ(Made("STFT").of({2, 100, 1}).one(10).none().one(20).shape(), (Dimensions{2, 9, 11, 2}));
  EXPECT_EQ(Made("DFT", 17).of({2, 16, 1}).set("axis", {1}).set("onesided", {1}).shape(),
            (Dimensions{2, 9, 2}));
}

TEST(OnnxRules, EquationsOfEinsumAreReadWhole) {
  const auto sum = [](std::string_view equation, Dimensions a, Dimensions b) {
    return Made("Einsum").of(std::move(a)).of(std::move(b)).text("equation", equation);
  };
  EXPECT_EQ(sum("ij,jk", {2, 3}, {3, 4}).shape(), (Dimensions{2, 4})) << "what occurs once";
  EXPECT_EQ(sum("...ij,...jk->...ik", {5, 2, 3}, {6, 5, 3, 4}).shape(), (Dimensions{6, 5, 2, 4}));
  EXPECT_EQ(sum("b h k, b h k -> b h", {2, 3, 4}, {2, 3, 4}).shape(), (Dimensions{2, 3}));
  EXPECT_THAT(sum("ij,jk->iz", {2, 3}, {3, 4}).error(),
              IsError(ErrorKind::kFormat, "no operand has"));
  EXPECT_THAT(sum("ij,jk->ik", {2, 3}, {4, 4}).error(),
              IsError(ErrorKind::kFormat, "do not agree"));
  EXPECT_THAT(sum("ijk,jk->ik", {2, 3}, {3, 4}).error(),
              IsError(ErrorKind::kFormat, "for a tensor of"));
  EXPECT_THAT(sum("ij->ij", {2, 3}, {3, 4}).error(), IsError(ErrorKind::kFormat, "has 1 operands"));
}

}  // namespace
}  // namespace taut::graph
