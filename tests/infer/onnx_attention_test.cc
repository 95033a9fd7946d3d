// Attention in the forms that exporters write, beside its definition.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "graph/onnx_builder.h"
#include "infer/onnx_cases.h"

namespace taut::infer {
namespace {

using graph::OnnxBuilder;
using graph::Op;
using test_support::expect_near;
using test_support::ScoredModel;
using test_support::some_numbers;
using testing::HasSubstr;

constexpr std::int64_t kTokens = 7;
constexpr std::int64_t kHeads = 3;
constexpr std::int64_t kWidth = 5;  // of a head
constexpr std::int64_t kChannels = kHeads * kWidth;
constexpr float kInfinite = std::numeric_limits<float>::infinity();

std::size_t index(std::int64_t at) {
  return static_cast<std::size_t>(at);
}

// The parts of a block whose input is [1, kTokens, kChannels].
struct Block {
  std::vector<float> x = some_numbers(kTokens * kChannels, 11);  // [channel][token]
  std::vector<float> weights = some_numbers(kChannels * 3 * kChannels, 12);
  std::vector<float> bias = some_numbers(3 * kChannels, 13);
  std::vector<float> last = some_numbers(kChannels * kChannels, 14);
  double scale = 1 / std::sqrt(static_cast<double>(kWidth));
  std::vector<float> mask = {};  // [kTokens, kTokens], or by head

  [[nodiscard]] double projected(std::int64_t token, std::int64_t column) const {
    double sum = bias[index(column)];
    for (std::int64_t c = 0; c < kChannels; ++c) {
      sum += static_cast<double>(x[index(c * kTokens + token)]) *
             weights[index(c * 3 * kChannels + column)];
    }
    return sum;
  }

  // What attention gives a query in one channel.
  [[nodiscard]] double attended(std::int64_t query, std::int64_t channel) const {
    const std::int64_t head = channel / kWidth;
    double whole = 0;
    double sum = 0;
    for (std::int64_t key = 0; key < kTokens; ++key) {
      double score = 0;
      for (std::int64_t c = head * kWidth; c < (head + 1) * kWidth; ++c) {
        score += projected(query, c) * projected(key, kChannels + c);
      }
      score *= scale;
      const bool by_head = mask.size() > index(kTokens * kTokens);
      if (!mask.empty()) {
        score += mask[index(((by_head ? head : 0) * kTokens + query) * kTokens + key)];
      }
      whole += std::exp(score);
      sum += std::exp(score) * projected(key, 2 * kChannels + channel);
    }
    return sum / whole;
  }

