// Transformers (Vaswani et al. 2017, Devlin et al. 2018, Radford et al. 2019) and DLRM (Naumov et
// al. 2019). Of a transformer the description has what costs: layer normalizations are left out,
// and the feed-forward part's activation is described as a ReLU.
#include <array>
#include <string>

#include "graph/zoo_parts.h"
#include "taut/core/text.h"
#include "taut/graph/recommender.h"

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

// One block: attention and a feed-forward part of four times the width, each with a residual sum.
int transformer_block(NetworkBuilder& net, const std::string& name, int in,
                      const TransformerSizes& sizes) {
  int x = net.linear(name + "_qkv", in, 3 * sizes.width);
  x = net.attention(name + "_attn", x, sizes.heads);
  x = net.linear(name + "_out", x, sizes.width);
  const int middle = net.add(name + "_add1", std::array<int, 2>{in, x});
  x = net.activation(name + "_relu", net.linear(name + "_ff1", middle, 4 * sizes.width));
  x = net.linear(name + "_ff2", x, sizes.width);
  return net.add(name + "_add2", std::array<int, 2>{middle, x});
}

// Rows of one table, one for each token.
int embed(NetworkBuilder& net, const std::string& name, std::int64_t rows,
          const TransformerSizes& sizes) {
  const int table = net.table({.name = name, .rows = rows, .dim = sizes.width});
  return net.embedding("emb_" + name, std::array<int, 1>{table}, sizes.tokens);
}

int transformer(NetworkBuilder& net, const TransformerSizes& sizes) {
  const int tokens = embed(net, "tokens", sizes.vocabulary, sizes);
  const int positions = embed(net, "positions", sizes.positions, sizes);
  int x = net.add("emb", std::array<int, 2>{tokens, positions});
  for (int b = 1; b <= sizes.blocks; ++b) {
    x = transformer_block(net, concat("block", b), x, sizes);
  }
  return x;
}

}  // namespace

Network bert_base() {
  NetworkBuilder net("bert-base", {});
  transformer(net, {768, 12, 128, 12, 30522, 512});
  return net.finish();
}

Network gpt2_small() {
  constexpr TransformerSizes kSizes{768, 12, 1024, 12, 50257, 1024};
  NetworkBuilder net("gpt2-small", {});
  net.linear("head", transformer(net, kSizes), kSizes.vocabulary, /*bias=*/false);
  return net.finish();
}

// MLPs 13-512-256-128 and 479-1024-1024-512-256-1 around the pairwise interaction of 26
// categorical columns and the dense part, with the cardinalities of the Criteo Kaggle data.
Network dlrm() {
  constexpr std::array<std::int64_t, 26> kRows = {
      1460,  583,  10131227, 2202608, 305, 24,     12517,   633,   3,
      93145, 5683, 8351593,  3194,    27,  14992,  5461306, 10,    5652,
      2173,  4,    7046547,  18,      15,  286181, 105,     142572};
  RecommenderShape shape;
  shape.dense = 13;
  shape.dim = 128;
  for (std::size_t t = 0; t < kRows.size(); ++t) {
    shape.tables.push_back({.name = concat("table", t + 1), .rows = kRows[t]});
  }
  shape.bottom = {512, 256};
  shape.top = {1024, 1024, 512, 256};
  return recommender_network(shape);
}

}  // namespace taut::graph
