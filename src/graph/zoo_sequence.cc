// Transformers (Vaswani et al. 2017, Devlin et al. 2018, Radford et al. 2019) and DLRM (Naumov et
// al. 2019).
#include <array>
#include <string>
#include <vector>

#include "graph/zoo_parts.h"
#include "taut/core/text.h"
#include "taut/graph/model_builder.h"

namespace taut::graph {
namespace {

struct TransformerSizes {
  std::int64_t width;
  std::int64_t heads;
  std::int64_t tokens;
  int blocks;
  std::int64_t vocabulary;
  std::int64_t positions;
};

/// One block: attention and a feed-forward part of four times the width, each with a residual sum.
/// The channel splits of qkv and out are limited by the width (docs/parallel.md).
Tensor transformer_block(ModelBuilder& model, const std::string& name, const Tensor& in,
                         const TransformerSizes& sizes) {
  Tensor x = model.linear(name + "_qkv", in, 3 * sizes.width, sizes.width);
  x = model.attention(name + "_attn", x, sizes.heads);
  x = model.linear(name + "_out", x, sizes.width);
  const Tensor middle = model.add(name + "_add1", std::array<Tensor, 2>{in, x});
  x = model.linear(name + "_ff1", middle, 4 * sizes.width);
  x = model.linear(name + "_ff2", x, sizes.width);
  return model.add(name + "_add2", std::array<Tensor, 2>{middle, x});
}

Tensor transformer(ModelBuilder& model, const TransformerSizes& sizes) {
  const Tensor embedded = model.batch_only("emb", "embedding", {}, {sizes.width, sizes.tokens, 1});
  model.table("tokens", embedded, sizes.vocabulary, sizes.width);
  model.table("positions", embedded, sizes.positions, sizes.width);
  Tensor x = embedded;
  for (int b = 1; b <= sizes.blocks; ++b) {
    x = transformer_block(model, concat("block", b), x, sizes);
  }
  return x;
}

}  // namespace

Graph bert_base() {
  ModelBuilder model("bert-base");
  return model.finish(transformer(model, {768, 12, 128, 12, 30522, 512}));
}

Graph gpt2_small() {
  constexpr TransformerSizes kSizes{768, 12, 1024, 12, 50257, 1024};
  ModelBuilder model("gpt2-small");
  const Tensor x = transformer(model, kSizes);
  return model.finish(model.linear("head", x, kSizes.vocabulary));
}

/// MLPs 13-512-256-128 and 479-1024-1024-512-256-1 around the pairwise interaction of 26
/// categorical columns and the dense part, with the cardinalities of the Criteo Kaggle data.
Graph dlrm() {
  constexpr std::int64_t kDim = 128;
  constexpr std::array<std::int64_t, 26> kRows = {
      1460,  583,  10131227, 2202608, 305, 24,     12517,   633,   3,
      93145, 5683, 8351593,  3194,    27,  14992,  5461306, 10,    5652,
      2173,  4,    7046547,  18,      15,  286181, 105,     142572};
  ModelBuilder model("dlrm");
  Tensor x = model.input({13, 1, 1});
  int layer = 1;
  for (const std::int64_t out : {512, 256, 128}) x = model.fc(concat("bottom", layer++), x, out);
  const std::int64_t features = static_cast<std::int64_t>(kRows.size()) + 1;
  const std::int64_t interactions = features * (features - 1) / 2 + kDim;
  x = model.batch_only("interact", "interaction", {&x, 1}, {interactions, 1, 1});
  for (std::size_t t = 0; t < kRows.size(); ++t) {
    model.table(concat("table", t + 1), x, kRows[t], kDim);
  }
  layer = 1;
  for (const std::int64_t out : {1024, 1024, 512, 256, 1})
    x = model.fc(concat("top", layer++), x, out);
  return model.finish(x);
}

}  // namespace taut::graph