  // [channel][token], behind a last product.
  [[nodiscard]] std::vector<double> wanted() const {
    std::vector<double> attention(x.size());
    std::vector<double> out(x.size(), 0);
    for (std::int64_t t = 0; t < kTokens; ++t) {
      for (std::int64_t c = 0; c < kChannels; ++c)
        attention[index(c * kTokens + t)] = attended(t, c);
    }
    for (std::int64_t t = 0; t < kTokens; ++t) {
      for (std::int64_t o = 0; o < kChannels; ++o) {
        for (std::int64_t c = 0; c < kChannels; ++c) {
          out[index(o * kTokens + t)] +=
              attention[index(c * kTokens + t)] * last[index(c * kChannels + o)];
        }
      }
    }
    return out;
  }
};

void add_constants(OnnxBuilder& made, const Block& block) {
  made.input("x", {1, kTokens, kChannels});
  made.values("w", {kChannels, 3 * kChannels}, block.weights);
  made.values("b", {3 * kChannels}, block.bias);
  made.values("last", {kChannels, kChannels}, block.last);
  made.values("scale", {}, {static_cast<float>(block.scale)});
  made.values("root", {}, {static_cast<float>(std::sqrt(block.scale))});
  made.integers("heads", {1, kTokens, kHeads, kWidth});
  made.integers("whole", {1, kTokens, kChannels});
  for (std::int64_t i = 0; i < 3; ++i) made.scalar(std::to_string(i), i);
}

// Queries, keys and values [1, heads, tokens, width] from one product of all.
void add_by_gather(OnnxBuilder& made) {
  made.integers("parts", {1, kTokens, 3, kHeads, kWidth});
  made.node("MatMul", {"x", "w"}, "product");
  made.node("Add", {"product", "b"}, "qkv");
  made.node("Reshape", {"qkv", "parts"}, "five");
  made.node("Transpose", {"five"}, "turned", {{"perm", {2, 0, 3, 1, 4}}});
  made.node("Gather", {"turned", "0"}, "q", {{"axis", {0}}});
  made.node("Gather", {"turned", "1"}, "k", {{"axis", {0}}});
  made.node("Gather", {"turned", "2"}, "v", {{"axis", {0}}});
}

void add_by_split(OnnxBuilder& made) {
  made.integers("sizes", {kChannels, kChannels, kChannels});
  made.node("MatMul", {"x", "w"}, "product");
  made.node("Add", {"b", "product"}, "qkv");
  onnx::NodeProto& split = made.node("Split", {"qkv", "sizes"}, "q.flat", {{"axis", {2}}});
  split.add_output("k.flat");
  split.add_output("v.flat");
  for (const std::string part : {"q", "k", "v"}) {
    made.node("Reshape", {part + ".flat", "heads"}, part + ".four");
    made.node("Transpose", {part + ".four"}, part, {{"perm", {0, 2, 1, 3}}});
  }
}

void add_by_slices(OnnxBuilder& made) {
  made.integers("axis", {2});
  for (std::int64_t i = 0; i < 4; ++i) made.integers("at" + std::to_string(i), {i * kChannels});
  made.node("MatMul", {"x", "w"}, "product");
  made.node("Add", {"b", "product"}, "qkv");
  for (int i = 0; i < 3; ++i) {
    const std::string part(1, "qkv"[i]);
    made.node("Slice", {"qkv", "at" + std::to_string(i), "at" + std::to_string(i + 1), "axis"},
              part + ".flat");
    made.node("Reshape", {part + ".flat", "heads"}, part + ".four");
    made.node("Transpose", {part + ".four"}, part, {{"perm", {0, 2, 1, 3}}});
  }
}

// Of three layers.
void add_apart(OnnxBuilder& made, const Block& block) {
  for (int i = 0; i < 3; ++i) {
    const std::string part(1, "qkv"[i]);
    std::vector<float> weights;
    for (std::int64_t c = 0; c < kChannels; ++c) {
      const auto row = block.weights.begin() + (3 * c + i) * kChannels;
      weights.insert(weights.end(), row, row + kChannels);
    }
    const auto bias = block.bias.begin() + i * kChannels;
    made.values(part + ".w", {kChannels, kChannels}, weights);
    made.values(part + ".b", {kChannels}, {bias, bias + kChannels});
    made.node("MatMul", {"x", part + ".w"}, part + ".product");
    made.node("Add", {part + ".product", part + ".b"}, part + ".flat");
    made.node("Reshape", {part + ".flat", "heads"}, part + ".four");
    made.node("Transpose", {part + ".four"}, part, {{"perm", {0, 2, 1, 3}}});
  }
}

// As PyTorch's MultiheadAttention is traced: tokens before examples, weights as rows.
void add_tokens_first(OnnxBuilder& made) {
  made.integers("parts", {kTokens, 1, 3, kChannels});
  made.integers("front", {0});
  made.integers("third", {3});
  made.integers("flat", {kTokens, kHeads, kWidth});
  made.integers("four", {1, kHeads, kTokens, kWidth});
  made.node("Transpose", {"x"}, "tokens", {{"perm", {1, 0, 2}}});
  made.node("MatMul", {"tokens", "w"}, "product");
  made.node("Add", {"product", "b"}, "qkv");
  made.node("Reshape", {"qkv", "parts"}, "parted");
  made.node("Unsqueeze", {"parted", "front"}, "fronted");
  made.node("Transpose", {"fronted"}, "turned", {{"perm", {3, 1, 2, 0, 4}}});
  made.node("Squeeze", {"turned", "third"}, "squeezed");
  for (int i = 0; i < 3; ++i) {
    const std::string part(1, "qkv"[i]);
    made.node("Gather", {"squeezed", std::to_string(i)}, part + ".tokens", {{"axis", {0}}});
    made.node("Reshape", {part + ".tokens", "flat"}, part + ".flat");
    made.node("Transpose", {part + ".flat"}, part + ".heads", {{"perm", {1, 0, 2}}});
    made.node("Reshape", {part + ".heads", "four"}, part);
  }
}

// y from q, k and v; scores become `masked`, which reads `scores`, by mask().
void add_core(OnnxBuilder& made, bool scale_first,
              const std::function<std::string(const std::string&)>& mask = {}) {
  std::string scores = "scores";
  if (scale_first) {
    made.integers("three", {-1, kTokens, kWidth});
    made.integers("back", {1, kHeads, kWidth, kTokens});
    made.node("Reshape", {"k", "three"}, "k.three");
    made.node("Transpose", {"k.three"}, "k.turned", {{"perm", {0, 2, 1}}});
    made.node("Reshape", {"k.turned", "back"}, "k.back");
    made.node("Mul", {"q", "root"}, "q.scaled");
    made.node("Mul", {"k.back", "root"}, "k.scaled");
    made.node("MatMul", {"q.scaled", "k.scaled"}, scores);
  } else {
    made.node("Transpose", {"k"}, "k.turned", {{"perm", {0, 1, 3, 2}}});
    made.node("MatMul", {"q", "k.turned"}, "product of heads");
    made.node("Mul", {"product of heads", "scale"}, scores);
  }
  if (mask) scores = mask(scores);
  made.node("Softmax", {scores}, "soft", {{"axis", {-1}}});
  made.node("Dropout", {"soft"}, "kept");
  made.node("MatMul", {"kept", "v"}, "mixed");
}

void add_end(OnnxBuilder& made) {
  made.node("Transpose", {"mixed"}, "back to tokens", {{"perm", {0, 2, 1, 3}}});
  made.node("Reshape", {"back to tokens", "whole"}, "together");
  made.node("MatMul", {"together", "last"}, "y");
  made.output("y");
}

std::vector<Op> ops_of(const graph::Network& network) {
  std::vector<Op> ops;
  for (const graph::Layer& layer : network.layers) ops.push_back(layer.op);
  return ops;
}

TEST(OnnxAttention, QueriesKeysAndValuesInEveryForm) {
  const Block block;
  const std::vector<std::pair<const char*, std::function<void(OnnxBuilder&)>>> forms = {
      {"gather", add_by_gather}, {"split", add_by_split}, {"slices", add_by_slices}};
  for (const auto& [name, add] : forms) {
    for (const bool scale_first : {false, true}) {
      SCOPED_TRACE(testing::Message() << name << ", " << scale_first);
      OnnxBuilder made(17);
      add_constants(made, block);
      add(made);
      add_core(made, scale_first);
      add_end(made);
      const ScoredModel run(made, block.x);
      EXPECT_EQ(ops_of(run.read.network), (std::vector{Op::kLinear, Op::kAttention, Op::kLinear}));
      EXPECT_EQ(run.read.network.layers[1].heads, kHeads);
      expect_near(run.scores, block.wanted());
    }
  }
}

TEST(OnnxAttention, OfThreeLayersAndOfTokensBeforeExamples) {
  const Block block;
  OnnxBuilder apart(17);
  add_constants(apart, block);
  add_apart(apart, block);
  add_core(apart, false);
  add_end(apart);
  const ScoredModel three(apart, block.x);
  EXPECT_EQ(three.read.network.layers[3].inputs, (std::vector{0, 1, 2}));
  expect_near(three.scores, block.wanted());

  OnnxBuilder first(17);
  add_constants(first, block);
  add_tokens_first(first);
  add_core(first, true);
  std::vector<float> turned(block.last.size());
  for (std::int64_t i = 0; i < kChannels * kChannels; ++i) {
    turned[index(i % kChannels * kChannels + i / kChannels)] = block.last[index(i)];
  }
  first.values("rows", {kChannels, kChannels}, turned);
  first.integers("column", {kTokens, kChannels});
  first.integers("again", {kTokens, 1, kChannels});
  first.node("Transpose", {"mixed"}, "tokens again", {{"perm", {2, 0, 1, 3}}});
  first.node("Reshape", {"tokens again", "column"}, "matrix");
  first.node("Gemm", {"matrix", "rows"}, "projected", {{"transB", {1}}});
  first.node("Reshape", {"projected", "again"}, "tokens of one");
  first.node("Transpose", {"tokens of one"}, "y", {{"perm", {1, 0, 2}}});
  first.output("y");
  const ScoredModel run(first, block.x);
  EXPECT_EQ(ops_of(run.read.network), (std::vector{Op::kLinear, Op::kAttention, Op::kLinear}));
  expect_near(run.scores, block.wanted());
}

TEST(OnnxAttention, MasksThatAreAddedOrReplaceScores) {
  Block block;
  const auto runs = [&](const std::function<std::string(OnnxBuilder&, const std::string&)>& mask) {
    OnnxBuilder made(17);
    add_constants(made, block);
    add_by_split(made);
    add_core(made, false, [&](const std::string& scores) { return mask(made, scores); });
    add_end(made);
    expect_near(ScoredModel(made, block.x).scores, block.wanted());
  };
  const std::vector<float> by_head = some_numbers(kHeads * kTokens * kTokens, 15);
  std::vector<float> causal(index(kTokens * kTokens), 0);
  std::vector<float> seen(causal.size(), 1);
  for (std::int64_t i = 0; i < kTokens * kTokens; ++i) {
    if (i % kTokens <= i / kTokens) continue;
    causal[index(i)] = -kInfinite;
    seen[index(i)] = 0;
  }
  const auto boolean = [&](OnnxBuilder& made, bool negated) {
    onnx::TensorProto& tensor = *made.graph().add_initializer();
    tensor.set_name("seen");
    tensor.set_data_type(onnx::TensorProto::BOOL);
    for (const std::int64_t size : {std::int64_t{1}, std::int64_t{1}, kTokens, kTokens}) {
      tensor.add_dims(size);
    }
    for (const float one : seen) tensor.add_int32_data((one != 0) != negated ? 1 : 0);
    made.values("least", {}, {-kInfinite});
  };
  block.mask = causal;
  runs([&](OnnxBuilder& made, const std::string& scores) {
    made.values("mask", {kTokens, kTokens}, causal);
    made.node("Add", {scores, "mask"}, "masked");
    return std::string("masked");
  });
  for (const bool negated : {false, true}) {
    runs([&](OnnxBuilder& made, const std::string& scores) {
      boolean(made, negated);
      made.node("Where",
                negated ? std::vector<std::string>{"seen", "least", scores}
                        : std::vector<std::string>{"seen", scores, "least"},
                "masked");
      return std::string("masked");
    });
  }
  // As exporters write a triangle that they do not fold.
  runs([&](OnnxBuilder& made, const std::string& scores) {
    made.values("one", {}, {1});
    made.values("none", {}, {0});
    made.values("least", {}, {-kInfinite});
    made.integers("square", {kTokens, kTokens});
    made.node("Expand", {"one", "square"}, "ones");
    made.node("Trilu", {"ones"}, "triangle", {{"upper", {0}}});
    made.node("Equal", {"triangle", "none"}, "above");
    made.node("Where", {"above", "least", "none"}, "mask");
    made.node("Add", {"mask", scores}, "masked");
    return std::string("masked");
  });
  // A part of a larger one.
  runs([&](OnnxBuilder& made, const std::string& scores) {
    constexpr std::int64_t kLonger = kTokens + 3;
    std::vector<float> longer(index(kLonger * kLonger), 5);
    for (std::int64_t i = 0; i < kTokens * kTokens; ++i) {
      longer[index(i / kTokens * kLonger + i % kTokens)] = causal[index(i)];
    }
    made.values("longer", {1, 1, kLonger, kLonger}, longer);
    made.integers("from", {0, 0});
    made.integers("to", {kTokens, kTokens});
    made.integers("axes", {2, -1});
    made.node("Slice", {"longer", "from", "to", "axes"}, "mask");
    made.node("Add", {scores, "mask"}, "masked");
    return std::string("masked");
  });
  // As the newer exporter writes a mask of truths: a query that sees no key gets zeros.
  {
    OnnxBuilder made(17);
    add_constants(made, block);
    add_by_split(made);
    made.values("mask", {kTokens, kTokens}, causal);
    made.values("none", {}, {0});
    made.node("Transpose", {"k"}, "k.turned", {{"perm", {0, 1, 3, 2}}});
    made.node("Mul", {"q", "scale"}, "q.scaled");
    made.node("MatMul", {"q.scaled", "k.turned"}, "scores");
    made.node("Add", {"scores", "mask"}, "masked");
    made.node("Softmax", {"masked"}, "soft", {{"axis", {-1}}});
    made.node("IsNaN", {"soft"}, "odd");
    made.node("Where", {"odd", "none", "soft"}, "weights");
    made.node("MatMul", {"weights", "v"}, "mixed");
    add_end(made);
    const ScoredModel run(made, block.x);
    EXPECT_TRUE(run.read.network.layers[1].nan_is_zero);
    expect_near(run.scores, block.wanted());
  }
  block.mask = by_head;
  runs([&](OnnxBuilder& made, const std::string& scores) {
    made.values("mask", {1, kHeads, kTokens, kTokens}, by_head);
    made.node("Add", {scores, "mask"}, "masked");
    return std::string("masked");
  });
  for (std::size_t i = 0; i < by_head.size(); ++i) block.mask[i] += causal[i % causal.size()];
  runs([&](OnnxBuilder& made, const std::string& scores) {
    made.values("bias", {kHeads, kTokens, kTokens}, by_head);
    made.values("mask", {1, 1, kTokens, kTokens}, causal);
    made.node("Add", {scores, "bias"}, "biased");
    made.node("Add", {"biased", "mask"}, "masked");
    return std::string("masked");
  });
}

// Each is refused with the node that stands in the way.
TEST(OnnxAttention, WhatIsNoAttentionIsNamed) {
  const Block block;
  struct Case {
    const char* wanted;
    std::function<void(OnnxBuilder&)> add;  // behind q, k and v; gives y
  };
  const std::vector<Case> cases = {
      {"node scores (MatMul): a product of values that both depend on the input",
       [](OnnxBuilder& made) {
         made.node("Transpose", {"k"}, "turned", {{"perm", {0, 1, 3, 2}}});
         made.node("MatMul", {"q", "turned"}, "scores");
         made.node("Relu", {"scores"}, "y");
       }},
      {"node y (MatMul): a product of values that both depend on the input",
       [](OnnxBuilder& made) {
         made.node("Transpose", {"q"}, "turned", {{"perm", {0, 1, 3, 2}}});
         made.node("MatMul", {"turned", "k"}, "y");
       }},
      {"node cut (Reshape): it makes [1, 7, 3, 5] of [1, 7, 15]",
       [](OnnxBuilder& made) {
         made.node("Reshape", {"x", "heads"}, "cut");
         made.node("Relu", {"cut"}, "y");
       }},
      {"node qkv.split (Split): it takes some channels",
       [](OnnxBuilder& made) { made.node("Relu", {"q.flat"}, "y"); }},
      {"node masked (Add): its mask is larger than scores",
       [](OnnxBuilder& made) {
         made.values("mask", {2, 1, kTokens, kTokens}, std::vector<float>(2 * kTokens * kTokens));
         made.node("Transpose", {"k"}, "turned", {{"perm", {0, 1, 3, 2}}});
         made.node("MatMul", {"q", "turned"}, "scores");
         made.node("Add", {"scores", "mask"}, "masked");
         made.node("Softmax", {"masked"}, "soft", {{"axis", {-1}}});
         made.node("MatMul", {"soft", "v"}, "y");
       }},
      {"node mixed (MatMul): its queries, keys and values are neither",
       [](OnnxBuilder& made) {
         made.node("Transpose", {"q"}, "turned", {{"perm", {0, 1, 3, 2}}});
         made.node("MatMul", {"k", "turned"}, "scores");
         made.node("Softmax", {"scores"}, "soft", {{"axis", {-1}}});
         made.node("MatMul", {"soft", "v"}, "mixed");
         made.node("Relu", {"mixed"}, "y");
       }},
      {"node soft (Softmax): it is not over the channels", [](OnnxBuilder& made) {
         made.node("Softmax", {"qkv"}, "soft", {{"axis", {1}}});
         made.node("Relu", {"soft"}, "y");
       }}};
  for (const Case& one : cases) {
    OnnxBuilder made(17);
    add_constants(made, block);
    add_by_split(made);
    for (onnx::NodeProto& node : *made.graph().mutable_node()) {
      if (node.op_type() == "Split") node.set_name("qkv.split");
    }
    one.add(made);
    made.output("y");
    const std::string bytes = made.bytes();
    try {
      static_cast<void>(graph::parse_onnx_network(bytes, "made.onnx"));
      ADD_FAILURE() << one.wanted;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
      EXPECT_THAT(error.what(), HasSubstr(one.wanted));
    }
  }
}

}  // namespace
}  // namespace taut::infer
